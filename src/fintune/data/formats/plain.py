"""Plain text to predict on: one text a line. Blank lines hold nothing; there is no gold in such a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fintune.data.formats.base import ReadOptions, Rejected, Row, Source, as_source
from fintune.data.formats.lines import text_lines
from fintune.errors import DataError
from fintune.records import Example


def read(source: Path | Source, options: ReadOptions) -> Iterator[Row]:
    """An example without gold per line that is not blank.

    Raises:
        DataError: the file as a whole cannot be read.
    """
    source = as_source(source)
    for number, line in text_lines(source, options.encoding):
        if isinstance(line, DataError):
            yield Rejected(line)
        elif line.strip():
            yield Example(id=f"{source.stem}:{number}", text=line, where=f"{source.name}:{number}")
