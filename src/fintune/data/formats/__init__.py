"""Readers of annotated text, one file per format. A new format is a file with `read` and a line in this table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import cast

from fintune.data.formats.base import ReadOptions, Row, Source
from fintune.errors import UsageError, did_you_mean

Reader = Callable[[Source, ReadOptions], Iterator[Row]]

FORMATS = {
    "jsonl": "fintune.data.formats.jsonl:read",
    "csv": "fintune.data.formats.table:read",
    "parquet": "fintune.data.formats.parquet:read",
    "conll": "fintune.data.formats.conll:read",
    "finqa": "fintune.data.formats.finqa:read",
    "squad": "fintune.data.formats.squad:read",
    "tatqa": "fintune.data.formats.tatqa:read",
    "tatqa-spans": "fintune.data.formats.tatqa:read_spans",
    "entities": "fintune.data.formats.entities:read",
    "hub": "fintune.data.formats.hub:read",
    "text": "fintune.data.formats.plain:read",
}
ENTRY_POINTS = "fintune.formats"  # readers of other packages, under the same contract


def reader(name: str) -> Reader:
    """The `read` function of a format.

    Raises:
        UsageError: no such format.
    """
    if name in FORMATS:
        module, _, function = FORMATS[name].partition(":")
        return cast(Reader, getattr(import_module(module), function))
    from importlib.metadata import entry_points  # slow to import, and rarely needed

    for entry in entry_points(group=ENTRY_POINTS, name=name):
        return cast(Reader, entry.load())
    raise UsageError(f"unknown format {name!r}", where="--format", fix=did_you_mean(name, ["auto", *FORMATS]))
