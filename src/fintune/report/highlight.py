"""Cuts a text at the ends of its marks, however these overlap, and picks the parts of a long text that are worth showing.

The pieces in their order are the text itself, character by character. Marks outside the text are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from fintune.errors import DataError


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """Characters `[start, end)` under a label. `verdict` is `correct`, an error class of `metrics.mistakes`, or empty.

    `confidence` is the probability that a model gave it, or None.
    """

    start: int
    end: int
    label: str
    verdict: str = ""
    confidence: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Segment:
    """Characters that the same marks cover.

    `inside` holds these marks, the one begun last at the end; `opening` and `ending` those among them that begin with the
    first or end with the last character of the segment, inner ones last and first.
    """

    text: str
    inside: tuple[Mark, ...] = ()
    opening: tuple[Mark, ...] = ()
    ending: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class Passage:
    """A shown part of a text, and how many characters before it are left out."""

    skipped: int
    segments: tuple[Segment, ...]


def segments(text: str, marks: Iterable[Mark], *, start: int = 0, end: int | None = None) -> tuple[Segment, ...]:
    """The characters `[start, end)` of the text in pieces, none empty.

    Raises:
        DataError: for a mark without characters or outside the text.
    """
    end = len(text) if end is None else end
    waiting = sorted(_checked(text, marks), key=lambda m: (m.start, -m.end, m.label, m.verdict), reverse=True)
    cuts = sorted({start, end, *(at for m in waiting for at in (m.start, m.end) if start < at < end)})
    pieces, active = [], list[Mark]()
    for left, right in pairwise(cuts):
        while waiting and waiting[-1].start <= left:
            active.append(waiting.pop())
        active = [m for m in active if m.end > left]
        opening = tuple(m for m in active if m.start == left)
        ending = tuple(m for m in reversed(active) if m.end == right)
        pieces.append(Segment(text[left:right], tuple(active), opening, ending))
    return tuple(pieces)


def _checked(text: str, marks: Iterable[Mark]) -> Iterable[Mark]:
    for mark in marks:
        if not 0 <= mark.start < mark.end <= len(text):
            what = f"span [{mark.start}, {mark.end}) of {mark.label!r} cannot be shown"
            why = f"the text has {len(text)} characters, and a span at least one"
            raise DataError(what, why=why, fix="give offsets in characters of this text")
        yield mark


def windows(text: str, marks: Sequence[Mark], *, longest: int, context: int) -> tuple[tuple[int, int], ...]:
    """The places of a text to show: all of it up to `longest` characters, else `context` characters around each mark.

    Places that touch are one; they begin and end at blanks where there are some nearby. Without marks it is the beginning.
    """
    if len(text) <= longest:
        return ((0, len(text)),) if text else ()
    places: list[tuple[int, int]] = []
    for mark in sorted(marks):
        left, right = _blank_before(text, mark.start - context), _blank_after(text, mark.end + context)
        if places and left <= places[-1][1]:
            left, right = places[-1][0], max(right, places.pop()[1])
        places.append((left, right))
    return tuple(places) or ((0, _blank_after(text, longest)),)


# How far from a window's edge a blank is looked for.
_REACH = 24


def _blank_before(text: str, at: int) -> int:
    if at <= 0:
        return 0
    return text.rfind(" ", max(0, at - _REACH), at) + 1 or at


def _blank_after(text: str, at: int) -> int:
    if at >= len(text):
        return len(text)
    found = text.find(" ", at, at + _REACH)
    return found if found >= 0 else at


def passages(text: str, marks: Sequence[Mark], places: Sequence[tuple[int, int]]) -> tuple[Passage, ...]:
    """The pieces of each place, given in order."""
    shown, before = [], 0
    for start, end in places:
        shown.append(Passage(start - before, segments(text, marks, start=start, end=end)))
        before = end
    return tuple(shown)
