"""A file that is one JSON value, such as SQuAD's, which stands on a single line of many megabytes.

Strict as `strict_json`; what is no JSON is refused with line and column. Exercised by `pytest tests/data/formats/test_squad.py`.
"""

from __future__ import annotations

import json

from fintune.data.formats.base import Source
from fintune.data.formats.lines import UTF8_MARK, check_encoding, refuse_foreign
from fintune.data.formats.opening import BROKEN, opened, raise_broken
from fintune.data.formats.strict_json import parse_line
from fintune.errors import DataError

LARGEST = 512 << 20  # bytes, unpacked: it is held in memory


def value_of(source: Source, encoding: str) -> object:
    """The value of the whole file.

    Raises:
        DataError: it cannot be read, is too large or not of the encoding, or is not strict JSON.
    """
    check_encoding(encoding)
    with opened(source) as stream:
        try:
            data = stream.read(LARGEST + 1)
        except BROKEN as error:
            raise_broken(error, source.name)
    if len(data) > LARGEST:
        raise DataError(f"more than {LARGEST >> 20} MiB", where=source.name, why="it is held in memory", fix="cut it into several files")
    refuse_foreign(data[:64], source.name, encoding)
    try:
        text = data.removeprefix(UTF8_MARK).decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"not {encoding} at byte {error.start}", where=source.name, fix="give the right --encoding, or save it as UTF-8"
        ) from error
    try:
        return parse_line(text, where=source.name)
    except DataError as error:
        cause = error.__cause__
        if not isinstance(cause, json.JSONDecodeError):
            raise
        where = f"{source.name}:{cause.lineno}:{cause.colno}"
        raise DataError(f"not valid JSON: {cause.msg}", where=where, fix="correct the file, or download it again") from cause
