"""Choosing and sorting entries of a history: `micro_f1>=0.9`, `adapter.rank=8`, `-score`.

A condition is a key, one of `= != < <= > >=`, and a value; all have to hold, and none holds of an entry without the key. A key
that no entry could have is refused with the nearest one. `fintune history --filter` and `--sort` use it.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fintune.errors import UsageError, did_you_mean
from fintune.study.history import COLUMNS, Entry

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le, ">=": operator.ge, "!=": operator.ne, "=": operator.eq, "<": operator.lt, ">": operator.gt,
}  # fmt: skip
_SAME = ("=", "!=")
_CONDITION = re.compile(r"\s*([^\s<>=!]+)\s*(<=|>=|!=|=|<|>)\s*([^\s<>=!](?:.*\S)?)\s*")
_DAYS = re.compile(r"([1-9]\d{0,4})d")


@dataclass(frozen=True, slots=True)
class Condition:
    """What an entry has to be; `number` is what `written` means as one, None where it means none."""

    key: str
    sign: str
    written: str
    number: float | None

    def holds(self, entry: Entry) -> bool:
        """Whether the entry has the key, and what it has compares: a number with a number, a text with what is written."""
        found = entry.values.get(self.key)
        if found is None:
            return False
        if isinstance(found, str):
            return self.sign in _SAME and COMPARISONS[self.sign](found, self.written)
        return self.sign == "!=" if self.number is None else COMPARISONS[self.sign](found, self.number)


def condition(text: str) -> Condition:
    """A condition as it is written.

    Raises:
        UsageError: where it is none, or wants an order among texts.
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{text!r} is no condition", where="--filter", why="it is a key, one of = != < <= > >=, and a value",
            fix="write e.g. --filter 'micro_f1>=0.9'",
        )  # fmt: skip
    key, sign, written = match.groups()
    value = _number(written)
    if value is None and sign not in _SAME:
        raise UsageError(
            f"{text!r} compares with {written!r}, which is no number", where="--filter", fix="use = or !=, or --since for dates"
        )
    return Condition(key, sign, written, value)


def chosen(entries: Sequence[Entry], conditions: Iterable[Condition]) -> list[Entry]:
    """The entries of which all conditions hold.

    Raises:
        UsageError: for a key that no entry could have.
    """
    conditions = list(conditions)
    for one in conditions:
        _require(one.key, entries, "--filter")
    return [entry for entry in entries if all(one.holds(entry) for one in conditions)]


def ordered(entries: Sequence[Entry], key: str) -> list[Entry]:
    """By a key, the smallest first, or with `-` before it the largest; numbers before texts, those without it last, else as they were.

    Raises:
        UsageError: for a key that no entry could have.
    """
    name = key.removeprefix("-")
    _require(name, entries, "--sort")
    having = [entry for entry in entries if name in entry.values]
    lacking = [entry for entry in entries if name not in entry.values]
    numbers = [entry for entry in having if not isinstance(entry.values[name], str)]
    texts = [entry for entry in having if isinstance(entry.values[name], str)]
    falling = key.startswith("-")
    return [entry for part in (numbers, texts) for entry in sorted(part, key=lambda e: e.values[name], reverse=falling)] + lacking


def since(text: str, *, now: datetime) -> str:
    """The moment that `2026-11-01`, `2026-11-01T12:30` or `7d` (days before `now`) means: ISO 8601 in UTC, as entries have it.

    Raises:
        UsageError: where it is none of these.
    """
    if days := _DAYS.fullmatch(text):
        return _iso(now - timedelta(days=int(days[1])))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no date", where="--since", fix="write e.g. 2026-11-01, or 7d for the last seven days") from None
    return _iso(moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC))


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _require(key: str, entries: Sequence[Entry], where: str) -> None:
    known = COLUMNS.union(*(entry.values for entry in entries))
    if entries and key not in known:
        raise UsageError(f"no run has {key!r}", where=where, fix=did_you_mean(key, sorted(known)))


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
