"""Scores of any number of labels for one text: whole sets, single decisions, the ranking of labels, and where to draw the line.

A decision is whether one label of the set is given to one text. Sets become truth values `(examples, labels)` and counts
`(examples, labels, 3)` as spans and single labels have them. Labels outside the set are refused. Run by `fintune evaluate` and
`fintune score` on tasks with `multiple = true`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fintune.errors import DataError, did_you_mean
from fintune.metrics.labels import LEAST
from fintune.metrics.spans import Counts, Rates

Truths = NDArray[np.bool_]
Floats = NDArray[np.float64]


def truths(sets: Sequence[Sequence[str]], *, labels: Sequence[str]) -> Truths:
    """Whether each set has each label `(examples, labels)`.

    Raises:
        DataError: for a label that is not in the set.
    """
    column = {label: number for number, label in enumerate(labels)}
    found = np.zeros((len(sets), len(labels)), dtype=bool)
    for row, names in enumerate(sets):
        for name in names:
            if name not in column:
                raise DataError(f"unknown label {name!r}", why="not in the label set", fix=did_you_mean(name, labels))
            found[row, column[name]] = True
    return found


def count(gold: Truths, given: Truths) -> Counts:
    """Counts `(examples, labels, 3)` of true positives, false positives and false negatives."""
    return np.stack([gold & given, given & ~gold, gold & ~given], axis=-1).astype(np.int64)


def log_loss(probabilities: Rates, gold: Truths) -> Rates:
    """Mean over labels of minus the logarithm of the probability `(examples, labels)` of what is true `(examples,)`; see `LEAST`."""
    true = np.where(gold, probabilities, 1 - probabilities)
    return np.asarray(-np.log(np.maximum(true, LEAST)).mean(axis=1))


def brier(probabilities: Rates, gold: Truths) -> Rates:
    """Brier's score of the decisions `(examples,)`: squared differences from certainty, averaged over labels (Brier 1950), 0 to 1."""
    return np.asarray(((probabilities - gold) ** 2).mean(axis=1))


def ranking_precision(probabilities: Rates, gold: Truths) -> Rates:
    """Label-ranking average precision `(examples,)` (Tsoumakas et al. 2010); 1 where a text has no label or all of them.

    Of the labels ranked as high as a gold one, the share that is gold; averaged over the gold labels.
    """
    total = np.zeros(len(gold))
    for label in range(gold.shape[1]):
        above = probabilities >= probabilities[:, [label]]
        total += gold[:, label] * (above & gold).sum(axis=1) / above.sum(axis=1)
    wanted = gold.sum(axis=1)
    return np.asarray(np.divide(total, wanted, out=np.ones(len(gold)), where=wanted > 0))


def certainty(probabilities: Rates, given: Truths) -> Rates:
    """Probability `(examples, labels)` that each decision is right."""
    return np.asarray(np.where(given, probabilities, 1 - probabilities))


def best_margin(scores: Floats, gold: Truths) -> float:
    """The score above which labels are to be given so that micro F1 on these examples is highest; 0.0 where none has a label.

    It lies halfway between the lowest score that is above it and the next one below, so that rounding does not decide; one below
    the lowest score where every label is to be given. Of equally good ones it is that nearest to 0.

    Args:
        scores: `(examples, labels)`, finite.
        gold: which labels each example has.
    """
    if not gold.any():
        return 0.0
    values, group = np.unique(-scores.ravel(), return_inverse=True)
    hits = np.cumsum(np.bincount(group, weights=gold.ravel().astype(np.float64)))
    f1 = 2 * hits / (np.cumsum(np.bincount(group)) + gold.sum())
    lowest, below = -values, np.append(-values[1:], -values[-1] - 2)
    margins = (lowest + below) / 2
    margins = np.where(margins < lowest, margins, below)  # halfway between two neighbouring floats is one of them
    best = np.flatnonzero(f1 == f1.max())
    return float(margins[best[np.argmin(np.abs(margins[best]))]])
