"""Tables and marked text for a terminal: complete, readable without colour, and deaf to whatever the text contains."""

from __future__ import annotations

import io
import subprocess
import sys

import made_up_certificate
import made_up_kinds
import pytest
from hostile_strings import HOSTILE
from hypothesis import given
from hypothesis import strategies as st
from made_up_run import LABELS, report
from rich.console import Console, Group
from rich.text import Text

from fintune.records import Answer, Finding, Prediction, Span
from fintune.report import preflight
from fintune.report.figures import decimal
from fintune.report.terminal import certificate, findings_table, prediction_line, score_table, spans_line
from fintune.report.visible import visible
from fintune.report.wording import KINDS, metric_words


def printed(renderable: object, width: int = 100) -> str:
    """What a terminal without colours gets."""
    console = Console(file=io.StringIO(), width=width, no_color=True, highlight=True)
    console.print(renderable, soft_wrap=isinstance(renderable, Text))
    return console.file.getvalue()


def test_every_score_and_floor_is_in_the_table():
    lines = [line.split() for line in printed(score_table(report()), width=80).splitlines()]
    document = report()
    for label, row in document["per_label"].items():
        interval = f"{decimal(row['f1']['low'])}–{decimal(row['f1']['high'])}"
        figures = [decimal(row[name]["value"]) for name in ("precision", "recall", "f1")]
        assert [label, *figures, interval, str(row["support"])] in lines
    for prefix in ("", "surface_"):
        systems = {"micro": (document["metrics"], "micro"), "macro": (document["metrics"], "macro")}
        systems |= {f"floor: {name}, micro": (floor, "micro") for name, floor in document["floors"].items()}
        for title, (metrics, average) in systems.items():
            entry = metrics[f"{prefix}{average}_f1"]
            figures = [decimal(metrics[f"{prefix}{average}_{name}"]["value"]) for name in ("precision", "recall", "f1")]
            assert [*title.split(), *figures, f"{decimal(entry['low'])}–{decimal(entry['high'])}"] in lines


def test_the_caption_says_on_how_much():
    assert "30 examples · 14 documents · 1 malformed output" in printed(score_table(report()))


@pytest.mark.parametrize("missing", sorted(report()))
def test_a_key_may_be_missing(missing):
    printed(score_table({key: value for key, value in report().items() if key != missing}))
    printed(score_table({**report(), missing: None}))


def test_metrics_of_tasks_without_spans():
    table = score_table({"metrics": {"accuracy": {"value": 0.812, "low": 0.75, "high": 0.875}}})
    assert "Accuracy 0.812 0.750–0.875" in " ".join(printed(table).split())


@pytest.mark.parametrize("kind", ["label", "answer"])
def test_scores_floors_and_the_untrained_model_of_other_kinds(kind):
    found = made_up_kinds.inputs(kind).report
    lines = [" ".join(line.split()) for line in printed(score_table(found), width=120).splitlines()]
    main, rates = KINDS[kind].main, [name for name, _ in KINDS[kind].rates]
    for label, row in found["per_label"].items():
        interval = row[rates[0 if kind == "answer" else -1]]
        figures = " ".join(decimal(row[name]["value"]) for name in rates)
        assert f"{label} {figures} {decimal(interval['low'])}–{decimal(interval['high'])} {row['support']}" in lines
    for name, entry in found["metrics"].items():
        assert f"{metric_words(name, kind)} {decimal(entry['value'])} {decimal(entry['low'])}–{decimal(entry['high'])}" in lines
    for name, metrics in found["floors"].items():
        assert any(line.startswith(f"floor: {name} {decimal(metrics[main]['value'])}") for line in lines)
    for name, metrics in found["baselines"].items():
        assert any(line.startswith(f"before training: {name} {decimal(metrics[main]['value'])}") for line in lines)


def test_the_untrained_model_stands_below_each_rule_of_spans():
    shown = printed(score_table(made_up_kinds.inputs("spans").report), width=120)
    assert shown.count("before training: zero-shot, micro") == 2


def test_a_prediction_of_any_kind_in_one_line():
    def line(**values: object) -> str:
        return prediction_line(Prediction("i", "Acme rose", **values)).plain

    assert line(spans=(Span(0, 4, "Company"),)) == "‹Acme›[Company] rose"
    assert line(label="positive", confidence=0.9312) == "[positive 0.931] Acme rose"
    assert line(label="positive") == "[positive] Acme rose"
    assert line(answer=Answer(None, "14.2%"), confidence=0.5) == "→ 14.2% (0.500)"
    assert line() == "→ no answer"
    assert line(status="malformed", reason="no label in it") == "[could not be read: no label in it] Acme rose"


