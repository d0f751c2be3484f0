"""CSV tables: a header, then a row per example, with a text and its annotation, label or both.

The delimiter (comma, semicolon, tab) is told from the header. A row is named by the physical line it starts on, also
where quoted cells hold line ends. `columns.py` tells which column is which.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from fintune.data.formats.base import ReadOptions, Rejected, Row, Source, as_source
from fintune.data.formats.columns import choose, known_names
from fintune.data.formats.delimited import Cells, rows, sniff
from fintune.data.formats.lines import text_lines
from fintune.data.formats.rows import Layout, example_of
from fintune.errors import DataError


def read(source: Path | Source, options: ReadOptions) -> Iterator[Row]:
    """Examples of a CSV file in order; lines without anything in them are left out.

    Raises:
        DataError: the file as a whole cannot be read, its header cannot, or a column is missing.
    """
    source = as_source(source)
    lines = text_lines(source, options.encoding)
    first = next((line for line in lines if isinstance(line.text, DataError) or line.text.strip()), None)
    if first is None:
        raise DataError("the file holds blank lines only", where=source.name, fix="give a header line and a row per example")
    if isinstance(first.text, DataError):
        raise first.text
    table = rows(chain([first], lines), sniff(first.text, known_names(options)), source.name)
    header = next(table)
    if isinstance(header.cells, DataError):
        raise header.cells
    names = [name.strip() for name in header.cells]
    layout = Layout(columns=choose(names, options, where=f"{source.name}:{header.number}"), options=options)
    empty = True
    for row in table:
        empty = False
        yield _row(row, names, layout, source)
    if empty:
        raise DataError("a header and no rows", where=f"{source.name}:{header.number}", fix="give at least one row under the header")


def _row(row: Cells, names: list[str], layout: Layout, source: Source) -> Row:
    where = f"{source.name}:{row.number}"
    if isinstance(row.cells, DataError):
        return Rejected(row.cells)
    if len(row.cells) != len(names):
        return Rejected(DataError(
            f"{len(row.cells)} cells, the header has {len(names)}", where=where,
            fix="put cells that hold the delimiter or line ends in double quotes"))  # fmt: skip
    try:
        cells = dict(zip(names, row.cells, strict=True))
        return example_of(cells, layout, where=where, fallback_id=f"{source.stem}:{row.number}")
    except DataError as error:
        return Rejected(error)
