"""Floors under every model that gives labels: always the most frequent one, and a logistic regression on words and pairs of words.

A model that does not beat the second has learnt which words go with which label, and nothing about sentences. Both are learnt
from training examples and are plain JSON, so that a run carries them. Examples without a label are refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fintune.errors import ArtifactError, DataError
from fintune.metrics.calibration import softmax
from fintune.records import Example
from fintune.text import regression
from fintune.text.regression import Words

SCHEMA_VERSION = 1
NAMES = ("majority", "words")
_FIX = "evaluate with the file that the training run wrote"


@dataclass(frozen=True, slots=True)
class Majority:
    """Always the same label."""

    label: str

    def find(self, text: str) -> str:
        """The label, whatever the text."""
        return self.label

    def record(self) -> dict[str, Any]:
        """The floor as a JSON object."""
        return {"schema_version": SCHEMA_VERSION, "floor": "majority", "label": self.label}


LabelFloor = Majority | Words


def learn(examples: Iterable[Example]) -> dict[str, LabelFloor]:
    """`majority` and `words` from training examples, whatever the order of these; ties go to the first label by name.

    Raises:
        DataError: without examples, or where one has no label.
    """
    rows: list[tuple[str, str]] = []
    for example in examples:
        if example.label is None:
            raise DataError(f"example {example.id!r} has no label", where=example.where, why="floors are learnt from labelled examples")
        rows.append((example.text, example.label))
    if not rows:
        raise DataError("no examples to learn floors from", fix="give at least one labelled example")
    rows.sort()
    seen = Counter(label for _, label in rows)
    majority = min(seen, key=lambda label: (-seen[label], label))
    labels = sorted(seen)
    gold = np.array([[label == own for label in labels] for _, own in rows])
    return {"majority": Majority(majority), "words": regression.fit([text for text, _ in rows], gold, labels, link=softmax)}


def from_record(record: object, *, where: str) -> LabelFloor:
    """Reads what `record` of a floor wrote; `where` names the file in errors.

    Raises:
        ArtifactError: where the object is something else or of another version.
    """
    if not isinstance(record, dict) or record.get("floor") not in NAMES:
        raise ArtifactError("not a floor of labels", where=where, fix=_FIX)
    if record.get("schema_version") != SCHEMA_VERSION:
        raise ArtifactError(f"floor of version {record.get('schema_version')!r}", where=where, why=f"this program reads {SCHEMA_VERSION}")
    if record["floor"] == "words":
        return regression.from_record(record, where=where, fix=_FIX)
    if not isinstance(record.get("label"), str):
        raise ArtifactError("a floor without its label", where=where, fix=_FIX)
    return Majority(record["label"])
