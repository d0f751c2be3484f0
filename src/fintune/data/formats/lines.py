"""Opens text files, plain or gzipped, and gives their physical lines; refuses what is no text of the stated encoding.

Only a line feed ends a line (U+2028 does not). A bad line is given as a DataError and reading goes on; a broken or
exploding archive, another file type or another encoding altogether is raised.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from typing import IO, NamedTuple

from fintune.data.formats.base import Source
from fintune.data.formats.opening import BROKEN, HEAD, opened, raise_broken
from fintune.errors import DataError, UsageError

MAX_LINE = 16 << 20  # bytes of a line, or characters of a cell that goes over several
UTF8_MARK = b"\xef\xbb\xbf"

_FOREIGN = {
    b"PAR1": ("a Parquet file", "read it with --format parquet"),
    b"PK\x03\x04": ("a zip archive or an Excel workbook", "unpack it, or save the sheet as CSV (UTF-8)"),
    b"\xd0\xcf\x11\xe0": ("an old Excel or Word file", "save the sheet as CSV (UTF-8)"),
    b"%PDF": ("a PDF file", "extract its text first"),
    b"ARROW1": ("an Arrow file", "give the folder that save_to_disk wrote, or export it as Parquet"),
    b"SQLite format 3": ("an SQLite database", "export the table as CSV"),
    b"BZh": ("a bzip2 archive", "unpack it; only gzip is read directly"),
    b"\xfd7zXZ": ("an xz archive", "unpack it; only gzip is read directly"),
    b"\x28\xb5\x2f\xfd": ("a zstd archive", "unpack it; only gzip is read directly"),
    b"\x1f\x8b": ("gzipped twice", "unpack it once"),
}


class Line(NamedTuple):
    """A physical line without its end, counted from one, or what is wrong with it."""

    number: int
    text: str | DataError


def text_lines(source: Source, encoding: str) -> Iterator[Line]:
    """The lines of a text file; a byte order mark at its start is dropped.

    Raises:
        DataError: as `opened`; an empty file; another file type or encoding than stated; a broken archive.
        UsageError: an encoding that Python does not know.
    """
    by_bytes = check_encoding(encoding)
    with opened(source) as stream:
        try:
            start = stream.peek(HEAD)
        except BROKEN as error:
            raise_broken(error, f"{source.name}:1")
        refuse_foreign(start, source.name, encoding)
        if not start:
            raise DataError("the file is empty", where=source.name, fix="give a file with at least one example")
        lines = _byte_lines(stream, source, encoding) if by_bytes else _wide_lines(stream, source, encoding)
        for line in lines:
            if isinstance(line.text, str) and "\0" in line.text:
                column = line.text.index("\0") + 1
                yield Line(line.number, DataError(
                    "NUL character", where=f"{source.name}:{line.number}:{column}", why="text has none; the file may be binary or cut off",
                    fix="delete the character, or give --encoding utf-16 if the file is in UTF-16"))  # fmt: skip
            else:
                yield line


def refuse_foreign(start: bytes, name: str, encoding: str) -> None:
    """Refuses what is recognisably not text of the stated encoding.

    Raises:
        DataError: names what the file is and what to do.
    """
    for magic, (what, fix) in _FOREIGN.items():
        if start.startswith(magic):
            raise DataError(f"this is {what}", where=name, why="a text file is expected", fix=fix)
    name_of, wide = codecs.lookup(encoding).name, _wide_encoding(start)
    if wide and not name_of.startswith(wide[:6]):
        raise DataError(f"the file is in {wide.upper()}, not in {encoding}", where=f"{name}:1", fix=f"give --encoding {wide}")
    if start and name_of in ("utf-16", "utf-32") and not start.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")):
        raise DataError(f"the file is not in {encoding}", where=f"{name}:1", why="it has no byte order mark",
                        fix="leave --encoding out, or give one with the byte order such as utf-16-le")  # fmt: skip
    if start.startswith(UTF8_MARK) and not name_of.startswith("utf-8"):
        raise DataError(f"the file is in UTF-8, not in {encoding}", where=f"{name}:1", why="it starts with the UTF-8 mark",
                        fix="leave --encoding out")  # fmt: skip


def _wide_encoding(start: bytes) -> str:
    if start.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "utf-32"
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    even, odd = start[:200:2], start[1:200:2]
    if len(odd) >= 2 and even.count(0) == 0 and odd.count(0) > 0.7 * len(odd):
        return "utf-16-le"
    if len(odd) >= 2 and odd.count(0) == 0 and even.count(0) > 0.7 * len(even):
        return "utf-16-be"
    return ""


def check_encoding(encoding: str) -> bool:
    """Whether a line feed is one byte that occurs nowhere else, as in all encodings but UTF-16 and UTF-32.

    Raises:
        UsageError: Python knows no text encoding of that name.
    """
    try:
        return "\n".encode(encoding) == b"\n"
    except (LookupError, ValueError) as error:
        raise UsageError(f"unknown encoding {encoding!r}", where="--encoding", fix="give one such as utf-8, cp1252 or utf-16") from error


def _byte_lines(stream: io.BufferedReader, source: Source, encoding: str) -> Iterator[Line]:
    number = 0
    while raw := _readline(stream, source.name, number + 1):
        number += 1
        where = f"{source.name}:{number}"
        if len(raw) > MAX_LINE:
            while raw and not raw.endswith(b"\n"):
                raw = _readline(stream, source.name, number)
            yield Line(number, _too_long(where))
            continue
        if number == 1:
            _refuse_bare_returns(raw, where)
            raw = raw.removeprefix(UTF8_MARK)
        raw = raw.removesuffix(b"\n").removesuffix(b"\r")
        try:
            yield Line(number, raw.decode(encoding))
        except UnicodeDecodeError as error:
            yield Line(number, _undecodable(error, raw, encoding, where))


def _readline(stream: IO[bytes], name: str, number: int) -> bytes:
    try:
        return stream.readline(MAX_LINE + 1)
    except BROKEN as error:
        raise_broken(error, f"{name}:{number}")


def _wide_lines(stream: io.BufferedReader, source: Source, encoding: str) -> Iterator[Line]:
    wrapper = io.TextIOWrapper(stream, encoding, errors="strict", newline="\n")
    number = 0
    try:
        while line := wrapper.readline(MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                while line and not line.endswith("\n"):
                    line = wrapper.readline(MAX_LINE + 1)
                yield Line(number, _too_long(f"{source.name}:{number}"))
                continue
            line = line.removeprefix("\ufeff") if number == 1 else line
            yield Line(number, line.removesuffix("\n").removesuffix("\r"))
    except UnicodeDecodeError as error:
        raise DataError(f"not {encoding} text", where=f"{source.name}:{number + 1}", why=error.reason,
                        fix="give the --encoding the file was written in") from error  # fmt: skip
    except BROKEN as error:
        raise_broken(error, f"{source.name}:{number + 1}")


def _too_long(where: str) -> DataError:
    return DataError(f"line longer than {MAX_LINE >> 20} MiB", where=where, why="no single example is that long",
                     fix="put one example on a line")  # fmt: skip


def _refuse_bare_returns(raw: bytes, where: str) -> None:
    if b"\r" in raw and not raw.endswith(b"\n"):
        raise DataError("lines end in bare carriage returns", where=where, why="only a line feed ends a line",
                        fix="convert the line ends, for example with: tr '\\r' '\\n'")  # fmt: skip


def _undecodable(error: UnicodeDecodeError, raw: bytes, encoding: str, where: str) -> DataError:
    column = len(raw[: error.start].decode(encoding, errors="replace")) + 1
    byte = raw[error.start]
    if codecs.lookup(encoding).name not in ("utf-8", "utf-8-sig"):
        return DataError(f"byte 0x{byte:02X} is not {encoding}", where=f"{where}:{column}",
                         fix="give the --encoding the file was written in")  # fmt: skip
    try:
        guess, sign = "cp1252", bytes([byte]).decode("cp1252")
    except UnicodeDecodeError:
        guess, sign = "latin-1", bytes([byte]).decode("latin-1")
    return DataError(f"byte 0x{byte:02X} is not UTF-8", where=f"{where}:{column}", why=f"in {guess} it is {sign!r}",
                     fix=f"give --encoding {guess} if the file is in {guess}, or save it as UTF-8")  # fmt: skip
