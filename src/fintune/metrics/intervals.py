"""How far a score can be trusted: bootstrap intervals clustered by document, a paired test of two systems, Wilson's interval.

A replicate draws as many documents as there are, with replacement. How often each was drawn is a row of multinomial weights,
and `weights @ counts` gives every total of the replicate at once (the idea of arXiv 1412.1735), so no example is scored twice.
Only sums are resampled; the score is then computed from them as on the real data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fintune.errors import DataError, RecipeError

Samples = NDArray[np.float64]
Statistic = Callable[[NDArray[Any]], NDArray[np.float64]]

# Weights held at one time, in cells (8 bytes each): bounds memory and does not change the result.
_CELLS = 1 << 20


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How to resample. `level` is the coverage of the interval, a fraction.

    Raises:
        RecipeError: for a value out of range.
    """

    replicates: int = 2_000
    seed: int = 0
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.replicates < 1:
            raise RecipeError(f"{self.replicates} bootstrap replicates", why="at least 1 is needed", fix="2000 are usual")
        if not 0 < self.level < 1:
            raise RecipeError(f"interval level {self.level}", why="it is a fraction between 0 and 1", fix="0.95 is usual")


@dataclass(frozen=True, slots=True)
class Difference:
    """First system minus second: the difference of the scores, its interval, and a two-sided p value in (0, 1]."""

    value: float
    low: float
    high: float
    p_value: float


def resample(counts: NDArray[Any], clusters: Sequence[str], *, plan: Bootstrap, cells: int = _CELLS) -> Samples:
    """Totals `(replicates, ...)` of the counts `(examples, ...)` in each replicate; examples of one cluster stay together.

    The result depends on the clusters' names and totals only, not on the order of the examples. Equal clusters and plan
    give equal weights, which is what makes two systems comparable replicate by replicate.

    Raises:
        DataError: without examples, or where `clusters` does not name one per example.
    """
    if len(clusters) != len(counts) or not len(counts):
        raise DataError(f"{len(clusters)} documents for {len(counts)} examples", why="each example needs its document")
    names = {name: index for index, name in enumerate(sorted(set(clusters)))}
    member = np.array([names[name] for name in clusters])
    flat = counts.reshape(len(counts), -1).astype(np.float64)
    totals = np.zeros((len(names), flat.shape[1]))
    np.add.at(totals, member, flat)
    random = np.random.default_rng(plan.seed)
    samples = np.empty((plan.replicates, flat.shape[1]))
    rows = max(1, cells // len(names))
    for start in range(0, plan.replicates, rows):
        stop = min(start + rows, plan.replicates)
        samples[start:stop] = _weights(random, rows=stop - start, size=len(names)) @ totals
    return samples.reshape(plan.replicates, *counts.shape[1:])


def _weights(random: np.random.Generator, *, rows: int, size: int) -> NDArray[np.float64]:
    """How often each of `size` clusters was drawn, `(rows, size)`: draws counted, far quicker than a multinomial sampler."""
    drawn = random.integers(0, size, size=(rows, size))
    drawn += np.arange(0, rows * size, size)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size).astype(np.float64)


def percentiles(samples: Samples, *, level: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper end of the percentile interval of `(replicates, ...)`, linear between order statistics."""
    tail = (1 - level) / 2
    low, high = np.quantile(samples, [tail, 1 - tail], axis=0)
    return np.asarray(low), np.asarray(high)


def paired_difference(
    first: NDArray[Any], second: NDArray[Any], statistic: Statistic, *, clusters: Sequence[str], plan: Bootstrap
) -> Difference:
    """Compares two systems by their counts `(examples, ...)` on the same examples, resampled alike.

    The p value inverts the percentile interval: twice the smaller share of replicates in which the difference is not
    positive or not negative, with one added to the count and to the number of replicates, at most 1. Two systems with
    equal counts get 1.0, and swapping them changes the sign alone.

    Raises:
        DataError: where the two do not cover the same number of examples.
    """
    if first.shape != second.shape:
        raise DataError(f"counts of shape {first.shape} and {second.shape}", why="a paired test needs the same examples and labels")
    both = resample(np.stack([first, second], axis=1), clusters, plan=plan)
    differences = statistic(both[:, 0]) - statistic(both[:, 1])
    low, high = percentiles(differences, level=plan.level)
    value = statistic(first.sum(axis=0)) - statistic(second.sum(axis=0))
    against = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    p_value = min(1.0, 2 * (against + 1) / (plan.replicates + 1))
    return Difference(value=float(value), low=float(low), high=float(high), p_value=p_value)


def wilson(successes: int, trials: int, *, level: float) -> tuple[float, float]:
    """Wilson's score interval of a share, without continuity correction; (0.0, 1.0) without trials.

    Raises:
        DataError: where successes are not between 0 and trials.
    """
    if not 0 <= successes <= trials:
        raise DataError(f"{successes} successes of {trials} trials", why="a share lies between 0 and 1")
    if trials == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(1 - (1 - level) / 2)
    share, spread = successes / trials, z * z / trials
    centre = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread * spread / 4) / (1 + spread)
    # At the ends rounding may leave 1e-17 where the exact bound is 0 or 1.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == trials else min(1.0, centre + half)
    return low, high
