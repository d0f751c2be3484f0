"""Floors under every model that gives any number of labels: always the most frequent set, and a logistic regression for each label.

The second gives the labels that words and pairs of words make likelier than not. Both are learnt from training examples and are plain
JSON, so that a run carries them. Examples without `labels` are refused. `tests/metrics/test_several_floors.py` exercises it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fintune.errors import ArtifactError, DataError
from fintune.metrics.calibration import sigmoid
from fintune.metrics.label_floors import NAMES, SCHEMA_VERSION
from fintune.records import Example
from fintune.text import regression
from fintune.text.regression import Words

_FIX = "evaluate with the file that the training run wrote"


@dataclass(frozen=True, slots=True)
class MajoritySet:
    """Always the same labels, which may be none."""

    labels: tuple[str, ...]

    def find(self, text: str) -> tuple[str, ...]:
        """The labels, whatever the text."""
        return self.labels

    def record(self) -> dict[str, Any]:
        """The floor as a JSON object."""
        return {"schema_version": SCHEMA_VERSION, "floor": "majority", "labels": list(self.labels)}


@dataclass(frozen=True, slots=True)
class OneVersusRest:
    """A logistic regression for each label, over the same words."""

    words: Words

    def find(self, text: str) -> tuple[str, ...]:
        """The labels that are likelier than not."""
        return tuple(label for label, score in zip(self.words.labels, self.words.scores(text), strict=True) if score > 0)

    def record(self) -> dict[str, Any]:
        """The floor as a JSON object, as of the floor `words` of single labels."""
        return self.words.record()


SeveralFloor = MajoritySet | OneVersusRest


def learn(examples: Iterable[Example], *, labels: Sequence[str]) -> dict[str, SeveralFloor]:
    """`majority` and `words` from training examples, whatever the order of these.

    Ties go to the smaller set, then by the order of `labels`.

    Raises:
        DataError: without examples, or where one has no `labels`.
    """
    rows: list[tuple[str, tuple[int, ...]]] = []
    for example in examples:
        if example.labels is None:
            raise DataError(f"example {example.id!r} has no labels", where=example.where, why="floors are learnt from labelled examples")
        rows.append((example.text, tuple(sorted(labels.index(label) for label in example.labels))))
    if not rows:
        raise DataError("no examples to learn floors from", fix="give at least one labelled example")
    rows.sort()
    seen = Counter(own for _, own in rows)
    majority = min(seen, key=lambda own: (-seen[own], len(own), own))
    gold = np.array([[number in own for number in range(len(labels))] for _, own in rows])
    words = regression.fit([text for text, _ in rows], gold, labels, link=sigmoid)
    return {"majority": MajoritySet(tuple(labels[number] for number in majority)), "words": OneVersusRest(words)}


def from_record(record: object, *, where: str) -> SeveralFloor:
    """Reads what `record` of a floor wrote; `where` names the file in errors.

    Raises:
        ArtifactError: where the object is something else or of another version.
    """
    if not isinstance(record, dict) or record.get("floor") not in NAMES:
        raise ArtifactError("not a floor of labels", where=where, fix=_FIX)
    if record["floor"] == "words":
        return OneVersusRest(regression.from_record(record, where=where, fix=_FIX))
    labels = record.get("labels")
    if record.get("schema_version") != SCHEMA_VERSION or not isinstance(labels, list) or not all(isinstance(one, str) for one in labels):
        raise ArtifactError("a floor of another version, or without its labels", where=where, fix=_FIX)
    return MajoritySet(tuple(labels))
