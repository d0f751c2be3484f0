"""The pieces are the text; each character lies under exactly the marks that cover it; excerpts leave no mark out."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintune.errors import DataError
from fintune.report.highlight import Mark, passages, segments, windows


@st.composite
def marked(draw: st.DrawFn, longest: int = 40) -> tuple[str, list[Mark]]:
    text = draw(st.text(min_size=1, max_size=longest) | st.text(alphabet="ab ", min_size=1, max_size=longest))
    places = st.tuples(st.integers(0, len(text) - 1), st.integers(1, longest), st.sampled_from("XYZ"))
    return text, [Mark(start, min(start + size, len(text)), label) for start, size, label in draw(st.lists(places, max_size=8))]


@given(marked(), st.data())
def test_pieces_are_the_text_and_lie_under_the_marks_that_cover_them(case, data):
    text, marks = case
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    pieces = segments(text, marks, start=start, end=end)
    assert "".join(piece.text for piece in pieces) == text[start:end]
    assert all(piece.text for piece in pieces)
    at = start
    for piece in pieces:
        for place in range(at, at + len(piece.text)):
            assert sorted(piece.inside) == sorted(m for m in marks if m.start <= place < m.end)
        assert sorted(piece.opening) == sorted(m for m in marks if m.start == at)
        at += len(piece.text)
        assert sorted(piece.ending) == sorted(m for m in marks if m.end == at)


@given(marked())
def test_pieces_are_as_few_as_the_marks_allow(case):
    text, marks = case
    cuts = {0, len(text)} | {at for mark in marks for at in (mark.start, mark.end)}
    assert len(segments(text, marks)) == len(cuts) - 1


@given(marked())
def test_the_mark_begun_last_is_innermost(case):
    text, marks = case
    for piece in segments(text, marks):
        assert [m.start for m in piece.inside] == sorted(m.start for m in piece.inside)


@given(marked(120), st.integers(0, 12), st.integers(1, 40))
def test_excerpts_are_in_order_apart_and_hold_every_mark(case, context, longest):
    text, marks = case
    places = windows(text, marks, longest=longest, context=context)
    assert all(0 <= start < end <= len(text) for start, end in places)
    assert all(left[1] < right[0] for left, right in pairwise(places))
    assert all(any(start <= mark.start and mark.end <= end for start, end in places) for mark in marks)
    if len(text) <= longest:
        assert places == ((0, len(text)),)
    shown = passages(text, marks, places)
    at = 0
    for passage in shown:
        at += passage.skipped
        piece = "".join(segment.text for segment in passage.segments)
        assert text[at : at + len(piece)] == piece
        at += len(piece)
    assert at == places[-1][1]


def test_an_excerpt_begins_and_ends_at_blanks():
    text = "alpha beta gamma delta epsilon zeta eta theta"
    start = text.index("epsilon")
    ((left, right),) = windows(text, [Mark(start, start + 7, "X")], longest=10, context=8)
    assert text[left:right] == "gamma delta epsilon zeta eta"


def test_no_text_no_pieces():
    assert segments("", []) == ()
    assert windows("", [], longest=10, context=3) == ()


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (2, 2), (3, 2), (0, 5)])
def test_a_mark_outside_the_text_is_refused(start, end):
    with pytest.raises(DataError, match="cannot be shown"):
        segments("four", [Mark(start, end, "X")])
