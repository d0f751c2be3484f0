"""What a terminal shows while something runs: bars with throughput and time left, plain lines elsewhere, or nothing.

Progress and notes go to standard error. Results go to standard output, as one JSON document or through `terminal()`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal

Mode = Literal["bars", "lines", "quiet"]
WIDTH = 120
"""Columns of tables in files and pipes."""


def mode(*, quiet: bool, json: bool) -> Mode:
    """Bars on a terminal that can draw them; `--json` and `--quiet` show nothing."""
    if quiet or json:
        return "quiet"
    able = sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("CI")
    return "bars" if able else "lines"


def note(text: str) -> None:
    """A line for people."""
    print(text, file=sys.stderr, flush=True)


def print_json(document: Mapping[str, Any]) -> None:
    """A result as the one JSON document of a command."""
    print(json.dumps({"schema_version": 1, **document}, ensure_ascii=False, allow_nan=False))


def terminal() -> Any:
    """Standard output for tables and marked text; plain where it is no terminal, and of `WIDTH` unless COLUMNS says otherwise."""
    from rich.console import Console

    free = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(highlight=False, width=WIDTH if free else None)


class Watch:
    """A listener of training events (`fintune.train.run`) that shows them in one of the modes."""

    def __init__(self, shown: Mode) -> None:
        self.shown = shown
        self.bar: Any = None
        self.task: Any = None
        self.tokens, self.seconds, self.last = 0, 0.0, 0.0

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.bar is not None:
            self.bar.stop()

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Show one event."""
        handler = getattr(self, "_" + str(event["event"]), None)
        if handler is not None and self.shown != "quiet":
            handler(event)

    def _start(self, event: Mapping[str, Any]) -> None:
        share = event["trainable"] / event["total"]
        self._say(
            f"{event['examples']} examples, {event['steps']} steps; {event['trainable']:,} of {event['total']:,} parameters "
            f"train ({share:.2%}) on {event['modules']} modules"
        )
        if self.shown == "bars":
            self.bar = _progress("train")
            self.task = self.bar.add_task("", total=event["steps"], completed=event["step"], speed="")
            self.bar.start()

    def _preflight(self, event: Mapping[str, Any]) -> None:
        self._say(event["summary"])

    def _resume(self, event: Mapping[str, Any]) -> None:
        self._say(f"going on from step {event['step']} of {event['steps']}")

    def _step(self, event: Mapping[str, Any]) -> None:
        self.tokens += event["tokens"]
        self.seconds += event["seconds"]
        speed = f"loss {event['loss']:.4f} · {self.tokens / max(self.seconds, 1e-9):,.0f} tokens/s"
        if self.bar is not None:
            self.bar.update(self.task, completed=event["step"], speed=speed)
        elif time.monotonic() - self.last > 10:
            self.last = time.monotonic()
            self._say(f"step {event['step']} · epoch {event['epoch'] + 1} · {speed}")

    def _validation(self, event: Mapping[str, Any]) -> None:
        names = ("surface_micro_f1", "micro_f1", "accuracy", "macro_f1", "answer_accuracy", "exact_match")
        scores = " · ".join(f"{name} {event['metrics'][name]:.4f}" for name in names if name in event["metrics"])
        self._say(f"epoch {event['epoch'] + 1} validation: {scores}")

    def _note(self, event: Mapping[str, Any]) -> None:
        self._say(event["message"])

    def _end(self, event: Mapping[str, Any]) -> None:
        self._say(f"done: {event['step']} steps, {event['seconds']:.0f} s of training, in {event['output']}")

    def _say(self, text: str) -> None:
        if self.bar is not None:
            self.bar.console.print(text, highlight=False, markup=False)
        else:
            note(text)


class Ticker:
    """Progress of a known number of things; call it with how many were finished."""

    def __init__(self, title: str, total: int, shown: Mode) -> None:
        self.title, self.total, self.shown = title, total, shown
        self.done, self.began, self.bar, self.task = 0, time.monotonic(), None, None

    def __enter__(self) -> Ticker:
        if self.shown == "bars":
            self.bar = _progress(self.title)
            self.task = self.bar.add_task("", total=self.total, speed="")
            self.bar.start()
        return self

    def __call__(self, finished: int) -> None:
        """Count on."""
        self.done += finished
        if self.bar is not None:
            self.bar.update(self.task, completed=self.done, speed=f"{self._speed():,.0f}/s")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.bar is not None:
            self.bar.stop()
        elif self.shown == "lines" and error is None and self.done:
            note(f"{self.title}: {self.done} in {time.monotonic() - self.began:.1f} s, {self._speed():,.0f}/s")

    def _speed(self) -> float:
        return self.done / max(time.monotonic() - self.began, 1e-9)


def _progress(title: str) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn(title), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"), TimeRemainingColumn(compact=True),
        console=Console(stderr=True), transient=True,
    )  # fmt: skip
