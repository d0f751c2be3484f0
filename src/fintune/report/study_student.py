"""Student's t for a handful of seeds, and what the best of several equal draws is expected to gain.

`interval(differences)` is the paired t interval. Only whole degrees of freedom; the tests hold it to another implementation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from statistics import NormalDist, fmean, stdev

from fintune.report.figures import Score

LEVEL = 0.95
# A spread below this share of the values is rounding, not chance.
ROUNDING = 1e-12


def within(t: float, freedom: int) -> float:
    """P(|T| <= t) of Student's t with `freedom` degrees (Abramowitz and Stegun 26.7.3 and 26.7.4).

    Args:
        t: at least 0.
        freedom: at least 1.
    """
    angle = math.atan2(t, math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    total, term = 0.0, cosine if odd else 1.0
    for step in range(1 + odd, freedom, 2):
        total += term
        term *= cosine * cosine * step / (step + 1)
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


@cache
def quantile(level: float, freedom: int) -> float:
    """The t with P(|T| <= t) = level, 0 < level < 1."""
    low, high = 0.0, 1.0
    while within(high, freedom) < level:
        low, high = high, 2 * high
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle, freedom) < level else (low, middle)
    return (low + high) / 2


def deviation(values: Sequence[float]) -> float | None:
    """The standard deviation with n - 1, exactly 0 where it is rounding; None for fewer than two values."""
    if len(values) < 2:
        return None
    found = stdev(values)
    return 0.0 if found <= ROUNDING * max(1.0, *map(abs, values)) else found


def interval(values: Sequence[float]) -> Score:
    """The mean with its 95 % t interval; no interval for one value, nor where all values are the same.

    Args:
        values: at least one, independent of each other, such as one difference a seed.
    """
    spread, mean = deviation(values), fmean(values)
    if not spread:
        return Score(mean)
    half = quantile(LEVEL, len(values) - 1) * spread / math.sqrt(len(values))
    return Score(mean, mean - half, mean + half)


def p_value(values: Sequence[float]) -> float | None:
    """Two-sided p of the t test of one mean against 0; None where `interval` has none."""
    spread = deviation(values)
    if not spread:
        return None
    return 1 - within(abs(fmean(values)) * math.sqrt(len(values)) / spread, len(values) - 1)


def normal(level: float) -> float:
    """Half the width of a normal interval, in standard deviations: 1.96 for 0.95."""
    return NormalDist().inv_cdf((1 + level) / 2)


@cache
def best_of(count: int) -> float:
    """The expected largest of `count` standard normal draws, in standard deviations; 0 for one (the integral of x dF(x)^count)."""
    law, steps, reach = NormalDist(), 4_000, 9.0
    shares = [law.cdf(reach * (2 * at / steps - 1)) ** count for at in range(steps + 1)]
    # E[X] = reach - integral of the distribution function over (-reach, reach), by trapezia.
    return reach - 2 * reach / steps * (sum(shares) - (shares[0] + shares[-1]) / 2)
