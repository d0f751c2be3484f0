"""Spans and answers given with character offsets: every offset is checked against the text it counts in.

An answer without `start` is computed from the text or freely worded, and need not stand in it.

Offsets count Unicode code points from zero and `end` is exclusive. Where a surface comes with them, it tells how a wrong
offset was counted (in UTF-16 units, in bytes, with an inclusive end), and the remedy says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from fintune.data.formats.base import shown
from fintune.errors import DataError, did_you_mean
from fintune.records import Alignment, Answer, Span

_SPAN_KEYS = ("start", "end", "label", "text", "alignment")
_ANSWER_KEYS = ("start", "text")


def known_keys(record: Mapping[str, Any], keys: Sequence[str], *, what: str, where: str) -> None:
    """Refuses keys beyond `keys`.

    Raises:
        DataError: names the first unknown key and the nearest known one.
    """
    for key in record:
        if key not in keys:
            raise DataError(f"unknown {what} {shown(key)}", where=where, fix=did_you_mean(key, keys))


def checked_spans(value: object, text: str, *, where: str) -> tuple[Span, ...]:
    """Spans in the order given; overlaps are left to `check`.

    Raises:
        DataError: not a list of span objects, or a span that does not fit the text.
    """
    if not isinstance(value, list):
        raise DataError(f"'spans' is {shown(value)}, not a list", where=where, fix="give [] where the text has no spans")
    return tuple(_span(item, text, f"span {number}", where) for number, item in enumerate(value, 1))


def checked_answer(value: object, text: str, *, where: str) -> Answer | None:
    """An answer, or None where the text has none; with `start` it stands there in the text, without it is computed or free.

    Raises:
        DataError: anything else.
    """
    if value is None:
        return None
    if not isinstance(value, dict):
        raise DataError(
            f"'answer' is {shown(value)}, not an object",
            where=where,
            fix='write it like {"start": 17, "text": "12%"}, {"text": "12%"} or null',
        )
    known_keys(value, _ANSWER_KEYS, what="key of 'answer'", where=where)
    surface = value.get("text")
    if not isinstance(surface, str) or not surface.strip():
        raise DataError(f"the text of 'answer' is {shown(surface)}", where=where, fix="give its words, or null for no answer")
    if value.get("start") is None:
        return Answer(None, surface)
    start = _offset(value, "start", text, "'answer'", where)
    if text[start : start + len(surface)] != surface:
        _refuse_surface(surface, text, start, start + len(surface), "'answer'", where)
    return Answer(start, surface)


def _span(item: object, text: str, name: str, where: str) -> Span:
    if not isinstance(item, dict):
        raise DataError(f"{name} is {shown(item)}, not an object", where=where,
                        fix='write it like {"start": 0, "end": 4, "label": "Company"}')  # fmt: skip
    known_keys(item, _SPAN_KEYS, what=f"key of {name}", where=where)
    start, end = (_offset(item, key, text, name, where) for key in ("start", "end"))
    label, surface, alignment = item.get("label"), item.get("text"), item.get("alignment", "exact")
    if not isinstance(label, str) or not label.strip():
        raise DataError(f"the label of {name} is {shown(label)}", where=where, fix="give its label as a string")
    if end <= start:
        raise DataError(f"{name} ends at {end} and starts at {start}", where=where, why="the end is exclusive and comes after the start",
                        fix="exchange the two or correct them")  # fmt: skip
    if "text" in item and not isinstance(surface, str):
        raise DataError(f"the text of {name} is {shown(surface)}", where=where, fix="give its words, or leave the key out")
    if isinstance(surface, str) and surface != text[start:end]:
        _refuse_surface(surface, text, start, end, name, where)
    if alignment not in get_args(Alignment):
        raise DataError(f"the alignment of {name} is {shown(alignment)}", where=where, fix=f"known: {', '.join(get_args(Alignment))}")
    return Span(start, end, label, text[start:end], alignment)


def _offset(item: Mapping[str, Any], key: str, text: str, name: str, where: str) -> int:
    if key not in item:
        raise DataError(f"{name} has no {key!r}", where=where, why=f"keys found: {', '.join(item) or 'none'}", fix=f"add {key!r}")
    value = item[key]
    if not isinstance(value, int) or isinstance(value, bool):
        raise DataError(f"the {key} of {name} is {shown(value)}", where=where, why="an offset is a whole number",
                        fix="give it as a number without quotes and without a point")  # fmt: skip
    if not 0 <= value <= len(text):
        raise DataError(f"the {key} of {name} is {value}, outside the text of {len(text)} characters", where=where,
                        fix="count code points of 'text' from 0")  # fmt: skip
    return value


def _refuse_surface(surface: str, text: str, start: int, end: int, name: str, where: str) -> None:
    found = text[start:end]
    raise DataError(f"the text of {name} is {shown(surface)}, but characters {start} to {end} are {shown(found)}",
                    where=where, fix=_counting(surface, text, start, end))  # fmt: skip


def _counting(surface: str, text: str, start: int, end: int) -> str:
    """How the offsets seem to have been counted."""
    if text[start : end + 1] == surface:
        return f"the end is exclusive: give {end + 1}"
    if text[start - 1 : end - 1] == surface and start > 0:
        return "offsets count from 0, not from 1"
    for encoding, unit, size in (("utf-16-le", "UTF-16 units", 2), ("utf-8", "bytes", 1)):
        if text.encode(encoding)[start * size : end * size] == surface.encode(encoding):
            return f"the offsets count {unit}; count code points"
    at = text.find(surface)
    return f"it starts at {at}" if at >= 0 else "it occurs nowhere in the text: correct the text or the span"
