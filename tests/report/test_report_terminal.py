"""Tables and marked text for a terminal: complete, readable without colour, and deaf to whatever the text contains."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from hostile_strings import HOSTILE
from hypothesis import given
from hypothesis import strategies as st
from made_up_run import LABELS, report
from rich.console import Console

from fintune.records import Finding, Span
from fintune.report.figures import decimal
from fintune.report.terminal import findings_table, score_table, spans_line
from fintune.report.visible import visible


def printed(renderable: object, width: int = 100) -> str:
    """What a terminal without colours gets."""
    console = Console(file=io.StringIO(), width=width, no_color=True, highlight=True)
    console.print(renderable, soft_wrap=not hasattr(renderable, "columns"))
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
    for text in HOSTILE:
        finding = Finding(text, "warning", text, 1, where=text, fix=text)
        document = {"task": text, "per_label": {text: {}}, "metrics": {text: {"value": 0.5}}, "floors": {text: {}}}
        line = spans_line(text, [Span(0, len(text), text)])
        assert visible(text).split() == printed(line).split("›")[0].removeprefix("‹").split()  # tabs become blanks
        for shown in (printed(line), printed(findings_table([finding])), printed(score_table(document))):
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
