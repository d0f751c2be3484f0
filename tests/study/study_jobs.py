"""Studies in processes that may be killed (`forks.py`): the preparing process is a fork too, so that nothing is imported anew."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import yaml

import tiny
from fintune import run as folders
from fintune.data.formats.jsonl import dump
from fintune.errors import FintuneError
from fintune.study import launch
from fintune.study.ablate import ablate

SETTINGS = {key: value for key, value in tiny.NOISY.items() if key != "adapter.rank"} | {"train.epochs": 1}


def write(folder: Path, base: Path, **changes: Any) -> Path:
    """A study of two ranks and two seeds on tiny data beside it."""
    examples = tiny.examples()
    for name, part in (("train", examples[:24]), ("validation", examples[24:32]), ("test", examples[32:40])):
        (folder / f"{name}.jsonl").write_text("".join(dump(example) + "\n" for example in part), encoding="utf-8")
    settings = {
        "question": "Does the rank matter?", "recipe": "ner-minilm", "set": {"model.base": str(base), **SETTINGS},
        "data": {name: str(folder / f"{name}.jsonl") for name in ("train", "validation", "test")},
        "axes": {"rank": {"key": "adapter.rank", "values": [2, 4]}, "seed": {"key": "seed", "values": [0, 1]}},
        "limits": {"parallel": 2, "threads": 1}, **changes,
    }  # fmt: skip
    path = folder / "x.study.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


class Forked:
    """What `launch.Forking` uses of a process, made by forking this one."""

    def __init__(self, mode: str, log: Path) -> None:
        read, write = os.pipe()
        told, tell = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            with log.open("ab") as file:
                for target, descriptor in ((0, read), (1, tell), (2, file.fileno())):
                    os.dup2(descriptor, target)
            os.closerange(3, 256)
            os.environ.update(launch.environment())
            sys.argv = ["", mode]
            from fintune import study_worker

            study_worker.main()
            os._exit(0)
        os.close(read)
        os.close(tell)
        self.stdin: IO[bytes] | None = os.fdopen(write, "wb")
        self.stdout: IO[bytes] | None = os.fdopen(told, "rb", buffering=0)

    def wait(self, timeout: float | None = None) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def send_signal(self, sig: int) -> None:
        os.kill(self.pid, sig)


def run(*, study: str, output: str, spawn: bool = False, acts: Mapping[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
    """Run a study; its exit status, rows and events.

    `acts` says what to do when an event of a kind is told for the n-th time: `{"step": [3, "die"]}` or a signal to send to this process.
    """
    import torch

    torch.set_num_threads(1)
    events: list[dict[str, Any]] = []

    def listen(event: Mapping[str, Any]) -> None:
        events.append({key: value for key, value in event.items() if key not in ("row", "rows")} | {"at": time.monotonic()})
        for kind, (number, what) in (acts or {}).items():
            if sum(one["event"] == kind for one in events) == number and event["event"] == kind:
                os.kill(os.getpid(), signal.SIGKILL if what == "die" else what)

    launch._process = Forked  # type: ignore[assignment]
    if spawn:
        launch.local = launch.Spawning  # type: ignore[assignment]
    try:
        found = ablate(study, output=output, listen=listen)
    except FintuneError as error:
        return error.exit_status, {"error": str(error), "events": events}
    except Exception as error:
        if type(error).__name__ != "Interrupted":
            raise
        return int(error.status), {"events": events, "rows": folders.read_json(Path(output) / "study.json")["cells"]}  # type: ignore[attr-defined]
    return 0, {"rows": found.cells, "failed": found.failed, "events": events, "table": found.table}


def train(*, base: str, row: Mapping[str, Any], data: str, validation: str, output: str) -> tuple[int, dict[str, str]]:
    """Train the run of a row by itself, as `fintune train` does; the hashes of its adapter."""
    import torch

    from fintune import api

    torch.set_num_threads(row["threads"])
    api.train("ner-minilm", data=data, validation=validation, overrides=dict(row["overrides"]), output=output)
    return 0, folders.hash_files(Path(output) / folders.ADAPTER)
