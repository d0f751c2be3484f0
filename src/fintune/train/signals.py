"""Stopping on request: the first SIGINT or SIGTERM is noted, for the run to save its state; a second one ends the process at once."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any


class Interrupted(Exception):
    """A signal asked the run to stop; its state has been saved. `status` is the exit status that goes with it."""

    def __init__(self, number: int) -> None:
        self.status = 128 + number
        super().__init__(signal.Signals(number).name)


class Signals:
    """A context in which signals are collected: `with Signals() as caught`."""

    def __init__(self) -> None:
        self.caught: list[int] = []
        self.before: dict[int, Any] = {}

    def __enter__(self) -> list[int]:
        try:
            self.before = {number: signal.signal(number, self._note) for number in STOPPING}
        except ValueError:  # not the main thread, where Python delivers no signals
            self.before = {}
        return self.caught

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.caught.append(number)
        for other in STOPPING:
            signal.signal(other, signal.SIG_DFL)


STOPPING = (signal.SIGINT, signal.SIGTERM)
