"""JSON as the standard has it: no NaN or Infinity, no key twice, no half surrogate pairs, no nesting that exhausts the stack."""

from __future__ import annotations

import json
import re
from typing import NoReturn

from fintune.errors import DataError

_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")  # an escape that may be half of a surrogate pair


class _FaultError(ValueError):
    """A fault that the decoder itself lets through."""


def parse_line(line: str, *, where: str) -> object:
    """The value of one line.

    Raises:
        DataError: not strict JSON; `where` gains the column where the decoder knows it.
    """
    try:
        value = json.loads(line, object_pairs_hook=_unique, parse_constant=_refuse_constant)
        if _HALF_PAIR.search(line):
            _refuse_halves(value)
    except json.JSONDecodeError as error:
        raise DataError(f"not valid JSON: {error.msg}", where=f"{where}:{error.colno}", fix=_remedy(line, error)) from error
    except _FaultError as error:
        raise DataError(str(error), where=where, fix="write one standard JSON object a line") from error
    except RecursionError as error:
        raise DataError("JSON nested too deeply", where=where, fix="no part of an example nests more than three levels") from error
    except ValueError as error:  # an integer of thousands of digits
        raise DataError("a number of too many digits", where=where, why=str(error).split(";")[0], fix="shorten the number") from error
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _FaultError(f"key {twice!r} stands twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise _FaultError(f"{name} is not JSON")


def _refuse_halves(value: object) -> None:
    """Walks the value without recursion: its depth is already bounded, its size is that of a line."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            waiting.extend([*part, *part.values()])
        elif isinstance(part, list):
            waiting.extend(part)
        elif isinstance(part, str) and any("\ud800" <= character <= "\udfff" for character in part):
            raise _FaultError("half of a surrogate pair in a string")


def _remedy(line: str, error: json.JSONDecodeError) -> str:
    here = line[error.pos : error.pos + 1]
    if error.msg.startswith("Extra data"):
        return "put each example on a line of its own"
    if here == "'":
        return "use double quotes; this may be a Python literal"
    if here in ("}", "]") or error.msg.startswith("Illegal trailing comma"):
        return "delete the comma before the closing bracket"
    if error.pos >= len(line.rstrip()):
        return "complete the object: it must end on the line it starts on"
    if error.msg.startswith("Invalid control character"):
        return "write line ends and tabs inside strings as \\n and \\t"
    return "correct the line; one JSON object a line"
