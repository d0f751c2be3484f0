"""The objects of a JSON file one by one, whether it is one array or an object a line, each with the line it begins on.

An array is held in memory. What cannot be parsed as JSON at all is refused with line and column; stricter rules are left to
`strict_json`, which reads each object by itself. Exercised by `pytest tests/data/formats/test_finqa.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from fintune.data.formats.base import Source, shown
from fintune.data.formats.lines import Line, text_lines
from fintune.data.formats.strict_json import parse_line
from fintune.errors import DataError

_BLANKS = re.compile(r"[ \t\n\r]*")


def objects(source: Source, encoding: str) -> Iterator[tuple[int, str | DataError]]:
    """The text of each value of an array, or of each line, with the number of its first line; or what is wrong with the line.

    Raises:
        DataError: the file cannot be read, or is an array that is no JSON.
    """
    lines = text_lines(source, encoding)
    before = []
    for number, line in lines:
        if isinstance(line, str) and not line.strip():
            before.append(line)
        elif isinstance(line, str) and line.lstrip().startswith("["):
            yield from _of_array("\n".join([*before, line, *map(_whole, lines)]), source.name)
            return
        else:
            yield number, line
            break
    else:
        raise DataError("the file holds blank lines only", where=source.name, fix="give at least one object")
    yield from ((number, line) for number, line in lines if isinstance(line, DataError) or line.strip())


def records(source: Source, encoding: str, *, fix: str) -> Iterator[tuple[str, dict[str, Any] | DataError]]:
    """Each object with the `file:line` it begins on; in its place what is wrong with it, which `fix` mends where it is no object.

    Raises:
        DataError: as of `objects`.
    """
    for number, text in objects(source, encoding):
        where = f"{source.name}:{number}"
        try:
            if isinstance(text, DataError):
                raise text
            record = parse_line(text, where=where)
            if not isinstance(record, dict):
                raise DataError(f"{shown(record)} is not a JSON object", where=where, fix=fix)
        except DataError as error:
            yield where, error
        else:
            yield where, record


def _whole(line: Line) -> str:
    """A line of an array, which is of no use with a line missing."""
    if isinstance(line.text, DataError):
        raise line.text
    return line.text


def _of_array(text: str, name: str) -> Iterator[tuple[int, str]]:
    decoder, number, counted = json.JSONDecoder(), 1, 0
    at = _after_blanks(text, _after_blanks(text, 0) + 1)
    while text[at : at + 1] != "]":
        number, counted = number + text.count("\n", counted, at), at
        try:
            _, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise _broken(text, getattr(error, "pos", at), str(error), name) from error
        yield number, text[at:end]
        at = _after_blanks(text, end)
        if text[at : at + 1] == ",":
            at = _after_blanks(text, at + 1)
            if text[at : at + 1] == "]":
                raise _broken(text, at, "a comma before the closing bracket", name)
        elif text[at : at + 1] != "]":
            raise _broken(text, at, "',' or ']' is expected", name)
    if _after_blanks(text, at + 1) < len(text):
        raise _broken(text, at + 1, "text after the array", name)


def _after_blanks(text: str, at: int) -> int:
    match = _BLANKS.match(text, at)
    return match.end() if match else at


def _broken(text: str, at: int, why: str, name: str) -> DataError:
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    return DataError("not valid JSON", where=f"{name}:{line}:{column}", why=why.split(":")[0], fix="correct the file, or download it again")
