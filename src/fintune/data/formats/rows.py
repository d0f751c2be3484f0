"""A row of a table, whatever file it came from, to an example.

It is a text with annotated lists, a label, any number of labels or a question; or tagged tokens. A cell of another type, and one that
is empty where it had to say something, is refused. `pytest tests/data/formats/test_table.py` exercises it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fintune.data.formats import label_lists
from fintune.data.formats.base import ReadOptions, checked_id, checked_meta, checked_text, shown
from fintune.data.formats.columns import Columns
from fintune.data.formats.offsets import checked_spans
from fintune.data.formats.tagged import joined
from fintune.errors import DataError
from fintune.records import Answer, Example, Span
from fintune.text.align import align
from fintune.text.bio import TagError
from fintune.text.literals import LiteralError, parse_lists
from fintune.text.numbers import plain

Gold = tuple[tuple[Span, ...], tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the rows of one table are read; `classes` names the class numbers of a column."""

    columns: Columns
    options: ReadOptions
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)


def example_of(row: Mapping[str, object], layout: Layout, *, where: str, fallback_id: str) -> Example:
    """The example of one row.

    Raises:
        DataError: a cell of the wrong type, an empty text, or an annotation that cannot be read.
    """
    columns = layout.columns
    spans: tuple[Span, ...] | None = None
    unaligned: tuple[tuple[str, str], ...] = ()
    question = None if columns.question is None else _question(row[columns.question], columns.question, layout.options, where)
    if columns.text is not None:
        text = checked_text(row[columns.text], key=columns.text, where=where)
    elif columns.token is not None:
        text, spans = _tagged(row, layout, where)
    else:
        text, question = _parted(question, columns.question or "", where)
    if columns.annotation is not None:
        spans, unaligned = _annotated(row[columns.annotation], text, columns.annotation, layout.options, where)
    return Example(
        id=checked_id(row[columns.id], where=where) if columns.id is not None else fallback_id,
        text=text,
        spans=spans,
        label=None if columns.label is None else _label(row[columns.label], columns.label, layout, where),
        labels=None if columns.labels is None else _labels(row[columns.labels], columns.labels, layout, where),
        question=question,
        answer=None if columns.answer is None else _answer(row[columns.answer], columns.answer, where),
        reasoning=None if columns.reasoning is None else _reasoning(row[columns.reasoning], columns.reasoning, where),
        meta=checked_meta({key: None if row[name] == "" else row[name] for key, name in columns.meta.items()}, where=where),
        unaligned=unaligned,
        where=where,
    )


def _annotated(cell: object, text: str, column: str, options: ReadOptions, where: str) -> Gold:
    if isinstance(cell, list) and not all(isinstance(item, tuple) for item in cell):
        return checked_spans(cell, text, where=where), ()
    if isinstance(cell, str):
        if not cell.strip():
            raise DataError(f"{column!r} is empty", where=where, why="whether the text was annotated is unknown",
                            fix="write {} where nothing is marked")  # fmt: skip
        try:
            lists = parse_lists(cell)
        except LiteralError as error:
            raise DataError(f"{column!r}, character {error.column}: {error.reason}", where=where,
                            fix="write a dictionary of lists of strings: {'Company': ['Acme'], 'Date': None}") from error  # fmt: skip
    else:
        lists = _lists(cell, column, where)
    for label, surfaces in lists.items():
        if not label.strip() or not all(surface.strip() for surface in surfaces):
            raise DataError(f"{column!r} has an empty {'string under ' + repr(label) if label.strip() else 'label'}", where=where,
                            fix="delete it: a span has at least one character")  # fmt: skip
    return align(text, lists, occurrences=options.occurrences)


def _lists(cell: object, column: str, where: str) -> dict[str, list[str]]:
    """The lists of a cell that is no string: a struct or a map of Parquet."""
    pairs = cell.items() if isinstance(cell, dict) else cell if isinstance(cell, list) else None
    if pairs is None:
        raise DataError(
            f"{column!r} is {shown(cell)}, not a dictionary", where=where, fix="give a dictionary of lists of strings, {} for none"
        )
    lists: dict[str, list[str]] = {}
    for label, values in pairs:
        surfaces = [] if values is None else values
        if not isinstance(label, str) or not isinstance(surfaces, list) or not all(isinstance(value, str) for value in surfaces):
            raise DataError(
                f"{column!r} holds {shown(values)} under {shown(label)}", where=where, fix="give a list of strings, or None for none"
            )
        lists[label] = surfaces
    return lists


