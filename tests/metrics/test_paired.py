"""Differences of systems equal drawing and rescoring one by one, keep their signs, and know what seeds change."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fintune.errors import DataError
from fintune.metrics import paired
from fintune.metrics.comparable import of_labels
from fintune.metrics.intervals import Bootstrap, _weights, paired_difference
from fintune.metrics.labels import count
from fintune.metrics.paired import difference, group_differences, level_of, minimum_detectable, score_runs, wins
from fintune.metrics.seeds import Scored

LABELS = ("a", "b", "c")
YARDSTICK = of_labels(LABELS)
NAMES = ("accuracy", "macro_f1", "mcc")
PLAN = Bootstrap(replicates=40, seed=2)


def counts_of(random: np.random.Generator, gold: np.ndarray, *, skill: float) -> np.ndarray:
    """Counts `(examples, labels, 3)` of a system that is right so often."""
    other = random.integers(0, len(LABELS), size=len(gold))
    return count(gold, np.where(random.random(len(gold)) < skill, gold, other), labels=len(LABELS))


def made(seed: int, *, size: int = 30, skills: tuple[float, ...] = (0.8, 0.6)) -> tuple[list[np.ndarray], list[str]]:
    random = np.random.default_rng(seed)
    gold = random.integers(0, len(LABELS), size=size)
    return [counts_of(random, gold, skill=skill) for skill in skills], [f"d{number}" for number in random.integers(0, size // 2, size=size)]


def one(scored: Scored, at: int) -> Scored:
    return scored.of(slice(at, at + 1))


@pytest.mark.parametrize("seed", range(3))
def test_replicates_equal_drawing_and_rescoring_one_by_one(seed):
    runs, clusters = made(seed)
    scored, groups = score_runs(runs, YARDSTICK, NAMES, clusters=clusters, plan=PLAN)
    names = sorted(set(clusters))
    weights = _weights(np.random.default_rng(PLAN.seed), rows=PLAN.replicates, size=len(names))
    for replicate, drawn in enumerate(weights):
        times = dict(zip(names, drawn.astype(int), strict=True))
        rows = [row for row, document in enumerate(clusters) for _ in range(times[document])]
        for at, counts in enumerate(runs):
            totals = sum(counts[row] for row in rows)
            for name in NAMES:
                assert scored[name].replicates[replicate, at] == pytest.approx(float(YARDSTICK.scores[name].statistic(totals)))
            assert groups.replicates[replicate, at] == pytest.approx(YARDSTICK.groups(totals))
    for name in NAMES:
        found = difference(one(scored[name], 0), one(scored[name], 1), plan=PLAN)
        gaps = scored[name].replicates[:, 0] - scored[name].replicates[:, 1]
        assert (found.low, found.high) == pytest.approx(tuple(np.quantile(gaps, [0.025, 0.975])))
        assert found.se == found.se_examples == pytest.approx(float(gaps.std(ddof=1)))
        assert found.se_seeds is None


@pytest.mark.parametrize("name", NAMES)
def test_a_difference_is_that_of_the_paired_test_of_two_systems(name):
    runs, clusters = made(7)
    scored, _ = score_runs(runs, YARDSTICK, [name], clusters=clusters, plan=PLAN)
    found = difference(one(scored[name], 0), one(scored[name], 1), plan=PLAN)
    known = paired_difference(*runs, YARDSTICK.scores[name].statistic, clusters=clusters, plan=PLAN)
    assert (found.value, found.low, found.high, found.p_value) == (known.value, known.low, known.high, known.p_value)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 99), first=st.integers(1, 3), second=st.integers(1, 3), order=st.randoms(use_true_random=False))
def test_swapping_negates_and_order_does_not_matter(seed, first, second, order):
    runs, clusters = made(seed, skills=(0.8,) * first + (0.6,) * second)
    rows = list(range(len(clusters)))
    order.shuffle(rows)
    shuffled = [counts[rows] for counts in runs], [clusters[row] for row in rows]
    scored = score_runs(runs, YARDSTICK, NAMES, clusters=clusters, plan=PLAN)[0]["macro_f1"]
    again = score_runs(shuffled[0], YARDSTICK, NAMES, clusters=shuffled[1], plan=PLAN)[0]["macro_f1"]
    parts = slice(0, first), slice(first, None)
    there, back = (difference(scored.of(a), scored.of(b), plan=PLAN) for a, b in (parts, parts[::-1]))
    assert difference(*(again.of(part) for part in parts), plan=PLAN) == there
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low), abs=1e-12)
    assert (there.p_value, there.se, there.se_seeds) == (back.p_value, pytest.approx(back.se), back.se_seeds)
    assert there.low <= there.high
    assert there.se >= there.se_examples - 1e-12


def test_a_system_does_not_differ_from_itself():
    runs, clusters = made(3)
    scored, groups = score_runs([runs[0], runs[0]], YARDSTICK, NAMES, clusters=clusters, plan=PLAN)
    for name in NAMES:
        found = difference(one(scored[name], 0), one(scored[name], 1), plan=PLAN)
        assert (found.value, found.low, found.high, found.se, found.p_value) == (0.0, 0.0, 0.0, 0.0, 1.0)
    assert all(found.value == 0 for found in group_differences(one(groups, 0), one(groups, 1), plan=PLAN))


def test_group_differences_are_differences_of_each_group():
    runs, clusters = made(4, skills=(0.8, 0.7, 0.6))
    _, groups = score_runs(runs, YARDSTICK, NAMES, clusters=clusters, plan=PLAN)
    first, second = groups.of(slice(0, 2)), groups.of(slice(2, 3))
    for at, found in enumerate(group_differences(first, second, plan=PLAN)):
        alone = [Scored(part.values[:, at], part.replicates[..., at]) for part in (first, second)]
        assert found == difference(*alone, plan=PLAN)


def test_cutting_the_runs_into_blocks_changes_nothing(monkeypatch):
    runs, clusters = made(5, skills=(0.8, 0.7, 0.6))
    whole = score_runs(runs, YARDSTICK, NAMES, clusters=clusters, plan=PLAN)
    monkeypatch.setattr(paired, "_BYTES", 1)
    cut = score_runs(runs, YARDSTICK, NAMES, clusters=clusters, plan=PLAN)
    assert np.array_equal(whole[1].replicates, cut[1].replicates)
    assert all(np.array_equal(whole[0][name].replicates, cut[0][name].replicates) for name in NAMES)


def spread_runs(values: tuple[float, ...], *, noise: float, seed: int = 0) -> Scored:
    """Runs with these scores and replicates of the documents around them, the same for all."""
    drawn = np.random.default_rng(seed).normal(0, noise, size=(4000, 1))
    return Scored(np.array(values), np.array(values) + drawn)


def test_seeds_alone_give_the_interval_of_the_t_test():
    stats = pytest.importorskip("scipy.stats")
    first, second = spread_runs((0.81, 0.84, 0.86), noise=0), spread_runs((0.79, 0.80, 0.83), noise=0)
    plan = Bootstrap(replicates=4000)
    found = difference(first, second, plan=plan)
    known = stats.ttest_ind(first.values, second.values)
    interval = known.confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(interval.low, abs=0.006), pytest.approx(interval.high, abs=0.006))
    assert found.p_value == pytest.approx(known.pvalue, abs=0.03)
    assert found.se == found.se_seeds == pytest.approx(float((first.values.mean() - second.values.mean()) / known.statistic))
    level = level_of(first, pooled=[first], plan=plan)
    assert level.se == pytest.approx(float(stats.sem(first.values)))


def test_documents_and_seeds_add_up():
    first, second = spread_runs((0.81, 0.85), noise=0.02, seed=1), spread_runs((0.70, 0.73), noise=0.02, seed=2)
    found = difference(first, second, plan=Bootstrap(replicates=4000))
    assert found.se == pytest.approx(math.hypot(found.se_examples, found.se_seeds))
    assert found.high - found.low > 2 * 1.96 * found.se_examples


def test_what_seeds_and_documents_share_counts_once():
    random = np.random.default_rng(5)
    own = random.normal(0, 0.03, size=(2, 4000, 3))  # each run has documents of its own: nothing but what the two share
    first, second = (Scored(0.8 + gap, 0.8 + gap + noise) for gap, noise in zip(random.normal(0, 0.03, size=(2, 3)), own, strict=True))
    found = difference(first, second, plan=Bootstrap(replicates=4000))
    assert found.se < 0.8 * math.hypot(found.se_examples, found.se_seeds)
    assert found.se == pytest.approx(max(found.se_examples, found.se_seeds), rel=0.05)


def test_runs_that_agree_by_chance_do_not_make_documents_certain():
    random = np.random.default_rng(6)
    first, second = (Scored(np.array([0.8, 0.8]), 0.8 + random.normal(0, 0.03, size=(4000, 2))) for _ in range(2))
    found = difference(first, second, plan=Bootstrap(replicates=4000))
    assert found.se_seeds == 0
    assert found.high - found.low == pytest.approx(2 * 1.96 * found.se_examples, rel=0.1)


def test_one_run_takes_the_spread_of_the_others():
    first, second = spread_runs((0.81, 0.85, 0.83), noise=0.001), spread_runs((0.70,), noise=0.001, seed=2)
    found = difference(first, second, plan=Bootstrap(replicates=4000))
    assert found.se_seeds == pytest.approx(0.02 * math.sqrt(1 / 3 + 1))
    level = level_of(second, pooled=[first, second], plan=Bootstrap(replicates=4000))
    assert level.se_seeds == pytest.approx(0.02)


def test_the_detectable_difference_is_found_as_often_as_it_says():
    """Of estimates around the detectable difference, four in five have an interval above zero."""
    random = np.random.default_rng(8)
    drawn = random.normal(0, 0.01, size=4000)
    effect = difference(Scored(np.zeros(1), drawn[:, None]), Scored(np.zeros(1), np.zeros((4000, 1))), plan=Bootstrap(4000))
    detectable = minimum_detectable(effect)
    assert detectable == pytest.approx(2.80 * effect.se, rel=0.03)
    estimates = random.normal(detectable, 0.01, size=4000)
    assert (estimates + effect.low > 0).mean() == pytest.approx(0.80, abs=0.03)
    assert minimum_detectable(effect, power=0.9) > detectable


@settings(max_examples=30, deadline=None)
@given(points=st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=20))
def test_wins_are_counted_one_by_one(points):
    first, second = (np.array([pair[at] for pair in points], dtype=float) for at in (0, 1))
    known = sum(a > b for a, b in points), sum(a < b for a, b in points), sum(a == b for a, b in points)
    assert wins(first, second) == known


def test_runs_on_other_examples_are_refused():
    with pytest.raises(DataError, match="same examples"):
        score_runs([np.zeros((2, 3, 3)), np.zeros((3, 3, 3))], YARDSTICK, NAMES, clusters=["a", "b"], plan=PLAN)
