"""TAT-QA's JSON: questions about a page of a financial report, which is a table with the paragraphs around it (arXiv 2105.07624).

`read` gives every question. Its text is the paragraphs and then the table, with a row a line and `|` around its cells; an answer that
stands in it has its place there, and what is computed, counted or put together of several has none. Numbers with a scale say it
(`36.5 million`, `4.2%`); of those that stand in the text this is the alternative. `derivation` is the reasoning. `read_spans` gives
the questions that a stretch of the paragraphs answers, about these alone. Exercised by `pytest tests/data/formats/test_tatqa.py`.

Paper: TAT-QA scores number and scale apart and wants both; a stretch of a table cannot state the scale and is accepted without.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fintune.data.formats.base import ReadOptions, Rejected, Row, Source, as_source, checked_id, checked_text, shown
from fintune.data.formats.finqa import drawn
from fintune.data.formats.objects import records
from fintune.errors import DataError
from fintune.records import Answer, Example, Meta
from fintune.text.numbers import plain
from fintune.text.numbers import read as read_number

_SCALES = {"": "", "percent": "%", "thousand": " thousand", "million": " million", "billion": " billion"}
_TYPES = ("span", "multi-span", "arithmetic", "count")


@dataclass(frozen=True, slots=True)
class _Page:
    """Paragraphs by their number on the page, in order, the table as lines, and the page's id."""

    document: str
    paragraphs: Mapping[str, str]
    table: str

    @property
    def prose(self) -> str:
        return "\n".join(self.paragraphs.values())

    @property
    def text(self) -> str:
        return "\n".join(part for part in (self.prose, self.table) if part)


def read(source: Path | Source, options: ReadOptions) -> Iterator[Row]:
    """Every question, in order; each is named by the line its page begins on.

    Raises:
        DataError: the file as a whole cannot be read.
    """
    for page, record, where in _records(as_source(source), options):
        try:
            if isinstance(record, DataError):
                raise record
            yield _question(page, record, page.text, options, where)
        except DataError as error:
            yield Rejected(error)


def read_spans(source: Path | Source, options: ReadOptions) -> Iterator[Row]:
    """The questions that a stretch of the paragraphs answers, with its first place; those of another kind are not in this format.

    Raises:
        DataError: the file as a whole cannot be read.
    """
    for page, record, where in _records(as_source(source), options):
        try:
            if isinstance(record, DataError):
                raise record
            if (record.get("answer_type"), record.get("answer_from")) != ("span", "text"):
                continue
            (surface,) = _strings(record, where)
            start = page.prose.find(surface)
            if start >= 0:
                example = _asked(page, record, page.prose, where)
                yield example if options.gold == "none" else replace(example, answer=Answer(start, surface))
        except DataError as error:
            yield Rejected(error)


def _records(source: Source, options: ReadOptions) -> Iterator[tuple[_Page, Any, str]]:
    """Page and record of each question, or in the record's place what is wrong with the page."""
    for where, value in records(source, options.encoding, fix="write it like the published files"):
        try:
            if isinstance(value, DataError):
                raise value
            page, questions = _page(value, where), value.get("questions")
            if not isinstance(questions, list):
                raise DataError(f"'questions' is {shown(questions)}, not a list", where=where, fix="give the questions of the page")
        except DataError as error:
            yield _Page("", {}, ""), error, where
            continue
        for record in questions:
            if isinstance(record, dict):
                yield page, record, where
            else:
                yield page, DataError(f"{shown(record)} is not a question", where=where, fix="give an object with 'question'"), where


