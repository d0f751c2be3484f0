"""Offsets that miss are found and explained; edges are judged as a reader of financial text would."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintune.data.checks.spans import READINGS, ragged
from fintune.records import Answer, Example, Span

TEXT = "Crédit 𝔸ltis paid €5m to Økland 🏦 in Zürich, 日本 Post 🏦 said. Ulm too."


def test_spans_outside_the_text(checked, spans) -> None:
    wild = [Span(-1, 4, "Alpha"), Span(5, 5, "Alpha"), Span(9, 8, "Alpha"), Span(3, 4000, "Alpha")]
    planted = [replace(spans[at], spans=(span,)) for at, span in enumerate(wild)]
    found = checked([*planted, *spans[4:]], "spans")
    assert list(found) == ["D301"]
    assert (found["D301"].count, found["D301"].where) == (4, "data.jsonl:1")
    assert "4 spans" in found["D301"].message
    assert "[-1, 4)" in found["D301"].message


def test_a_surface_that_does_not_stand_there(checked, spans) -> None:
    wrong = replace(spans[2], spans=(replace(spans[2].spans[0], text="Siemens"), *spans[2].spans[1:]))
    found = checked([*spans[:2], wrong, *spans[3:]], "spans")
    assert list(found) == ["D302"]
    assert found["D302"].examples == ("s2",)
    assert "for 'Siemens'" in found["D302"].message
    assert "it seems" not in found["D302"].fix
    unnamed = [replace(example, spans=tuple(replace(span, text="") for span in example.spans)) for example in spans]
    assert checked(unnamed, "spans") == {}, "a span need not name its surface"


def offsets(reading: str, start: int, end: int) -> tuple[int, int]:
    """What somebody writes who counts in that way."""
    if "UTF" in reading:
        encoding, unit = ("utf-8", 1) if "UTF-8" in reading else ("utf-16-le", 2)
        return len(TEXT[:start].encode(encoding)) // unit, len(TEXT[:end].encode(encoding)) // unit
    return start + ("from one" in reading), end - ("inclusive" in reading) + ("from one" in reading)


@pytest.mark.parametrize(
    ("kind", "reading"), [*(("spans", reading) for reading in READINGS), *(("answer", r) for r in READINGS if "inclusive" not in r)]
)
def test_the_fix_names_how_offsets_were_counted(checked, kind: str, reading: str) -> None:
    surfaces = ["Crédit 𝔸ltis", "€5m", "Økland", "Zürich", "日本 Post", "Ulm"]
    wrong = [(*offsets(reading, at, at + len(surface)), surface) for surface in surfaces for at in [TEXT.index(surface)]]
    if kind == "spans":
        examples = [Example("e", TEXT, spans=tuple(Span(start, end, "Alpha", surface) for start, end, surface in wrong))]
        found = checked(examples, "spans", select=["D3"])["D302"]
    else:  # an answer has a start only
        examples = [Example(f"e{start}", TEXT, question="?", answer=Answer(start, surface)) for start, _, surface in wrong]
        found = checked(examples, "answer", select=["D3"])["D306"]
    assert f"it seems that {reading}:" in found.fix


def test_overlapping_spans(checked, spans) -> None:
    first = spans[1].spans[0]
    inside = replace(first, start=first.start + 1, label="Beta", text="")
    twice = replace(spans[2], spans=(*spans[2].spans, replace(spans[2].spans[0], label="Gamma")))
    found = checked([spans[0], replace(spans[1], spans=(first, inside)), twice, *spans[3:]], "spans")
    assert list(found) == ["D303"]
    assert found["D303"].examples == ("s1", "s2")


def test_neighbouring_spans_do_not_overlap(checked, spans) -> None:
    halves = replace(spans[0], spans=(Span(0, 3, "Alpha"), Span(3, 5, "Beta")))
    assert checked([halves, *spans[1:]], "spans") == {}


@st.composite
def span_lists(draw: st.DrawFn) -> list[Span]:
    places = draw(st.lists(st.tuples(st.integers(0, 11), st.integers(1, 6)), max_size=5))
    return [Span(start, min(12, start + size), "Alpha") for start, size in places]


@given(span_lists())
def test_overlaps_are_those_of_comparing_all_with_all(planted: list[Span]) -> None:
    from fintune.data.check import check

    expected = any(a.start < b.end and b.start < a.end for i, a in enumerate(planted) for b in planted[:i])
    found = check({"train": [Example("e", "abcdefghijkl", spans=tuple(planted))]}, kind="spans", select=["D303"])
    assert bool(found) == expected


GOOD = [
    "Apple", "Raymond James Financial , Inc. ( Raymond James )", "Apple Inc.", "U.S.", "Dec. 31", "Yahoo!", "$ 5", "5 %",
    "A.P. Moller", "Hotels.com L.P.", "£ 569.8 m.", "JPMorgan Chase & Co.", "George W.", "Skanska a.s.", "( 3.2 )", "'90s",
    'a 15"', ".NET", "-5%", "(Group) Ltd", "5 a.m.", "Boston, Mass.", "[2024]", "日本銀行", "3M", "C++", "No. 5", "A*", "US$ 5 m",
]  # fmt: skip
BAD = [
    " Apple", "Apple ", "Apple\n", "\u00a0Apple", "Apple,", ",Apple", "Apple;", "Apple:", "Apple ?", "'Apple", "Apple'", '"Apple"',
    "“Apple”", "Apple’", "«Apple»", "(Apple", "Apple(", ")Apple", "2023.", "Reuters.", "September 20-21 , 2023 .", "$ 28.3B.",
    ". Apple", "G-III Apparel ( GIII ).", "苹果，", "。", '"',
]  # fmt: skip


@pytest.mark.parametrize("surface", GOOD)
def test_clean_edges(surface: str) -> None:
    assert not ragged(surface)


@pytest.mark.parametrize("surface", BAD)
def test_ragged_edges(surface: str) -> None:
    assert ragged(surface)


@pytest.mark.parametrize(("after", "expected"), [(", a builder", False), (" said", False), (" The", True), ("", True), (" (Brazil)", True)])
def test_a_period_in_the_middle_of_a_sentence_belongs_to_the_name(after: str, expected: bool) -> None:
    assert ragged("Hrafnaberg Oyk.", after) == expected


@given(st.text(min_size=1, max_size=12), st.text(max_size=3))
def test_edges_of_letters_and_digits_are_clean(surface: str, after: str) -> None:
    if surface[0].isalnum() and surface[-1].isalnum():
        assert not ragged(surface, after)


def test_edges_are_found_on_exactly_the_planted_spans(checked, spans) -> None:
    span = spans[4].spans[0]
    longer = replace(span, end=span.end + 1, text="")
    found = checked([*spans[:4], replace(spans[4], spans=(longer,)), *spans[5:]], "spans")
    assert list(found) == ["D304"]
    assert found["D304"].examples == ("s4",)


def test_unaligned_surfaces(checked, spans) -> None:
    planted = replace(spans[7], unaligned=(("Beta", "Siemens AG"), ("Beta", "Bosch")))
    found = checked([*spans[:7], planted, *spans[8:]], "spans")
    assert list(found) == ["D305"]
    assert "2 listed surfaces of 1 example" in found["D305"].message
    assert "Beta 'Siemens AG'" in found["D305"].message


def test_answers_that_do_not_stand_there(checked, answered) -> None:
    wrong = [
        replace(answered[1], answer=Answer(answered[1].answer.start + 1, answered[1].answer.text)),
        replace(answered[2], answer=Answer(-3, answered[2].answer.text)),
        replace(answered[3], answer=Answer(0, "")),
        replace(answered[4], answer=Answer(4000, "x")),
    ]
    found = checked([answered[0], *wrong, *answered[5:]], "answer")
    assert list(found) == ["D306"]
    assert (found["D306"].count, found["D306"].examples) == (4, ("a1", "a2", "a3", "a4"))
