"""Reads numbers as financial answers write them: `$1,234.5 million`, `(3.2)`, `-12.4%`, `14.2 percent`, `1.2bn`, `25 basis points`.

English notation only: a point before decimals, commas between groups of three digits. Refused, not guessed at: `1.234,5`,
`1,23`, `310 000`, `3/4`, `5-6`, `2.5x`, `1e5`, dates, and words such as `yes` or `twelve`.
Try it with `pytest tests/text/test_numbers.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

Unit = Literal["plain", "percent", "currency"]

_SCALES: Mapping[str, float] = {
    "hundred": 1e2, "thousand": 1e3, "lakh": 1e5, "million": 1e6, "mn": 1e6, "mm": 1e6, "crore": 1e7, "billion": 1e9, "bn": 1e9,
    "trillion": 1e12, "tn": 1e12,
}  # fmt: skip
_LETTERS: Mapping[str, float] = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}  # glued to the digits only: 5 m may be metres
_PERCENT: Mapping[str, float] = {
    "%": 1.0, "percent": 1.0, "per cent": 1.0, "pct": 1.0, "percentage point": 1.0, "percentage points": 1.0,
    "basis point": 0.01, "basis points": 0.01, "bp": 0.01, "bps": 0.01,
}  # fmt: skip
_SYMBOLS: Mapping[str, str] = {"$": "USD", "us$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR"}
_CODES = ("USD", "EUR", "GBP", "JPY", "INR", "CHF", "CAD", "AUD", "CNY", "HKD", "SGD", "KRW", "SEK", "NOK", "DKK", "BRL", "ZAR")
_NAMES: Mapping[str, str] = {
    "dollar": "USD", "dollars": "USD", "us dollars": "USD", "euro": "EUR", "euros": "EUR", "pounds": "GBP", "yen": "JPY", "rupees": "INR",
}  # fmt: skip
_WORDS = {1e2: "hundred", 1e3: "thousand", 1e5: "lakh", 1e6: "million", 1e7: "crore", 1e9: "billion", 1e12: "trillion"}


@dataclass(frozen=True, slots=True)
class Value:
    """A number with its unit and scale, as written.

    `number` has the sign and is what the digits say: 14.2 for `14.2%`, 1.2 for `$1.2bn`. `scale` multiplies it: 1e9 for `bn`, 0.01
    for basis points, which are hundredths of a percent. `currency` is an ISO code, "" for other units (`$` is taken for USD).
    `start` and `end` are its characters in the text that was read.
    """

    number: float
    unit: Unit = "plain"
    scale: float = 1.0
    currency: str = ""
    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)

    @property
    def amount(self) -> float:
        """What is meant: 0.142 for `14.2%`, 1.2e9 for `$1.2bn`."""
        return self.number * self.scale / (100 if self.unit == "percent" else 1)


def read(text: str) -> Value | None:
    """The number that the whole text is, blanks around it aside; None where it is anything else."""
    match = _VALUE.fullmatch(text.strip())
    return _value(match, len(text) - len(text.lstrip())) if match and _brackets(match) in ("none", "both") else None


def find(text: str) -> tuple[Value, ...]:
    """The numbers that stand in a text, in order; digits within words, dates and ranges are none."""
    return tuple(value for match in _VALUE.finditer(text) if (value := _value(match, 0)))


def plain(number: float) -> str:
    """The shortest decimal notation that reads back as the same float: `0.17043`, `26138609`, never an exponent."""
    text = format(Decimal(repr(float(number))), "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def written(value: Value) -> str:
    """The value in words and digits; `read` gives it back.

    Raises:
        ValueError: for a scale that has no word.
    """
    digits = plain(abs(value.number))
    sign = "-" if value.number < 0 else ""
    if value.unit == "percent":
        return f"{sign}{digits}{ {1.0: '%', 0.01: ' basis points'}[value.scale] }"
    if value.scale != 1 and value.scale not in _WORDS:
        raise ValueError(f"no word for a scale of {value.scale}")
    symbols = {code: symbol for symbol, code in _SYMBOLS.items() if len(symbol) == 1}
    before = symbols.get(value.currency, f"{value.currency} ") if value.currency else ""
    return f"{sign}{before}{digits}" + (f" {_WORDS[value.scale]}" if value.scale != 1 else "")


def _any_of(names: Iterable[str]) -> str:
    """The names as alternatives, longest first."""
    return "|".join(re.escape(name).replace(r"\ ", r"\s") for name in sorted(names, key=len, reverse=True))


# Brackets stand around the digits or around everything. What follows the digits is taken whole or not at all (atomic groups), so that
# `5%-6%` is not read as 5; what may follow and precede a number keeps out parts of words, dates, ranges and other notations.
_VALUE = re.compile(
    rf"""(?<![\w.,:/%−-])(?:(?<![0-9]\s)|(?![0-9]))
    (?P<open>\(\s?)?
    (?:(?P<sign>[-−+])\s?)?
    (?:(?P<before>{_any_of(_SYMBOLS)}|(?:{_any_of(_CODES)})(?![a-z]))\s?)?
    (?:(?P<inner>[-−(])\s?)?
    (?P<digits>(?>[0-9]{{1,3}}(?:,[0-9]{{3}})++(?:\.[0-9]++)?+|[0-9]++(?:\.[0-9]++)?+|\.[0-9]++))
    (?P<close>\s?\))?+
    (?>\s?(?P<percent>%|(?:{_any_of(set(_PERCENT) - {"%"})})(?![a-z]))
      |(?:\s?(?P<scale>{_any_of(_SCALES)})(?![a-z])|(?<=[0-9])(?P<letter>[kmbt])(?![a-z]))?+
       (?:\s?(?P<after>[€£]|(?:{_any_of([*_NAMES, *_CODES])})(?![a-z])))?+
    )
    (?P<end>\s?\))?+
    (?![\w%]|[.,:/−-][0-9]|\s[0-9])""",
    re.IGNORECASE | re.VERBOSE,
)


def _brackets(match: re.Match[str]) -> Literal["none", "both", "odd"]:
    opened = (match["open"] is not None) + (match["inner"] == "(")
    closed = (match["close"] is not None) + (match["end"] is not None)
    return "odd" if opened != closed or opened > 1 else "both" if opened else "none"


def _value(match: re.Match[str], offset: int) -> Value | None:
    """The value of a match; None where its parts contradict each other or it is beyond a float."""
    brackets, number = _brackets(match), float(match["digits"].replace(",", ""))
    signs = [sign for sign in (match["sign"], match["inner"]) if sign not in (None, "(")]
    before, after, percent = (_folded(match[name]) for name in ("before", "after", "percent"))
    currencies = {_code(name) for name in (before, after) if name}
    if not math.isfinite(number) or len(signs) + (brackets == "both") > 1 or len(currencies) + bool(percent) > 1:
        return None
    if signs not in ([], ["+"]) or brackets == "both":
        number = -number
    unit: Unit = "percent" if percent else "currency" if currencies else "plain"
    scale = _PERCENT[percent] if percent else _SCALES.get(_folded(match["scale"]), _LETTERS.get(_folded(match["letter"]), 1.0))
    start, end = match.span()
    if brackets == "odd":  # a bracket of the sentence around it
        start, end = start + (match["open"] is not None), end - (match["end"] is not None)
    return Value(number, unit, scale, "".join(currencies), start + offset, end + offset)


def _folded(part: str | None) -> str:
    return re.sub(r"\s", " ", part or "").lower()


def _code(name: str) -> str:
    """The ISO code of a symbol, a name or a code."""
    return _SYMBOLS.get(name) or _NAMES.get(name) or name.upper()
