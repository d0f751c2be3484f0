"""CoNLL column files: a token a line, its tag in a column, a blank line between sentences.

`-DOCSTART-` begins a document, `# ...` before a sentence is a comment. Columns are parted by tabs where the first line
has one, else by blanks. A line with another number of columns is an error, never a guess; the bad row is its sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fintune.data.formats.base import ReadOptions, Rejected, Row, Source, as_source, shown
from fintune.data.formats.lines import text_lines
from fintune.data.formats.tagged import joined
from fintune.errors import DataError, UsageError
from fintune.records import Example, Meta
from fintune.text.bio import TagError, split_tag

DOCUMENT = "-DOCSTART-"
_COMMENT = re.compile(r"#($|[ \t]|begin document|end document)")
_BLANKS = re.compile(r"[ \t]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """How the lines of one file are cut; fixed by its first token line."""

    tabs: bool
    width: int
    token: int
    tag: int | None  # None where tags are not wanted


@dataclass(slots=True)
class _Sentence:
    """The token lines since the last blank one. The first fault makes the whole sentence a bad row."""

    first_line: int = 0
    tokens: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    error: DataError | None = None


def read(source: Path | Source, options: ReadOptions) -> Iterator[Row]:
    """A row per sentence, with `meta.document` where the file marks documents.

    Raises:
        DataError: the file as a whole cannot be read, or has no such column.
    """
    source = as_source(source)
    columns = _index(options.token_column, 0, "--token-column"), _index(options.tag_column, -1, "--tag-column")
    layout: _Layout | None = None
    sentence, document = _Sentence(), 0
    for number, line in text_lines(source, options.encoding):
        if isinstance(line, DataError):
            sentence.error = sentence.error or line
            sentence.first_line = sentence.first_line or number
        elif not line.strip(" \t"):
            yield from _finished(sentence, document, source, options)
            sentence = _Sentence()
        elif line.split(maxsplit=1)[:1] == [DOCUMENT]:
            yield from _finished(sentence, document, source, options)
            sentence, document = _Sentence(), document + 1
        elif not sentence.first_line and _is_comment(line, layout):
            continue
        else:
            layout = layout or _layout(line, columns, f"{source.name}:{number}", options)
            _add(sentence, line, number, layout, source)
    yield from _finished(sentence, document, source, options)


def _index(value: str | None, default: int, flag: str) -> int:
    if value is None:
        return default
    try:
        return int(value)
    except ValueError as error:
        raise UsageError(f"column {value!r} of a CoNLL file", where=flag, fix="give its number: 0 is the first, -1 the last") from error


def _cells(line: str, *, tabs: bool) -> list[str]:
    return line.split("\t") if tabs else _BLANKS.split(line.strip(" "))


def _layout(line: str, columns: tuple[int, int], where: str, options: ReadOptions) -> _Layout:
    tabs = "\t" in line
    width = len(_cells(line, tabs=tabs))
    wanted = [("--token-column", columns[0])]
    if options.gold != "none":
        wanted.append(("--tag-column", columns[1]))
    for flag, column in wanted:
        if not -width <= column < width:
            raise DataError(f"no column {column}: the line has {width}", where=where, fix=f"give {flag} a number from 0 to {width - 1}")
    token, tag = columns[0] % width, columns[1] % width
    if len(wanted) == 2 and token == tag:
        raise DataError("the token and its tag are the same column", where=where, why=f"columns on the line: {width}",
                        fix="give --token-column and --tag-column different numbers")  # fmt: skip
    return _Layout(tabs=tabs, width=width, token=token, tag=tag if len(wanted) == 2 else None)


def _is_comment(line: str, layout: _Layout | None) -> bool:
    """A `#` line before a sentence, unless it looks just like a token line whose token is `#`."""
    if _COMMENT.match(line) is None:
        return False
    cells = _cells(line, tabs="\t" in line if layout is None else layout.tabs)
    if layout is not None and len(cells) != layout.width:
        return True
    return len(cells) < 2 or not _is_tag(cells[-1 if layout is None or layout.tag is None else layout.tag])


def _is_tag(cell: str) -> bool:
    try:
        split_tag(cell)
    except ValueError:
        return False
    return True


def _add(sentence: _Sentence, line: str, number: int, layout: _Layout, source: Source) -> None:
    sentence.first_line = sentence.first_line or number
    where = f"{source.name}:{number}"
    cells = _cells(line, tabs=layout.tabs)
    if len(cells) != layout.width:
        fault = DataError(f"{len(cells)} columns, the first token line has {layout.width}", where=where,
                          fix="give every line a token and a tag in the same columns, and part sentences by a blank line")  # fmt: skip
        sentence.error = sentence.error or fault
    elif not cells[layout.token].strip():
        sentence.error = sentence.error or DataError("an empty token", where=where, fix="delete the line or give it a token")
    else:
        sentence.tokens.append(cells[layout.token])
        sentence.lines.append(number)
        if layout.tag is not None:
            sentence.tags.append(cells[layout.tag].strip())


def _finished(sentence: _Sentence, document: int, source: Source, options: ReadOptions) -> Iterator[Row]:
    if not sentence.first_line:
        return
    if sentence.error is not None:
        yield Rejected(sentence.error)
        return
    try:
        text, spans = joined(sentence.tokens, sentence.tags, options.scheme)
    except TagError as fault:
        where = f"{source.name}:{sentence.lines[fault.at]}"
        yield Rejected(DataError(fault.reason, where=where, why=f"token {shown(sentence.tokens[fault.at])}", fix=_remedy(options)))
        return
    yield Example(
        id=f"{source.stem}:{sentence.first_line}",
        text=text,
        spans=None if options.gold == "none" else spans,
        meta=Meta(document=f"{source.stem}#{document}" if document else None),
        where=f"{source.name}:{sentence.first_line}",
    )


def _remedy(options: ReadOptions) -> str:
    if options.scheme == "auto":
        return "write O, B-, I-, E- or S- with a label, name the column with --tag-column, or give --scheme IO for bare labels"
    return "correct the tag, or give --scheme auto to read the file as the CoNLL scorer does"
