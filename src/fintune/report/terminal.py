"""Tables and marked text for a terminal, as rich renderables; the command line prints them.

Everything can be read without colour. Text from data or models is never taken for markup or terminal sequences.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fintune.records import Finding, Span
from fintune.report.figures import Score, counted, decimal, interval_name, part, score, whole
from fintune.report.highlight import Mark, segments
from fintune.report.visible import visible
from fintune.report.wording import metric_words

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_BLOCKS = (("character spans", ""), ("surfaces", "surface_"))
_AVERAGES = ("micro", "macro")
_COLOURS = ("bright_blue", "yellow", "green", "magenta", "red", "cyan", "bright_green", "bright_magenta")
_SEVERITIES = {"error": "bold red", "warning": "yellow", "info": "cyan"}


def score_table(report: Mapping[str, Any]) -> Table:
    """Precision, recall and F1 with its interval: by type, averaged over spans and over surfaces, and the floors below each."""
    table = _table(str(report.get("task") or "scores"))
    for name in ("", "P", "R", "F1", interval_name(report), "spans"):
        table.add_column(name, justify="left" if not name else "right", no_wrap=bool(name), overflow="fold")
    labels = part(report, "per_label")
    for label in labels:
        row = part(labels, label)
        support = whole(row.get("support"))
        table.add_row(_plain(str(label)), *_cells(row, ""), "" if support is None else f"{support:,}")
    for title, prefix in _BLOCKS:
        rows = list(_block(report, prefix))
        if rows:
            table.add_section()
            table.add_row(_plain(title, "dim"))
        for name, cells, style in rows:
            table.add_row(_plain(f"  {name}"), *cells, style=style)
    _others(table, report)
    table.caption = _plain(_caption(report), "dim")
    return table


def _block(report: Mapping[str, Any], prefix: str) -> Iterable[tuple[str, list[str], str]]:
    """The averages under one rule of counting, and the floors under the same rule."""
    for average in _AVERAGES:
        if score(part(report, "metrics"), f"{prefix}{average}_f1"):
            yield average, _cells(part(report, "metrics"), f"{prefix}{average}_"), "bold" if average == "micro" else ""
    floors = part(report, "floors")
    for floor in floors:
        if score(floors[floor], f"{prefix}micro_f1"):
            yield f"floor: {floor}, micro", _cells(floors[floor], f"{prefix}micro_"), ""


def _cells(entries: object, prefix: str) -> list[str]:
    found = [score(entries, prefix + name) for name in ("precision", "recall", "f1")]
    return [*("–" if value is None else decimal(value.value) for value in found), _range(found[-1])]


def _range(value: Score | None) -> str:
    return "" if value is None or value.low is None or value.high is None else f"{decimal(value.low)}–{decimal(value.high)}"


def _others(table: Table, report: Mapping[str, Any]) -> None:
    """Metrics of tasks that have no spans."""
    metrics = part(report, "metrics")
    spans = any(score(metrics, f"{prefix}{average}_f1") for _, prefix in _BLOCKS for average in _AVERAGES)
    names = [] if spans else [name for name in metrics if score(metrics, name)]
    if names:
        table.add_section()
    for name in names:
        value = score(metrics, name)
        table.add_row(_plain(metric_words(name)), "", "", "" if value is None else decimal(value.value), _range(value))


def _caption(report: Mapping[str, Any]) -> str:
    """On how much it was measured, and what could not be read."""
    counts = [(whole(report.get(f"{name}s")), name) for name in ("example", "document")]
    counts.append((whole(part(report, "malformed").get("count")) or None, "malformed output"))
    return " · ".join(counted(count, name) for count, name in counts if count is not None)


def spans_line(text: str, spans: Sequence[Span], *, labels: Sequence[str] = ()) -> Text:
    """The text with its spans marked: `‹Acme›[Company] rose`. Overlapping spans nest as far as they do in the text.

    Args:
        text: of unknown origin.
        spans: in any order.
        labels: in the order of the task, which gives each a colour of its own; else a label's name decides it.

    Raises:
        DataError: for a span outside the text.
    """
    from rich.text import Text

    line = Text()
    for piece in segments(text, [Mark(span.start, span.end, span.label) for span in spans]):
        for mark in piece.opening:
            line.append("‹", _style(mark.label, labels))
        line.append(visible(piece.text), f"bold {_style(piece.inside[-1].label, labels)}" if piece.inside else "")
        for mark in piece.ending:
            line.append(f"›[{visible(mark.label)}]", _style(mark.label, labels))
    return line


def _style(label: str, labels: Sequence[str]) -> str:
    # The checksum, unlike the built-in hash, gives a label the same colour in every process.
    index = labels.index(label) if label in labels else zlib.crc32(label.encode(errors="replace"))
    return _COLOURS[index % len(_COLOURS)]


def findings_table(findings: Sequence[Finding]) -> Table:
    """Findings in the order given, each with what to do about it."""
    table = _table("")
    for name in ("", "code", "finding", "count", "first at"):
        table.add_column(name, justify="right" if name == "count" else "left", overflow="fold", no_wrap=name in ("", "code", "count"))
    for finding in findings:
        message = _plain(finding.message)
        if finding.fix:
            message.append(f"\n{visible(finding.fix)}", "dim")
        severity = _plain(finding.severity, _SEVERITIES.get(finding.severity, ""))
        table.add_row(severity, _plain(finding.code), message, f"{finding.count:,}", _plain(finding.where))
    return table


def _table(title: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    heading = _plain(title, "bold") if title else None
    return Table(title=heading, title_justify="left", caption_justify="left", box=SIMPLE_HEAD, pad_edge=False)


def _plain(text: str, style: str = "") -> Text:
    """Text that rich does not look for markup in."""
    from rich.text import Text

    return Text(visible(text), style)
