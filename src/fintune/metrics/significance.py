"""Tests of whether two systems differ at all, and the correction for making many: randomisation by document, McNemar, Holm.

Exact where that is no more work than chance. Counts are those of `comparable`. Systems on different examples are refused.
Exercised by `pytest tests/metrics/test_significance.py` and `python benchmarks/calibration_of_tests.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fintune.errors import DataError
from fintune.metrics.intervals import Bootstrap, Statistic

Floats = NDArray[np.float64]

# Differences of scores that rounding alone could make are ties, and ties count against a difference.
_ROUNDING = 1e-12
# Swaps held at one time, in cells of 8 bytes: bounds memory and does not change the result.
_CELLS = 1 << 20
_STREAM = 2  # keeps the swaps apart from what else is drawn from the same seed


@dataclass(frozen=True, slots=True)
class Randomised:
    """Two-sided p values by the names of the statistics; `exact` where all swaps were tried and none was drawn."""

    p_values: dict[str, float]
    exact: bool


def randomisation(
    first: NDArray[Any], second: NDArray[Any], statistics: Mapping[str, Statistic], *, clusters: Sequence[str], plan: Bootstrap
) -> Randomised:
    """How often swapping the two systems' outputs at random, document by document, makes as large a difference as there is.

    Approximate randomisation (Noreen 1989; Yeh 2000, arXiv cs/0008005) with documents as units: p = (b + 1) / (R + 1), where b of R
    swappings reach the difference (Davison and Hinkley 1997). Where all 2^k swappings of the k documents on which the
    counts differ are no more than R, each is tried once, and p is their share.

    Args:
        first: counts `(examples, ...)` of one system.
        second: of the other.
        statistics: scores of totals `(..., *columns)`.
        clusters: the document of each example.
        plan: `replicates` is R; `level` has no influence.

    Raises:
        DataError: where the two do not cover the same examples.
    """
    if first.shape != second.shape or len(first) != len(clusters):
        what = f"counts of shape {first.shape} and {second.shape} in {len(clusters)} documents"
        raise DataError(what, why="a paired test needs the same examples and labels")
    gaps = _gaps(first, second, clusters)
    totals = (first.sum(axis=0).astype(np.float64), second.sum(axis=0).astype(np.float64))
    actual = {name: abs(float(score(totals[0]) - score(totals[1]))) for name, score in statistics.items()}
    exact = 2 ** len(gaps) <= plan.replicates
    reached = dict.fromkeys(statistics, 0)
    for swaps in _all_swaps(len(gaps)) if exact else _drawn_swaps(len(gaps), plan):
        moved = (swaps @ gaps).reshape(len(swaps), *first.shape[1:])
        for name, score in statistics.items():
            found = np.abs(score(totals[0] - moved) - score(totals[1] + moved))
            reached[name] += int((found >= actual[name] - _ROUNDING).sum())
    if exact:
        return Randomised({name: count / 2 ** len(gaps) for name, count in reached.items()}, exact=True)
    return Randomised({name: (count + 1) / (plan.replicates + 1) for name, count in reached.items()}, exact=False)


def _gaps(first: NDArray[Any], second: NDArray[Any], clusters: Sequence[str]) -> Floats:
    """First less second of each document, flat, by the documents' names; without documents on which they do not differ."""
    names = {name: index for index, name in enumerate(sorted(set(clusters)))}
    gaps = np.zeros((len(names), int(np.prod(first.shape[1:]))))
    np.add.at(gaps, [names[name] for name in clusters], (first - second).reshape(len(first), -1))
    return np.asarray(gaps[np.any(gaps != 0, axis=1)])


def _all_swaps(size: int) -> Iterator[Floats]:
    yield (np.arange(2**size)[:, None] >> np.arange(size) & 1).astype(np.float64)


def _drawn_swaps(size: int, plan: Bootstrap) -> Iterator[Floats]:
    random = np.random.default_rng([plan.seed, _STREAM])
    rows = max(1, _CELLS // size)
    for start in range(0, plan.replicates, rows):
        yield random.integers(0, 2, size=(min(rows, plan.replicates - start), size), dtype=np.uint8).astype(np.float64)


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p value from the examples that one system alone gets right (McNemar 1947, with the binomial distribution).

    min(1, 2 P(X <= the smaller)) with X of that many fair coins. It never rejects too often and, with few such examples, rather too
    seldom. Examples must be independent of each other.
    """
    coins, least = only_first + only_second, min(only_first, only_second)
    term, total = 1, 0
    for successes in range(least + 1):
        total += term
        term = term * (coins - successes) // (successes + 1)
    return min(1.0, float(Fraction(2 * total, 2**coins)))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values adjusted for their number, in their order (Holm 1979): with them, all claims together err at the level of one.

    The k-th smallest of n is multiplied by n - k + 1 and is at least its predecessor, at most 1. Holds however the tests depend on
    each other.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        least = min(1.0, max(least, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = least
    return adjusted
