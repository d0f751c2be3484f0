"""What a training run tells to TensorBoard, MLflow or trackio, on this machine alone, while it goes on.

Each library works in a process of its own (`fintune.train.tracker_writers`): it can neither draw from the run's generators nor
print among its results, and is kept from networks, accounts and telemetry by its environment. One that is not installed is
refused before anything is read; one that fails later is told once, and the run goes on. `fintune train --log-to tensorboard`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from fintune.errors import ResourceError, UsageError, did_you_mean

TRACKERS = {"tensorboard": "tensorboard", "mlflow": "mlflow", "trackio": "trackio"}
"""The module that each needs."""
STORES = {"tensorboard": "{folder}/tensorboard", "mlflow": "{above}/mlflow.db", "trackio": "{above}/trackio"}
"""Where each writes: in the run's folder, or beside it, so that the runs of a folder are seen together."""
SHOWN = {
    "tensorboard": "tensorboard --logdir {store}",
    "mlflow": "mlflow ui --backend-store-uri sqlite:///{store}",
    "trackio": "TRACKIO_DIR={store} trackio show --project fintune",
}
"""What shows it."""
HEARD = ("step", "validation", "end")
PATIENCE = 120.0
"""Seconds that a library may take to write out what it has."""
# Variables that would send figures elsewhere, or say who sends them.
_FOREIGN = ("MLFLOW_", "TRACKIO_", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "DATABRICKS_", "SPACE_ID")
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
}  # fmt: skip
Listener = Callable[[Mapping[str, Any]], None]


def require(names: Sequence[str]) -> None:
    """Refuse trackers that are not known or not installed.

    Raises:
        UsageError, ResourceError: with the mend.
    """
    for name in names:
        if name not in TRACKERS:
            raise UsageError(f"unknown tracker {name!r}", where="--log-to", fix=did_you_mean(name, TRACKERS))
        if importlib.util.find_spec(TRACKERS[name]) is None:
            raise ResourceError(f"{name} is not installed", where="--log-to", fix="run: pip install 'fintune[track]'")


@contextlib.contextmanager
def followed(names: Sequence[str], *, folder: Path, facts: Mapping[str, Any], listen: Listener) -> Iterator[Listener]:
    """A listener that passes every event on, and to the trackers those that they keep.

    Args:
        names: of trackers.
        folder: of the run.
        facts: of the run, as plain JSON: its settings and data.
        listen: who else is told; hears of trackers that fail.

    Raises:
        UsageError, ResourceError: as `require`, and where a library cannot be started, at the run's first event.
    """
    require(names)
    writers = [Writer(name, folder) for name in dict.fromkeys(names)]

    def tell(event: Mapping[str, Any]) -> None:
        listen(event)
        for writer in writers:
            if event["event"] == "start":  # of several processes the first alone hears it
                writer.start({**facts, "step": event["step"]})
                listen({"event": "note", "message": f"{writer.name} shows this run: {writer.shown}"})
            elif event["event"] in HEARD and (failure := writer.send(event)):
                listen({"event": "note", "message": failure})

    try:
        yield tell
    finally:
        for writer in writers:
            if failure := writer.close():
                listen({"event": "note", "message": failure})


class Writer:
    """The process of one tracker."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self._folder = name, folder.absolute()
        self.store = STORES[name].format(folder=self._folder, above=self._folder.parent)
        self.shown = SHOWN[name].format(store=self.store)
        self._process: subprocess.Popen[str] | None = None
        self._said: IO[str] | None = None

    def start(self, facts: Mapping[str, Any]) -> None:
        """Begin, and wait until the store is open.

        Raises:
            ResourceError: where the library cannot be used.
        """
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - open while the process is
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "fintune.train.tracker_writers", self.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._said, text=True, encoding="utf-8", env=environment(self.name, self.store),
        )  # fmt: skip
        opened = self._write({"folder": str(self._folder), "store": self.store, **facts})
        assert self._process.stdout is not None
        if not opened or self._process.stdout.readline() != "ready\n":
            why = self._ended()
            raise ResourceError(f"{self.name} cannot be used", where="--log-to", why=why, fix=f"mend it, or leave out --log-to {self.name}")

    def send(self, event: Mapping[str, Any]) -> str:
        """Hand on an event; gives what went wrong, once, or ""."""
        if self._process is None or self._write(event):
            return ""
        return self._lost()

    def close(self) -> str:
        """Let it write out what it has; gives what went wrong, or ""."""
        if self._process is None:
            return ""
        with contextlib.suppress(BrokenPipeError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            status = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        return self._lost() if status else (self._ended() and "")

    def _write(self, document: Mapping[str, Any]) -> bool:
        """Whether the process still listens."""
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(document, allow_nan=False) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return False
        return True

    def _lost(self) -> str:
        return f"{self.name} ended ({self._ended()}); the run goes on, and log.jsonl has everything"

    def _ended(self) -> str:
        """The last line that the process said; it is gone then."""
        assert self._process is not None
        assert self._said is not None
        with contextlib.suppress(BrokenPipeError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._said.seek(0)
        lines = [line.strip() for line in self._said.read().splitlines() if line.strip()]
        self._said.close()
        self._process = None
        return lines[-1] if lines else "it said nothing"


def environment(name: str, store: str) -> dict[str, str]:
    """Of a tracker's process: this one's without what would send figures elsewhere."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}
    return {**kept, **_QUIET, **({"TRACKIO_DIR": store} if name == "trackio" else {})}