def _page(value: Mapping[str, Any], where: str) -> _Page:
    table, paragraphs = value.get("table"), value.get("paragraphs")
    rows = table.get("table") if isinstance(table, dict) else None
    if not isinstance(table, dict) or not isinstance(rows, list):
        raise DataError(f"'table' is {shown(table)}", where=where, fix="give an object with the rows under 'table', [] for none")
    for row in rows:
        if not isinstance(row, list) or not all(isinstance(cell, str) for cell in row):
            raise DataError(f"'table' holds {shown(row)}, not a list of strings", where=where, fix="write it like the published files")
    if not isinstance(paragraphs, list) or not all(isinstance(paragraph, dict) for paragraph in paragraphs):
        raise DataError(f"'paragraphs' is {shown(paragraphs)}", where=where, fix="give a list of objects with 'order' and 'text'")
    if not all(isinstance(paragraph.get("order"), int) for paragraph in paragraphs):
        raise DataError("a paragraph without 'order'", where=where, fix="number the paragraphs of the page")
    ordered = sorted(paragraphs, key=lambda paragraph: int(paragraph["order"]))
    texts = {str(paragraph["order"]): checked_text(paragraph.get("text"), key="text", where=where) for paragraph in ordered}
    return _Page(checked_id(table.get("uid"), where=where), texts, drawn(rows))


def _asked(page: _Page, record: Mapping[str, Any], text: str, where: str) -> Example:
    return Example(
        id=checked_id(record.get("uid"), where=where),
        text=checked_text(text, key="paragraphs", where=where),
        question=checked_text(record.get("question"), key="question", where=where),
        meta=Meta(document=page.document),
        where=where,
    )


def _question(page: _Page, record: Mapping[str, Any], text: str, options: ReadOptions, where: str) -> Example:
    example = _asked(page, record, text, where)
    if options.gold == "none":
        return example
    kind, scale, derivation = record.get("answer_type"), record.get("scale", ""), record.get("derivation", "")
    if kind not in _TYPES:
        raise DataError(f"'answer_type' is {shown(kind)}", where=where, fix=f"give one of {', '.join(_TYPES)}")
    if scale not in _SCALES:
        raise DataError(f"'scale' is {shown(scale)}", where=where, fix=f"give one of {', '.join(repr(one) for one in _SCALES)}")
    if not isinstance(derivation, str):
        raise DataError(f"'derivation' is {shown(derivation)}, not a string", where=where, fix="write the steps, or leave it empty")
    example = replace(example, reasoning=derivation.strip() or None)
    if kind in ("arithmetic", "count"):
        return replace(example, answer=Answer(None, f"{_number(record, where)}{_SCALES[scale]}"))
    surfaces = _strings(record, where)
    if kind == "multi-span":
        return replace(example, answer=Answer(None, ", ".join(surfaces)))
    (surface,) = surfaces
    scaled = f"{surface}{_SCALES[scale]}"
    start = _place(page, record, surface)
    if start is None:
        return replace(example, answer=Answer(None, scaled))
    stated = scale and read_number(surface) is not None and read_number(scaled) is not None
    return replace(example, answer=Answer(start, surface), alternatives=(Answer(None, scaled),) if stated else ())


def _place(page: _Page, record: Mapping[str, Any], surface: str) -> int | None:
    """Where an answer stands: in the paragraphs named, in a cell of its own, or anywhere; None where nowhere."""
    text = page.text
    named = record.get("rel_paragraphs")
    if "text" in str(record.get("answer_from")) and isinstance(named, list):
        for order, paragraph in page.paragraphs.items():
            at = paragraph.find(surface) if order in named else -1
            if at >= 0:
                return text.index(paragraph) + at
    cell = page.table.find(f"| {' '.join(surface.split())} |")
    if cell >= 0 and surface == " ".join(surface.split()):
        return len(text) - len(page.table) + cell + 2
    at = text.find(surface)
    return at if at >= 0 else None


def _strings(record: Mapping[str, Any], where: str) -> Sequence[str]:
    """The stretches of an answer: one of a span, several else."""
    value, single = record.get("answer"), record.get("answer_type") == "span"
    if not isinstance(value, list) or not value or not all(isinstance(part, str) and part.strip() for part in value):
        raise DataError(f"'answer' is {shown(value)}, not a list of strings", where=where, fix="give the words of the answer in a list")
    if single and len(value) != 1:
        raise DataError(f"a span of {len(value)} parts", where=where, fix="give one part, or make the 'answer_type' multi-span")
    return value


def _number(record: Mapping[str, Any], where: str) -> str:
    value = record.get("answer")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return plain(float(value))
    if isinstance(value, str) and read_number(value) is not None:
        return value.strip()
    raise DataError(f"'answer' is {shown(value)}, not a number", where=where, fix="give the number that is computed or counted")
