"""Runs the small programs that numerical questions come with, and writes down each step.

FinQA (arXiv 2109.00122): `subtract(959.2, 991.1), divide(#0, 991.1)`, ten operations, `#0` the result of the first. ConvFinQA as
published for instruction tuning: `x0 = 60.94 - 25.14; ans = x0 / 25.14`. Nothing is evaluated as Python. Refused: unknown operations,
rows that are not in the table or hold no numbers, results that are no real number.
Exercised by `pytest tests/data/formats/test_programs.py`.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fintune.errors import did_you_mean
from fintune.text.numbers import plain, read

Table = Sequence[Sequence[str]]
Result = float | str  # yes or no

DECIMALS = 5
"""Decimals to which the data sets round results."""

DIGITS = 8
"""Significant digits of the steps, at least; with `DECIMALS` alone, 60 / 243 x 100 would read 0.24691 * 100 = 24.69136."""

_CALCULATE: Mapping[str, Callable[[float, float], float]] = {
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul, "divide": operator.truediv, "exp": operator.pow,
}  # fmt: skip
_SUMMARISE: Mapping[str, Callable[[Sequence[float]], float]] = {
    "table_max": max, "table_min": min, "table_sum": sum, "table_average": lambda row: sum(row) / len(row),
}  # fmt: skip
_SIGNS = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide", "**": "exp", ">": "greater"}
_CALL = re.compile(r"\s*(?P<name>[a-z_]+)\((?P<arguments>(?:[^()]|\([^()]*\))*)\)\s*(?:,|$)")
_ASSIGNMENT = re.compile(r"\s*(?P<name>[a-z]\w*)\s*=\s*(?P<left>-?[\w.%]+)(?:\s*(?P<sign>\*\*|[-+*/>])\s*(?P<right>-?[\w.%]+))?\s*")


class ProgramError(ValueError):
    """A program that cannot be run, and why."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What a program gave, and its steps as text: `divide(-31.9, 991.1) = -0.03219`."""

    steps: tuple[str, ...]
    result: Result


def run_calls(program: str, table: Table) -> Trace:
    """Runs a FinQA program; `table` has the rows that `table_max` and its like name by their first cell.

    Raises:
        ProgramError: where it cannot be run.
    """
    results: list[Result] = []
    steps: list[str] = []
    at = 0
    while at < len(program.rstrip()):
        call = _CALL.match(program, at)
        if call is None:
            raise ProgramError(f"no step at {program[at:][:40]!r}")
        name, at = _known(call["name"]), call.end()
        if name in _SUMMARISE:
            row = call["arguments"].rpartition(",")[0].strip()
            results.append(_real(name, _SUMMARISE[name], _row(row, table)))
            steps.append(f"{name}({row}) = {_shown(results[-1])}")
        else:
            arguments = [part.strip() for part in call["arguments"].split(",")]
            values = [_argument(part, results) for part in arguments]
            results.append(_apply(name, values))
            shown = [_shown(value) if part[:1] in "#c" else part for part, value in zip(arguments, values, strict=True)]
            steps.append(f"{name}({', '.join(shown)}) = {_shown(results[-1])}")
    if not results:
        raise ProgramError("no steps")
    return Trace(tuple(steps), results[-1])


def run_assignments(program: str) -> Trace:
    """Runs a ConvFinQA program, whose last assignment gives the answer.

    Raises:
        ProgramError: where it cannot be run.
    """
    known: dict[str, Result] = {}
    steps: list[str] = []
    result: Result = ""
    for statement in program.split(";"):
        found = _ASSIGNMENT.fullmatch(statement)
        if found is None:
            raise ProgramError(f"no assignment at {statement[:40]!r}")
        parts = [part for part in (found["left"], found["right"]) if part is not None]
        values = [_real_number(known[part], part) if part in known else _number(part) for part in parts]
        shown = [_shown(value) if part in known else part for part, value in zip(parts, values, strict=True)]
        if found["sign"] is None:
            result = values[0]
            steps.append(shown[0])
        else:
            result = _apply(_SIGNS[found["sign"]], values)
            steps.append(f"{shown[0]} {found['sign']} {shown[1]} = {_shown(result)}")
        known[found["name"]] = result
    return Trace(tuple(steps), result)


def same_result(computed: Result, stated: Result) -> bool:
    """Whether a computed result is the one a data set states, which is rounded to `DECIMALS`."""
    if isinstance(computed, str) or isinstance(stated, str):
        return computed == stated
    return abs(computed - stated) <= 0.5 * 10.0**-DECIMALS + 1e-9 * abs(stated)


def _known(name: str) -> str:
    known = (*_CALCULATE, "greater", *_SUMMARISE)
    if name not in known:
        raise ProgramError(f"unknown operation {name!r}; {did_you_mean(name, known)}")
    return name


def _apply(name: str, values: Sequence[float]) -> Result:
    if len(values) != 2:
        raise ProgramError(f"{name} takes two numbers, not {len(values)}")
    if name == "greater":
        return "yes" if values[0] > values[1] else "no"
    return _real(name, _CALCULATE[name], *values)


def _real(name: str, calculate: Callable[..., float], *values: object) -> float:
    """A finite real result."""
    try:
        result = calculate(*values)
    except ArithmeticError as error:
        raise ProgramError(f"{name}: {error}") from error
    if isinstance(result, complex) or not math.isfinite(result):
        raise ProgramError(f"{name} gives no real number")
    return result


def _argument(text: str, results: Sequence[Result]) -> float:
    """A number, a constant such as `const_100` or `const_m1`, or an earlier result."""
    if text.startswith("#"):
        if not text[1:].isdecimal() or int(text[1:]) >= len(results):
            raise ProgramError(f"no step {text!r} before this one")
        return _real_number(results[int(text[1:])], text)
    return _number(text.removeprefix("const_").replace("m", "-", 1) if text.startswith("const_") else text)


def _real_number(value: Result, name: str) -> float:
    if isinstance(value, str):
        raise ProgramError(f"{name} is {value!r}, not a number")
    return value


def _number(text: str) -> float:
    value = read(text)
    if value is None:
        raise ProgramError(f"{text[:40]!r} is not a number")
    return value.amount


def _row(name: str, table: Table) -> list[float]:
    """The numbers of a row; `$ -9457 ( 9457 )`, as the data sets write negative ones, is -9457."""
    for row in table:
        if row and row[0] == name:
            if len(row) < 2:
                raise ProgramError(f"row {name!r} has no cells")
            return [_number(cell.partition("(")[0]) for cell in row[1:]]
    raise ProgramError(f"no row {name!r} in the table")


def _shown(value: Result) -> str:
    """A result with so many digits that the next step can be computed from what is shown."""
    if isinstance(value, str) or value.is_integer():
        return value if isinstance(value, str) else plain(value)
    return plain(round(value, max(DECIMALS, DIGITS - 1 - math.floor(math.log10(abs(value))))))
