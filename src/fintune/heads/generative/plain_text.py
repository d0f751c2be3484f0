"""Text to token ids such that no text can become a control token, with the characters that each id stands for.

Control tokens (`<|eot_id|>`, `<think>`, ...) come from a template's own words alone, see `PlainText.controls`; everything else is
tokenised by a copy of the tokenizer that knows none of them. Refuses tokenizers without a `tokenizer.json`.
`pytest tests/laws/test_injection.py` exercises it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal

from tokenizers import Tokenizer, models

from fintune.errors import ArtifactError

Place = Literal["start", "after", "inside"]
"""Where a stretch of plain text stands: at the start of everything, after a control token, or in the middle of other text.

It decides whether vocabularies that mark the beginning of words put their mark before it, as the whole would have it.
"""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a conversation: the literal of the control token `control`, or plain text where that is None."""

    text: str
    control: int | None = None


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token ids and, for each, the characters `[start, end)` it stands for."""

    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]


class PlainText:
    """The two ways of reading text with one tokenizer: a template's own words, and everybody else's."""

    def __init__(self, tokenizer: Any) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise ArtifactError("the base model has no fast tokenizer", where=tokenizer.name_or_path, fix="use a model with tokenizer.json")
        self.tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder
        # Some vocabularies add runs of blanks or line ends, which are text like any other.
        self.controls = {i: token.content for i, token in added.items() if token.special or any(map(str.isalnum, token.content))}
        self._inside_normalised = {i for i, token in added.items() if token.normalized}
        self._unknown = tokenizer.unk_token_id
        self._bare: dict[Place, Tokenizer] = {place: _bare(tokenizer.backend_tokenizer, place) for place in ("start", "after", "inside")}
        self.pieces = cache(self._pieces)

    @cached_property
    def sha256(self) -> str:
        """Hash of vocabulary, merges, normalisation and added tokens; padding and truncation are not part of it."""
        added = [
            [i, t.content, t.special, t.normalized, t.lstrip, t.rstrip, t.single_word]
            for i, t in sorted(self.tokenizer.added_tokens_decoder.items())
        ]
        return hashlib.sha256((self._bare["start"].to_str() + json.dumps(added)).encode()).hexdigest()

    def _pieces(self, literal: str) -> tuple[Piece, ...]:
        """A template's own words as control tokens and text between them; blanks that a token takes in belong to its piece."""
        coded = self.tokenizer(literal, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        pieces, done = [], 0
        for token, (start, end) in zip(coded["input_ids"], coded["offset_mapping"], strict=True):
            if self._is_control(token, literal[start:end]):
                if done < start:
                    pieces.append(Piece(literal[done:start]))
                pieces.append(Piece(literal[start:end], token))
                done = end
        if done < len(literal):
            pieces.append(Piece(literal[done:]))
        return tuple(pieces)

    def _is_control(self, token: int, surface: str) -> bool:
        """Unknown characters have to become something: the unknown token is a control token only where its own literal stands."""
        return token in self.controls and (token != self._unknown or surface.strip() == self.controls[token])

    def place_after(self, piece: Piece | None) -> Place:
        """Where text stands that follows `piece`, or nothing."""
        if piece is None:
            return "start"
        return "inside" if piece.control is None or piece.control in self._inside_normalised else "after"

    def encode(self, text: str, place: Place) -> Tokens:
        """Tokens of plain text, with offsets into it; none of them is a control token, whatever the text says."""
        bare = self._bare[place]
        coded = bare.encode(text, add_special_tokens=False)
        if self.controls.keys().isdisjoint(coded.ids):
            return Tokens(tuple(coded.ids), tuple(coded.offsets))
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        for token, (start, end) in zip(coded.ids, coded.offsets, strict=True):
            # Unigram vocabularies hold "</s>" as a piece like others: it is spelt out instead.
            letters = self.controls[token] if self._is_control(token, text[start:end]) else ""
            if len(letters) < 2:
                ids.append(token)
                offsets.append((start, end))
                continue
            for k, letter in enumerate(letters):
                own = (start + k, start + k + 1) if end - start == len(letters) else (start, end)
                parts = [part.id for part in bare.model.tokenize(letter)]
                ids += parts
                offsets += [own] * len(parts)
        return Tokens(tuple(ids), tuple(offsets))


def _bare(whole: Tokenizer, place: Place) -> Tokenizer:
    """A tokenizer on the same vocabulary that knows no added token, for text that stands at `place`."""
    shell = Tokenizer(models.BPE())  # the settings go through JSON; the vocabulary, which is large, is shared
    if whole.normalizer is not None:
        shell.normalizer = whole.normalizer
    if whole.pre_tokenizer is not None:
        shell.pre_tokenizer = whole.pre_tokenizer
    settings = json.loads(shell.to_str())
    edited = {key: _placed(settings[key], place) for key in ("normalizer", "pre_tokenizer")}
    shell = Tokenizer.from_str(json.dumps({**settings, **edited}))
    bare = Tokenizer(whole.model)
    if shell.normalizer is not None:
        bare.normalizer = shell.normalizer
    if shell.pre_tokenizer is not None:
        bare.pre_tokenizer = shell.pre_tokenizer
    if whole.decoder is not None:
        bare.decoder = whole.decoder
    return bare


def _placed(part: Any, place: Place) -> Any:
    """Settings of a normaliser or pre-tokenizer without the marks of a beginning that it would set at `place`."""
    if isinstance(part, list):
        return [_placed(each, place) for each in part]
    if not isinstance(part, dict):
        return part
    if any(each["type"] == "WhitespaceSplit" for each in part.get("pretokenizers", ())):
        return part  # every word is on its own, and its mark is the blank before it
    part = {key: _placed(value, place) if key in ("normalizers", "pretokenizers") else value for key, value in part.items()}
    if part["type"] == "Metaspace" and (place == "inside" or (place == "after" and part["prepend_scheme"] == "first")):
        return part | {"prepend_scheme": "never"}
    if part["type"] == "ByteLevel" and place == "inside":
        return part | {"add_prefix_space": False}
    if part["type"] == "Prepend" and place == "inside":
        return {"type": "Sequence", "normalizers": []}
    return part
