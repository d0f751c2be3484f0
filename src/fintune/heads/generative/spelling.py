"""Writing what a vocabulary cannot: T5's has no braces, so that a dictionary would reach the model as unknown tokens.

Marks of targets that are missing become other characters, everything else that is missing becomes its number, and what stands in for
something is marked where it stands for itself. `unspell(spell(text)) == text` for every text. Refuses vocabularies without
enough other characters. `pytest tests/heads/generative/test_spelling.py` exercises it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import Any

from fintune.errors import RecipeError
from fintune.heads.generative.plain_text import PlainText

MARKS = "{}[]'\":,"
"""What targets are made of, beside words."""
STAND_INS = "()<>|/*+=@_%&!?$~^#;.-"
"""What may be written for a missing mark, and before what stands for itself; in order of preference."""

_SURROGATES = range(0xD800, 0xE000)


class Spelling:
    """The characters of one vocabulary, and how texts are written in them.

    `table` has what stands for each missing mark; `escape` is written before a character of `reserved` that stands for itself, and
    before the number of one that the vocabulary lacks.

    Raises:
        RecipeError: where the vocabulary has too few characters to stand in for those it lacks.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer, self._words = tokenizer, PlainText(tokenizer)
        self.writes = cache(self._writes)
        self._letter, self._read = cache(self._spelt), cache(self._legible)
        missing = [mark for mark in MARKS if not self.writes(mark)]
        free = [letter for letter in STAND_INS if self.writes(letter)]
        if len(free) <= len(missing):
            raise RecipeError(
                f"the vocabulary of the base model cannot write {' '.join(missing) or 'any of ' + STAND_INS}", where="model.base",
                why=f"it has {len(free)} characters to write for them", fix="choose another base model",
            )  # fmt: skip
        self.table = dict(zip(missing, free, strict=False))
        self.escape = free[len(missing)]
        self.reserved = frozenset({self.escape, *self.table.values()})
        back = {stand_in: mark for mark, stand_in in self.table.items()}
        reserved, stand_ins = (_any_of(letters) for letters in (self.reserved, back))
        self._back, self._coded = back, re.compile(f"{re.escape(self.escape)}(?:({reserved})|([0-9a-f]{{1,6}});)|({stand_ins})")

    def spell(self, text: str) -> str:
        """The text in characters of the vocabulary, one after another: no character depends on those around it."""
        return "".join(map(self._letter, text))

    def unspell(self, written: str) -> str:
        """The text that was spelt. What is not as `spell` writes it stays as it is."""
        return self._coded.sub(self._original, written)

    def legible(self, text: str) -> str:
        """The text for reading: only what would become an unknown token is written in another way, and nothing is marked."""
        return "".join(map(self._read, text))

    def describe(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"marks": self.table, "escape": self.escape}

    def _writes(self, letter: str) -> bool:
        return _comes_back(self._words, letter)

    def _spelt(self, letter: str) -> str:
        if letter in self.reserved:
            return self.escape + letter
        if letter in self.table:
            return self.table[letter]
        return letter if self.writes(letter) else f"{self.escape}{ord(letter):x};"

    def _legible(self, letter: str) -> str:
        if self._tokenizer.unk_token_id not in self._words.encode(f"a{letter}a", "inside").ids:
            return letter
        return " " if letter.isspace() else self._spelt(letter)

    def _original(self, match: re.Match[str]) -> str:
        itself, number, stand_in = match.groups()
        if stand_in is not None:
            return self._back[stand_in]
        if itself is not None:
            return itself
        code = int(number, 16)
        return chr(code) if code <= 0x10FFFF and code not in _SURROGATES else match[0]


def unwritable(tokenizer: Any, texts: Iterable[str]) -> set[str]:
    """Characters of the texts that do not come back from the tokens of a vocabulary."""
    words = PlainText(tokenizer)
    return {letter for letter in set().union(*texts) if not _comes_back(words, letter)}


def _comes_back(words: PlainText, letter: str) -> bool:
    """Whether a vocabulary gives a character back from its tokens; accents, which may join the letter before them, do not count."""
    if unicodedata.combining(letter) or ord(letter) in _SURROGATES:
        return False
    probe, tokenizer = f"a{letter}a", words.tokenizer
    ids = words.encode(probe, "inside").ids
    decoded = tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return bool(decoded == probe) and tokenizer.unk_token_id not in ids


def _any_of(letters: Iterable[str]) -> str:
    """A pattern for one of some letters, or for nothing."""
    return "|".join(map(re.escape, sorted(letters))) or "(?!)"
