"""Risk and coverage against slow and obvious counts, and thresholds that hold what they promise on the examples they were fitted on."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintune.errors import DataError
from fintune.metrics import selective

Cases = list[tuple[float, bool]]
cases = st.lists(st.tuples(st.sampled_from([0.3, 0.5, 0.51, 0.9, 1.0]), st.booleans()), min_size=1, max_size=40)


def arrays(pairs: Cases) -> tuple[np.ndarray, np.ndarray]:
    return np.array([c for c, _ in pairs]), np.array([right for _, right in pairs])


@given(st.lists(st.tuples(st.sampled_from([0.3, 0.5, 0.9]), st.booleans()), min_size=1, max_size=6))
def test_risks_are_the_mean_over_all_orders_of_equals(pairs: Cases) -> None:
    orders = [order for order in itertools.permutations(pairs) if all(a[0] >= b[0] for a, b in itertools.pairwise(order))]
    means = np.mean([np.cumsum([not right for _, right in order]) / np.arange(1, len(order) + 1) for order in orders], axis=0)
    assert selective.risks(*arrays(pairs)) == pytest.approx(means)


@given(cases)
def test_the_last_risk_is_the_error_and_order_does_not_matter(pairs: Cases) -> None:
    confidence, right = arrays(pairs)
    assert selective.risks(confidence, right)[-1] == pytest.approx(1 - right.mean())
    assert selective.risks(confidence[::-1], right[::-1]) == pytest.approx(selective.risks(confidence, right))


@given(cases)
def test_the_area_lies_between_a_perfect_and_an_inverted_order(pairs: Cases) -> None:
    confidence, right = arrays(pairs)
    best = selective.area(right.astype(float), right)
    worst = selective.area(1 - right.astype(float), right)
    assert best - 1e-12 <= selective.area(confidence, right) <= worst + 1e-12
    assert selective.area(np.full(len(right), 0.5), right) == pytest.approx(1 - right.mean())


@given(cases, st.sampled_from([0.01, 0.5, 0.9, 1.0]))
def test_what_stands_is_the_least_set_of_equals_that_covers_enough(pairs: Cases, coverage: float) -> None:
    confidence, _ = arrays(pairs)
    stands = selective.standing(confidence, coverage)
    assert stands.sum() >= coverage * len(confidence) - 1e-9
    least = confidence[stands].min()
    assert (stands == (confidence >= least)).all()
    assert (confidence > least).sum() < max(1.0, coverage * len(confidence) - 1e-9)


@given(cases, st.sampled_from([0.1, 0.5, 0.75, 0.99]))
def test_a_threshold_lets_as_many_stand_as_the_wanted_precision_allows(pairs: Cases, wanted: float) -> None:
    confidence, right = arrays(pairs)
    reached = [c for c in sorted(set(confidence)) if right[confidence >= c].sum() >= wanted * (confidence >= c).sum()]
    found = selective.threshold(confidence, right, wanted=wanted)
    if reached:
        assert ((confidence >= found) == (confidence >= min(reached))).all()
        assert ((confidence * (1 + 1e-9) >= found) == (confidence >= found)).all(), "rounding does not decide"
        assert ((confidence * (1 - 1e-9) >= found) == (confidence >= found)).all(), "rounding does not decide"
    else:
        assert found == 1.0


def test_without_examples_there_is_no_threshold() -> None:
    with pytest.raises(DataError, match="no validation examples"):
        selective.threshold(np.zeros(0), np.zeros(0, bool), wanted=0.9)


def test_a_record_ends_with_everything_and_has_few_points() -> None:
    draw = np.random.default_rng(0)
    confidence = draw.random(1000)
    right = draw.random(1000) < confidence
    told = selective.record(confidence, right)
    assert told["points"][-1] == {"coverage": 1.0, "confidence": confidence.min(), "error": pytest.approx(1 - right.mean())}
    assert told["error"] == told["points"][-1]["error"] > told["area"]
    assert len(told["points"]) == selective.POINTS
    few = selective.record(confidence[:3], right[:3])
    assert [point["coverage"] for point in few["points"]] == pytest.approx([1 / 3, 2 / 3, 1])


def test_abstention_counts_what_stands_and_what_waits() -> None:
    told = selective.abstention(np.array([0.9, 0.8, 0.8, 0.4]), np.array([True, True, False, True]), least=0.8, wanted=0.7, level=0.95)
    assert (told["stand"], told["review"], told["coverage"]) == (3, 1, 0.75)
    precision = told["precision"]
    assert precision["value"] == pytest.approx(2 / 3)
    assert precision["low"] < precision["value"] < precision["high"]
    nothing = selective.abstention(np.array([0.4]), np.array([True]), least=0.8, wanted=None, level=0.95)
    assert nothing["precision"] == {"value": 0.0, "low": 0.0, "high": 1.0}
