"""A fitted temperature never makes the gold less likely, finds a planted one, and bins share out the examples evenly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fintune.errors import DataError
from fintune.metrics import calibration
from fintune.metrics.calibration import (
    BINS,
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    apply_temperature,
    effect,
    error,
    fit_temperature,
    members,
    sums,
    table,
)
from fintune.metrics.intervals import wilson

CONFIDENCES = st.lists(st.tuples(st.integers(0, 20).map(lambda n: n / 20), st.booleans()), min_size=1, max_size=60)
SCORES = st.integers(1, 12).flatmap(
    lambda rows: st.tuples(arrays(np.float64, (rows, 3), elements=st.floats(-30, 30)), arrays(np.int64, rows, elements=st.integers(0, 2)))
)


def loss(scores: np.ndarray, gold: np.ndarray, temperature: float) -> float:
    """Mean loss, the slow way."""
    rows = zip((scores / temperature).tolist(), gold.tolist(), strict=True)
    return sum(math.log(sum(math.exp(s - row[g]) for s in row)) for row, g in rows) / len(gold)


@settings(max_examples=150, deadline=None)
@given(SCORES)
def test_fitting_never_makes_the_fitted_examples_less_likely(drawn):
    scores, gold = drawn
    found = fit_temperature(scores, gold)
    assert MIN_TEMPERATURE * (1 - 1e-9) <= found <= MAX_TEMPERATURE * (1 + 1e-9)
    told = effect(scores, gold, found)["log_loss"]
    assert told["after"] <= told["before"]
    for other in (0.06, 0.3, 0.9, 1.0, 1.1, 3.0, 19.0):
        assert told["after"] <= effect(scores, gold, other)["log_loss"]["after"] + 1e-9 * (1 + told["after"])


@settings(max_examples=50, deadline=None)
@given(SCORES)
def test_the_loss_is_that_of_the_definition(drawn):
    scores, gold = drawn
    told = effect(scores / 10, gold, 2.5)
    assert told["log_loss"] == pytest.approx({"before": loss(scores / 10, gold, 1.0), "after": loss(scores / 10, gold, 2.5)})


@pytest.mark.parametrize("planted", [0.4, 1.0, 2.5])
def test_a_planted_temperature_is_recovered_and_calibrates(planted: float):
    draw = np.random.default_rng(3)
    honest = draw.normal(size=(20_000, 4)) * 2
    probabilities = apply_temperature(honest, 1.0)
    gold = (probabilities.cumsum(axis=1) < draw.random((len(honest), 1))).sum(axis=1).clip(max=3)
    assert fit_temperature(honest * planted, gold) == pytest.approx(planted, rel=0.03)
    told = effect(honest * planted, gold, planted)
    assert told["ece"]["after"] < 0.015
    if planted != 1.0:
        assert told["ece"]["before"] > 5 * told["ece"]["after"]


def test_scores_and_logarithms_of_probabilities_are_fitted_alike():
    scores = np.random.default_rng(0).normal(size=(50, 3)) * 3
    gold = np.random.default_rng(1).integers(0, 3, 50)
    normalised = np.log(apply_temperature(scores, 1.0))
    assert fit_temperature(normalised, gold) == pytest.approx(fit_temperature(scores, gold), rel=1e-9)
    assert apply_temperature(normalised, 1.7) == pytest.approx(apply_temperature(scores, 1.7))


def test_a_temperature_changes_no_prediction_and_probabilities_add_up():
    scores = np.random.default_rng(0).normal(size=(50, 5)) * 40
    for temperature in (0.05, 0.5, 3.0, 20.0):
        probabilities = apply_temperature(scores, temperature)
        assert np.array_equal(probabilities.argmax(axis=1), scores.argmax(axis=1))
        assert probabilities.sum(axis=1) == pytest.approx(np.ones(50))


def test_scores_that_separate_the_labels_are_sharpened_to_the_bound_only():
    scores = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert fit_temperature(scores, np.array([0, 1])) == pytest.approx(MIN_TEMPERATURE)
    assert fit_temperature(scores, np.array([1, 0])) == pytest.approx(MAX_TEMPERATURE)


@pytest.mark.parametrize(
    ("scores", "gold"),
    [
        (np.zeros((0, 2)), np.zeros(0, int)),
        (np.zeros((1, 2)), np.zeros(2, int)),
        (np.array([[0.0, -np.inf]]), np.array([0])),
        (np.zeros((1, 2)), np.array([2])),
    ],
)
def test_what_cannot_be_fitted_on_is_refused(scores, gold):
    with pytest.raises(DataError):
        fit_temperature(scores, gold)


@settings(max_examples=150, deadline=None)
@given(CONFIDENCES, st.randoms(use_true_random=False))
def test_the_calibration_error_is_that_of_the_definition_in_any_order(rows, draw):
    confidence, right = np.array([c for c, _ in rows]), np.array([r for _, r in rows])
    member = members(confidence)
    slow = 0.0
    for number in set(member.tolist()):
        inside = [row for row, bin_ in zip(rows, member, strict=True) if bin_ == number]
        slow += abs(sum(c for c, _ in inside) / len(inside) - sum(r for _, r in inside) / len(inside)) * len(inside) / len(rows)
    assert float(error(sums(confidence, right, member).sum(axis=0))) == pytest.approx(slow)
    order = list(range(len(rows)))
    draw.shuffle(order)
    assert members(confidence[order]).tolist() == member[order].tolist()
    assert all((member[confidence == c] == member[confidence == c][0]).all() for c in set(confidence.tolist()))


def test_bins_hold_about_as_many_examples_each_and_rise():
    confidence = np.random.default_rng(0).random(1000)
    counts = np.bincount(members(confidence))
    assert len(counts) == BINS
    assert counts.max() - counts.min() <= 1
    assert members(np.array([0.2, 0.9])).tolist() == [0, 1]
    ordered = members(np.sort(confidence))
    assert (np.diff(ordered) >= 0).all()


@settings(max_examples=60, deadline=None)
@given(CONFIDENCES)
def test_the_table_of_bins_is_the_error(rows):
    confidence, right = np.array([c for c, _ in rows]), np.array([r for _, r in rows])
    member = members(confidence)
    bins = table(confidence, right, member, level=0.9)
    assert sum(row["count"] for row in bins) == len(rows)
    distance = sum(row["count"] * abs(row["confidence"] - row["accuracy"]["value"]) for row in bins) / len(rows)
    assert float(error(sums(confidence, right, member).sum(axis=0))) == pytest.approx(distance)
    for row in bins:
        hits = round(row["accuracy"]["value"] * row["count"])
        assert (row["accuracy"]["low"], row["accuracy"]["high"]) == pytest.approx(wilson(hits, row["count"], level=0.9))
        assert row["from"] - 1e-12 <= row["confidence"] <= row["to"] + 1e-12
    assert [row["from"] for row in bins] == sorted({row["from"] for row in bins})


def test_certainty_that_is_always_right_has_no_error_and_always_wrong_has_all():
    ones = np.ones(7)
    assert float(error(sums(ones, ones, members(ones)).sum(axis=0))) == 0.0
    assert float(error(sums(ones, np.zeros(7), members(ones)).sum(axis=0))) == 1.0


def test_the_expected_error_is_what_a_model_shows_whose_confidences_are_true():
    draw = np.random.default_rng(3)
    confidence = draw.uniform(0.5, 1.0, 300)
    member = calibration.members(confidence)
    shown = [calibration.error(calibration.sums(confidence, draw.random(300) < confidence, member).sum(axis=0)) for _ in range(300)]
    assert calibration.expected_error(confidence, member, seed=0) == pytest.approx(np.mean(shown), rel=0.05)


def test_the_expected_error_falls_with_the_square_root_of_the_examples_and_is_none_for_certainty():
    few, many = np.full(150, 0.8), np.full(15_000, 0.8)
    errors = [calibration.expected_error(c, calibration.members(c), seed=1) for c in (few, many)]
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.15)
    assert calibration.expected_error(np.ones(40), calibration.members(np.ones(40)), seed=1) == 0.0