def _label(cell: object, column: str, layout: Layout, where: str) -> str:
    names = layout.classes.get(column)
    if isinstance(cell, int) and not isinstance(cell, bool):
        if names is None:
            return str(cell)
        if 0 <= cell < len(names):
            return names[cell]
    elif isinstance(cell, str) and cell.strip():
        return cell
    why = "a label is a string or a class number" if names is None else f"class numbers go from 0 to {len(names) - 1}"
    raise DataError(f"{column!r} is {shown(cell)}", where=where, why=why, fix="give the row one label or delete it")


def _labels(cell: object, column: str, layout: Layout, where: str) -> tuple[str, ...]:
    def one(item: object) -> str:
        return _label(item, column, layout, where)

    return label_lists.from_cell(cell, column, one=one, delimiter=layout.options.label_delimiter, where=where)


def _question(cell: object, column: str, options: ReadOptions, where: str) -> str | None:
    """The question; in texts to predict on a column of that name may be about something else, and be empty."""
    if options.gold == "none" and (cell is None or (isinstance(cell, str) and not cell.strip())):
        return None
    return checked_text(cell, key=column, where=where)


def _parted(cell: str | None, column: str, where: str) -> tuple[str, str]:
    """Text and question out of one cell, as instruction data write it: `... Context: TEXT ... Question: QUESTION ... Answer:`.

    Raises:
        DataError: the cell does not say where the question begins.
    """
    before, _, after = (cell or "").rpartition("Question:")
    instruction, _, rest = before.partition("Context:")
    text, question = (rest or instruction).strip(), after.strip().removesuffix("Answer:").strip()
    if not text or not question:
        raise DataError(f"{column!r} is {shown(cell)}", where=where, why="without a column of text it is read as 'TEXT Question: QUESTION'",
                        fix="write it so, or name the column of the text with --text-column")  # fmt: skip
    return text, question


def _answer(cell: object, column: str, where: str) -> Answer | None:
    """The answer, without a place in the text; None, which only tables with types have, says that there is none."""
    if cell is None:
        return None
    if isinstance(cell, int | float) and not isinstance(cell, bool) and math.isfinite(cell):
        return Answer(None, plain(cell))
    return Answer(None, checked_text(cell, key=column, where=where))


def _reasoning(cell: object, column: str, where: str) -> str | None:
    return None if cell is None or cell == "" else checked_text(cell, key=column, where=where)


def _tagged(row: Mapping[str, object], layout: Layout, where: str) -> tuple[str, tuple[Span, ...] | None]:
    columns = layout.columns
    assert columns.token is not None  # `choose` finds the text or the tokens
    tokens = row[columns.token]
    if not isinstance(tokens, list) or not all(isinstance(token, str) and token.strip() for token in tokens):
        raise DataError(f"{columns.token!r} is {shown(tokens)}", where=where, why="tokens are a list of strings, none of them empty",
                        fix="correct the list, or name the column of the text with --text-column")  # fmt: skip
    if not tokens:
        raise DataError(f"{columns.token!r} is empty", where=where, why="there is nothing to read", fix="delete the row or give it a text")
    if columns.tag is None:
        return " ".join(tokens), None
    tags = _tags(row[columns.tag], columns.tag, layout, where)
    if len(tags) != len(tokens):
        raise DataError(f"{len(tokens)} tokens and {len(tags)} tags", where=where, fix="give every token one tag")
    try:
        return joined(tokens, tags, layout.options.scheme)
    except TagError as error:
        raise DataError(str(error), where=where, fix="correct the tag, or give --scheme IO where tags are bare labels") from error


def _tags(cell: object, column: str, layout: Layout, where: str) -> list[str]:
    names = layout.classes.get(column)
    tags: list[str] = []
    for tag in cell if isinstance(cell, list) else [cell]:
        if isinstance(tag, str):
            tags.append(tag)
        elif names is not None and isinstance(tag, int) and not isinstance(tag, bool) and 0 <= tag < len(names):
            tags.append(names[tag])
        else:
            why = (
                "tag numbers need the names that a hub data set stores with them" if names is None else f"there are {len(names)} tag names"
            )
            raise DataError(f"{column!r} holds {shown(tag)}", where=where, why=why, fix="store the tags as strings such as B-ORG")
    return tags
