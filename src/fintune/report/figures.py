"""Reads figures out of a report of any age, and writes them for people. What is not there, or is not a number, is None."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fintune.report.wording import KINDS, kind_of_metrics


@dataclass(frozen=True, slots=True)
class Score:
    """A share with the ends of its interval, which are None where the report has none."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def interval(self) -> str:
        """`0.817 to 0.866`, or empty."""
        return "" if self.low is None or self.high is None else f"{decimal(self.low)} to {decimal(self.high)}"


@dataclass(frozen=True, slots=True)
class Reference:
    """A score to compare with: that of a floor, or that of the base model before training."""

    score: Score
    kind: Literal["floor", "baseline"]


def number(value: object) -> float | None:
    """A finite number, else None; truth values are not numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def whole(value: object) -> int | None:
    """A count, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def part(document: object, key: str) -> Mapping[str, Any]:
    """The object below a key, empty where there is none."""
    found = document.get(key) if isinstance(document, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def score(entries: object, name: str) -> Score | None:
    """The score of a name among `{name: {"value", "low", "high"}}`."""
    entry = part(entries, name)
    value, low, high = (number(entry.get(key)) for key in ("value", "low", "high"))
    return None if value is None else Score(value, low, high)


def kind_of(report: Mapping[str, Any]) -> str:
    """The kind of task that a report is about, by what it says or else by its metrics; empty where neither tells."""
    said = report.get("kind")
    return said if isinstance(said, str) and said in KINDS else kind_of_metrics(part(report, "metrics"))


def labels_of(report: Mapping[str, Any], seen: Iterable[str] = ()) -> tuple[str, ...]:
    """The labels in the order of the report, then those only `seen`; their places decide their colours."""
    matrix = part(report, "confusion").get("labels")
    listed = matrix[:-1] if isinstance(matrix, list) else []
    return tuple(dict.fromkeys(map(str, (*part(report, "per_label"), *listed, *sorted(seen)))))


def interval_name(report: Mapping[str, Any]) -> str:
    """`95 % interval`, or `interval` where the level is not stated."""
    level = number(part(report, "bootstrap").get("level"))
    return "interval" if level is None else f"{100 * level:g} % interval"


def decimal(value: float) -> str:
    """A score with three decimals; 1 and 0 mean exactly these."""
    text = f"{value:.3f}"
    if text == "1.000" and value < 1:
        return "0.999"
    return "0.001" if text == "0.000" and value > 0 else text


def of_hundred(value: float) -> str:
    """A share as so many of 100; never all or none where it is nearly so."""
    count = round(100 * value)
    if count == 100 and value < 1:
        return "more than 99"
    if count == 0 and value > 0:
        return "fewer than 1"
    return f"about {count}" if 0 < value < 1 else str(count)


def counted(count: int, one: str, many: str = "") -> str:
    """`1 text`, `1,693 texts`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def size(amount: float) -> str:
    """Bytes as people say them."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            break
        amount /= 1024
    return f"{amount:,.0f} {unit}" if unit == "bytes" or amount >= 100 else f"{amount:.3g} {unit}"


def scaled(amount: float, unit: str) -> str:
    """A large number with the prefix of a thousand's power: `15.7 TFLOP`."""
    for prefix in ("", "k", "M", "G", "T", "P", "E"):
        if abs(amount) < 1000 or prefix == "E":
            break
        amount /= 1000
    return f"{amount:.3g} {prefix}{unit}"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
