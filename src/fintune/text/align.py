"""Finds the characters that a list-of-strings annotation means, by one stated rule.

Longest surface first; spans never overlap; a span neither starts nor ends inside a word or a number; every occurrence
or the first (docs/decisions/0002 measures which). Runs of blanks count as one blank. What is not found is returned,
never dropped, and nothing is guessed: no case folding, no edit distance.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from fintune.records import Span

Occurrences = Literal["all", "first"]
Boundary = Callable[[str, int], bool]

_UNEVEN_BLANKS = re.compile(r"\s\s|[^\S ]")
_RUNS = re.compile(r"\s+|\S+")

# Scripts that write no blank between words, or glue particles to names (Hangul): there a word has no visible edge.
_UNSPACED = (
    (0x0E00, 0x0FFF),  # Thai, Lao, Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1100, 0x11FF),  # Hangul letters
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0xA4CF),  # Han, Hiragana, Katakana, Bopomofo, Yi
    (0xA960, 0xA97F),  # Hangul letters
    (0xAC00, 0xD7FF),  # Hangul syllables
    (0xF900, 0xFAFF),  # Han, compatibility
    (0xFF66, 0xFFDC),  # half-width Katakana and Hangul
    (0x1AFF0, 0x1B16F),  # Kana, supplements
    (0x20000, 0x3FFFF),  # Han, extensions
)


def at_boundary(text: str, at: int) -> bool:
    """Whether a span may start or end before character `at`: not inside a word, a number or a composed character."""
    if at <= 0 or at >= len(text):
        return True
    before, after = text[at - 1], text[at]
    if _is_mark(after):
        return False
    if before == " " or after == " ":
        return True
    if _inside_number(text, at):
        return False
    base = at - 1
    while base > 0 and _is_mark(text[base]):  # the letter that carries the marks decides
        base -= 1
    if not (text[base].isalnum() and after.isalnum()):
        return True
    return _is_unspaced(text[base]) or _is_unspaced(after)


def align(
    text: str,
    surfaces: Mapping[str, Sequence[str]],
    *,
    occurrences: Occurrences,
    boundary: Boundary = at_boundary,
) -> tuple[tuple[Span, ...], tuple[tuple[str, str], ...]]:
    """Spans of the listed surfaces, and the (label, surface) pairs that found no place of their own.

    A surface listed n times, under one label or several, wants n places. With `first` it gets at most these, verbatim
    ones before blank-normalised ones, then from left to right; with `all` it gets every place, dealt in turn to its
    labels in alphabetical order. Listings beyond the number of places are unaligned.

    Args:
        text: the text, as it will be stored.
        surfaces: label to surfaces; their order never matters.
        occurrences: every occurrence of a surface, or as many as it is listed.
        boundary: whether a span may start or end before character `at`; replaced only to measure the rule.

    Returns:
        Spans in text order, `alignment` being `exact` or `normalised`; unaligned pairs in alphabetical order.
    """
    listings = _listings(surfaces)
    folded, origin = _folded(text)
    taken = bytearray(len(folded))
    spans: list[Span] = []
    unaligned = listings.pop("", [])
    for wanted in sorted(listings, key=lambda surface: (-len(surface), surface)):
        pairs = listings[wanted]
        places = _places(text, folded, origin, taken, wanted, boundary)
        unaligned += pairs[len(places) :]
        kept = len(places) if occurrences == "all" else len(pairs)
        for turn, (start, end) in enumerate(places[:kept]):
            label, _ = pairs[turn % len(pairs)]
            surface = text[start:end]
            spans.append(Span(start, end, label, surface, "exact" if surface == wanted else "normalised"))
    return tuple(sorted(spans)), tuple(sorted(unaligned))


def _listings(surfaces: Mapping[str, Sequence[str]]) -> dict[str, list[tuple[str, str]]]:
    """Blank-normalised surface to its (label, surface) listings, in alphabetical order."""
    listings: dict[str, list[tuple[str, str]]] = {}
    for label, listed in surfaces.items():
        for surface in listed:
            listings.setdefault(" ".join(surface.split()), []).append((label, surface))
    return {wanted: sorted(pairs) for wanted, pairs in listings.items()}


def _folded(text: str) -> tuple[str, Sequence[int]]:
    """The text with every run of blanks as one blank, and for each of its characters the offset in `text`."""
    if _UNEVEN_BLANKS.search(text) is None:
        return text, range(len(text))
    pieces: list[str] = []
    origin: list[int] = []
    for run in _RUNS.finditer(text):
        blank = run.group()[0].isspace()
        pieces.append(" " if blank else run.group())
        origin.extend([run.start()] if blank else range(run.start(), run.end()))
    return "".join(pieces), origin


def _places(
    text: str, folded: str, origin: Sequence[int], taken: bytearray, wanted: str, boundary: Boundary
) -> list[tuple[int, int]]:  # fmt: skip
    """Free places of `wanted` in `text`, verbatim ones first, then left to right; all of them become taken.

    Places that `first` leaves unused are taken too: a shorter name inside a longer one is never a mention of its own.
    """
    places: list[tuple[int, int]] = []
    at = folded.find(wanted)
    while at >= 0:
        until = at + len(wanted)
        start, end = origin[at], origin[until - 1] + 1
        if taken.find(1, at, until) < 0 and boundary(text, start) and boundary(text, end):
            taken[at:until] = b"\1" * len(wanted)
            places.append((start, end))
            at = folded.find(wanted, until)
        else:
            at = folded.find(wanted, at + 1)
    return sorted(places, key=lambda place: (text[place[0] : place[1]] != wanted, place))


def _is_mark(character: str) -> bool:
    return character > "\u02ff" and unicodedata.category(character).startswith("M")


def _is_unspaced(character: str) -> bool:
    code = ord(character)
    return code >= 0x0E00 and any(low <= code <= high for low, high in _UNSPACED)


def _inside_number(text: str, at: int) -> bool:
    """Whether `at` is beside a point or a thousands comma that has digits on both sides: 5 is not part of 2.5."""
    for mark in (at - 1, at):
        if text[mark] in ".," and 0 < mark < len(text) - 1 and text[mark - 1].isdecimal() and text[mark + 1].isdecimal():
            following = re.compile(r"\d+").match(text, mark + 1)
            if text[mark] == "." or (following is not None and len(following.group()) == 3):
                return True
    return False
