"""Labels and answers, the base model before training, what was written, and the certificate: the page says what the files say."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import Any

import made_up_certificate
import made_up_kinds
import pytest
from page_parser import Page

from fintune.metrics.answers import verdict
from fintune.records import Answer, Example, Prediction, Span
from fintune.report import preflight, reliability, tables
from fintune.report.browser import browse
from fintune.report.figures import decimal, kind_of, scaled, size
from fintune.report.headline import headline, references
from fintune.report.html import ReportInputs, render
from fintune.report.outputs import outputs
from fintune.report.wording import KINDS, VERDICTS, kind_of_metrics

INPUTS = {kind: made_up_kinds.inputs(kind) for kind in KINDS}
PAGES = {kind: Page(render(inputs)) for kind, inputs in INPUTS.items()}
every_kind = pytest.mark.parametrize("kind", KINDS)


def sections(page: Page) -> set[str]:
    return {value for tag, name, value in page.attributes if (tag, name) == ("section", "id")}


@every_kind
def test_all_sections(kind):
    always = {"scores", "baselines", "types", "learning", "errors", "outputs", "examples", "data", "preflight", "environment", "repeat"}
    assert sections(PAGES[kind]) == always | {"reading"} | ({"confidence"} if kind == "label" else set())


@every_kind
def test_whatever_is_drawn_has_a_rule_in_the_stylesheet(kind):
    """A shape without one is drawn as a black area."""
    page = render(INPUTS[kind])
    style = "".join(re.findall(r"<style[^>]*>(.*?)</style>", page, flags=re.DOTALL))
    drawn = set(re.findall(r'<(?:polyline|line|circle|rect|path)\b[^>]*?\bclass="([^"]+)"', page))
    assert "grid" in drawn
    assert {name for names in drawn for name in names.split() if not re.search(rf"\.{name}\b", style)} == set()


@every_kind
def test_a_kind_is_what_the_report_says_or_what_its_metrics_say(kind):
    report = INPUTS[kind].report
    assert kind_of(report) == kind == kind_of_metrics(report["metrics"])
    assert kind_of({**report, "kind": "relations"}) == kind
    assert kind_of({"metrics": {"quadratic_kappa": {"value": 1.0}}}) == ""


@every_kind
def test_each_score_stands_in_a_table_with_its_interval(kind):
    shown = " ".join(PAGES[kind].texts["td"])
    for name, entry in INPUTS[kind].report["metrics"].items():
        assert decimal(entry["value"]) in shown, name
        if name.rpartition("_")[2] not in ("precision", "recall"):
            assert f"{decimal(entry['low'])} to {decimal(entry['high'])}" in shown, name
    for row in INPUTS[kind].report["per_label"].values():
        assert all(decimal(row[name]["value"]) in shown for name, _ in KINDS[kind].rates)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("label", ["get their right label", "every label counting alike", "points from the share that is right"]),
        ("answer", ["questions, about 33 are answered rightly", "Where the answer is a number", "By words in common"]),
    ],
)
def test_the_headline_speaks_of_the_kind(kind, said):
    found = headline(INPUTS[kind].report, {})
    text = " ".join(found.sentences)
    assert found.score is not None
    assert found.score.value == INPUTS[kind].report["metrics"][KINDS[kind].main]["value"]
    assert all(part in text for part in (*said, "Without any model: ", "The model before training: few-shot (5)"))
    assert found.counts[0][1] == {"label": "texts", "answer": "questions"}[kind]


def test_questions_about_one_text_are_no_repetition():
    found = made_up_kinds.inputs("answer")
    assert found.data_card["exact_duplicates"] > 0
    assert "repeat another text" not in PAGES["answer"].data
    assert any("repeat another text" in remark for remark in headline({**found.report, "kind": "label"}, found.data_card).remarks)


@every_kind
def test_the_base_model_before_training_is_drawn_and_tabled(kind):
    report = INPUTS[kind].report
    name = KINDS[kind].main
    drawn = {words: of.score.value for words, of in references(report, name).items() if of.kind == "baseline"}
    assert drawn == {shots: report["baselines"][shots][name]["value"] for shots in ("zero-shot", "few-shot (5)")}
    strip = re.search(r'<svg class="strip".*?</svg>', render(INPUTS[kind]), flags=re.DOTALL)
    assert strip is not None
    places = set(re.findall(r'<line class="baseline" x1="([\d.]+)%"', strip.group()))
    assert places == {f"{100 * value:.2f}" for value in drawn.values()}
    headings, rows = tables.comparison(report)
    assert len(headings) == 3
    assert [row.kind for row in rows] == ["run", "baseline", "baseline", *("floor" for _ in report["floors"])]
    for row, metrics in zip(rows, (report["metrics"], *report["baselines"].values()), strict=False):
        assert [score.value for score in row.scores if score] == [metrics[metric]["value"] for metric in KINDS[kind].compared]
    assert rows[0].unread == report["malformed"]["share"]
    assert rows[1].unread == report["baselines"]["zero-shot"]["malformed"]["value"]


def test_without_baselines_there_is_no_comparison():
    report = {**INPUTS["label"].report, "baselines": {}}
    assert tables.comparison(report) == ((), ())
    assert "baselines" not in sections(Page(render(ReportInputs(report))))


@pytest.mark.parametrize(
    ("value", "remark"),
    [
        (0.9, "no better than before training (zero-shot) (0.900)"),
        (0.75, "the model and of before training (zero-shot) overlap"),
        (0.3, ""),
    ],
)
def test_a_run_that_is_no_better_than_its_base_model_is_told(value, remark):
    metrics = {"accuracy": {"value": 0.8, "low": 0.7, "high": 0.9}}
    before = {"zero-shot": {"accuracy": {"value": value, "low": value - 0.1, "high": value + 0.1}}}
    remarks = headline({"metrics": metrics, "baselines": before, "kind": "label"}, {}).remarks
    assert len(remarks) == bool(remark)
    assert all(remark in said for said in remarks)


@pytest.mark.parametrize(
    ("references", "order"),
    [
        ((0.2, 0.4, 0.5), [(0.5, True), (0.4, True), (0.2, True)]),
        ((0.95, 0.1, 0.99), [(0.95, False), (0.99, False), (0.1, True)]),
    ],
)
def test_names_in_the_headline_stand_where_no_leader_crosses_them(references, order):
    metrics = {"accuracy": {"value": 0.8}}
    floors = {f"floor {value}": {"accuracy": {"value": value}} for value in references}
    page = render(ReportInputs({"metrics": metrics, "floors": floors}))
    names = re.findall(r'class="note" x="([\d.]+)%" y="(\d+)" dx="-?7" text-anchor="(start|end)"', page)
    rows = [int(y) for _, y, _ in names]
    assert rows == sorted(rows)
    assert [(float(x) / 100, anchor == "start") for x, _, anchor in names] == order


def test_errors_of_probabilities_stand_apart():
    report = INPUTS["label"].report
    assert {row.title for row in tables.probability_rows(report)} == {
        "Log-loss", "Brier score", "Calibration error", "Error of the surest 90 %",
    }  # fmt: skip
    assert "Log-loss" not in {row.title for row in tables.score_rows(report)}
    assert PAGES["label"].texts["table.errors"][0].count(" to ") == 4 + 1  # four intervals, and "0 to 2"


def test_the_reliability_diagram_has_a_dot_for_each_bin_where_it_belongs():
    report = INPUTS["label"].report
    drawing = reliability.diagram(report)
    assert drawing is not None
    dots = [(float(x), float(y)) for x, y in re.findall(r'class="dot" cx="([\d.]+)%" cy="([\d.]+)%"', drawing)]
    assert dots == [
        (pytest.approx(100 * one["confidence"], abs=0.01), pytest.approx(100 - 100 * one["accuracy"]["value"], abs=0.01))
        for one in report["calibration"]["bins"]
    ]
    assert len(re.findall('class="whisker"', drawing)) == len(dots)


@pytest.mark.parametrize("broken", [None, {}, {"bins": []}, {"bins": 3}, {"bins": [None, {}, {"confidence": "x"}, {"confidence": 0.5}]}])
def test_without_bins_there_is_no_diagram(broken):
    assert reliability.diagram({"calibration": broken}) is None


def test_a_sure_model_is_drawn_on_the_upper_half():
    rate = {"value": 0.95, "low": 0.9, "high": 1.0}
    drawing = reliability.diagram({"calibration": {"bins": [{"confidence": 0.75, "accuracy": rate, "count": 3}]}})
    assert drawing is not None
    assert 'cx="50.00%" cy="10.00%"' in drawing


def test_the_pairs_confused_most_often_are_those_of_the_matrix():
    report = INPUTS["label"].report
    labels, counts = report["confusion"]["labels"], report["confusion"]["counts"]
    pairs = sorted(((counts[g][p], labels[g], labels[p]) for g in range(20) for p in range(21) if g != p and counts[g][p]), reverse=True)
    found = tables.confused(report)
    assert [row.count for row in found] == [count for count, _, _ in pairs[: len(found)]]
    assert all((row.count, row.gold, row.predicted) in pairs for row in found)
    assert tables.confused(INPUTS["spans"].report) == ()


def test_the_browser_shows_every_wrong_label_with_its_runners_up():
    inputs = INPUTS["label"]
    labels = list(inputs.report["per_label"])
    found = browse(inputs.examples, inputs.predictions, labels=labels, limit=1000)
    wrong = [(e, p) for e, p in zip(inputs.examples, inputs.predictions, strict=True) if e.label != p.label]
    assert {entry.example.id for entry in found.entries} == {e.id for e, _ in wrong}
    assert (found.judged, found.faulty, found.unpaired) == (len(inputs.examples), len(wrong), 0)
    confidence = [entry.prediction.confidence for entry in found.entries]
    assert confidence == sorted(confidence, reverse=True)
    for entry in found.entries:
        _, gold, predicted = entry.lines
        assert gold.labels == ((entry.example.label, ""),)
        ranked = sorted(zip(entry.prediction.probabilities, labels, strict=True), reverse=True)[:3]
        assert predicted.labels == tuple((label, decimal(value)) for value, label in ranked)
        assert entry.counts == ("wrong label",)


def test_written_labels_that_could_not_be_read_are_shown_as_written():
    examples, predictions = made_up_kinds.headlines()[0], made_up_kinds.written_labels()
    page = Page(render(ReportInputs({"kind": "label"}, examples=examples, predictions=predictions)))
    assert page.data.count("nothing that could be read") == 2
    assert page.texts["div.code"].count("I am not sure about this one.") == 2


@pytest.mark.parametrize(
    ("gold", "given", "words"),
    [
        ("22.14", "22.14", ""),
        ("14.2%", "14.2", "wrong scale"),
        ("-3.2", "3.2", "wrong sign"),
        ("5", "several", "no number"),
        ("5", "6", "wrong number"),
        ("Piraeus", "Oslo", "other words"),
        ("Piraeus", None, "not answered"),
        (None, "2027", "answered where there is none"),
        (None, None, ""),
    ],
)
def test_an_answer_is_judged_as_the_report_judges_it(gold, given, words):
    example = Example("q", "text", question="What?", answer=Answer(None, gold) if gold else None)
    prediction = Prediction("q", "text", answer=Answer(None, given) if given else None, raw=given or "")
    found = browse([example], [prediction])
    assert [entry.counts for entry in found.entries] == ([(words,)] if words else [])
    assert (found.judged, found.unpaired) == (1, 0)


def test_answers_are_counted_as_the_report_counts_them_and_marked_where_they_stand():
    inputs = INPUTS["answer"]
    found = browse(inputs.examples, inputs.predictions, limit=1000)
    unread = sum(p.status == "malformed" for p in inputs.predictions)
    totals = Counter(words for entry in found.entries for words in entry.counts)
    expected = Counter({VERDICTS[name]: count for name, count in inputs.report["errors"].items() if count})
    expected[VERDICTS["unanswered"]] -= unread
    assert totals == +expected + Counter({VERDICTS["unreadable"]: unread})
    for entry in found.entries:
        marked = ["".join(s.text for s in p.segments if s.inside) for p in entry.lines[1].passages]
        places = [a for a in (entry.example.answer, entry.prediction.answer) if a is not None and a.start is not None]
        assert bool("".join(marked)) == bool(places)


def test_a_prediction_of_another_kind_is_not_judged():
    example = Example("q", "text", question="What?", answer=Answer(None, "a"))
    for other in (Prediction("q", "text", spans=()), Prediction("q", "text", label="x")):
        assert browse([example], [other]).unpaired == 1
    labelled = Example("q", "text", label="x")
    assert browse([labelled], [Prediction("q", "text", answer=Answer(None, "a"))]).unpaired == 1


def test_what_was_written_is_counted_with_its_reasons():
    predictions = made_up_kinds.written_labels()
    found = outputs(predictions)
    assert found is not None
    statuses = Counter(p.status for p in predictions)
    assert [count for _, count, _ in found.statuses] == [statuses[name] for name in ("ok", "repaired", "malformed")]
    assert sum(share for _, _, share in found.statuses) == pytest.approx(1)
    reasons = {reason.words: reason for reason in found.reasons}
    assert reasons["… read as …"].count == statuses["repaired"]
    assert reasons["no label in it"].count == statuses["malformed"] == 2
    first = next(p for p in predictions if p.status == "repaired")
    assert (reasons["… read as …"].first, reasons["… read as …"].example) == (first.reason, first.id)


def test_heads_that_write_nothing_have_no_outputs():
    silent = [replace(p, raw="") for p in made_up_kinds.headlines()[1]]
    assert outputs(silent) is None
    assert "outputs" not in sections(Page(render(ReportInputs({}, predictions=silent))))


def test_a_reason_is_the_same_whatever_it_quotes_and_rare_ones_are_counted():
    reasons = [
        "label 'a' read as \"b's\"; without 3 labels",
        "label 'x\\'y' read as 'z'; without 12 labels",
        *(f"r{'x' * n}" for n in range(14)),
    ]
    found = outputs([Prediction(str(n), "t", status="repaired", reason=reason) for n, reason in enumerate(reasons)])
    assert found is not None
    assert [(r.words, r.count) for r in found.reasons[:2]] == [("label … read as …", 2), ("without N labels", 2)]
    assert (len(found.reasons), found.more) == (12, 4)


def test_a_span_shows_how_sure_the_model_was():
    example = Example("e", "Acme bought Globex", spans=())
    prediction = Prediction("e", example.text, spans=(Span(0, 4, "A", confidence=0.8125),))
    page = Page(render(ReportInputs({}, examples=[example], predictions=[prediction])))
    assert [value for _, name, value in page.attributes if name == "data-tag"] == ["A · spurious · 0.812"]
    assert ("mark", "title", "A, spurious, confidence 0.812") in page.attributes


def test_the_certificate_stands_on_the_page():
    record = made_up_certificate.record()
    page = PAGES["spans"]
    masks = [text for text in page.texts["div.mask"] if text]
    assert masks == ["".join(s["text"] for s in mask["segments"]) for mask in record["masks"]]
    learnt = [s["text"] for mask in record["masks"] for s in mask["segments"] if s["supervised"]]
    assert [text for text in page.texts["mark.learnt"] if text != "What is learnt"] == learnt
    assert all(note in page.texts["li"] for note in record["notes"])
    rows = dict(preflight.facts(record))
    assert rows["Examples"] == "1,693, 2 too long and left out"
    assert rows["Left out"] == "d40-2, d71-1"
    assert rows["Tokens learnt of each"] == "44 to 240, median 61; 104,117 in all"
    assert rows["Labels never seen"] == "Product"
    assert rows["Ends with"] == "<|eot_id|>, learnt in 1,691"
    assert rows["Adapter on"] == "128 linear layers: q_proj, k_proj, v_proj, o_proj"
    assert rows["Steps"] == "213 of 24 examples, 3 epochs"
    assert rows["Shared prefix"].startswith("16 tokens in all examples; 8 % ")
    assert rows["Noise"] == "neftune, alpha 0.3: 0.86 % of the embeddings, by root mean square"
    assert rows["Memory, estimated"].startswith("44.6 GiB of 140 GiB on cuda: weights 15 GiB, activations 27.8 GiB")
    assert rows["Time, estimated"] == "74.6 s for 26.5 PFLOP, at a measured matrix product of 710 TFLOP/s"
    assert all(value in page.texts["dd"] for value in rows.values())


@pytest.mark.parametrize("key", sorted(made_up_certificate.record()))
@pytest.mark.parametrize("strange", [None, "text", 3, [], {}, [1, None], {"a": {}}, [{"segments": [1, {"text": 2}]}]], ids=repr)
def test_any_part_of_a_certificate_may_be_missing_or_strange(key, strange):
    record: dict[str, Any] = {**made_up_certificate.record(), key: strange}
    Page(render(ReportInputs({}, preflight=record)))
    del record[key]
    Page(render(ReportInputs({}, preflight=record)))


def test_figures_for_people():
    assert [size(n) for n in (12, 2048, 3_500_000, 16_060_522_496, 5e15)] == ["12 bytes", "2 KiB", "3.34 MiB", "15 GiB", "4,656,613 GiB"]
    assert [scaled(n, "FLOP") for n in (12, 2500, 2.65e16, 9e22)] == ["12 FLOP", "2.5 kFLOP", "26.5 PFLOP", "9e+04 EFLOP"]


def test_every_verdict_on_an_answer_has_words():
    assert verdict("x", ["y"]) in VERDICTS
    assert {"unreadable", "wrong_label"} < set(VERDICTS)
