"""Counting right and wrong labels, and the scores that follow from the counts; proper scores of the labels' probabilities.

Each example becomes integer counts `(labels, 3)` of true positives, false positives and false negatives, as spans do; averages and
resampling are arithmetic on their sums. A prediction that could not be read is wrong and belongs to no label. Labels outside
the set are refused. Run by `fintune evaluate` and `fintune score` on tasks of the kind `label`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fintune.errors import DataError, did_you_mean
from fintune.metrics.spans import Counts, Rates, Totals, f1, macro, recall

LEAST = 1e-15
"""Probabilities below this count as this in the logarithmic loss, so that one certain error does not make it infinite."""


def ids_of(names: Sequence[str | None], *, labels: Sequence[str]) -> NDArray[np.int64]:
    """Index of each name in `labels`; `len(labels)` for None, a prediction that could not be read.

    Raises:
        DataError: for a label that is not in the set.
    """
    index: dict[str | None, int] = {label: number for number, label in enumerate(labels)}
    index[None] = len(labels)
    for name in names:
        if name not in index:
            raise DataError(f"unknown label {name!r}", why="not in the label set", fix=did_you_mean(str(name), labels))
    return np.array([index[name] for name in names], dtype=np.int64)


def count(gold: NDArray[np.int64], predicted: NDArray[np.int64], *, labels: int) -> Counts:
    """Counts `(examples, labels, 3)` from ids `(examples,)`: true positives, false positives, false negatives."""
    rows = np.arange(len(gold))
    counts = np.zeros((len(gold), labels + 1, 3), dtype=np.int64)
    right = gold == predicted
    counts[rows, gold, 0] = right
    counts[rows, predicted, 1] = ~right
    counts[rows, gold, 2] = ~right
    return counts[:, :labels]  # what could not be read is no label's false positive


def confusion(gold: NDArray[np.int64], predicted: NDArray[np.int64], *, labels: int) -> Counts:
    """How often each label was given for each `(labels + 1, labels + 1)`: gold rows, predicted columns, the last being none."""
    counts = np.zeros((labels + 1, labels + 1), dtype=np.int64)
    np.add.at(counts, (gold, predicted), 1)
    return counts


def _share(part: Totals, whole: Totals) -> Rates:
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)


def _support(totals: Totals) -> Totals:
    """Gold of each label `(..., labels)`."""
    return totals[..., 0] + totals[..., 2]


def accuracy(totals: Totals) -> Rates:
    """Share of the examples `(..., labels, 3)` with the right label."""
    return _share(totals[..., 0].sum(axis=-1), _support(totals).sum(axis=-1))


def balanced_accuracy(totals: Totals) -> Rates:
    """Mean recall of the labels that have gold, so that each counts alike however rare."""
    return macro(recall, totals)


def macro_f1(totals: Totals) -> Rates:
    """Mean F1 of the labels that have gold."""
    return macro(f1, totals)


def weighted_f1(totals: Totals) -> Rates:
    """Mean F1 of the labels, each by its share of the gold."""
    support = _support(totals)
    return _share((f1(totals) * support).sum(axis=-1), support.sum(axis=-1))


def mcc(totals: Totals) -> Rates:
    """Matthews' correlation of gold and prediction for any number of labels (Gorodkin 2004, equation 8), in [-1, 1].

    Predictions that could not be read are one more column, which no gold has. 0.0 where gold or predictions are all of
    one label.
    """
    totals = np.asarray(totals, dtype=np.float64)
    gold = _support(totals)
    given = totals[..., 0] + totals[..., 1]
    examples = gold.sum(axis=-1)
    unread = examples - given.sum(axis=-1)
    covariance = totals[..., 0].sum(axis=-1) * examples - (gold * given).sum(axis=-1)
    spread_given = examples**2 - (given**2).sum(axis=-1) - unread**2
    spread_gold = examples**2 - (gold**2).sum(axis=-1)
    product = spread_given * spread_gold
    correlation: Rates = np.zeros_like(covariance)
    np.divide(covariance, np.sqrt(np.maximum(product, 0)), out=correlation, where=product > 0)
    return correlation


SCORES: dict[str, Callable[[Totals], Rates]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
    "weighted_f1": weighted_f1,
    "mcc": mcc,
}


def log_loss(probabilities: Rates, gold: NDArray[np.int64]) -> Rates:
    """Minus the natural logarithm of the probability `(examples, labels)` of the gold label, `(examples,)`; see `LEAST`."""
    chosen = probabilities[np.arange(len(gold)), gold]
    return np.asarray(-np.log(np.maximum(chosen, LEAST)))


def brier(probabilities: Rates, gold: NDArray[np.int64]) -> Rates:
    """Brier's score `(examples,)`: squared differences from certainty about the gold, summed over all labels (Brier 1950), 0 to 2."""
    certain = np.zeros_like(probabilities)
    certain[np.arange(len(gold)), gold] = 1
    return np.asarray(((probabilities - certain) ** 2).sum(axis=1))
