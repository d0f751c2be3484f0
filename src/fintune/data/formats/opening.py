"""Opens files, plain or gzipped, and says plainly why one cannot be opened; an archive that explodes is stopped.

A broken archive fails while it is read: whoever reads catches `BROKEN` and calls `raise_broken` with the place.
"""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NoReturn, cast

from fintune.data.formats.base import Source
from fintune.errors import DataError, nearest

MAX_RATIO = 100  # text shrinks 3 to 20 times; 1,000 is an archive made to fill memory
RATIO_FLOOR = 16 << 20  # bytes, before which the ratio says nothing
HEAD = 1 << 16  # bytes, enough to tell a format
BROKEN = (OSError, EOFError, zlib.error)


class _ExpansionError(OSError):
    """More unpacked bytes than text can give."""


class _Unpacked(io.RawIOBase):
    """Unpacked bytes of a gzip stream, which stop where the ratio becomes implausible."""

    def __init__(self, packed: BinaryIO) -> None:
        self._packed, self._plain, self._total = packed, gzip.GzipFile(fileobj=packed), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        data = self._plain.read1(len(view))  # what one step gives: what precedes a fault is still read
        view[: len(data)] = data
        self._total += len(data)
        if self._total > RATIO_FLOOR and self._total > MAX_RATIO * self._packed.tell():
            raise _ExpansionError(f"unpacks to more than {MAX_RATIO} times its size")
        return len(data)


@contextmanager
def opened(source: Source) -> Iterator[io.BufferedReader]:
    """The bytes of a source, unpacked where they are gzipped.

    Raises:
        DataError: missing, a folder, not permitted, or not readable as gzip.
    """
    with _opened_packed(source) as packed:
        stream: io.BufferedReader = io.BufferedReader(cast(io.RawIOBase, packed), HEAD)
        try:
            if stream.peek(2)[:2] == b"\x1f\x8b":
                stream = io.BufferedReader(_Unpacked(stream), HEAD)
            yield stream
        finally:
            stream.close()


@contextmanager
def _opened_packed(source: Source) -> Iterator[BinaryIO]:
    if source.data is not None:
        yield io.BytesIO(source.data)
        return
    path = source.path or Path(source.name)
    try:
        stream = open(path, "rb")  # noqa: SIM115 the with below closes it; errors of the caller are not ours to translate
    except FileNotFoundError as error:
        raise missing(source.name, path) from error
    except IsADirectoryError as error:
        raise DataError("is a folder, not a file", where=source.name, fix="name a file in it, or read it with --format hub") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError("cannot be opened", where=source.name, why=reason, fix="check the name and the permissions") from error
    with stream:
        yield stream


def missing(name: str, path: Path) -> DataError:
    """The error for a file that is not there, with the most similar file name of its folder."""
    folder = path.parent
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return DataError("no such file", where=name, why=f"there is no folder {folder}", fix="check the path")
    near = nearest(path.name, names)
    return DataError("no such file", where=name, fix=f"did you mean {str(folder / near)!r}?" if near else "check the path")


def head(source: Source) -> bytes:
    """The first bytes of a source, unpacked, at most `HEAD` of them; what precedes a fault of the archive is given.

    Raises:
        DataError: as `opened`, or an archive broken from the start.
    """
    start = b""
    with opened(source) as stream:
        try:
            while len(start) < HEAD and (more := stream.read1(HEAD - len(start))):
                start += more
        except BROKEN as error:
            if not start:
                raise_broken(error, source.name)
    return start


def raise_broken(error: Exception, where: str) -> NoReturn:
    """Raises the DataError of a read that failed."""
    if isinstance(error, _ExpansionError):
        raise DataError("the archive " + str(error), where=where, why="it may be made to fill the memory",
                        fix="unpack it yourself if you trust it") from error  # fmt: skip
    if isinstance(error, EOFError):
        raise DataError("the gzip archive is cut off", where=where, fix="download or pack the file again") from error
    if isinstance(error, gzip.BadGzipFile | zlib.error):
        raise DataError("the gzip archive is damaged", where=where, why=str(error), fix="download or pack the file again") from error
    raise DataError("cannot be read", where=where, why=str(error), fix="check the file and the disk") from error
