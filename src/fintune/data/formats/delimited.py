"""Cuts comma-, semicolon- or tab-separated lines into rows of cells, with the line each row starts on.

RFC 4180: a cell that begins with a double quote ends with one, may hold delimiters and line ends, and doubles its quotes.
After a faulty row reading goes on at the next physical line, so that one open quote does not swallow the file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fintune.data.formats.lines import MAX_LINE, Line
from fintune.errors import DataError

DELIMITERS = ",;\t"
QUOTE = '"'


class Cells(NamedTuple):
    """The cells of a row, which starts on line `number`, or what is wrong with it."""

    number: int
    cells: list[str] | DataError


class _RowError(Exception):
    """A row that cannot be cut."""

    def __init__(self, error: DataError) -> None:
        self.error = error


class _Lines:
    """Physical lines with a memory of those the current row has taken."""

    def __init__(self, lines: Iterable[Line], name: str) -> None:
        self._lines, self._waiting, self._taken, self.name = iter(lines), deque[Line](), list[Line](), name

    def first(self) -> Line | None:
        """The next line, which begins a row."""
        self._taken = []
        return self._waiting.popleft() if self._waiting else next(self._lines, None)

    def more(self) -> Line | None:
        """The next line of the same row."""
        line = self._waiting.popleft() if self._waiting else next(self._lines, None)
        if line is not None and isinstance(line.text, str):
            self._taken.append(line)
        return line

    def give_back(self) -> None:
        """Lets the lines that a faulty row took begin rows of their own."""
        self._waiting.extendleft(reversed(self._taken))


def rows(lines: Iterable[Line], delimiter: str, name: str) -> Iterator[Cells]:
    """Rows in order; lines without anything in them are left out.

    Args:
        lines: physical lines, faulty ones as they are.
        delimiter: one character.
        name: the file, for messages.
    """
    source = _Lines(lines, name)
    while (line := source.first()) is not None:
        if isinstance(line.text, DataError):
            yield Cells(line.number, line.text)
        elif QUOTE not in line.text:
            if line.text.strip(" "):
                yield Cells(line.number, line.text.split(delimiter))
        else:
            try:
                yield Cells(line.number, _cut(line.number, line.text, delimiter, source))
            except _RowError as fault:
                source.give_back()
                yield Cells(line.number, fault.error)


def sniff(header: str, known: Iterable[str]) -> str:
    """The delimiter of a header line: the one that shows most known column names, then most columns."""
    names = {name.lower() for name in known}

    def score(delimiter: str) -> tuple[int, int]:
        cells = [cell.strip().strip(QUOTE).strip().lower() for cell in header.split(delimiter)]
        return sum(cell in names for cell in cells), len(cells)

    return max(DELIMITERS, key=score)


def _cut(number: int, text: str, delimiter: str, source: _Lines) -> list[str]:
    """The cells of the row that starts with `text`."""
    cells: list[str] = []
    at = 0
    while True:
        if text.startswith(QUOTE, at):
            cell, number_now, text, at = _quoted(number, text, at, source)
            if at < len(text) and text[at] != delimiter:
                here = f"{source.name}:{number}" + (f":{at + 1}" if number_now == number else "")
                raise _RowError(DataError(
                    f"{text[at]!r} after a closing quote", where=here, why="" if number_now == number else f"on line {number_now}",
                    fix='double the quotes inside a cell: "say ""yes""", and close the cell on the line it ends'))  # fmt: skip
            cells.append(cell)
        else:
            end = text.find(delimiter, at)
            cells.append(text[at:] if end < 0 else text[at:end])
            at = len(text) if end < 0 else end
        if at >= len(text):
            return cells
        at += 1


def _quoted(number: int, text: str, at: int, source: _Lines) -> tuple[str, int, str, int]:
    """A quoted cell that opens at `at`: its value, the line and text it ends on, and the place after its quote."""
    parts: list[str] = []
    opened, size, begin, number_now = at, 0, at + 1, number
    while True:
        close = text.find(QUOTE, begin)
        while close >= 0 and text.startswith(QUOTE, close + 1):
            close = text.find(QUOTE, close + 2)
        if close >= 0:
            parts.append(text[begin:close])
            return "\n".join(parts).replace('""', QUOTE), number_now, text, close + 1
        parts.append(text[begin:])
        size += len(parts[-1]) + 1
        line = source.more() if size <= MAX_LINE else None
        if line is None:
            reason = "the file ends" if size <= MAX_LINE else f"it goes on for more than {MAX_LINE >> 20} MiB"
            raise _RowError(DataError("a quoted cell that is never closed", where=f"{source.name}:{number}",
                                      why=f"{reason} before a closing quote; the cell opens near character {opened + 1}",
                                      fix="close the cell with a double quote, and double the quotes inside it"))  # fmt: skip
        if isinstance(line.text, DataError):
            raise _RowError(line.text)
        number_now, text, begin = line.number, line.text, 0
