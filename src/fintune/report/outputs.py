"""What became of the texts that a model wrote: how many were read as they were, mended or unreadable, and for what reasons."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from fintune.records import Prediction

STATUSES = {"ok": "read as it was", "repaired": "mended", "malformed": "could not be read"}
_MOST = 12
# What a reason quotes differs from one output to the next; what is left of it is the same.
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why outputs were mended or not read, without what it quotes; how many, and the first of them with its words."""

    status: str
    words: str
    count: int
    first: str
    example: str


@dataclass(frozen=True, slots=True)
class Outputs:
    """Numbers of outputs by status, as (what became of them, number, share), and the reasons, most frequent first."""

    statuses: tuple[tuple[str, int, float], ...]
    reasons: tuple[Reason, ...]
    more: int


def outputs(predictions: Sequence[Prediction]) -> Outputs | None:
    """The counts over predictions; None where no model wrote anything and nothing was mended."""
    if not any(prediction.raw or prediction.status != "ok" for prediction in predictions):
        return None
    statuses = Counter[str](prediction.status for prediction in predictions)
    found: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], tuple[str, str]] = {}
    for prediction in predictions:
        for reason in prediction.reason.split("; ") if prediction.status != "ok" else ():
            key = (prediction.status, _NUMBER.sub("N", _QUOTED.sub("…", reason)))
            found[key] += 1
            first.setdefault(key, (reason, prediction.id))
    ranked = found.most_common()
    return Outputs(
        tuple((words, statuses[status], statuses[status] / len(predictions)) for status, words in STATUSES.items()),
        tuple(Reason(STATUSES[status], words, count, *first[status, words]) for (status, words), count in ranked[:_MOST]),
        max(0, len(ranked) - _MOST),
    )
