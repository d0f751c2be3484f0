"""A tokenizer's vocabulary as llguidance reads it, and which characters it can write.

Byte-level and byte-fallback vocabularies are read by llguidance itself; one that only marks the beginnings of words (T5) is spelt
out here. Refused without the extra `gen`. `tests/heads/generative/test_constrain.py` exercises it.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

from tokenizers import Tokenizer, decoders, pre_tokenizers

from fintune.errors import RecipeError

_LONGEST = 4  # bytes of one character


class Vocabulary:
    """The tokens of a fast transformers tokenizer as bytes; `tokens` is llguidance's own view of them.

    `opening` is what the tokens of a text may begin with beside it: a blank in vocabularies that mark words, else nothing.

    Raises:
        RecipeError: without llguidance.
    """

    def __init__(self, tokenizer: Any, stop: frozenset[int]) -> None:
        try:
            from llguidance import LLTokenizer, TokenizerWrapper
        except ImportError:
            raise RecipeError(
                "constrained decoding needs llguidance", where="predict.decoding", fix="pip install 'fintune[train]', or set it to free"
            ) from None
        self._tokenizer = tokenizer
        marked = isinstance(tokenizer.backend_tokenizer.decoder, decoders.Metaspace)
        source = TokenizerWrapper(_Marked(tokenizer, stop)) if marked else _settings(tokenizer)
        self.tokens = LLTokenizer(source, eos_token=sorted(stop))
        ordinary = (i for i in range(self.tokens.vocab_size) if not self.tokens.is_special_token(i))
        self._short = frozenset(piece for piece in (self.tokens.decode_bytes([i]) for i in ordinary) if len(piece) <= _LONGEST)
        self.opening = " " if self.tokens.decode_bytes(self.ids("[")).startswith(b" ") else ""

    def ids(self, text: str) -> list[int]:
        """The tokens of a text."""
        return self._tokenizer.encode(text, add_special_tokens=False)  # type: ignore[no-any-return]

    def text(self, ids: Sequence[int]) -> str:
        """What tokens write, short of a character that is not whole."""
        return self.tokens.decode_bytes(list(ids)).decode(errors="ignore")

    def writes(self, character: str) -> bool:
        """Whether there is a token for the character, or one for each of its bytes."""
        if "\ud800" <= character <= "\udfff":
            return False
        whole = character.encode()
        return whole in self._short or all(whole[i : i + 1] in self._short for i in range(len(whole)))


def _settings(tokenizer: Any) -> str:
    """A tokenizer's settings, without the blank that some put before every text: what a grammar forces stands in the middle of one."""
    inner = copy(tokenizer.backend_tokenizer)
    inner.no_padding()
    inner.no_truncation()
    return inner.to_str().replace('"add_prefix_space":true', '"add_prefix_space":false')  # type: ignore[no-any-return]


class _Marked:
    """A vocabulary whose tokens mark the beginning of a word, in the shape that llguidance's wrapper asks for."""

    bos_token_id = None

    def __init__(self, tokenizer: Any, stop: frozenset[int]) -> None:
        self.eos_token_id = min(stop)
        self.special_token_ids = sorted(tokenizer.added_tokens_decoder)
        mark = tokenizer.backend_tokenizer.decoder.replacement
        # What llguidance asks to be cut stands within a text: no blank is put before it.
        self._within = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self._within.pre_tokenizer = pre_tokenizers.Metaspace(replacement=mark, prepend_scheme="never")
        self.tokens = [token.replace(mark, " ").encode() for token in tokenizer.convert_ids_to_tokens(range(len(tokenizer)))]

    def __call__(self, text: bytes) -> list[int]:
        return self._within.encode(text.decode(), add_special_tokens=False).ids
