"""Runs below a folder as a table of a terminal and as CSV; what they are, `fintune.study.history` has read.

Everything can be read without colour. Text of run folders is never taken for markup, terminal sequences or formulas.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from fintune.report import study_csv
from fintune.report.cells import plain, table
from fintune.report.costs import money
from fintune.report.figures import Score, counted, decimal, duration, number, score
from fintune.report.visible import visible

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = (
    "folder", "study", "status", "why", "task", "kind", "base", "data", "training_examples", "seed", "metric", "value", "low", "high",
    "scored_on", "scored_data", "examples", "wall_seconds", "cpu_seconds", "gpu_seconds", "peak_memory_bytes", "tokens",
    "supervised_tokens", "flop", "energy_joules", "price", "currency", "seconds_per_1000", "price_per_1000", "date",
)  # fmt: skip
_STYLES = {"damaged": "bold red", "failed": "bold red", "unfinished": "yellow"}
Record = Mapping[str, Any]


def history_table(records: Sequence[Record]) -> Table:
    """Records of entries in their order, two lines each, so that a narrow terminal has room for them."""
    shown = table("")
    for name in ("run", "task\nbase", "trained on\nscored on", "score", "cost", "date"):
        shown.add_column(name, justify="right" if name == "cost" else "left", overflow="fold", no_wrap=name in ("score", "cost", "date"))
    for record in records:
        values, status = record["values"], str(record["status"])
        text = plain(str(record["folder"]))
        if status != "finished":
            text.append_text(plain("\n" + ": ".join(filter(None, [status, visible(str(record["why"]))])), _STYLES[status]))
        pairs = [
            (str(values.get("task", "–")), _last(values.get("base", "–"))), (str(values.get("data", "–")), _last(record["scored_on"])),
            _score(record), (_took(values), _price(values)), (str(values.get("date", ""))[:10], ""),
        ]  # fmt: skip
        shown.add_row(text, *(plain("\n").join([plain(first), plain(second)]) if second else plain(first) for first, second in pairs))
    counts = Counter(str(record["status"]) for record in records)
    others = [f"{count:,} {status}" for status, count in counts.items() if status != "finished"]
    shown.caption = plain(", ".join([counted(len(records), "run"), *others]), "dim")
    return shown


def history_csv(records: Sequence[Record]) -> str:
    """All figures of records, one a line."""
    return study_csv.table(COLUMNS, [[_value(record, column) for column in COLUMNS] for record in records])


def _value(record: Record, column: str) -> study_csv.Value:
    found = _found(record)
    if column in ("value", "low", "high"):
        return None if found is None else {"value": found.value, "low": found.low, "high": found.high}[column]
    value = record["values"].get(column, record.get(column))
    return value if isinstance(value, str | int | float) and value != "" else None


def _found(record: Record) -> Score | None:
    return score(record["metrics"], str(record["metric"]))


def _score(record: Record) -> tuple[str, str]:
    """`micro_f1 0.872` and `0.851 to 0.893`."""
    found = _found(record)
    return ("–", "") if found is None else (f"{record['metric']} {decimal(found.value)}", found.interval)


def _last(path: object) -> str:
    """The name of a file or folder; a name that is none of these stays as it is."""
    return PurePath(str(path)).name


def _took(values: Mapping[str, Any]) -> str:
    seconds = number(values.get("wall_seconds"))
    return "–" if seconds is None else duration(seconds)


def _price(values: Mapping[str, Any]) -> str:
    price = number(values.get("price"))
    return "" if price is None else money(price, str(values.get("currency", "")))
