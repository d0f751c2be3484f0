"""Any number of labels of one text: as a list of JSON or Parquet, or in a cell as a literal or as names with a delimiter between them.

An empty cell is refused, as it does not say whether anybody looked; `[]` says that no label applies. So are blank labels and labels
that stand twice. `pytest tests/data/formats/test_lists_of_labels.py` exercises it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fintune.data.formats.base import shown
from fintune.errors import DataError
from fintune.text.literals import LiteralError, parse_lists

_FIX = "write a list of strings: ['results', 'mergers']"


def checked_labels(values: Sequence[str], *, key: str, where: str) -> tuple[str, ...]:
    """The labels, each of them once.

    Raises:
        DataError: one that is blank, or stands twice.
    """
    for value in values:
        if not value.strip() or values.count(value) > 1:
            what = f"{key!r} has {shown(value)} twice" if value.strip() else f"{key!r} has a blank label"
            raise DataError(what, where=where, fix="give each label once, and no label as an empty list: []")
    return tuple(values)


def from_cell(cell: object, column: str, *, one: Callable[[object], str], delimiter: str, where: str) -> tuple[str, ...]:
    """The labels of a cell.

    Args:
        cell: a list, a class number or a text.
        column: its name, for messages.
        one: reads a single label.
        delimiter: what stands between labels in a text.
        where: file and row.

    Raises:
        DataError: a cell that is empty, no list, or has a label that is none.
    """
    if isinstance(cell, list):
        return checked_labels([one(item) for item in cell], key=column, where=where)
    if not isinstance(cell, str):
        return (one(cell),)
    text = cell.strip()
    if not text:
        why = "whether the text was labelled is unknown"
        raise DataError(f"{column!r} is empty", where=where, why=why, fix="write [] where no label applies")
    if text.startswith("[") and text.endswith("]"):
        return checked_labels([one(item) for item in _listed(text, column, where)], key=column, where=where)
    return checked_labels([part.strip() for part in text.split(delimiter)], key=column, where=where)


def _listed(text: str, column: str, where: str) -> Sequence[object]:
    """The strings or the class numbers of a literal."""
    inner = [part.strip() for part in text[1:-1].split(",")]
    if all(part.isdecimal() for part in inner):
        return list(map(int, inner))
    opening = "{'labels': "
    try:
        lists = parse_lists(f"{opening}{text}}}")
    except LiteralError as error:
        raise DataError(f"{column!r}, character {error.column - len(opening)}: {error.reason}", where=where, fix=_FIX) from error
    if len(lists) > 1:
        raise DataError(f"{column!r} is {shown(text)}, not one list", where=where, fix=_FIX)
    return lists["labels"]
