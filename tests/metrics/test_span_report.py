"""Every number of the report equals the one computed alone, from its own rule, average and replicates."""

from __future__ import annotations

import itertools

import pytest

from fintune.metrics.intervals import Bootstrap, percentiles, resample
from fintune.metrics.report import build
from fintune.metrics.spans import MEASURES, SpanPair, count, macro, micro
from fintune.records import Span

LABELS = ("A", "B", "C")
PLAN = Bootstrap(replicates=80, seed=9, level=0.8)
TEXT = "Acme bought Globex in May, Acme"


def pairs() -> list[SpanPair]:
    """Twelve examples in which each rule gives other counts; label C is only ever predicted."""
    gold = (Span(0, 4, "A"), Span(12, 18, "B"), Span(22, 25, "B"))
    predictions = [
        (Span(0, 4, "A"), Span(12, 18, "A"), Span(19, 25, "B"), Span(27, 31, "A")),
        (Span(0, 11, "A"), Span(12, 18, "B"), Span(20, 25, "B"), Span(22, 25, "C")),
        (Span(0, 2, "B"), Span(5, 11, "C")),
    ]
    lost = (("A", "Initech"),)
    return [
        SpanPair(TEXT, gold[: 1 + n // 2 % 3], found, lost[: n % 2], lost)
        for n, found in enumerate(itertools.islice(itertools.cycle(predictions), 12))
    ]


CLUSTERS = [f"d{number // 2}" for number in range(12)]
REPORT = build(pairs(), task="t", labels=LABELS, clusters=CLUSTERS, malformed=3, floors={"half": pairs()[::-1]}, plan=PLAN)


@pytest.mark.parametrize(
    ("prefix", "rule"), [("", "strict"), ("surface_", "surface"), ("partial_", "partial"), ("type_", "type"), ("boundary_", "boundary")]
)
@pytest.mark.parametrize(("average", "take"), [("micro", micro), ("macro", macro)])
@pytest.mark.parametrize("name", MEASURES)
def test_each_score_equals_the_one_computed_alone(prefix, rule, average, take, name):
    if average == "macro" and prefix not in ("", "surface_"):
        assert f"{prefix}{average}_{name}" not in REPORT["metrics"]
        return
    for scores, system in ((REPORT["metrics"], pairs()), (REPORT["floors"]["half"], pairs()[::-1])):
        counts = count(system, labels=LABELS, rule=rule)
        low, high = percentiles(take(MEASURES[name], resample(counts, CLUSTERS, plan=PLAN)), level=PLAN.level)
        expected = {"value": float(take(MEASURES[name], counts.sum(axis=0))), "low": float(low), "high": float(high)}
        assert scores[f"{prefix}{average}_{name}"] == pytest.approx(expected)


@pytest.mark.parametrize("label", LABELS)
def test_each_label_equals_the_one_computed_alone(label):
    row = REPORT["per_label"][label]
    for rule, name, measure in (
        ("strict", "precision", "precision"),
        ("strict", "recall", "recall"),
        ("strict", "f1", "f1"),
        ("surface", "surface_f1", "f1"),
    ):
        counts = count(pairs(), labels=LABELS, rule=rule)[:, LABELS.index(label)]
        low, high = percentiles(MEASURES[measure](resample(counts, CLUSTERS, plan=PLAN)), level=PLAN.level)
        assert row[name] == pytest.approx({"value": float(MEASURES[measure](counts.sum(axis=0))), "low": float(low), "high": float(high)})
    assert row["support"] == sum(span.label == label for pair in pairs() for span in pair.gold)
    invented = 6 if label == "A" else 0
    assert row["predicted"] == sum(span.label == label for pair in pairs() for span in pair.predicted) + invented


def test_rules_differ_on_these_examples():
    values = [REPORT["metrics"][f"{prefix}micro_f1"]["value"] for prefix in ("", "surface_", "partial_", "type_", "boundary_")]
    assert len(set(values)) == 5


def test_the_numbers_of_examples_documents_and_faults():
    assert (REPORT["schema_version"], REPORT["task"], REPORT["examples"], REPORT["documents"]) == (1, "t", 12, 6)
    assert REPORT["bootstrap"] == {"replicates": 80, "seed": 9, "level": 0.8}
    assert REPORT["malformed"] == {"count": 3, "share": 0.25}
    assert (REPORT["unaligned_gold"], REPORT["unaligned_predicted"]) == (6, 12)
    assert REPORT["confusion"]["labels"] == ["A", "B", "C", "none"]
    gold = sum(len(pair.gold) for pair in pairs())
    assert sum(sum(row) for row in REPORT["confusion"]["counts"][:-1]) == gold