def test_a_certificate_is_complete_and_readable_without_colour():
    record = made_up_certificate.record()
    shown = printed(certificate(record), width=4000)
    for name, value in preflight.facts(record):
        assert f"{name} {value}" in " ".join(shown.split())
    for mask in record["masks"]:
        learnt = "".join(segment["text"] for segment in mask["segments"] if segment["supervised"])
        assert f"⟦{learnt}⟧" in shown
        assert f"example {mask['id']}: {mask['supervised']} of {mask['tokens']} tokens learnt" in shown
    assert "420 characters left out" in shown
    assert all(f"note: {note}" in shown for note in record["notes"])
    assert printed(certificate({})).strip() in ("", "pre-flight")


@st.composite
def spanned(draw: st.DrawFn) -> tuple[str, list[Span]]:
    text = draw(st.text(st.characters(exclude_characters="‹›[]"), min_size=1, max_size=40))
    places = st.tuples(st.integers(0, len(text) - 1), st.integers(1, 40), st.sampled_from(("Company", "Date")))
    return text, [Span(start, min(start + size, len(text)), label) for start, size, label in draw(st.lists(places, max_size=6))]


@given(spanned())
def test_marked_text_is_the_text_with_a_bracket_and_a_label_for_each_span(case):
    text, spans = case
    line = spans_line(text, spans).plain
    assert line.count("‹") == len(spans)
    for label in ("Company", "Date"):
        assert line.count(f"›[{label}]") == sum(span.label == label for span in spans)
        line = line.replace(f"›[{label}]", "")
    assert line.replace("‹", "") == visible(text)


def test_marked_text_reads_without_colour():
    spans = [Span(0, 4, "Company"), Span(15, 23, "Date"), Span(12, 23, "Period")]
    assert printed(spans_line("Acme closed in the May.", spans[:1])) == "‹Acme›[Company] closed in the May.\n"
    assert spans_line("Acme rose (late in May)", spans).plain == "‹Acme›[Company] rose (l‹ate‹ in May)›[Date]›[Period]"


def test_the_labels_of_a_task_have_colours_of_their_own():
    text = "abcdefg"
    line = spans_line(text, [Span(at, at + 1, label) for at, label in enumerate(LABELS)], labels=LABELS)
    colours = {str(span.style) for span in line.spans if "bold" in str(span.style)}
    assert len(colours) == len(LABELS)


def test_hostile_text_is_neither_markup_nor_a_terminal_sequence():
    for number, text in enumerate(HOSTILE):
        finding = Finding(text, "warning", text, 1, where=text, fix=text)
        document = {"task": text, "per_label": {text: {}}, "metrics": {text: {"value": 0.5}}, "floors": {text: {}}}
        line = spans_line(text, [Span(0, len(text), text)])
        assert visible(text).split() == printed(line).split("›")[0].removeprefix("‹").split()  # tabs become blanks
        record = {"masks": [{"id": text, "segments": [{"text": text, "supervised": True}]}], "notes": [text], "labels": {text: 1}}
        guesses = [Prediction("i", text, label=text), Prediction("i", text, answer=Answer(None, text))]
        guesses.append(Prediction("i", text, reason=text, status="malformed"))
        document |= {"baselines": {text: {"accuracy": {"value": 0.5}}}, "kind": "label"}
        lines = [prediction_line(guess) for guess in guesses]
        tables = Group(*lines, findings_table([finding]), score_table(document), certificate(record))
        for shown in (printed(line), printed(tables if number % 3 == 0 else Group(*lines))):
            assert visible(shown) == shown


def test_findings_say_what_where_how_many_and_what_to_do():
    findings = [
        Finding("D-DUP", "warning", "12 texts repeat", 1200, where="train.csv:40", fix="fintune split"),
        Finding("D-LEAK", "error", "[bold]8[/] shared", 8),
    ]
    shown = printed(findings_table(findings))
    for part in ("warning", "D-DUP", "12 texts repeat", "1,200", "train.csv:40", "fintune split", "error", "D-LEAK", "[bold]8[/] shared"):
        assert part in shown


def test_importing_the_room_costs_nothing_heavy():
    code = "import sys, fintune.report.terminal, fintune.report.html; print([n for n in ('torch', 'rich', 'jinja2') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
