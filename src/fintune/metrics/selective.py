"""What is gained by leaving the least certain predictions to a person: risk and coverage, and a threshold for a wanted precision.

Coverage is the share of predictions that stand, risk the share of wrong ones among these (El-Yaniv and Wiener 2010). Predictions
of equal confidence stand or fall together. No examples are refused. Run by `fintune evaluate` on tasks of the kind `label`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fintune.errors import DataError
from fintune.metrics.intervals import wilson

Floats = NDArray[np.float64]

COVERAGE = 0.9
"""The coverage whose error is a metric."""
POINTS = 50
"""Most points of a curve in a report."""


def risks(confidence: Floats, right: NDArray[Any]) -> Floats:
    """Share of wrong predictions among the 1, 2, ... n most certain ones `(examples,)`.

    Among equal confidences the wrong ones are spread evenly, which is what a random order would give on average.
    """
    order = np.argsort(-confidence, kind="stable")
    wrong = ~np.asarray(right, dtype=bool)[order]
    _, group, sizes = np.unique(-confidence[order], return_inverse=True, return_counts=True)
    spread = (np.bincount(group, weights=wrong) / sizes)[group]
    return np.asarray(np.cumsum(spread) / np.arange(1, len(wrong) + 1))


def area(confidence: Floats, right: NDArray[Any]) -> float:
    """Mean risk over all coverages (AURC, Geifman et al. 2019); less is better, and the error itself where confidence says nothing."""
    return float(risks(confidence, right).mean())


def standing(confidence: Floats, coverage: float = COVERAGE) -> NDArray[np.bool_]:
    """Which predictions `(examples,)` stand at a coverage: the most certain ones, and those as certain as the last of them."""
    if not len(confidence):
        return np.zeros(0, dtype=bool)
    last = max(1, int(np.ceil(round(coverage * len(confidence), 9))))
    return np.asarray(confidence >= np.sort(confidence)[::-1][last - 1])


def threshold(confidence: Floats, right: NDArray[Any], *, wanted: float) -> float:
    """A confidence above which the share of right predictions is at least `wanted`, and which lets most stand; 1.0 where there is none.

    It lies halfway between the least certain prediction that stands and the next one below, so that rounding does not decide
    which of them stand; 0.0 where all do. It is a point estimate on the examples given: new ones reach `wanted` on average, not for
    certain.

    Raises:
        DataError: without examples.
    """
    if not len(confidence):
        raise DataError("no validation examples", why="a threshold is fitted on labelled predictions", fix="give --validation")
    values, group = np.unique(-confidence, return_inverse=True)  # from the most certain
    hits = np.cumsum(np.bincount(group, weights=np.asarray(right, dtype=np.float64)))
    enough = np.flatnonzero(hits >= wanted * np.cumsum(np.bincount(group)))
    if not len(enough):
        return 1.0
    last = int(enough[-1])
    return float(-(values[last] + values[last + 1]) / 2) if last + 1 < len(values) else 0.0


def record(confidence: Floats, right: NDArray[Any]) -> dict[str, Any]:
    """The curve as a JSON object: `{"area", "error", "points": [{"coverage", "confidence", "error"}]}`, at most `POINTS` of them."""
    risk, ordered = risks(confidence, right), np.sort(confidence)[::-1]
    at = np.unique(np.linspace(0, len(risk) - 1, min(POINTS, len(risk))).round().astype(int))
    points = [{"coverage": float((i + 1) / len(risk)), "confidence": float(ordered[i]), "error": float(risk[i])} for i in at]
    return {"area": area(confidence, right), "error": float(risk[-1]), "points": points}


def abstention(confidence: Floats, right: NDArray[Any], *, least: float, wanted: float | None, level: float) -> dict[str, Any]:
    """What a threshold does to predictions, as a JSON object.

    `{"threshold", "wanted_precision", "stand", "review", "coverage", "precision": {"value", "low", "high"}}`, with Wilson's interval;
    the precision is 0 to 1 where nothing stands.
    """
    stands = confidence >= least
    count, hits = int(stands.sum()), int(np.asarray(right)[stands].sum())
    low, high = wilson(hits, count, level=level) if count else (0.0, 1.0)
    return {
        "threshold": least, "wanted_precision": wanted, "stand": count, "review": len(confidence) - count,
        "coverage": count / max(1, len(confidence)), "precision": {"value": hits / count if count else 0.0, "low": low, "high": high},
    }  # fmt: skip
