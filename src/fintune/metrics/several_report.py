"""The `report.json` object for any number of labels: every score with its interval, each label, calibration, and the floors beside it.

    {"schema_version": 1, "task": str, "kind": "labels", "examples": int, "documents": int,
     "bootstrap": {"replicates": int, "seed": int, "level": float},
     "metrics": {NAME: {"value", "low", "high"}},
     "per_label": {LABEL: {"precision", "recall", "f1": {"value", "low", "high"}, "support": int, "predicted": int}},
     "errors": {"label_missed": int, "label_added": int},
     "malformed": {"count": int, "share": float},
     "calibration": {"examples": int, "expected": float,                            see `calibration.expected_error`
                     "bins": [{"from", "to", "confidence": float, "count": int, "accuracy": {"value", "low", "high"}}]},
     "selective": {"area", "error": float, "points": [{"coverage", "confidence", "error"}]},       see `metrics.selective`
     "floors": {FLOOR: {NAME: {"value", "low", "high"}}}}

NAME is `accuracy` (texts with exactly their labels), `micro_f1`, `micro_precision`, `micro_recall`, `macro_f1`, `weighted_f1` or
`hamming_loss` (share of wrong decisions), and where every prediction has probabilities also `ranking_precision`, `log_loss` (nats a
decision), `brier` (0 to 1), `ece` and `error_at_90`, of which like `hamming_loss` less is better. The bins are of decisions; what stands
in `error_at_90` and `selective` are texts, by their least certain decision. A prediction that could not be read has no label, and is
wrong as a whole and in every decision. Intervals, and bins in replicates, are as in `metrics.label_report`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fintune.metrics import calibration, selective
from fintune.metrics.intervals import Bootstrap, percentiles, resample
from fintune.metrics.labels import weighted_f1
from fintune.metrics.several import Truths, brier, certainty, count, log_loss, ranking_precision, truths
from fintune.metrics.spans import MEASURES, Counts, Rates, f1, macro, micro, precision, recall

SCHEMA_VERSION = 1
PROBABLE = ("ranking_precision", "log_loss", "brier", "ece", "error_at_90")
"""Metrics that need probabilities."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Gold and given labels `(examples, labels)` of one system; which predictions were read, and the probabilities it gave, if any."""

    gold: Truths
    given: Truths
    read: NDArray[np.bool_]
    probabilities: Rates | None = None

    @property
    def right(self) -> NDArray[np.bool_]:
        """Which predictions `(examples,)` have exactly the gold labels."""
        return np.asarray(self.read & (self.gold == self.given).all(axis=1))

    @property
    def decided(self) -> Truths:
        """Which decisions `(examples, labels)` are right."""
        return np.asarray(self.read[:, None] & (self.gold == self.given))


def judged(
    gold: Sequence[Sequence[str]], given: Sequence[Sequence[str] | None], *, labels: Sequence[str], probabilities: Rates | None = None
) -> Judged:
    """Names as truth values; None is a prediction that could not be read.

    Raises:
        DataError: for a label that is not in the set.
    """
    read = np.array([names is not None for names in given], dtype=bool)
    return Judged(truths(gold, labels=labels), truths([names or () for names in given], labels=labels), read, probabilities)


def metrics(system: Judged, *, clusters: Sequence[str], plan: Bootstrap) -> dict[str, dict[str, float]]:
    """All scores of a system, by name."""
    counts = count(system.gold, system.given)
    whole = np.stack([np.ones(len(counts)), system.right, (~system.decided).mean(axis=1)], axis=-1)
    actual = _scores(whole.sum(axis=0), counts.sum(axis=0))
    samples = _scores(resample(whole, clusters, plan=plan), resample(counts, clusters, plan=plan))
    if system.probabilities is not None:
        sums = _probable(system, system.probabilities)
        actual |= _means(sums.sum(axis=0))
        samples |= _means(resample(sums, clusters, plan=plan))
    values = np.array(list(actual.values()))
    return dict(zip(actual, _entries(values, np.stack(list(samples.values()), axis=-1), level=plan.level), strict=True))


def _scores(whole: Rates, counts: Counts | Rates) -> dict[str, Rates]:
    """Scores by name, of totals `(..., 3)` of texts, right texts and shares of wrong decisions, and of counts `(..., labels, 3)`."""
    return {
        "accuracy": whole[..., 1] / whole[..., 0],
        "micro_f1": micro(f1, counts),
        "micro_precision": micro(precision, counts),
        "micro_recall": micro(recall, counts),
        "macro_f1": macro(f1, counts),
        "weighted_f1": weighted_f1(counts),
        "hamming_loss": whole[..., 2] / whole[..., 0],
    }


