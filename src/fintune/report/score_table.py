"""The scores of a report as one table for a terminal: by group, over all, and the floors and the untrained model below each metric.

Everything can be read without colour. `fintune evaluate` and `fintune score` print it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fintune.report import costs
from fintune.report.cells import plain, table
from fintune.report.figures import Score, counted, decimal, interval_name, kind_of, part, score, whole
from fintune.report.wording import kind_words, metric_words

if TYPE_CHECKING:
    from rich.table import Table

_BLOCKS = (("character spans", ""), ("surfaces", "surface_"))
_AVERAGES = ("micro", "macro")
_SHORT = {
    "precision": "P",
    "recall": "R",
    "f1": "F1",
    "answer_accuracy": "right",
    "exact_match": "exact",
}
_SUPPORT = {"spans": "spans", "label": "texts", "labels": "texts", "answer": "questions"}
Row = tuple[str, list[str], str]


def score_table(report: Mapping[str, Any]) -> Table:
    """The scores with their intervals: by type, label or form, over all, and the floors and baselines below."""
    kind = kind_of(report)
    rates = [name for name, _ in kind_words(kind).rates]
    shown = table(str(report.get("task") or "scores"))
    for name in ("", *(_SHORT[rate] for rate in rates), interval_name(report), _SUPPORT.get(kind, "spans")):
        shown.add_column(name, justify="left" if not name else "right", no_wrap=bool(name), overflow="fold")
    labels = part(report, "per_label")
    for label in labels:
        row = part(labels, label)
        support = whole(row.get("support"))
        shown.add_row(plain(str(label)), *_cells(row, rates, kind), "" if support is None else f"{support:,}")
    for title, rows in _blocks(report, kind, len(rates)):
        shown.add_section()
        if title:
            shown.add_row(plain(title, "dim"))
        for name, cells, style in rows:
            shown.add_row(plain(name), *cells, style=style)
    shown.caption = plain(_caption(report), "dim")
    return shown


def _blocks(report: Mapping[str, Any], kind: str, width: int) -> Iterator[tuple[str, list[Row]]]:
    """Scores over all, in blocks that belong together."""
    if kind == "spans":
        for title, prefix in _BLOCKS:
            if rows := list(_averages(report, prefix)):
                yield title, rows
        return
    metrics = part(report, "metrics")
    if rows := [row for name in metrics for row in _single(report, name, kind, width)]:
        yield "", rows


def _averages(report: Mapping[str, Any], prefix: str) -> Iterator[Row]:
    """The averages under one rule of counting, and the floors and baselines under the same rule."""
    measures = [f"{prefix}{{}}_{name}" for name in ("precision", "recall", "f1")]
    for average in _AVERAGES:
        if score(part(report, "metrics"), f"{prefix}{average}_f1"):
            names = [measure.format(average) for measure in measures]
            yield f"  {average}", _cells(part(report, "metrics"), names, "spans"), "bold" if average == "micro" else ""
    names = [measure.format("micro") for measure in measures]
    for title, entries in _others(report):
        if score(entries, names[-1]):
            yield f"  {title}, micro", _cells(entries, names, "spans"), ""


def _single(report: Mapping[str, Any], name: str, kind: str, width: int) -> Iterator[Row]:
    """A metric that stands for itself; below the main one the floors and baselines."""
    value, main = score(part(report, "metrics"), name), kind_words(kind).main
    if value is None:
        return
    blank = [""] * (width - 1)
    yield metric_words(name, kind), [*blank, decimal(value.value), _range(value)], "bold" if name == main else ""
    for title, entries in _others(report) if name == main else ():
        if found := score(entries, name):
            yield f"  {title}", [*blank, decimal(found.value), _range(found)], ""


def _others(report: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    floors, baselines = part(report, "floors"), part(report, "baselines")
    yield from ((f"floor: {name}", part(floors, name)) for name in floors)
    yield from ((f"before training: {name}", part(baselines, name)) for name in baselines)
    if clean := part(part(report, "clean"), "metrics"):
        yield "without near duplicates of training texts", clean


def _cells(entries: object, names: list[str], kind: str) -> list[str]:
    """The scores of these names and the interval of the one that matters most: the last of spans and labels, the first of answers."""
    found = [score(entries, name) for name in names]
    return [*("–" if value is None else decimal(value.value) for value in found), _range(found[0 if kind == "answer" else -1])]


def _range(value: Score | None) -> str:
    return "" if value is None or value.low is None or value.high is None else f"{decimal(value.low)}–{decimal(value.high)}"


def _caption(report: Mapping[str, Any]) -> str:
    """On how much it was measured, what could not be read, and what a thousand texts cost."""
    counts = [(whole(report.get(f"{name}s")), name) for name in ("example", "document")]
    counts.append((whole(part(report, "malformed").get("count")) or None, "malformed output"))
    said = [counted(count, name) for count, name in counts if count is not None]
    return " · ".join([*said, *filter(None, [costs.line(report)])])
