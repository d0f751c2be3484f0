"""Intervals equal a naive resample-and-rescore twin with the same weights, and behave in the corners."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fintune.errors import DataError, RecipeError
from fintune.metrics.intervals import Bootstrap, _weights, paired_difference, percentiles, resample, wilson
from fintune.metrics.spans import f1, macro, micro

PLAN = Bootstrap(replicates=60, seed=3)


def micro_f1(totals: np.ndarray) -> np.ndarray:
    return micro(f1, totals)


@st.composite
def counted(draw: st.DrawFn) -> tuple[np.ndarray, list[str]]:
    """Counts `(examples, 2, 3)` and the document of each example."""
    size = draw(st.integers(1, 8))
    cells = draw(st.lists(st.integers(0, 4), min_size=size * 6, max_size=size * 6))
    documents = draw(st.lists(st.sampled_from(["x", "y", "z", "x "]), min_size=size, max_size=size))
    return np.array(cells, dtype=np.int64).reshape(size, 2, 3), documents


@settings(max_examples=60, deadline=None)
@given(case=counted())
def test_replicates_equal_naive_rescoring(case):
    counts, documents = case
    names = sorted(set(documents))
    weights = _weights(np.random.default_rng(PLAN.seed), rows=PLAN.replicates, size=len(names))
    samples = resample(counts, documents, plan=PLAN)
    for replicate, drawn in zip(samples, weights, strict=True):
        resampled = [
            counts[row]
            for name, times in zip(names, drawn, strict=True)
            for _ in range(int(times))
            for row in range(len(counts))
            if documents[row] == name
        ]
        totals = np.sum(resampled, axis=0)
        assert np.array_equal(replicate, totals)
        assert micro_f1(replicate) == pytest.approx(float(micro_f1(totals)))
        assert macro(f1, replicate) == pytest.approx(float(macro(f1, totals)))


def test_weights_draw_as_many_clusters_as_there_are_and_each_once_on_average():
    weights = _weights(np.random.default_rng(1), rows=4_000, size=20)
    assert (weights.sum(axis=1) == 20).all()
    assert np.abs(weights.mean(axis=0) - 1).max() < 0.08  # standard error 0.0154
    assert weights.var(axis=0) == pytest.approx(np.full(20, 19 / 20), abs=0.15)


@settings(max_examples=40, deadline=None)
@given(case=counted(), cells=st.integers(1, 50))
def test_chunks_do_not_change_the_result(case, cells):
    counts, documents = case
    assert np.array_equal(resample(counts, documents, plan=PLAN), resample(counts, documents, plan=PLAN, cells=cells))


@settings(max_examples=40, deadline=None)
@given(case=counted(), order=st.randoms(use_true_random=False))
def test_the_order_of_examples_does_not_matter(case, order):
    counts, documents = case
    rows = list(range(len(counts)))
    order.shuffle(rows)
    shuffled = resample(counts[rows], [documents[row] for row in rows], plan=PLAN)
    assert np.array_equal(resample(counts, documents, plan=PLAN), shuffled)


@settings(max_examples=40, deadline=None)
@given(case=counted())
def test_one_document_has_an_interval_of_one_point(case):
    counts, _ = case
    samples = micro_f1(resample(counts, ["only"] * len(counts), plan=PLAN))
    low, high = percentiles(samples, level=PLAN.level)
    assert low == high == micro_f1(counts.sum(axis=0))


def test_no_entities_give_zero_and_not_nan():
    samples = micro_f1(resample(np.zeros((5, 2, 3), dtype=np.int64), list("abcde"), plan=PLAN))
    assert not samples.any()
    assert [float(end) for end in percentiles(samples, level=0.95)] == [0.0, 0.0]


def test_percentiles_leave_equal_tails():
    samples = np.arange(1001.0)[::-1].reshape(-1, 1)
    low, high = percentiles(samples, level=0.9)
    assert (low.tolist(), high.tolist()) == ([pytest.approx(50)], [pytest.approx(950)])


def test_clustering_widens_the_interval_of_repeated_examples():
    rng = random.Random(5)
    single = np.array([[[rng.randint(0, 1), rng.randint(0, 1), rng.randint(0, 1)]] for _ in range(40)])
    counts = np.repeat(single, 10, axis=0)
    ids, documents = [str(row) for row in range(400)], [str(row // 10) for row in range(400)]
    plan = Bootstrap(replicates=500)
    narrow = np.ptp(percentiles(micro_f1(resample(counts, ids, plan=plan)), level=0.95))
    wide = np.ptp(percentiles(micro_f1(resample(counts, documents, plan=plan)), level=0.95))
    assert wide > 2.5 * narrow  # the square root of ten, less sampling error


@settings(max_examples=60, deadline=None)
@given(case=counted(), data=st.data())
def test_the_paired_test_is_symmetric(case, data):
    first, documents = case
    second = first[data.draw(st.permutations(range(len(first))))]
    one = paired_difference(first, second, micro_f1, clusters=documents, plan=PLAN)
    two = paired_difference(second, first, micro_f1, clusters=documents, plan=PLAN)
    assert one.p_value == two.p_value
    assert one.value == -two.value
    assert (one.low, one.high) == pytest.approx((-two.high, -two.low), abs=1e-12)
    assert 0 < one.p_value <= 1


@settings(max_examples=30, deadline=None)
@given(case=counted())
def test_equal_systems_do_not_differ(case):
    counts, documents = case
    same = paired_difference(counts, counts.copy(), micro_f1, clusters=documents, plan=PLAN)
    assert (same.value, same.low, same.high, same.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_a_system_that_is_always_better_is_significant():
    better = np.tile([[[2, 0, 0]]], (30, 1, 1))
    worse = np.tile([[[1, 1, 1]]], (30, 1, 1))
    found = paired_difference(better, worse, micro_f1, clusters=[str(row) for row in range(30)], plan=Bootstrap(replicates=999))
    assert (found.value, found.low, found.p_value) == (0.5, 0.5, pytest.approx(0.002))


def test_the_paired_test_keeps_its_level_where_systems_are_alike():
    """Under the null about 5 % of p values lie below 0.05; 200 trials allow 1 % to 11 %."""
    rng = np.random.default_rng(11)
    plan, clusters, below = Bootstrap(replicates=200), [str(row) for row in range(60)], 0
    for _ in range(200):
        right = rng.integers(0, 2, size=(2, 60))
        first, second = (np.stack([row, 1 - row, 1 - row], axis=-1)[:, None, :] for row in right)
        below += paired_difference(first, second, micro_f1, clusters=clusters, plan=plan).p_value < 0.05
    assert 2 <= below <= 22


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"), [(199, 200, 0.9722, 0.9991), (0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634)]
)
def test_wilson_matches_published_values(successes, trials, low, high):
    assert wilson(successes, trials, level=0.95) == pytest.approx((low, high), abs=5e-4)


@settings(max_examples=200, deadline=None)
@given(trials=st.integers(1, 5_000), data=st.data(), level=st.floats(0.5, 0.999))
def test_wilson_ends_are_where_the_score_test_turns(trials, data, level):
    successes = data.draw(st.integers(0, trials))
    low, high = wilson(successes, trials, level=level)
    assert 0 <= low <= successes / trials <= high <= 1
    mirrored = wilson(trials - successes, trials, level=level)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-9)
    wider = wilson(successes, trials, level=(1 + level) / 2)
    assert wider[0] <= low <= high <= wider[1]


def test_wilson_without_trials_knows_nothing():
    assert wilson(0, 0, level=0.95) == (0.0, 1.0)
    with pytest.raises(DataError, match="3 successes of 2 trials"):
        wilson(3, 2, level=0.95)


def test_plans_and_shapes_out_of_range_are_refused():
    with pytest.raises(RecipeError, match="0 bootstrap replicates"):
        Bootstrap(replicates=0)
    with pytest.raises(RecipeError, match="interval level 95"):
        Bootstrap(level=95)
    with pytest.raises(DataError, match="1 documents for 2 examples"):
        resample(np.zeros((2, 1, 3)), ["a"], plan=PLAN)
    with pytest.raises(DataError, match="0 documents for 0 examples"):
        resample(np.zeros((0, 1, 3)), [], plan=PLAN)
    with pytest.raises(DataError, match="paired test"):
        paired_difference(np.zeros((2, 1, 3)), np.zeros((3, 1, 3)), micro_f1, clusters=["a", "b"], plan=PLAN)
