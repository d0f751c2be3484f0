"""Terminal, Markdown and CSV of a comparison say what the document says, whatever the names are."""

from __future__ import annotations

import csv
import io

import pytest
from hostile_strings import HOSTILE
from made_up_comparison import METRICS, disagreements, document
from rich.console import Console

from fintune.report.comparison_entries import shown
from fintune.report.comparison_terminal import comparison
from fintune.report.comparison_text import COLUMNS, csv_text, markdown
from fintune.report.comparison_words import between, p_words, sentence, sentences, signed
from fintune.report.visible import visible

KINDS = pytest.mark.parametrize("kind", METRICS)


def printed(kind: str, text: str = "x") -> str:
    console = Console(file=io.StringIO(), width=220, no_color=True)
    console.print(comparison(document(kind, text=text), disagreements(kind, text=text)))
    return console.file.getvalue()


@KINDS
def test_csv_has_every_figure_in_full(kind):
    of = document(kind)
    rows = list(csv.DictReader(io.StringIO(csv_text(of))))
    known = [(pair, metric, entry) for pair in of["pairs"] for metric, entry in pair["metrics"].items()]
    assert len(rows) == len(known)
    for row, (pair, metric, entry) in zip(rows, known, strict=True):
        assert (row["first"], row["second"], row["metric"]) == (pair["first"], pair["second"], metric)
        for name in COLUMNS[3:]:
            assert row[name] == ("" if entry[name] is None else str(entry[name]))


@pytest.mark.parametrize("name", ["=1+1", "+A1", "-x", "@sum", 'a"b,c', "two\nlines", "\tx"])
def test_csv_is_no_formula(name):
    rows = list(csv.DictReader(io.StringIO(csv_text(document("spans", (name, "b", "c", "d"))))))
    assert rows[0]["first"].lstrip("'") == name
    assert not rows[0]["first"].startswith(("=", "+", "-", "@", "\t"))


@KINDS
def test_terminal_and_markdown_have_every_figure(kind):
    of, text, written = document(kind), printed(kind), markdown(document(kind))
    for pair in of["pairs"]:
        for entry in pair["metrics"].values():
            for figure in (signed(entry["value"]), between(entry), p_words(entry["p_holm"])):
                assert figure in text
                assert figure.replace("<", "\\<") in written
    for words in sentences(of, most=len(of["pairs"])):
        assert words in " ".join(text.split())
        assert words.replace("<", "\\<") in written
    assert of["command"] in text
    assert of["command"] in written


@KINDS
@pytest.mark.parametrize("text", HOSTILE[::60])
def test_no_text_acts_on_a_terminal_or_breaks_a_table(kind, text):
    for out in (printed(kind, text), markdown(document(kind, text=text))):
        assert visible(out) == out
    rows = [line for line in markdown(document(kind, ("a|b", text, "c", "d"))).splitlines() if line.startswith("|")]
    widths = [len(row.replace("\\\\", "").replace("\\|", "").split("|")) for row in rows]
    known = [len(row.split("|")) for row in markdown(document(kind)).splitlines() if row.startswith("|")]
    assert widths == known


@KINDS
def test_lines_show_gold_and_both_systems(kind):
    for found in disagreements(kind):
        entry = shown(found, ("xL", "other"))
        names = [line.name for line in entry.lines]
        assert names[-2:] == ["first", "second"]
        assert "Gold" in names
        assert found.better in entry.words
    unread = shown(disagreements(kind)[1], ("xL", "other")).lines[-2]
    assert unread.words == "nothing that could be read"


def test_marks_of_spans_say_what_is_wrong():
    text = printed("spans")
    assert "ab ‹x›[xL] cd" in text
    assert "‹ab›[other: spurious] x cd" in text


def test_p_values_and_signs():
    assert [p_words(p) for p in (0.00005, 0.001, 0.0426, 1.0, None)] == ["< 0.001", "0.001", "0.043", "1.000", "–"]
    assert [signed(value) for value in (0.0, 0.1234, -0.1234, 0.00001, -0.00001)] == ["0.000", "+0.123", "−0.123", "+0.001", "−0.001"]


def test_one_test_needs_no_correction():
    of = {**document("spans"), "tests": 1}
    assert "corrected" not in sentence(of, of["pairs"][0], "micro_f1")
    assert "corrected for 8 tests" in sentence(document("spans"), of["pairs"][0], "micro_f1")
