"""Scores of labels equal slow ones written from their definitions, and those of scikit-learn where it is installed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fintune.errors import DataError
from fintune.metrics.intervals import Bootstrap, resample
from fintune.metrics.labels import LEAST, SCORES, brier, confusion, count, ids_of, log_loss

LABELS = ("a", "b", "c", "d")
GOLD = st.sampled_from(LABELS)
PAIRS = st.lists(st.tuples(GOLD, GOLD | st.none()), min_size=1, max_size=30)


def scores_of(pairs: list[tuple[str, str | None]], labels: tuple[str, ...] = LABELS) -> dict[str, float]:
    gold, predicted = ids_of([g for g, _ in pairs], labels=labels), ids_of([p for _, p in pairs], labels=labels)
    totals = count(gold, predicted, labels=len(labels)).sum(axis=0)
    return {name: float(score(totals)) for name, score in SCORES.items()}


def slow_f1(pairs: list[tuple[str, str | None]], label: str) -> float:
    both = sum(g == p == label for g, p in pairs)
    given_ = sum(p == label for _, p in pairs)
    there = sum(g == label for g, _ in pairs)
    precision, recall = (both / given_ if given_ else 0.0), (both / there if there else 0.0)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def slow_mcc(pairs: list[tuple[str, str | None]]) -> float:
    """The correlation of the two indicator matrices, with a column for what could not be read (Gorodkin 2004, equation 3)."""
    columns = (*LABELS, None)
    x = np.array([[float(p == c) for c in columns] for _, p in pairs])
    y = np.array([[float(g == c) for c in columns] for g, _ in pairs])

    def covariance(one: np.ndarray, two: np.ndarray) -> float:
        return float(((one - one.mean(axis=0)) * (two - two.mean(axis=0))).sum())

    spread = covariance(x, x) * covariance(y, y)
    return covariance(x, y) / math.sqrt(spread) if spread > 1e-12 else 0.0


@settings(max_examples=150, deadline=None)
@given(PAIRS)
def test_scores_equal_their_definitions(pairs):
    found = scores_of(pairs)
    there = [label for label in LABELS if any(g == label for g, _ in pairs)]
    support = {label: sum(g == label for g, _ in pairs) for label in there}
    recall = {label: sum(g == p == label for g, p in pairs) / support[label] for label in there}
    assert found["accuracy"] == pytest.approx(sum(g == p for g, p in pairs) / len(pairs))
    assert found["balanced_accuracy"] == pytest.approx(sum(recall.values()) / len(there))
    assert found["macro_f1"] == pytest.approx(sum(slow_f1(pairs, label) for label in there) / len(there))
    assert found["weighted_f1"] == pytest.approx(sum(slow_f1(pairs, label) * support[label] for label in there) / len(pairs))
    assert found["mcc"] == pytest.approx(slow_mcc(pairs), abs=1e-9)


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_scores_equal_those_of_scikit_learn(pairs):
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    gold, predicted = [g for g, _ in pairs], [p or "unread" for _, p in pairs]
    there = sorted(set(gold))
    found = scores_of(pairs)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(gold, predicted))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(gold, predicted, labels=there, average="macro", zero_division=0))
    assert found["weighted_f1"] == pytest.approx(metrics.f1_score(gold, predicted, labels=there, average="weighted", zero_division=0))
    assert found["balanced_accuracy"] == pytest.approx(metrics.recall_score(gold, predicted, labels=there, average="macro"))
    assert found["mcc"] == pytest.approx(metrics.matthews_corrcoef(gold, predicted), abs=1e-9)


@settings(max_examples=80, deadline=None)
@given(PAIRS, st.permutations(LABELS), st.randoms(use_true_random=False))
def test_the_order_of_labels_and_examples_does_not_matter(pairs, labels, draw):
    shuffled = list(pairs)
    draw.shuffle(shuffled)
    assert scores_of(shuffled, tuple(labels)) == pytest.approx(scores_of(pairs), abs=1e-12)


@settings(max_examples=80, deadline=None)
@given(PAIRS)
def test_what_could_not_be_read_is_wrong_and_no_labels_false_positive(pairs):
    gold, predicted = ids_of([g for g, _ in pairs], labels=LABELS), ids_of([p for _, p in pairs], labels=LABELS)
    totals = count(gold, predicted, labels=4).sum(axis=0)
    unread = sum(p is None for _, p in pairs)
    assert totals[:, 0].sum() + totals[:, 2].sum() == len(pairs)
    assert totals[:, 0].sum() + totals[:, 1].sum() == len(pairs) - unread
    matrix = confusion(gold, predicted, labels=4)
    assert matrix[:, -1].sum() == unread
    assert matrix[-1].sum() == 0
    assert matrix.sum() == len(pairs)
    assert np.array_equal(np.diagonal(matrix)[:-1], totals[:, 0])
    assert np.array_equal(matrix.sum(axis=0)[:-1], totals[:, 0] + totals[:, 1])


def test_one_label_everywhere_correlates_with_nothing():
    assert scores_of([("a", "a"), ("b", "a"), ("c", "a")])["mcc"] == 0.0
    assert scores_of([("a", "a"), ("a", "b")])["mcc"] == 0.0
    assert scores_of([("a", "a"), ("b", "b"), ("c", "c")]) == pytest.approx(dict.fromkeys(SCORES, 1.0))


def test_scores_of_replicates_are_those_of_the_resampled_examples():
    pairs = [("a", "a"), ("b", "a"), ("b", "b"), ("c", None), ("d", "d"), ("a", "c")]
    gold, predicted = ids_of([g for g, _ in pairs], labels=LABELS), ids_of([p for _, p in pairs], labels=LABELS)
    counts = count(gold, predicted, labels=4)
    clusters = ["x", "x", "y", "y", "z", "z"]
    replicates = resample(counts, clusters, plan=Bootstrap(replicates=20))
    for name, score in SCORES.items():
        assert score(replicates) == pytest.approx(np.array([float(SCORES[name](totals)) for totals in replicates]))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.lists(st.integers(0, 9), min_size=3, max_size=3).filter(any), st.integers(0, 2)), min_size=1, max_size=12))
def test_scores_of_probabilities_equal_their_definitions(rows):
    probabilities = np.array([np.array(row) / sum(row) for row, _ in rows])
    gold = np.array([label for _, label in rows])
    slow_loss = [-math.log(max(p[g], LEAST)) for p, g in zip(probabilities.tolist(), gold, strict=True)]
    slow_brier = [sum((p[k] - (k == g)) ** 2 for k in range(3)) for p, g in zip(probabilities.tolist(), gold, strict=True)]
    assert log_loss(probabilities, gold) == pytest.approx(np.array(slow_loss))
    assert brier(probabilities, gold) == pytest.approx(np.array(slow_brier))
    assert np.isfinite(log_loss(probabilities, gold)).all()
    assert ((brier(probabilities, gold) >= 0) & (brier(probabilities, gold) <= 2)).all()


def test_labels_outside_the_set_are_refused_with_the_nearest():
    with pytest.raises(DataError, match=r"unknown label 'positiv' .*did you mean 'positive'"):
        ids_of(["positiv"], labels=("negative", "positive"))
