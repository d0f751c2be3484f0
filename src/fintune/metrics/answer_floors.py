"""Floors under every model that answers: no answer at all, the answer that training gave most often, and rules of one line.

The first two are plain JSON, so that a run can carry them; `RULES` need no data.
Refuses examples without a question; `pytest tests/metrics/test_answer_report.py`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from fintune.errors import ArtifactError, DataError
from fintune.metrics.answers import normalise
from fintune.records import Answer, Example
from fintune.text.words import words

SCHEMA_VERSION = 1
_FIX = "evaluate with the file that the training run wrote"


_SENTENCE = re.compile(r"[^\n]+?(?:[.!?](?=\s)|$)", re.MULTILINE)


def first_word(question: str, text: str) -> Answer | None:
    """The first word of the text, whatever the question: where this scores, the answers stand at the beginning."""
    del question
    for start, end in words(text, "coarse"):
        return Answer(start, text[start:end])
    return None


def nearest_sentence(question: str, text: str) -> Answer | None:
    """The sentence that shares most distinct words with the question, the first of several; None of an empty text."""
    asked = set(normalise(question).split())
    best, most = None, -1
    for match in _SENTENCE.finditer(text):
        sentence = match.group().strip()
        shared = len(asked & set(normalise(sentence).split()))
        if sentence and shared > most:
            best, most = Answer(match.start() + match.group().index(sentence), sentence), shared
    return best


RULES: Mapping[str, Callable[[str, str], Answer | None]] = MappingProxyType(
    {"first_word": first_word, "nearest_sentence": nearest_sentence}
)  # fmt: skip
"""Answers to a question about a text that need neither a model nor training, by their name in a report."""


@dataclass(frozen=True, slots=True)
class SameAnswer:
    """One answer to every question; None answers none."""

    text: str | None

    def find(self, text: str) -> Answer | None:
        """The answer, whatever the text; without a place in it."""
        return None if self.text is None else Answer(None, self.text)

    def record(self) -> dict[str, Any]:
        """The floor as a JSON object; equal floors give equal objects."""
        return {"schema_version": SCHEMA_VERSION, "floor": "frequent-answer", "answer": self.text}


EMPTY = SameAnswer(None)


def learn(examples: Iterable[Example]) -> SameAnswer:
    """The most frequent gold answer, by its normalised text; ties by alphabet, and the answer as it is written most often.

    Raises:
        DataError: where an example has no question.
    """
    written: dict[str | None, Counter[str]] = {}
    for example in examples:
        if example.question is None:
            raise DataError(f"example {example.id!r} has no question", where=example.where, why="the floor is learnt from answers")
        gold = None if example.answer is None else example.answer.text
        written.setdefault(None if gold is None else normalise(gold), Counter())[gold or ""] += 1
    if not written:
        return EMPTY
    best = min(written, key=lambda name: (-written[name].total(), name is not None, name or ""))
    return SameAnswer(None if best is None else min(written[best], key=lambda text: (-written[best][text], text)))


def from_record(record: object, *, where: str) -> SameAnswer:
    """Reads what `SameAnswer.record` wrote; `where` names the file in errors.

    Raises:
        ArtifactError: where the object is something else or of another version.
    """
    if not isinstance(record, dict) or record.get("floor") != "frequent-answer":
        raise ArtifactError("not a frequent answer", where=where, fix=_FIX)
    if record.get("schema_version") != SCHEMA_VERSION:
        what = f"frequent answer of version {record.get('schema_version')!r}"
        raise ArtifactError(what, where=where, why=f"this program reads {SCHEMA_VERSION}", fix=_FIX)
    text = record.get("answer")
    if text is not None and not isinstance(text, str):
        raise ArtifactError("a frequent answer that is no text", where=where, fix=_FIX)
    return SameAnswer(text)
