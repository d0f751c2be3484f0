"""Sentences and rows say what the numbers are, never more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_run import MANIFEST, inputs, report

from fintune.report import facts, tables
from fintune.report.figures import decimal, duration, labels_of, of_hundred
from fintune.report.headline import FEW_DOCUMENTS, headline

SHARES = st.floats(0, 1)


@given(SHARES)
def test_one_and_zero_mean_exactly_these(value):
    assert (decimal(value) == "1.000") == (value == 1)
    assert (decimal(value) == "0.000") == (value == 0)
    assert float(decimal(value)) == pytest.approx(value, abs=0.00101)


@given(SHARES)
def test_all_and_none_of_a_hundred_mean_exactly_these(value):
    assert (of_hundred(value) == "100") == (value == 1)
    assert (of_hundred(value) == "0") == (value == 0)


def test_durations():
    said = {0.5: "0.5 s", 58.42: "58.4 s", 119.6: "120 s", 125: "2 min 5 s", 3600: "1 h 0 min", 7384: "2 h 3 min"}
    assert {seconds: duration(seconds) for seconds in said} == said


def rated(value: float, spread: float = 0.05) -> dict[str, float]:
    return {"value": value, "low": value - spread, "high": value + spread}


def test_the_headline_of_a_run():
    found = headline(report(), {})
    metrics = report()["metrics"]
    assert found.score is not None
    assert found.score.value == metrics["micro_f1"]["value"]
    text = " ".join(found.sentences)
    for part in ("about 83 are exactly right", "it finds about 80", "resampling 14 documents", "95 % interval"):
        assert part in text
    assert "name list from training 0.323" in text
    assert decimal(metrics["surface_micro_f1"]["value"]) in text
    assert found.counts == (("30", "texts"), ("14", "documents"), ("108", "spans in the gold"), ("104", "spans predicted"))


@pytest.mark.parametrize(
    ("changes", "card", "remark"),
    [
        ({}, {}, ""),
        ({"floors": {"gazetteer": {"micro_f1": rated(0.8)}}}, {}, "no better than name list from training (0.800)"),
        ({"floors": {"gazetteer": {"micro_f1": rated(0.72)}}}, {}, "intervals of the model and of name list from training overlap"),
        ({"floors": {"gazetteer": {"micro_f1": rated(0.6)}}}, {}, ""),
        ({"documents": FEW_DOCUMENTS - 1}, {}, "intervals are themselves uncertain"),
        ({"malformed": {"count": 3, "share": 0.025}}, {}, "3 outputs (2.5 %) could not be read"),
        ({"malformed": {"count": 0, "share": 0.0}}, {}, ""),
        ({"unaligned_gold": 1}, {}, "1 annotated surface without a place in the text"),
        ({"unaligned_predicted": 2}, {}, "2 predicted surfaces not in the text"),
        ({}, {"exact_duplicates": 4}, "4 texts of 120 repeat another"),
    ],
)
def test_each_reason_for_doubt_is_said_and_no_other(changes, card, remark):
    base = {"examples": 120, "documents": 90, "metrics": {"micro_f1": rated(0.8)}}
    remarks = headline({**base, **changes}, card).remarks
    assert len(remarks) == bool(remark)
    assert all(remark in said for said in remarks)


def test_every_metric_of_a_report_has_a_row_of_its_own_words():
    rows = tables.score_rows(report())
    assert len(rows) == sum(name.endswith("_f1") for name in report()["metrics"])
    assert all(row.meaning and row.precision and row.recall for row in rows)


def test_metrics_of_other_tasks_have_rows_too():
    (row,) = tables.score_rows({"metrics": {"quadratic_kappa": rated(0.5)}})
    assert (row.title, row.main.value) == ("quadratic kappa", 0.5)


def test_shades_of_the_matrix_grow_with_the_share_of_the_row():
    found = tables.matrix({"confusion": {"labels": ["A", "none"], "counts": [[1, 99], [0, 0]]}})
    assert found is not None
    assert [[(cell.shade, cell.kind) for cell in cells] for _, cells in found.rows] == [
        [(1, "right"), (tables.SHADES, "wrong")],
        [(0, "wrong"), (0, "void")],
    ]


def test_colours_follow_the_order_of_the_report():
    assert labels_of(report()) == tuple(report()["per_label"])
    assert labels_of({"per_label": {"B": {}}, "confusion": {"labels": ["A", "B", "none"]}}, ["Z", "A"]) == ("B", "A", "Z")


def test_the_environment_leaves_nothing_out_that_a_manifest_may_hold():
    groups = facts.environment({**MANIFEST, "commit": "abc", "odd": {"a": {"b": 1}}, "list": [1, 2]})
    rows = {f"{group.title}: {name}": value for group in groups for name, value in group.rows}
    assert rows["Training: trainable parameters"] == "667,407 of 34,027,407 (1.96 %)"
    assert rows["Training: adapted modules"] == "72 linear layers"
    assert rows["Training: time"] == "58.4 s"
    assert rows["Training: epoch kept"] == "5"
    assert rows["Base model: licence"] == "MIT"
    assert rows["Training data: train fingerprint"] == "b77e" * 16
    assert rows["Software: commit"] == "abc"
    assert rows["Other: odd a b"] == "1"
    assert rows["Other: list"] == "1, 2"
    said = " ".join([*rows, *rows.values()])
    assert all(version in said for version in MANIFEST["versions"].values())


def test_the_data_card_shows_known_and_unknown_keys():
    rows = dict(facts.data_card({**inputs().data_card, "language": "en"}, "spans"))
    assert rows["Licence"] == "CC BY 4.0"
    assert rows["Texts"] == "30"
    assert rows["Language"] == "en"
    assert rows["Spans"] == "108"
    assert not {"Spans", "Texts without annotation"} & set(dict(facts.data_card(inputs().data_card, "label")))
    assert facts.label_counts(inputs().data_card)[0] == ("Company", 25, 1.0)
