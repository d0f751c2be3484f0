"""The counts agree with nervaluate, seqeval and the conlleval script wherever they define the same thing."""

from __future__ import annotations

import os
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fintune.metrics.spans import SpanPair, count, f1, macro, micro, precision, recall
from fintune.records import Span

LABELS = ("A", "B", "C")
ORACLES = Path(os.environ.get("FINTUNE_DATA", "../shared/data")) / "oracles"


@st.composite
def flat(draw: st.DrawFn) -> tuple[Span, ...]:
    """Spans that do not overlap each other, in order: what token tags can express."""
    cuts = sorted(draw(st.sets(st.integers(0, 14), max_size=9)))
    labels = draw(st.lists(st.sampled_from([*LABELS, None]), min_size=len(cuts), max_size=len(cuts)))
    return tuple(Span(start, end, label) for (start, end), label in zip(pairwise(cuts), labels, strict=False) if label)


pairs_of_flat = st.lists(st.tuples(flat(), flat()), min_size=1, max_size=4)


def as_pairs(cases: list[tuple[tuple[Span, ...], tuple[Span, ...]]]) -> list[SpanPair]:
    return [SpanPair("x" * 14, gold, predicted) for gold, predicted in cases]


def one_label(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    return tuple(Span(span.start, span.end, "A") for span in spans)


def nervaluate_results(cases, labels=LABELS):
    nervaluate = pytest.importorskip("nervaluate")

    def entities(spans):  # its ends are inclusive
        return [{"label": span.label, "start": span.start, "end": span.end - 1} for span in spans]

    evaluator = nervaluate.Evaluator([[{"label": "A", "start": 0, "end": 0}]], [[]], tags=list(labels), loader="dict")
    evaluator.true, evaluator.pred = (evaluator.loaders["dict"].load([entities(case[side]) for case in cases]) for side in (0, 1))
    return evaluator.evaluate()


def assert_rates(totals, result):
    assert float(precision(totals)) == pytest.approx(result.precision)
    assert float(recall(totals)) == pytest.approx(result.recall)
    assert float(f1(totals)) == pytest.approx(result.f1)


@settings(max_examples=150, deadline=None)
@given(cases=pairs_of_flat)
def test_strict_and_boundary_equal_nervaluate(cases):
    overall = nervaluate_results(cases)["overall"]
    for rule, strategy in (("strict", "strict"), ("boundary", "exact")):
        assert_rates(count(as_pairs(cases), labels=LABELS, rule=rule).sum(axis=(0, 1)), overall[strategy])


@settings(max_examples=150, deadline=None)
@given(cases=pairs_of_flat)
def test_partial_equals_nervaluate_within_each_label(cases):
    """Over all labels at once its `partial` does not look at labels, so that figure is compared with the labels wiped out."""
    totals = count(as_pairs(cases), labels=LABELS, rule="partial").sum(axis=0)
    for label, result in nervaluate_results(cases)["entities"].items():
        assert_rates(totals[LABELS.index(label)], result["partial"])
    wiped = [(one_label(gold), one_label(predicted)) for gold, predicted in cases]
    assert_rates(count(as_pairs(wiped), labels=LABELS, rule="partial").sum(axis=(0, 1)), nervaluate_results(cases)["overall"]["partial"])


@settings(max_examples=150, deadline=None)
@given(cases=pairs_of_flat)
def test_type_equals_nervaluate_within_each_label_where_the_pairing_is_not_a_choice(cases):
    """nervaluate gives a prediction the nearest gold span, which can leave a later one alone: it never finds more pairs."""
    totals = count(as_pairs(cases), labels=LABELS, rule="type").sum(axis=0)
    for label, result in nervaluate_results(cases)["entities"].items():
        mine, theirs = totals[LABELS.index(label)], result["ent_type"]
        assert mine[0] >= theirs.correct
        assert mine[0] + mine[1] == theirs.actual
        touching = [
            sum(s.label == g.label == label and s.start < g.end and g.start < s.end for s in side for g in other)
            for gold, predicted in cases
            for one, many in ((gold, predicted), (predicted, gold))
            for side, other in (((item,), many) for item in one)
        ]
        if max(touching, default=0) <= 1:
            assert_rates(mine, theirs)


@settings(max_examples=150, deadline=None)
@given(cases=pairs_of_flat)
def test_strict_equals_seqeval(cases):
    metrics = pytest.importorskip("seqeval.metrics")
    scheme = pytest.importorskip("seqeval.scheme").IOB2

    def tags(spans):
        row = ["O"] * 14
        for span in spans:
            row[span.start : span.end] = [f"B-{span.label}"] + [f"I-{span.label}"] * (span.end - span.start - 1)
        return row

    gold, predicted = [tags(case[0]) for case in cases], [tags(case[1]) for case in cases]
    totals = count(as_pairs(cases), labels=LABELS, rule="strict").sum(axis=0)
    options = {"mode": "strict", "scheme": scheme, "zero_division": 0}
    for measure, function in ((precision, metrics.precision_score), (recall, metrics.recall_score), (f1, metrics.f1_score)):
        if any(case[0] or case[1] for case in cases):  # seqeval fails without any entity
            assert float(micro(measure, totals)) == pytest.approx(function(gold, predicted, average="micro", **options))
            supported = totals[:, 0] + totals[:, 2] > 0
            per_label = dict(zip(used(cases), function(gold, predicted, average=None, **options), strict=True))
            for index in np.flatnonzero(supported):
                assert float(measure(totals)[index]) == pytest.approx(per_label[LABELS[index]])
            if supported.any():  # seqeval's own macro also averages labels that were predicted only
                mean = np.mean([per_label[LABELS[index]] for index in np.flatnonzero(supported)])
                assert float(macro(measure, totals)) == pytest.approx(mean)


def used(cases) -> list[str]:
    return sorted({span.label for case in cases for side in case for span in side})


def read_oracle(path: Path) -> list[SpanPair]:
    """Sentences of a file with token, gold tag and predicted tag per line; characters of the tokens joined by spaces."""
    pairs = []
    for block in re.split(r"\n\s*\n", path.read_text(encoding="utf-8").strip("\n")):
        rows = [line.rsplit(" ", 2) for line in block.split("\n")]
        starts = np.cumsum([0, *(len(token) + 1 for token, _, _ in rows)])
        ends = [int(start) + len(token) for start, (token, _, _) in zip(starts, rows, strict=False)]
        sides = [chunks([row[column] for row in rows]) for column in (1, 2)]
        spans = [tuple(Span(int(starts[first]), ends[last], label) for first, last, label in side) for side in sides]
        pairs.append(SpanPair(" ".join(token for token, _, _ in rows), spans[0], spans[1]))
    return pairs


def chunks(tags: list[str]) -> list[tuple[int, int, str]]:
    """First token, last token and label of each chunk; `I-` after another label begins a chunk, as in the script."""
    found: list[tuple[int, int, str]] = []
    for place, tag in enumerate(tags):
        prefix, _, label = tag.partition("-")
        if prefix == "I" and place and tags[place - 1] != "O" and tags[place - 1].partition("-")[2] == label:
            found[-1] = (found[-1][0], place, label)
        elif prefix != "O":
            found.append((place, place, label))
    return found


@pytest.mark.parametrize("name", ["sec_fin5_gazetteer_half", "wnut17_dev_perturbed"])
def test_strict_equals_conlleval(name):
    source, result = ORACLES / f"{name}.conll", ORACLES / f"{name}.conlleval.txt"
    if not source.exists():
        pytest.skip(f"{source} is not here; set FINTUNE_DATA to the folder with the oracles")
    report = result.read_text(encoding="utf-8")
    pairs = read_oracle(source)
    labels = sorted({span.label for pair in pairs for span in (*pair.gold, *pair.predicted)} | set(re.findall(r"^ +(\S+):", report, re.M)))
    counts = count(pairs, labels=labels, rule="strict").sum(axis=0)
    totals = counts.sum(axis=0)
    phrases, found, correct = map(int, re.search(r"with (\d+) phrases; found: (\d+) phrases; correct: (\d+)", report).groups())
    assert (totals[0] + totals[2], totals[0] + totals[1], totals[0]) == (phrases, found, correct)
    rates = re.findall(r"precision: +([\d.]+)%; recall: +([\d.]+)%; FB1: +([\d.]+)", report)
    rows = [totals, *(counts[labels.index(label)] for label in re.findall(r"^ +(\S+): precision", report, re.M))]
    assert len(rows) == len(rates) > 3
    for row, expected in zip(rows, rates, strict=True):
        mine = [100 * float(measure(row)) for measure in (precision, recall, f1)]
        assert mine == pytest.approx([float(value) for value in expected], abs=0.0051)
