"""Floors under every span model: predicting nothing, and looking up the surfaces seen in training.

A model that does not beat the gazetteer has learnt names by heart. The gazetteer is plain JSON, so that a run can carry
it and a later evaluation needs no training data. It refuses examples without span annotation.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fintune.errors import ArtifactError, DataError
from fintune.records import Example, Span

SCHEMA_VERSION = 1
_FIX = "evaluate with the file that the training run wrote"

# An ideograph, a number with its separators, a word, or any other visible character: matches begin and end at these.
# Han, kana and hangul have no blanks between words; as whole runs they would never match and make the floor too low.
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f"
_TOKEN = re.compile(rf"[{_UNSPACED}]|\d+(?:[.,]\d+)*(?:(?![{_UNSPACED}])\w)*|(?:(?![{_UNSPACED}])\w)+|[^\w\s]")


@dataclass(frozen=True)
class Gazetteer:
    """Surfaces and their labels. Surfaces are equal if their tokens are, so blanks do not matter and case does."""

    labels: Mapping[str, str]
    _entries: dict[tuple[str, ...], str] = field(init=False, repr=False, compare=False)
    _longest: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        entries = {tuple(_TOKEN.findall(surface)): label for surface, label in self.labels.items()}
        object.__setattr__(self, "_entries", entries)
        object.__setattr__(self, "_longest", max(map(len, entries), default=0))

    def find(self, text: str) -> tuple[Span, ...]:
        """The longest match at each token, left to right, without overlap."""
        tokens = list(_TOKEN.finditer(text))
        words = [token.group() for token in tokens]
        spans, place = [], 0
        while place < len(words):
            length = self._match(words, place)
            if length:
                start, end = tokens[place].start(), tokens[place + length - 1].end()
                label = self._entries[tuple(words[place : place + length])]
                spans.append(Span(start, end, label, text[start:end], "predicted"))
            place += length or 1
        return tuple(spans)

    def _match(self, words: list[str], place: int) -> int:
        """Tokens of the longest entry that begins at `place`, 0 where none does."""
        for length in range(min(self._longest, len(words) - place), 0, -1):
            if tuple(words[place : place + length]) in self._entries:
                return length
        return 0

    def record(self) -> dict[str, Any]:
        """The gazetteer as a JSON object; equal gazetteers give equal objects."""
        return {"schema_version": SCHEMA_VERSION, "floor": "gazetteer", "labels": dict(sorted(self.labels.items()))}


EMPTY = Gazetteer({})


def learn(examples: Iterable[Example]) -> Gazetteer:
    """Collects the surfaces of training examples, each with its most frequent label, ties by the label's name.

    Unaligned pairs count too: they are annotation, and may occur in other texts.

    Raises:
        DataError: where an example has no span annotation.
    """
    seen: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for example in examples:
        if example.spans is None:
            raise DataError(f"example {example.id!r} has no spans", where=example.where, why="a gazetteer is learnt from span annotation")
        pairs = [(span.label, example.text[span.start : span.end]) for span in example.spans]
        for label, surface in (*pairs, *example.unaligned):
            seen[tuple(_TOKEN.findall(surface))][label] += 1
    seen.pop((), None)  # blank surfaces
    return Gazetteer({" ".join(words): min(votes, key=lambda name: (-votes[name], name)) for words, votes in seen.items()})


def from_record(record: object, *, where: str) -> Gazetteer:
    """Reads what `Gazetteer.record` wrote; `where` names the file in errors.

    Raises:
        ArtifactError: where the object is something else or of another version.
    """
    if not isinstance(record, dict) or record.get("floor") != "gazetteer":
        raise ArtifactError("not a gazetteer", where=where, fix=_FIX)
    if record.get("schema_version") != SCHEMA_VERSION:
        raise ArtifactError(
            f"gazetteer of version {record.get('schema_version')!r}", where=where, why=f"this program reads {SCHEMA_VERSION}"
        )
    labels = record.get("labels")
    if not isinstance(labels, dict) or not all(isinstance(label, str) for label in labels.values()):
        raise ArtifactError("gazetteer without a map of surfaces to labels", where=where, fix=_FIX)
    return Gazetteer(labels)
