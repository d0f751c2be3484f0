"""Randomisation, McNemar and Holm equal what they mean: all swaps tried one by one, coins counted, every subset of claims corrected."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fintune.errors import DataError
from fintune.metrics.intervals import Bootstrap
from fintune.metrics.significance import holm, mcnemar, randomisation
from fintune.metrics.spans import f1, macro, micro

STATISTICS = {"micro": lambda totals: micro(f1, totals), "macro": lambda totals: macro(f1, totals)}
EXACT = Bootstrap(replicates=1 << 10)


def accuracy(totals: np.ndarray) -> np.ndarray:
    return totals[..., 0, 0] / np.maximum(1, totals[..., 0, :].sum(axis=-1))


@st.composite
def compared(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Counts `(examples, 2, 3)` of two systems with the same gold, and the documents."""
    size = draw(st.integers(1, 8))
    gold = draw(st.lists(st.integers(0, 3), min_size=2 * size, max_size=2 * size))
    systems = []
    for _ in range(2):
        found = [draw(st.integers(0, many)) for many in gold]
        spurious = draw(st.lists(st.integers(0, 2), min_size=2 * size, max_size=2 * size))
        cells = [[hit, wrong, many - hit] for hit, wrong, many in zip(found, spurious, gold, strict=True)]
        systems.append(np.array(cells, dtype=np.int64).reshape(size, 2, 3))
    documents = draw(st.lists(st.sampled_from("wxyz"), min_size=size, max_size=size))
    return systems[0], systems[1], documents


def by_hand(first: np.ndarray, second: np.ndarray, documents: list[str], statistic) -> float:
    """The share of all swappings of documents that make as large a difference, one after the other."""
    names = sorted(set(documents))
    actual = abs(statistic(first.sum(axis=0)) - statistic(second.sum(axis=0)))
    reached = 0
    for swapped in itertools.product([False, True], repeat=len(names)):
        chosen = dict(zip(names, swapped, strict=True))
        totals = np.zeros((2, *first.shape[1:]))
        for one, two, document in zip(first, second, documents, strict=True):
            totals += np.stack([two, one] if chosen[document] else [one, two])
        reached += abs(statistic(totals[0]) - statistic(totals[1])) >= actual - 1e-9
    return reached / 2 ** len(names)


@settings(max_examples=60, deadline=None)
@given(case=compared())
def test_few_documents_are_swapped_in_every_way(case):
    first, second, documents = case
    found = randomisation(first, second, STATISTICS, clusters=documents, plan=EXACT)
    assert found.exact
    for name, statistic in STATISTICS.items():
        assert found.p_values[name] == pytest.approx(by_hand(first, second, documents, statistic))


@settings(max_examples=30, deadline=None)
@given(case=compared(), order=st.randoms(use_true_random=False), replicates=st.sampled_from([1, 40, 1 << 10]))
def test_the_order_of_examples_and_systems_does_not_matter(case, order, replicates):
    first, second, documents = case
    plan, rows = Bootstrap(replicates=replicates), list(range(len(documents)))
    order.shuffle(rows)
    found = randomisation(first, second, STATISTICS, clusters=documents, plan=plan)
    shuffled = randomisation(first[rows], second[rows], STATISTICS, clusters=[documents[row] for row in rows], plan=plan)
    assert found == shuffled == randomisation(second, first, STATISTICS, clusters=documents, plan=plan)
    assert all(0 < p <= 1 for p in found.p_values.values())


def test_drawn_swaps_come_near_all_swaps():
    random = np.random.default_rng(3)
    right = (random.random((2, 60)) < [[0.9], [0.75]]).astype(int)
    first, second = (np.stack([row, 1 - row, 1 - row], axis=-1)[:, None] for row in right)
    clusters = [str(row) for row in range(60)]
    found = randomisation(first, second, {"a": accuracy}, clusters=clusters, plan=Bootstrap(replicates=4000, seed=5))
    truth = mcnemar(int((right[0] > right[1]).sum()), int((right[1] > right[0]).sum()))
    assert not found.exact
    assert 0.01 < truth < 0.5
    assert found.p_values["a"] == pytest.approx(truth, abs=4 * math.sqrt(truth * (1 - truth) / 4000))


@settings(max_examples=60, deadline=None)
@given(both=st.integers(0, 3), first=st.integers(0, 5), second=st.integers(0, 5))
def test_mcnemar_is_the_randomisation_of_single_examples(both, first, second):
    right = np.array([[1] * both + [1] * first + [0] * second, [1] * both + [0] * first + [1] * second])
    if not right.shape[1]:
        return
    one, two = (np.stack([row, 1 - row, 1 - row], axis=-1)[:, None] for row in right)
    clusters = [str(row) for row in range(right.shape[1])]
    found = randomisation(one, two, {"a": lambda totals: totals[..., 0, 0]}, clusters=clusters, plan=EXACT)
    assert found.p_values["a"] == pytest.approx(mcnemar(first, second))


@settings(max_examples=100, deadline=None)
@given(first=st.integers(0, 400), second=st.integers(0, 400))
def test_mcnemar_equals_the_binomial_test(first, second):
    stats = pytest.importorskip("scipy.stats")
    known = stats.binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(known, rel=1e-9)
    assert mcnemar(first, second) == mcnemar(second, first)


def test_mcnemar_holds_for_very_many_coins():
    assert mcnemar(0, 5000) == 0.0 or mcnemar(0, 5000) < 1e-300
    assert mcnemar(5000, 5000) == 1.0
    assert mcnemar(4900, 5100) == pytest.approx(0.0466, abs=5e-4)  # normal with continuity: 2 (1 - Phi(1.99))


@settings(max_examples=100, deadline=None)
@given(p_values=st.lists(st.floats(0, 1), min_size=1, max_size=7))
def test_holm_is_bonferroni_over_every_set_of_claims(p_values):
    """Closed testing (Marcus, Peritz and Gabriel 1976): a claim stands where every set of claims with it is rejected."""
    numbers = range(len(p_values))
    for index, adjusted in enumerate(holm(p_values)):
        sets = [s for size in range(1, len(p_values) + 1) for s in itertools.combinations(numbers, size) if index in s]
        worst = max(len(s) * min(p_values[member] for member in s) for s in sets)
        assert adjusted == pytest.approx(min(1.0, worst))


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.2]) == [0.2]


def test_systems_on_other_examples_are_refused():
    with pytest.raises(DataError, match="same examples"):
        randomisation(np.zeros((2, 1, 3)), np.zeros((3, 1, 3)), STATISTICS, clusters=["a", "b"], plan=EXACT)
    with pytest.raises(DataError, match="in 1 documents"):
        randomisation(np.zeros((2, 1, 3)), np.zeros((2, 1, 3)), STATISTICS, clusters=["a"], plan=EXACT)