def _probable(system: Judged, probabilities: Rates) -> Rates:
    """What scores of probabilities add up, for each example: those of `PROBABLE` but for `ece`, and at the end three columns a bin."""
    sure = certainty(probabilities, system.given)
    stands = selective.standing(sure.min(axis=1))
    single = [
        np.ones(len(sure)),
        ranking_precision(probabilities, system.gold),
        log_loss(probabilities, system.gold),
        brier(probabilities, system.gold),
        stands,
        stands & ~system.right,
    ]
    return np.concatenate([np.stack(single, axis=-1), _binned(sure, system.decided)], axis=-1)


def _binned(sure: Rates, right: Truths) -> Rates:
    """For each example and bin its decisions, their certainty and how many are right `(examples, bins * 3)`."""
    member = calibration.members(sure.ravel()).reshape(sure.shape)
    cells = np.zeros((len(sure), int(member.max(initial=0)) + 1, 3))
    rows = np.broadcast_to(np.arange(len(sure))[:, None], sure.shape)
    np.add.at(cells, (rows, member), np.stack([np.ones_like(sure), sure, right], axis=-1))
    return cells.reshape(len(sure), -1)


def _means(totals: Rates) -> dict[str, Rates]:
    """The scores of `PROBABLE` from totals of `_probable` `(..., columns)`."""
    examples = totals[..., 0]
    bins = totals[..., 6:].reshape(*totals.shape[:-1], -1, 3)
    means = [totals[..., 1] / examples, totals[..., 2] / examples, totals[..., 3] / examples]
    return dict(zip(PROBABLE, [*means, calibration.error(bins), totals[..., 5] / np.maximum(1, totals[..., 4])], strict=True))


def per_label(system: Judged, *, labels: Sequence[str], clusters: Sequence[str], plan: Bootstrap) -> dict[str, dict[str, Any]]:
    """Precision, recall and F1 of each label, with its numbers of gold and predicted examples."""
    counts = count(system.gold, system.given)
    actual, replicates = counts.sum(axis=0), resample(counts, clusters, plan=plan)
    columns = {name: _entries(measure(actual), measure(replicates), level=plan.level) for name, measure in MEASURES.items()}
    return {
        label: {
            **{name: column[index] for name, column in columns.items()},
            "support": int(actual[index, 0] + actual[index, 2]),
            "predicted": int(actual[index, 0] + actual[index, 1]),
        }
        for index, label in enumerate(labels)
    }


def _entries(values: Rates, samples: Rates, *, level: float) -> list[dict[str, float]]:
    """One {value, low, high} for each of `values` `(scores,)`, from `samples` `(replicates, scores)`."""
    low, high = percentiles(samples, level=level)
    rows = np.stack([values, low, high], axis=-1).tolist()
    return [{"value": value, "low": lower, "high": upper} for value, lower, upper in rows]


def build(
    system: Judged, *, task: str, labels: Sequence[str], clusters: Sequence[str], floors: Mapping[str, Judged], plan: Bootstrap
) -> dict[str, Any]:
    """The report of one system; `clusters` names each example's document, `floors` holds what the floors said of the same examples.

    Raises:
        DataError: without examples.
    """
    scores = metrics(system, clusters=clusters, plan=plan)
    counts, unread = count(system.gold, system.given).sum(axis=(0, 1)), int((~system.read).sum())
    sure = None if system.probabilities is None else certainty(system.probabilities, system.given)
    return {
        "schema_version": SCHEMA_VERSION,
        "task": task,
        "kind": "labels",
        "examples": len(system.gold),
        "documents": len(set(clusters)),
        "bootstrap": asdict(plan),
        "metrics": scores,
        "per_label": per_label(system, labels=labels, clusters=clusters, plan=plan),
        "errors": {"label_missed": int(counts[2]), "label_added": int(counts[1])},
        "malformed": {"count": unread, "share": unread / len(system.gold)},
        "calibration": {"examples": 0, "bins": []} if sure is None else _reliability(sure, system.decided, plan=plan),
        "selective": {"area": 0.0, "error": 0.0, "points": []} if sure is None else selective.record(sure.min(axis=1), system.right),
        "floors": {name: metrics(floor, clusters=clusters, plan=plan) for name, floor in floors.items()},
    }


def _reliability(sure: Rates, right: Truths, *, plan: Bootstrap) -> dict[str, Any]:
    return calibration.record(sure.ravel(), right.ravel(), examples=len(sure), level=plan.level, seed=plan.seed)
