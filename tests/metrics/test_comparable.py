"""What comparisons count gives the very scores of the reports, and points that add up to them where they should."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fintune.metrics import answer_report, label_report, report, several_report
from fintune.metrics.answer_report import AnswerPair
from fintune.metrics.comparable import (
    count_answers,
    count_labels,
    count_sets,
    count_spans,
    of_answers,
    of_labels,
    of_sets,
    of_spans,
)
from fintune.metrics.intervals import Bootstrap
from fintune.metrics.spans import SpanPair
from fintune.records import Span

LABELS = ("a", "b", "c")
PLAN = Bootstrap(replicates=2)
TEXT = "one two three four five six"


def spans(draw: random.Random) -> tuple[Span, ...]:
    return tuple(Span(4 * place, 4 * place + 3, draw.choice(LABELS)) for place in range(6) if draw.random() < 0.4)


def span_pairs(draw: random.Random, count: int) -> list[SpanPair]:
    return [SpanPair(TEXT, spans(draw), spans(draw), (("a", "x"),) * draw.randint(0, 1)) for _ in range(count)]


def label_set(draw: random.Random) -> tuple[str, ...]:
    return tuple(label for label in LABELS if draw.random() < 0.4)


def answer_pairs(draw: random.Random, count: int) -> list[AnswerPair]:
    said = ("12", "12.5%", "yes", "the red house", "a red barn", None)
    pairs = []
    for _ in range(count):
        gold = draw.choice(said)
        pairs.append(AnswerPair(draw.choice(said), () if gold is None else (gold,), malformed=draw.random() < 0.1))
    return pairs


@settings(max_examples=40, deadline=None)
@given(draw=st.randoms(use_true_random=False), count=st.integers(1, 12))
def test_scores_of_spans_are_those_of_the_report(draw, count):
    pairs = span_pairs(draw, count)
    known = report.build(
        pairs, task="t", labels=LABELS, clusters=[str(n) for n in range(count)], malformed=0, floors={}, plan=PLAN,
    )  # fmt: skip
    yardstick, counts = of_spans(LABELS), count_spans(pairs, labels=LABELS)
    for name, score in yardstick.scores.items():
        assert float(score.statistic(counts.sum(axis=0))) == known["metrics"][name]["value"]
    groups, support = yardstick.groups(counts.sum(axis=0)), yardstick.support(counts.sum(axis=0))
    for at, label in enumerate(yardstick.names):
        assert (float(groups[at]), int(support[at])) == (known["per_label"][label]["f1"]["value"], known["per_label"][label]["support"])


@settings(max_examples=40, deadline=None)
@given(draw=st.randoms(use_true_random=False), count=st.integers(1, 12))
def test_scores_of_labels_are_those_of_the_report(draw, count):
    gold = [draw.choice(LABELS) for _ in range(count)]
    given_ = [draw.choice([*LABELS, None]) for _ in range(count)]
    judged = label_report.judged(gold, given_, labels=LABELS)
    known = label_report.build(judged, task="t", labels=LABELS, clusters=[str(n) for n in range(count)], floors={}, plan=PLAN)
    yardstick, counts = of_labels(LABELS), count_labels(gold, given_, labels=LABELS)
    for name, score in yardstick.scores.items():
        assert float(score.statistic(counts.sum(axis=0))) == pytest.approx(known["metrics"][name]["value"], abs=1e-12)
        assert score.least <= known["metrics"][name]["value"] <= 1
    assert yardstick.groups(counts.sum(axis=0)).tolist() == [known["per_label"][label]["f1"]["value"] for label in LABELS]
    assert yardstick.support(counts.sum(axis=0)).tolist() == [gold.count(label) for label in LABELS]


@settings(max_examples=40, deadline=None)
@given(draw=st.randoms(use_true_random=False), count=st.integers(1, 12))
def test_scores_of_several_labels_are_those_of_the_report(draw, count):
    gold = [label_set(draw) for _ in range(count)]
    given_ = [None if draw.random() < 0.1 else label_set(draw) for _ in range(count)]
    judged = several_report.judged(gold, given_, labels=LABELS)
    known = several_report.metrics(judged, clusters=[str(n) for n in range(count)], plan=PLAN)
    yardstick, counts = of_sets(LABELS), count_sets(gold, given_, labels=LABELS)
    for name, score in yardstick.scores.items():
        assert float(score.statistic(counts.sum(axis=0))) == pytest.approx(known[name]["value"], abs=1e-12)
    assert yardstick.support(counts.sum(axis=0)).tolist() == [sum(label in names for names in gold) for label in LABELS]
    errors = [len(set(one) ^ set(other or ())) for one, other in zip(gold, given_, strict=True)]
    assert (-yardstick.scores["micro_f1"].points(counts)).tolist() == errors


@settings(max_examples=40, deadline=None)
@given(draw=st.randoms(use_true_random=False), count=st.integers(1, 12))
def test_scores_of_answers_are_those_of_the_report(draw, count):
    pairs = answer_pairs(draw, count)
    known = answer_report.build(pairs, task="t", clusters=[str(n) for n in range(count)], floors={}, plan=PLAN)
    yardstick, counts = of_answers(), count_answers(pairs)
    for name, score in yardstick.scores.items():
        assert float(score.statistic(counts.sum(axis=0))) == pytest.approx(known["metrics"][name]["value"], abs=1e-12)
        assert score.points(counts).mean() == pytest.approx(known["metrics"][name]["value"], abs=1e-12)
    totals = counts.sum(axis=0)
    found = {name: n for name, n in zip(yardstick.names, yardstick.support(totals), strict=True) if n}
    assert found == {name: row["support"] for name, row in known["per_label"].items()}
    rates = dict(zip(yardstick.names, yardstick.groups(totals), strict=True))
    assert {name: rates[name] for name in found} == pytest.approx({n: r["answer_accuracy"]["value"] for n, r in known["per_label"].items()})


def test_points_of_spans_are_the_errors_not_made():
    draw = random.Random(3)
    pairs = span_pairs(draw, 30)
    counts = count_spans(pairs, labels=LABELS)
    errors = [len(set(p.gold) ^ set(p.predicted)) for p in pairs]  # equal spans apart, every span of either side is an error
    assert (-of_spans(LABELS).scores["micro_f1"].points(counts)).tolist() == errors


def test_shares_are_means_of_zeros_and_ones():
    draw = random.Random(4)
    gold, given_ = ([draw.choice(LABELS) for _ in range(40)] for _ in range(2))
    cases = (
        (of_labels(LABELS), count_labels(gold, given_, labels=LABELS)),
        (of_sets(LABELS), count_sets([label_set(draw) for _ in range(40)], [label_set(draw) for _ in range(40)], labels=LABELS)),
        (of_answers(), count_answers(answer_pairs(draw, 40))),
        (of_spans(LABELS), count_spans(span_pairs(draw, 40), labels=LABELS)),
    )
    shares = {name for yardstick, _ in cases for name, score in yardstick.scores.items() if score.shares}
    assert shares == {"accuracy", "answer_accuracy", "rounded_accuracy", "exact_match"}
    for yardstick, counts in cases:
        for score in yardstick.scores.values():
            if score.shares:
                points = score.points(counts)
                assert set(points.tolist()) <= {0.0, 1.0}
                assert points.mean() == pytest.approx(float(score.statistic(counts.sum(axis=0))))
        assert set(yardstick.shown) <= set(yardstick.scores)


def test_statistics_take_any_leading_axes():
    draw = random.Random(5)
    cases = (
        (of_spans(LABELS), count_spans(span_pairs(draw, 9), labels=LABELS)),
        (of_answers(), count_answers(answer_pairs(draw, 9))),
    )
    for yardstick, counts in cases:
        stacked = np.stack([counts[:5].sum(axis=0), counts[5:].sum(axis=0)])
        for score in yardstick.scores.values():
            assert score.statistic(stacked).tolist() == [float(score.statistic(totals)) for totals in stacked]
