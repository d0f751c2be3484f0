"""Where cells run on this machine: processes forked from one that has prepared everything, or a new process for each.

A launcher starts jobs and tells what became of them; which job, when, and how many at once is `engine`'s. Its processes end when this
one does. `pytest tests/study/test_engine.py`.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from fintune.errors import ResourceError
from fintune.study import machine
from fintune.study.jobs import LOGS

WORKER = "fintune.study_worker"
"""The module that a process of a study runs; it stands above this room, and is named, not imported."""
Event = dict[str, Any]


class Launcher(Protocol):
    """What the engine asks of a place where cells run."""

    def prepare(self, job: Mapping[str, Any]) -> Event:
        """Make ready for a job without starting it.

        What the place has is told: `bytes` that the job needs (None where that is not known), `memory` for all jobs, `slots` for
        jobs at once, `cores`, and `devices`, the number of GPUs to be assigned.

        Raises:
            ResourceError: where no job can be run there.
        """

    def start(self, job: Mapping[str, Any]) -> None:
        """Start a job."""

    def events(self, timeout: float) -> list[Event]:
        """What was told since the last call, after at most so many seconds; each job tells at last that it has `ended`."""

    def stop(self, number: int) -> None:
        """Ask all jobs to save their state and end."""

    def close(self) -> None:
        """End everything that still runs."""


class Process(Protocol):
    """What is used of `subprocess.Popen`."""

    stdin: IO[bytes] | None
    stdout: IO[bytes] | None

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended."""

    def send_signal(self, sig: int) -> None:
        """Send it a signal."""


def environment() -> dict[str, str]:
    """Of a process that may fork: no threads of a tokenizer or loader, and no look at GPUs that would take hold of one."""
    settings = {"TOKENIZERS_PARALLELISM": "false", "HF_DEACTIVATE_ASYNC_LOAD": "1", "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
    return {**os.environ, **settings, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


@dataclass
class Lines:
    """Whole lines out of a pipe that is read in pieces."""

    rest: bytes = b""

    def take(self, piece: bytes) -> list[Event]:
        """The events of the lines that a piece completes."""
        *lines, self.rest = (self.rest + piece).split(b"\n")
        return [json.loads(line) for line in lines]


def _process(mode: str, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as told:
        return subprocess.Popen(
            [sys.executable, "-m", WORKER, mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=told, env=environment(),
            start_new_session=True,  # Ctrl-C reaches this process, which passes it on once
        )  # fmt: skip


def _send(process: Process, request: Mapping[str, Any]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # that it has gone is seen where its events are read
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.is_file() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


class Forking:
    """One process that imports, reads and encodes once, and forks a fresh process for each job."""

    def __init__(self, process: Process, log: Path) -> None:
        self.process, self.log = process, log
        self.lines = Lines()

    def prepare(self, job: Mapping[str, Any]) -> Event:
        """See `Launcher`; what is wrong with a job is told when it starts."""
        _send(self.process, {"job": job, "start": False})
        devices = 0
        while True:
            for event in self._read(None):
                devices = event.get("devices", devices)
                if event["event"] in ("prepared", "ended"):
                    known = {"memory": machine.memory(), "cores": machine.cores(), "slots": devices or machine.cores(), "devices": devices}
                    return {**known, "bytes": event.get("bytes")}

    def start(self, job: Mapping[str, Any]) -> None:
        """See `Launcher`."""
        _send(self.process, {"job": job, "start": True})

    def events(self, timeout: float) -> list[Event]:
        """See `Launcher`.

        Raises:
            ResourceError: where the preparing process has died, and the cells with it.
        """
        return self._read(timeout)

    def stop(self, number: int) -> None:
        """See `Launcher`."""
        _send(self.process, {"stop": number})

    def close(self) -> None:
        """See `Launcher`."""
        _end(self.process)

    def _read(self, timeout: float | None) -> list[Event]:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(timeout):
                return []
        if not (piece := os.read(self.process.stdout.fileno(), 1 << 16)):
            status = self.process.wait()
            raise ResourceError(
                "the process that prepares the cells has ended", where=str(self.log), why=_last_line(self.log) or f"status {status}",
                fix="run the same command again: finished cells are kept",
            )  # fmt: skip
        return self.lines.take(piece)


@dataclass
class _Own:
    """A process of its own for one job."""

    cell: str
    process: subprocess.Popen[bytes]
    lines: Lines = field(default_factory=Lines)


class Spawning:
    """A new process for each job, which prepares for itself: for systems that cannot fork."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.selector = selectors.DefaultSelector()

    def prepare(self, job: Mapping[str, Any]) -> Event:
        """Nothing is prepared, and nothing known of what a job needs: one at a time, unless told otherwise."""
        return {"bytes": None, "memory": machine.memory(), "cores": machine.cores(), "slots": 1, "devices": 0}

    def start(self, job: Mapping[str, Any]) -> None:
        """See `Launcher`."""
        process = _process("cell", self.folder / LOGS / f"{job['cell']}.log")
        _send(process, job)
        assert process.stdout is not None
        self.selector.register(process.stdout, selectors.EVENT_READ, _Own(job["cell"], process))

    def events(self, timeout: float) -> list[Event]:
        """See `Launcher`."""
        found: list[Event] = []
        for key, _ in self.selector.select(timeout):
            own: _Own = key.data
            if piece := os.read(key.fd, 1 << 16):
                found += own.lines.take(piece)
                continue
            self.selector.unregister(key.fileobj)
            found.append({"event": "ended", "cell": own.cell, "status": own.process.wait()})
        return found

    def stop(self, number: int) -> None:
        """See `Launcher`."""
        for key in self.selector.get_map().values():
            key.data.process.send_signal(number)

    def close(self) -> None:
        """See `Launcher`."""
        for key in list(self.selector.get_map().values()):
            _end(key.data.process)
        self.selector.close()


def _end(process: Process) -> None:
    """Let a process go: it ends when its input does, and is made to where it does not."""
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with contextlib.suppress(BrokenPipeError):
            pipe.close()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()


def local(folder: Path) -> Launcher:
    """The launcher for this system."""
    log = folder / LOGS / "preparing.log"
    return Forking(_process("serve", log), log) if hasattr(os, "fork") else Spawning(folder)
