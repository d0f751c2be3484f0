"""What a terminal shows of a study: a table that changes while cells run, plain lines elsewhere, and the table of results."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from fintune.console import Mode, note

SHOWN = 20
"""Rows of a live table: those that run, failed ones, and as many of the others as fit, the latest first."""
_ORDER = {"running": 0, "failed": 1, "finished": 2, "waiting": 3}
_MARKS = {"running": "cyan", "failed": "red", "finished": "green", "waiting": "dim"}


class Watch:
    """A listener of a study (`fintune.study.engine`) that shows it in one of the modes."""

    def __init__(self, shown: Mode) -> None:
        self.shown = shown
        self.rows: dict[str, dict[str, Any]] = {}
        self.doing: dict[str, str] = {}
        self.live: Any = None
        self.metric = ""

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.live is not None:
            self.live.stop()

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Show one event."""
        if self.shown == "quiet":
            return
        kind, cell = event["event"], event.get("cell", "")
        if kind == "study":
            self.rows, self.metric = {row["id"]: row for row in event["rows"]}, event["metric"]
            self._open()
        elif kind == "note":
            self._say(f"{cell}: {event['message']}" if cell else event["message"])
        elif kind == "stopping":
            self._say(f"stopping: {event['cells']} cells save their state")
        elif kind == "cell":
            self.rows[cell] = event["row"]
            self.doing.pop(cell, None)
            if self.live is None:
                note(line(event["row"], self.metric))
        elif kind in ("step", "start", "resume", "scoring"):
            self.doing[cell] = _doing(event)
        if self.live is not None:
            self.live.update(self._table())

    def _open(self) -> None:
        waiting = sum(row["status"] == "waiting" for row in self.rows.values())
        self._say(f"{len(self.rows)} cells, of which {len(self.rows) - waiting} are finished")
        if self.shown == "bars" and waiting:
            from rich.console import Console
            from rich.live import Live

            self.live = Live(self._table(), console=Console(stderr=True), refresh_per_second=2, transient=True)
            self.live.start()

    def _say(self, text: str) -> None:
        if self.live is not None:
            self.live.console.print(text, highlight=False, markup=False)
        else:
            note(text)

    def _table(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        shown = Table(box=None, pad_edge=False)
        axes = list(dict.fromkeys(axis for row in self.rows.values() for axis in row["labels"]))
        for heading in ("cell", *axes, "status", "", "seconds"):
            shown.add_column(heading, justify="right" if heading == "seconds" else "left")
        ordered = sorted(self.rows.values(), key=lambda row: (_ORDER[row["status"]], _descending(row["ended"] or "")))
        for row in ordered[:SHOWN]:
            says = self.doing.get(row["id"], "") if row["status"] == "running" else row["error"] or _score(row, self.metric)
            labels = [row["labels"].get(axis, "") for axis in axes]
            status, doing = Text(row["status"], style=_MARKS[row["status"]]), Text(says, overflow="ellipsis", no_wrap=True)
            shown.add_row(row["id"], *map(Text, labels), status, doing, f"{seconds(row):.0f}" if row["started"] else "")
        counts = {status: sum(row["status"] == status for row in self.rows.values()) for status in _ORDER}
        shown.caption = " · ".join(f"{count} {status}" for status, count in counts.items() if count)
        return shown


def line(row: Mapping[str, Any], metric: str) -> str:
    """A row as one line, where there is no terminal to draw on."""
    labels = " ".join(f"{axis}={chosen}" for axis, chosen in row["labels"].items())
    says = {"finished": _score(row, metric), "failed": row["error"], "running": f"{row['threads']} threads"}.get(row["status"], "")
    return f"{row['id']} {labels}: {row['status']}{f', {says}' if says else ''}"


def table(document: Mapping[str, Any]) -> Any:
    """The results of a study: a row for each cell, with its score and interval."""
    from rich.table import Table
    from rich.text import Text

    axes, metric = [axis["name"] for axis in document["axes"]], document["metric"]
    shown = Table(box=None, pad_edge=False, title=Text(document["question"]), title_justify="left")
    for heading in ("cell", *axes, metric, "95 %", "seconds"):
        shown.add_column(heading, justify="left" if heading in ("cell", *axes) else "right")
    for row in document["cells"]:
        found = row["metrics"].get(metric, {})
        value, low, high = (found.get(part) for part in ("value", "low", "high"))
        interval = f"{low:.4f} to {high:.4f}" if low is not None and high is not None else ""
        taken = row["cost"].get("wall_seconds")
        labels = [Text(row["labels"].get(axis, "")) for axis in axes]
        score = f"{value:.4f}" if value is not None else row["status"]
        shown.add_row(row["id"], *labels, score, interval, f"{taken:.0f}" if taken is not None else "")
    return shown


def seconds(row: Mapping[str, Any]) -> float:
    """How long a cell has run, or did in its last attempt."""
    began = datetime.fromisoformat(row["started"])
    until = datetime.fromisoformat(row["ended"]) if row["ended"] else datetime.now(UTC)
    return (until - began).total_seconds()


def _doing(event: Mapping[str, Any]) -> str:
    if event["event"] == "step":
        return f"epoch {event['epoch'] + 1}, step {event['step']}, loss {event['loss']:.4f}"
    if event["event"] == "scoring":
        return f"scores {event['data']}"
    return f"step {event['step']} of {event['steps']}"


def _score(row: Mapping[str, Any], metric: str) -> str:
    return f"{metric} {row['metrics'][metric]['value']:.4f}" if metric in row["metrics"] else ""


def _descending(text: str) -> list[int]:
    return [-ord(character) for character in text]
