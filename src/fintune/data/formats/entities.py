"""Texts with labelled places: JSON Lines of `{"text", "entities": [{"name", "sentiment", "start"}]}`, one example an entity.

The text of an example is that of the row with the entity in square brackets, so that any head can tell which one is meant; its
document is the row. An entity that does not stand at its `start` is refused. Exercised by
`pytest tests/data/formats/test_entities.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fintune.data.formats.base import ReadOptions, Rejected, Row, Source, as_source, checked_id, checked_text, shown
from fintune.data.formats.objects import records
from fintune.data.formats.offsets import known_keys
from fintune.errors import DataError
from fintune.records import Example, Meta

KEYS, ENTITY_KEYS = ("id", "text", "entities"), ("name", "sentiment", "start")
OPEN, CLOSE = "[", "]"


def marked(text: str, start: int, end: int) -> str:
    """The text with its characters `[start, end)` in square brackets."""
    return f"{text[:start]}{OPEN}{text[start:end]}{CLOSE}{text[end:]}"


def read(source: Path | Source, options: ReadOptions) -> Iterator[Row]:
    """Examples of a file, row after row, each named by the line of its row.

    Raises:
        DataError: the file as a whole cannot be read.
    """
    source = as_source(source)
    for where, record in records(source, options.encoding, fix='give {"text": ..., "entities": [...]}'):
        try:
            if isinstance(record, DataError):
                raise record
            if not isinstance(record.get("entities"), list):
                raise DataError(f"{shown(record)} has no list of entities", where=where, fix='give {"text": ..., "entities": [...]}')
            known_keys(record, KEYS, what="key", where=where)
            whole = checked_text(record.get("text"), key="text", where=where)
            name = checked_id(record["id"], where=where) if "id" in record else f"{source.stem}:{where.rpartition(':')[2]}"
        except DataError as error:
            yield Rejected(error)
            continue
        for place, entity in enumerate(record["entities"], start=1):
            try:
                yield _example(whole, entity, options, name=name, place=place, where=where)
            except DataError as error:
                yield Rejected(error)


def _example(text: str, entity: object, options: ReadOptions, *, name: str, place: int, where: str) -> Example:
    if not isinstance(entity, dict):
        raise DataError(f"entity {place} is {shown(entity)}, not an object", where=where, fix='write {"name", "sentiment", "start"}')
    known_keys(entity, ENTITY_KEYS, what="key of an entity", where=where)
    surface = checked_text(entity.get("name"), key="name", where=where)
    start = entity.get("start")
    if isinstance(start, bool) or not isinstance(start, int) or start < 0 or text[start : start + len(surface)] != surface:
        why = f"the text has {shown(text[max(0, start) :][: len(surface)])} there" if isinstance(start, int) else "no number"
        fix = "count 'start' in code points from 0, or leave the row out with --skip-bad"
        raise DataError(f"entity {shown(surface)} does not stand at {shown(start)}", where=where, why=why, fix=fix)
    return Example(
        f"{name}:{place}", marked(text, start, start + len(surface)), label=_label(entity, options, where),
        meta=Meta(document=name), where=where,
    )  # fmt: skip


def _label(entity: Mapping[str, Any], options: ReadOptions, where: str) -> str | None:
    if options.gold == "none":
        return None
    return checked_text(entity.get("sentiment"), key="sentiment", where=where)
