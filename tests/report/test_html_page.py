"""What the page says is what the files say: scores, places in drawings, marked text, counts; and it does with any part missing."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_run import MANIFEST, inputs
from page_parser import Page

from fintune.metrics.answers import Verdict
from fintune.metrics.mistakes import CLASSES
from fintune.records import Example, Prediction, Span
from fintune.report.browser import LIMIT, browse
from fintune.report.browser_spans import mistakes
from fintune.report.figures import decimal
from fintune.report.html import OPEN, ReportInputs, render
from fintune.report.visible import visible
from fintune.report.wording import ERRORS, VERDICTS

INPUTS = inputs()
PAGE = Page(render(INPUTS))
SECTIONS = {"scores", "types", "learning", "errors", "outputs", "examples", "data", "environment", "repeat", "reading"}


def sections(page: Page) -> set[str]:
    return {value for tag, name, value in page.attributes if (tag, name) == ("section", "id")}


def test_all_sections_of_a_whole_run():
    assert sections(PAGE) == SECTIONS


def test_each_score_stands_in_the_table_with_its_interval():
    shown = " ".join(PAGE.texts["td"])
    for name, entry in INPUTS.report["metrics"].items():
        assert decimal(entry["value"]) in shown, name
        if name.endswith("f1"):
            assert f"{decimal(entry['low'])} to {decimal(entry['high'])}" in shown, name
    for row in INPUTS.report["per_label"].values():
        assert all(decimal(row[name]["value"]) in shown for name in ("precision", "recall", "f1"))


def test_intervals_and_floors_are_drawn_where_they_belong():
    source = render(INPUTS)
    drawings = re.findall(r'<svg class="interval".*?</svg>', source)
    metrics, floors = INPUTS.report["metrics"], INPUTS.report["floors"]
    for name in ("micro_f1", "macro_f1", "surface_micro_f1", "partial_micro_f1"):
        entry = metrics[name]
        dot, low, high = (f"{100 * entry[key]:.2f}%" for key in ("value", "low", "high"))
        ticks = [f"{100 * floor[name]['value']:.2f}%" for floor in floors.values()]
        assert any(
            re.search(rf'<circle class="dot" cx="{dot}"', drawing)
            and f'<line class="whisker" x1="{low}" y1="12" x2="{high}" y2="12">' in drawing
            and re.findall(r'<line class="floor" x1="([^"]*)"', drawing) == ticks
            for drawing in drawings
        ), name


def test_confusion_and_error_classes_are_those_of_the_report():
    cells = [int(text) for kind in ("td.right", "td.wrong") for text in PAGE.texts[kind]]
    assert sum(cells) == sum(map(sum, INPUTS.report["confusion"]["counts"]))
    shown = [int(re.match(r"[\d,]+", text.strip()).group()) for text in PAGE.texts["td.plain"][7:12]]
    assert shown == [INPUTS.report["errors"][name] for name in CLASSES]


def test_the_browser_counts_the_errors_of_the_report():
    found = browse(INPUTS.examples, INPUTS.predictions)
    counts = [mistakes(entry.example, entry.prediction)[2] for entry in found.entries]
    assert {name: sum(count[name] for count in counts) for name in CLASSES} == INPUTS.report["errors"]
    assert [entry.errors for entry in found.entries] == [count.total() for count in counts]
    ranks = [(-e.errors, e.prediction.status != "malformed", -(e.prediction.confidence or -1)) for e in found.entries]
    assert ranks == sorted(ranks)
    assert len(PAGE.texts["article.example"]) == len(found.entries) > OPEN


def test_the_browser_shows_no_more_than_its_limit():
    examples = [Example(str(n), "Acme rose", spans=(Span(0, 4, "A"),)) for n in range(LIMIT + 9)]
    predictions = [Prediction(e.id, e.text, spans=()) for e in examples]
    page = Page(render(ReportInputs({}, examples=examples, predictions=predictions)))
    assert len(page.texts["article.example"]) == LIMIT
    assert f"{LIMIT + 9} of {LIMIT + 9} texts have an error; the worst {LIMIT} shown" in page.data


def test_words_for_every_error_class():
    assert tuple(ERRORS) == (*CLASSES, *(verdict for verdict in get_args(Verdict) if verdict != "right"))
    assert set(ERRORS) < set(VERDICTS)


@st.composite
def annotated(draw: st.DrawFn) -> tuple[Example, Prediction]:
    text = draw(st.text(min_size=1, max_size=30) | st.text(alphabet="ab<&\"' \n\r", min_size=1, max_size=30))
    places = st.tuples(st.integers(0, len(text) - 1), st.integers(1, 12), st.sampled_from(["X", "Y", "<b>"]))
    gold, guesses = ([Span(s, min(s + n, len(text)), label) for s, n, label in draw(st.lists(places, max_size=5))] for _ in range(2))
    # Without an error an example is not shown.
    guesses.append(Span(0, len(text), "never in the gold"))
    return Example("e", text, spans=tuple(gold)), Prediction("e", text, spans=tuple(guesses))


@settings(max_examples=40, deadline=None)
@given(annotated())
def test_marked_text_is_the_text(case):
    example, prediction = case
    page = Page(render(ReportInputs({}, examples=[example], predictions=[prediction])))
    assert page.texts["div.text"] == [visible(example.text)] * 2
    covered = [{place for span in spans for place in range(span.start, span.end)} for spans in (example.spans, prediction.spans)]
    assert "".join(page.texts.get("mark", [])) == "".join(visible(example.text[at]) for places in covered for at in sorted(places))


def test_a_tag_for_each_span_with_its_label_and_verdict():
    example = Example("e", "Acme bought Globex", spans=(Span(0, 4, "A"), Span(12, 18, "B")))
    prediction = Prediction("e", example.text, spans=(Span(0, 4, "A"), Span(5, 18, "B"), Span(5, 11, "C")))
    page = Page(render(ReportInputs({}, examples=[example], predictions=[prediction])))
    tags = [value for _, name, value in page.attributes if name == "data-tag"]
    assert tags == ["A", "B · wrong boundary", "A", "C · spurious", "B · wrong boundary"]


def test_of_a_long_text_the_parts_around_errors_are_shown():
    text = "word " * 4000
    prediction = Prediction("e", text, spans=(Span(9000, 9004, "A"),))
    page = Page(render(ReportInputs({}, examples=[Example("e", text, spans=())], predictions=[prediction])))
    gaps = [int(re.match(r"\d+", value).group()) for _, name, value in page.attributes if name == "data-gap"]
    assert len(page.texts["div.text"][0]) < 1000
    assert len(page.texts["div.text"][0]) + sum(gaps[:2]) == len(text)


PARTS = [field.name for field in fields(ReportInputs) if field.name != "report"]
EMPTY = {"recipe_yaml": "", "manifest": {}, "data_card": {}, "preflight": {}}


@pytest.mark.parametrize("missing", PARTS)
def test_a_part_of_the_run_may_be_missing(missing):
    Page(render(replace(INPUTS, **{missing: EMPTY.get(missing, ())})))


@pytest.mark.parametrize("missing", sorted(INPUTS.report))
def test_a_key_of_the_report_may_be_missing(missing):
    Page(render(replace(INPUTS, report={key: value for key, value in INPUTS.report.items() if key != missing})))


@pytest.mark.parametrize("missing", sorted(MANIFEST))
def test_a_key_of_the_manifest_may_be_missing(missing):
    Page(render(replace(INPUTS, manifest={key: value for key, value in MANIFEST.items() if key != missing})))


@pytest.mark.parametrize("strange", [None, "text", 3, [], {}, [1, 2], {"a": None}, {"a": {"value": None}}, True], ids=repr)
@pytest.mark.parametrize("key", sorted(INPUTS.report))
def test_a_key_of_the_report_may_hold_something_else(key, strange):
    Page(render(replace(INPUTS, report={**INPUTS.report, key: strange})))


def test_nothing_at_all():
    page = Page(render(ReportInputs({})))
    assert sections(page) == {"reading"}
    assert "This report holds no score." in page.data


def test_a_run_of_no_examples():
    page = Page(render(ReportInputs({"task": "t", "examples": 0, "documents": 0, "metrics": {}, "per_label": {}, "errors": {}})))
    assert page.texts["dl.counts"] == ["texts 0documents 0"]


def test_predictions_that_belong_to_no_example_are_counted_and_not_judged():
    example = Example("e", "Acme rose", spans=(Span(0, 4, "A"),))
    others = [Prediction("e", "another text", spans=()), Prediction("f", "Acme rose", spans=()), Prediction("e", "Acme rose", label="x")]
    for other in others:
        page = Page(render(ReportInputs({}, examples=[example], predictions=[other])))
        assert "article.example" not in page.texts
        assert "not shown: 1 text." in page.data


def test_a_malformed_output_is_judged_as_finding_nothing():
    example = Example("e", "Acme rose", spans=(Span(0, 4, "A"),))
    broken = Prediction("e", example.text, spans=example.spans, raw="{'A': [", status="malformed", reason="never closed")
    page = Page(render(ReportInputs({}, examples=[example], predictions=[broken])))
    assert page.texts["span.count"] == ["1 missed"]
    assert "output malformed: never closed" in page.texts["span.soft"]
    assert page.texts["div.code"] == ["{'A': ["]


def test_no_errors_is_said():
    example = Example("e", "Acme rose", spans=(Span(0, 4, "A"),))
    page = Page(render(ReportInputs({}, examples=[example], predictions=[Prediction("e", example.text, spans=example.spans)])))
    assert "No errors in 1 text." in page.data


def test_a_task_without_spans():
    accuracy = {"value": 0.8125, "low": 0.75, "high": 0.875}
    report = {"task": "tone", "examples": 40, "metrics": {"accuracy": accuracy}, "floors": {"majority": {"accuracy": accuracy}}}
    page = Page(render(ReportInputs(report)))
    assert page.texts["p.figure"] == ["0.812"]
    assert "no better than always the most frequent label" in page.data
