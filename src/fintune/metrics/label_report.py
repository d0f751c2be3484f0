"""The `report.json` object for labels: every score with its interval, the confusion matrix, calibration, and the floors beside it.

    {"schema_version": 1, "task": str, "kind": "label", "examples": int, "documents": int,
     "bootstrap": {"replicates": int, "seed": int, "level": float},
     "metrics": {NAME: {"value", "low", "high"}},
     "per_label": {LABEL: {"precision", "recall", "f1": {"value", "low", "high"}, "support": int, "predicted": int}},
     "confusion": {"labels": [..., "none"], "counts": [[int]]},      rows gold, columns predicted
     "malformed": {"count": int, "share": float},
     "calibration": {"examples": int, "expected": float,                            see `calibration.expected_error`
                     "bins": [{"from", "to", "confidence": float, "count": int, "accuracy": {"value", "low", "high"}}]},
     "selective": {"area", "error": float, "points": [{"coverage", "confidence", "error"}]},       see `metrics.selective`
     "floors": {FLOOR: {NAME: {"value", "low", "high"}}}}

NAME is `accuracy`, `balanced_accuracy`, `macro_f1`, `weighted_f1` or `mcc`, and where every prediction has probabilities also
`log_loss` (nats), `brier` (0 to 2), `ece` (fraction) and `error_at_90` (share of wrong ones among the nine tenths that are most
certain), of which less is better. Intervals are bootstrap percentiles over
documents; those of the bins are Wilson's. A malformed prediction counts as wrong and stands under `none`. `bins` and
`points` are empty, and `calibration.examples` 0, where a prediction has no probabilities. The bins of `ece`, and which predictions
are the most certain, are those of the real data in every replicate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fintune.metrics import calibration, selective
from fintune.metrics.intervals import Bootstrap, percentiles, resample
from fintune.metrics.labels import SCORES, brier, confusion, count, ids_of, log_loss
from fintune.metrics.spans import MEASURES, Rates

SCHEMA_VERSION = 1
NONE = "none"


@dataclass(frozen=True, slots=True)
class Judged:
    """Gold and predicted label ids `(examples,)` of one system; `probabilities` `(examples, labels)` where it gave any."""

    gold: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: Rates | None = None

    @property
    def right(self) -> NDArray[np.bool_]:
        """Which predictions are right."""
        return np.asarray(self.gold == self.predicted)

    def confidence(self, probabilities: Rates) -> Rates:
        """Probability `(examples,)` of each predicted label."""
        return np.asarray(probabilities[np.arange(len(self.gold)), self.predicted])


def judged(gold: Sequence[str], predicted: Sequence[str | None], *, labels: Sequence[str], probabilities: Rates | None = None) -> Judged:
    """Names as ids; None is a prediction that could not be read.

    Raises:
        DataError: for a label that is not in the set.
    """
    return Judged(ids_of(gold, labels=labels), ids_of(predicted, labels=labels), probabilities)


def metrics(system: Judged, *, labels: int, clusters: Sequence[str], plan: Bootstrap) -> dict[str, dict[str, float]]:
    """All scores of a system, by name."""
    counts = count(system.gold, system.predicted, labels=labels)
    actual, replicates = counts.sum(axis=0), resample(counts, clusters, plan=plan)
    names = list(SCORES)
    values, samples = ([score(totals) for score in SCORES.values()] for totals in (actual, replicates))
    if system.probabilities is not None:
        sums = _probable(system, system.probabilities)
        names += ["log_loss", "brier", "ece", "error_at_90"]
        values += _means(sums.sum(axis=0))
        samples += _means(resample(sums, clusters, plan=plan))
    return dict(zip(names, _entries(np.array(values), np.stack(samples, axis=-1), level=plan.level), strict=True))


def _probable(system: Judged, probabilities: Rates) -> Rates:
    """What scores of probabilities add up, for each example.

    One, log-loss, Brier's score, whether it stands at `selective.COVERAGE`, whether it does though wrong, then three columns a bin.
    """
    confidence = system.confidence(probabilities)
    bins = calibration.sums(confidence, system.right, calibration.members(confidence))
    stands = selective.standing(confidence)
    single = [
        np.ones(len(confidence)),
        log_loss(probabilities, system.gold),
        brier(probabilities, system.gold),
        stands,
        stands & ~system.right,
    ]
    return np.concatenate([np.stack(single, axis=-1), bins.reshape(len(confidence), -1)], axis=-1)


def _means(totals: Rates) -> list[Rates]:
    """Log-loss, Brier's score, calibration error and error of what stands, of `_probable` totals `(..., columns)`."""
    examples = totals[..., 0]
    bins = totals[..., 5:].reshape(*totals.shape[:-1], -1, 3)
    return [totals[..., 1] / examples, totals[..., 2] / examples, calibration.error(bins), totals[..., 4] / np.maximum(1, totals[..., 3])]


def per_label(system: Judged, *, labels: Sequence[str], clusters: Sequence[str], plan: Bootstrap) -> dict[str, dict[str, Any]]:
    """Precision, recall and F1 of each label, with its numbers of gold and predicted examples."""
    counts = count(system.gold, system.predicted, labels=len(labels))
    actual, replicates = counts.sum(axis=0), resample(counts, clusters, plan=plan)
    columns = {name: _entries(measure(actual), measure(replicates), level=plan.level) for name, measure in MEASURES.items()}
    rows: dict[str, dict[str, Any]] = {}
    for index, label in enumerate(labels):
        right, spurious, missed = (int(number) for number in actual[index])
        rows[label] = {name: column[index] for name, column in columns.items()}
        rows[label] |= {"support": right + missed, "predicted": right + spurious}
    return rows


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
    unread = int((system.predicted == len(labels)).sum())
    return {
        "schema_version": SCHEMA_VERSION,
        "task": task,
        "kind": "label",
        "examples": len(system.gold),
        "documents": len(set(clusters)),
        "bootstrap": asdict(plan),
        "metrics": metrics(system, labels=len(labels), clusters=clusters, plan=plan),
        "per_label": per_label(system, labels=labels, clusters=clusters, plan=plan),
        "confusion": {"labels": [*labels, NONE], "counts": confusion(system.gold, system.predicted, labels=len(labels)).tolist()},
        "malformed": {"count": unread, "share": unread / len(system.gold)},
        "calibration": _reliability(system, plan=plan),
        "selective": _selective(system),
        "floors": {name: metrics(floor, labels=len(labels), clusters=clusters, plan=plan) for name, floor in floors.items()},
    }


def _selective(system: Judged) -> dict[str, Any]:
    if system.probabilities is None:
        return {"area": 0.0, "error": 0.0, "points": []}
    return selective.record(system.confidence(system.probabilities), system.right)


def _reliability(system: Judged, *, plan: Bootstrap) -> dict[str, Any]:
    if system.probabilities is None:
        return {"examples": 0, "bins": []}
    confidence = system.confidence(system.probabilities)
    return calibration.record(confidence, system.right, examples=len(system.gold), level=plan.level, seed=plan.seed)
