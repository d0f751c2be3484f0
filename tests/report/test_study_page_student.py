"""Student's t equals its integral and its tables, its interval covers as often as it says, and the best of many gains what draws gain."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fintune.report.study_student import best_of, deviation, interval, normal, p_value, quantile, within

# Two-sided 95 % points as printed in tables.
TABLE = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 10: 2.228, 30: 2.042, 120: 1.980}


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 12, 29])
def test_the_distribution_is_the_integral_of_its_density(freedom):
    for t in (0.3, 1.0, 2.5, 6.0):
        x = np.linspace(-t, t, 20_001)
        scale = math.gamma((freedom + 1) / 2) / math.gamma(freedom / 2) / math.sqrt(freedom * math.pi)
        assert within(t, freedom) == pytest.approx(float(np.trapezoid(scale * (1 + x * x / freedom) ** (-(freedom + 1) / 2), x)), abs=1e-7)
    assert within(quantile(0.9, freedom), freedom) == pytest.approx(0.9)


def test_quantiles_are_those_of_the_tables():
    assert {freedom: round(quantile(0.95, freedom), 3) for freedom in TABLE} == TABLE
    assert normal(0.95) == pytest.approx(1.959964, abs=1e-6)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_interval_covers_95_of_100_and_the_test_errs_5_times(count):
    draw = np.random.default_rng(count)
    rows = draw.normal(0.3, 1.0, size=(4000, count)).tolist()
    found = [interval(row) for row in rows]
    covered = np.mean([score.low <= 0.3 <= score.high for score in found])
    assert covered == pytest.approx(0.95, abs=0.011)  # 3.2 standard errors
    rejected = np.mean([p_value([value - 0.3 for value in row]) < 0.05 for row in rows])
    assert rejected == pytest.approx(1 - covered)


def test_p_and_interval_agree_and_neither_is_there_without_a_spread():
    for values in ([0.1, 0.2, 0.4], [-1.0, 1.0, 2.5, 0.1]):
        score, p = interval(values), p_value(values)
        assert (p < 0.05) == (score.low > 0 or score.high < 0)
    for values in ([0.1], [0.1, 0.1], [0.1 + 0.2, 0.3]):
        assert interval(values).low is None
        assert p_value(values) is None
    assert deviation([0.1]) is None
    assert deviation([0.1 + 0.2, 0.3]) == 0.0


def test_the_best_of_many_gains_what_draws_gain():
    assert best_of(1) == pytest.approx(0, abs=1e-9)
    assert best_of(2) == pytest.approx(1 / math.sqrt(math.pi))
    assert best_of(3) == pytest.approx(1.5 / math.sqrt(math.pi))
    draws = np.random.default_rng(1).normal(size=(20_000, 20)).max(axis=1)
    assert best_of(20) == pytest.approx(draws.mean(), abs=4 * draws.std() / math.sqrt(len(draws)))
