"""Scores of several labels equal scikit-learn's, slow second implementations, and those of one label where each text has one."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fintune.errors import DataError
from fintune.metrics import label_report, several_report
from fintune.metrics.intervals import Bootstrap
from fintune.metrics.several import best_margin, brier, certainty, log_loss, ranking_precision, truths
from fintune.metrics.several_report import Judged, judged, metrics

PLAN = Bootstrap(replicates=30)
LABELS = ("A", "B", "C")
SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 4))


@st.composite
def systems(draw: st.DrawFn) -> Judged:
    """Gold, decisions and probabilities of a few values, so that there are ties, and now and then nothing of a label."""
    rows, columns = draw(SHAPES)
    cells = st.lists(st.lists(st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]), min_size=columns, max_size=columns), min_size=rows, max_size=rows)
    gold = np.array(draw(cells)) > 0.4
    chances = np.array(draw(cells))
    return Judged(gold, chances > draw(st.sampled_from([0.1, 0.5])), np.ones(rows, dtype=bool), chances)


def values(system: Judged) -> dict[str, float]:
    clusters = [str(n) for n in range(len(system.gold))]
    return {name: entry["value"] for name, entry in metrics(system, clusters=clusters, plan=PLAN).items()}


@settings(max_examples=50, deadline=None)
@given(systems())
def test_scores_equal_scikit_learns(system: Judged) -> None:
    theirs = pytest.importorskip("sklearn.metrics")
    found, gold, given_ = values(system), system.gold.astype(int), system.given.astype(int)
    if gold.shape[1] > 1:  # it takes a single column for classes
        assert found["accuracy"] == pytest.approx(theirs.accuracy_score(gold, given_))
        assert found["hamming_loss"] == pytest.approx(theirs.hamming_loss(gold, given_))
        for name in ("f1", "precision", "recall"):
            score = getattr(theirs, f"{name}_score")
            assert found[f"micro_{name}"] == pytest.approx(score(gold, given_, average="micro", zero_division=0))
        assert found["weighted_f1"] == pytest.approx(theirs.f1_score(gold, given_, average="weighted", zero_division=0))
        each = theirs.f1_score(gold, given_, average=None, zero_division=0)
        present = gold.any(axis=0)
        assert found["macro_f1"] == pytest.approx(each[present].mean() if present.any() else 0.0), "of labels that have gold"
        assert found["ranking_precision"] == pytest.approx(theirs.label_ranking_average_precision_score(gold, system.probabilities))
    columns = zip(gold.T, system.probabilities.T, strict=True)
    assert found["brier"] == pytest.approx(np.mean([theirs.brier_score_loss(own, chances, pos_label=1) for own, chances in columns]))


@settings(max_examples=150, deadline=None)
@given(systems())
def test_scores_of_probabilities_equal_the_definitions(system: Judged) -> None:
    chances = system.probabilities
    assert chances is not None
    for row in range(len(chances)):
        pairs = list(zip(chances[row].tolist(), system.gold[row].tolist(), strict=True))
        assert brier(chances, system.gold)[row] == pytest.approx(np.mean([(p - g) ** 2 for p, g in pairs]))
        assert log_loss(chances, system.gold)[row] == pytest.approx(np.mean([-math.log(max(p if g else 1 - p, 1e-15)) for p, g in pairs]))
        own = [p for p, g in pairs if g]
        shares = [sum(q >= p for q in own) / sum(q >= p for q, _ in pairs) for p in own]
        assert ranking_precision(chances, system.gold)[row] == pytest.approx(np.mean(shares) if own else 1.0)
    sure = certainty(chances, system.given)
    assert np.array_equal(sure, np.where(system.given, chances, 1 - chances))


@settings(max_examples=200, deadline=None)
@given(systems())
def test_no_line_between_two_scores_gives_a_higher_f1(system: Judged) -> None:
    assert system.probabilities is not None
    scores = system.probabilities * 8 - 4
    margin = best_margin(scores, system.gold)
    if not system.gold.any():
        assert margin == 0.0
        return
    seen = sorted(set(scores.ravel().tolist()))
    assert margin not in seen, "strictly between two scores"
    lines = [seen[0] - 1, *((low + high) / 2 for low, high in itertools.pairwise(seen))]

    def f1(line: float) -> float:
        given_ = scores > line
        return 2 * (given_ & system.gold).sum() / (given_.sum() + system.gold.sum())

    assert f1(margin) == pytest.approx(max(map(f1, lines)))
    best = [line for line in lines if f1(line) == pytest.approx(f1(margin))]
    assert abs(margin) == pytest.approx(min(map(abs, best))), "of equally good ones that nearest to 0"


def test_neighbouring_floats_are_told_apart() -> None:
    low = 1.0
    high = np.nextafter(low, 2.0)
    margin = best_margin(np.array([[low], [high]]), np.array([[False], [True]]))
    assert low <= margin < high


@given(st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1, max_size=12))
def test_of_one_label_a_text_the_scores_are_those_of_one_label(rows: list[tuple[str, str]]) -> None:
    clusters = [str(n // 2) for n in range(len(rows))]
    gold, found = zip(*rows, strict=True)
    one = label_report.metrics(label_report.judged(gold, found, labels=LABELS), labels=3, clusters=clusters, plan=PLAN)
    several = metrics(judged([(g,) for g in gold], [(f,) for f in found], labels=LABELS), clusters=clusters, plan=PLAN)
    for name in ("accuracy", "macro_f1", "weighted_f1"):
        assert several[name] == pytest.approx(one[name])
    assert several["micro_f1"] == pytest.approx(one["accuracy"])
    assert several["hamming_loss"]["value"] == pytest.approx(2 / 3 * (1 - one["accuracy"]["value"]))


def test_labels_outside_the_set_are_refused() -> None:
    assert truths([("B", "A"), ()], labels=LABELS).tolist() == [[True, True, False], [False, False, False]]
    with pytest.raises(DataError, match="unknown label 'a'"):
        truths([("a",)], labels=LABELS)


@settings(max_examples=60, deadline=None)
@given(systems())
def test_calibration_is_that_of_all_decisions(system: Judged) -> None:
    from fintune.metrics.calibration import error, members, sums

    assert system.probabilities is not None
    sure, right = certainty(system.probabilities, system.given).ravel(), system.decided.ravel()
    assert values(system)["ece"] == pytest.approx(float(error(sums(sure, right, members(sure)).sum(axis=0))))
    labels = [f"L{n}" for n in range(system.gold.shape[1])]
    report = several_report.build(system, task="t", labels=labels, clusters=["d"] * len(system.gold), floors={"same": system}, plan=PLAN)
    assert sum(one["count"] for one in report["calibration"]["bins"]) == system.gold.size
    assert report["floors"]["same"] == report["metrics"]
    assert report["selective"]["error"] == pytest.approx(1 - report["metrics"]["accuracy"]["value"])
    for label, column in zip(labels, range(system.gold.shape[1]), strict=True):
        assert report["per_label"][label]["support"] == system.gold[:, column].sum()
        assert report["per_label"][label]["predicted"] == system.given[:, column].sum()
