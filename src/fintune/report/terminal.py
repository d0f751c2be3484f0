"""Marked text, findings and certificates for a terminal, as rich renderables; the command line prints them. Scores: `score_table`.

Everything can be read without colour. Text from data or models is never taken for markup or terminal sequences.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fintune.records import Finding, Prediction, Span
from fintune.report import preflight
from fintune.report.cells import plain, table
from fintune.report.figures import counted, decimal
from fintune.report.highlight import Mark, segments
from fintune.report.score_table import score_table as score_table
from fintune.report.visible import visible

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

_COLOURS = ("bright_blue", "yellow", "green", "magenta", "red", "cyan", "bright_green", "bright_magenta")
_SEVERITIES = {"error": "bold red", "warning": "yellow", "info": "cyan"}


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


def prediction_line(prediction: Prediction, *, labels: Sequence[str] = ()) -> Text:
    """A prediction of any kind in one line: marked text, `[positive 0.93] Acme rose`, `→ 14.2%`; an unreadable one says why.

    Args:
        prediction: of any head.
        labels: as in `spans_line`.

    Raises:
        DataError: for a span outside the text.
    """
    from rich.text import Text

    if prediction.status == "malformed":
        return Text.assemble(("[could not be read", "red"), f": {visible(prediction.reason)}] {visible(prediction.text)}")
    if prediction.spans is not None:
        return spans_line(prediction.text, prediction.spans, labels=labels)
    sure = "" if prediction.confidence is None else f" {decimal(prediction.confidence)}"
    if prediction.label is not None:
        return Text.assemble((f"[{visible(prediction.label)}{sure}]", _style(prediction.label, labels)), f" {visible(prediction.text)}")
    if prediction.labels is not None:
        line = Text.assemble("[")
        for label in prediction.labels:
            line.append(visible(label), _style(label, labels)).append("; " if label != prediction.labels[-1] else "")
        return line.append(f"{'' if prediction.labels else 'no label'}{sure}] {visible(prediction.text)}")
    answer = "no answer" if prediction.answer is None else visible(prediction.answer.text)
    return Text.assemble("→ ", (answer, "bold"), (f" ({sure.strip()})" if sure else "", "dim"))


def _style(label: str, labels: Sequence[str]) -> str:
    # The checksum, unlike the built-in hash, gives a label the same colour in every process.
    index = labels.index(label) if label in labels else zlib.crc32(label.encode(errors="replace"))
    return _COLOURS[index % len(_COLOURS)]


def findings_table(findings: Sequence[Finding]) -> Table:
    """Findings in the order given, each with what to do about it."""
    shown = table("")
    for name in ("", "code", "finding", "count", "first at"):
        shown.add_column(name, justify="right" if name == "count" else "left", overflow="fold", no_wrap=name in ("", "code", "count"))
    for finding in findings:
        message = plain(finding.message)
        if finding.fix:
            message.append(f"\n{visible(finding.fix)}", "dim")
        severity = plain(finding.severity, _SEVERITIES.get(finding.severity, ""))
        shown.add_row(severity, plain(finding.code), message, f"{finding.count:,}", plain(finding.where))
    return shown


def certificate(record: Mapping[str, Any]) -> Group:
    """A pre-flight certificate (`preflight.json`): its figures, its examples with what is learnt between ⟦ and ⟧, and its notes."""
    from rich.console import Group

    facts = table("pre-flight")
    facts.show_header = False
    facts.add_column("", no_wrap=True)
    facts.add_column("", overflow="fold")
    for name, value in preflight.facts(record):
        facts.add_row(plain(name, "dim"), plain(value))
    shown = [part for mask in preflight.masks(record) for part in (_heading(mask), _mask(mask), plain(""))]
    return Group(facts, *shown, *(plain(f"note: {note}", "yellow") for note in preflight.notes(record)))


def _heading(mask: preflight.Shown) -> Text:
    return plain(f"example {mask.id}: {mask.learnt:,} of {counted(mask.tokens, 'token')} learnt", "dim")


def _mask(mask: preflight.Shown) -> Text:
    from rich.text import Text

    line = Text()
    for stretch in mask.stretches:
        if stretch.skipped:
            line.append(f" … {counted(stretch.skipped, 'character')} left out … ", "dim italic")
        if stretch.learnt:
            line.append(f"⟦{visible(stretch.text)}⟧", "bold green")
        else:
            line.append(visible(stretch.text))
    return line
