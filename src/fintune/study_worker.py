"""The processes of a study that train: one that prepares and forks a fresh process for every cell, or one that is a single cell.

`python -m fintune.study_worker serve` reads jobs as JSON lines and forks; `... cell` reads one job and does it. Either tells events as
JSON lines on standard output and ends when its standard input does, so that nothing runs on unseen after the study's own process has
gone. What is prepared once for all forked cells: the imports, the examples, and what `fintune.train.prepared` shares; where there is a
GPU the first two alone, as a process that has used one cannot be forked. A cell is an ordinary run folder.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import torch

from fintune import run as folders
from fintune.api import Run
from fintune.data.load import Loaded, load
from fintune.errors import ArtifactError, FintuneError
from fintune.recipe import from_settings
from fintune.study import machine
from fintune.tasks.base import Task, load_task
from fintune.train import order
from fintune.train.preflight import certify
from fintune.train.prepared import Prepared
from fintune.train.run import settle
from fintune.train.run import train as run_training
from fintune.train.signals import Interrupted

Tell = Callable[[Mapping[str, Any]], None]
TOLD_EVERY = 0.5
"""Seconds between two steps of a cell that are told."""
LONGEST = 600
"""Characters of a message: six bytes each at most, so that a line stays whole among those of other processes (`PIPE_BUF` is 4,096)."""
POLL = 0.05
"""Seconds between two looks at children."""


class Shelf:
    """Examples and what else was prepared, by what it is."""

    def __init__(self) -> None:
        self.loaded: dict[str, Loaded] = {}
        self.prepared = None if torch.cuda.is_available() else Prepared()

    def read(self, part: Mapping[str, Any], task: Task) -> Loaded:
        """A part of the study's data, read once.

        Raises:
            ArtifactError: where the file is not what the study wrote.
        """
        if part["fingerprint"] not in self.loaded:
            found = load(Path(part["path"]), kind=task.kind)
            if found.fingerprint != part["fingerprint"]:
                raise ArtifactError("the data of the study have changed", where=part["path"], fix="run the study again")
            self.loaded[part["fingerprint"]] = found
        return self.loaded[part["fingerprint"]]

    def prepare(self, job: Mapping[str, Any]) -> int | None:
        """Have ready what a job needs; the bytes it will need where that was looked at, else None.

        Raises:
            FintuneError: as training would.
        """
        for part in (job["train"], job["validation"], *job["evaluations"]):
            if part is not None:
                self.read(part, _task(job))
        if self.prepared is None or "recipe" not in job or folders.finished(Path(job["folder"])):
            return None
        task, recipe = _task(job), from_settings(job["recipe"], job["cell"])
        examples = self.read(job["train"], task).examples
        recipe = settle(recipe, task, examples)
        made = self.prepared.add(recipe, task, examples, data=job["train"]["fingerprint"])
        if made is None:
            return None
        steps = order.steps_per_epoch(len(made[1]), recipe.train.batch_size) * recipe.train.epochs
        return certify(recipe, task, made[0], examples, made[1], steps=steps).memory


def perform(job: Mapping[str, Any], tell: Tell, shelf: Shelf) -> None:
    """Train a cell where it is not, and score it on what it is not scored on; or score the base model of one without its adapter.

    Raises:
        FintuneError: as `fintune train` and `fintune evaluate`.
        Interrupted: after a signal, state saved.
    """
    torch.set_num_threads(job["threads"])
    folder, task = Path(job["folder"]), _task(job)
    if job["baselines"]:
        (scored,) = job["evaluations"]
        Run(folder).judge(
            shelf.read(scored, task), source=scored["source"], output=scored["output"], baselines=job["baselines"],
            examples=job["train"]["path"],
        )  # fmt: skip
        return
    if not folders.finished(folder):
        _train(job, folder, task, tell, shelf)
    run = Run(folder)
    for scored in job["evaluations"]:
        loaded, place = shelf.read(scored, task), Path(scored["output"])
        report = folders.read_json(place / folders.REPORT_JSON) if (place / folders.REPORT_JSON).is_file() else {}
        if report.get("data", {}).get("fingerprint") != scored["fingerprint"]:
            tell({"event": "scoring", "data": scored["name"]})
            run.judge(loaded, source=scored["source"], output=place)


def _train(job: Mapping[str, Any], folder: Path, task: Task, tell: Tell, shelf: Shelf) -> None:
    described = {name: job[name]["record"] for name in ("train", "validation") if job[name] is not None}
    examples = shelf.read(job["train"], task).examples
    held = shelf.read(job["validation"], task).examples if job["validation"] is not None else ()
    recipe = from_settings(job["recipe"], job["cell"])
    run_training(recipe, task, examples, held, folder, data=described, listen=_Told(tell), prepared=shelf.prepared)


class _Told:
    """A listener of training that passes on what a table shows."""

    def __init__(self, tell: Tell) -> None:
        self.tell, self.last = tell, 0.0

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Pass an event on, cut to a short line."""
        if event["event"] == "preflight":
            self.tell({"event": "needs", "bytes": event["certificate"]["memory"]["without_recomputation"]})
        elif event["event"] == "step" and time.monotonic() - self.last >= TOLD_EVERY:
            self.last = time.monotonic()
            self.tell({"event": "step", "step": event["step"], "epoch": event["epoch"], "loss": event["loss"]})
        elif event["event"] in ("start", "resume"):
            self.tell({"event": event["event"], "step": event["step"], "steps": event["steps"]})
        elif event["event"] == "note":
            self.tell({"event": "note", "message": str(event["message"])[:LONGEST]})


def attempt(job: Mapping[str, Any], tell: Tell, shelf: Shelf) -> int:
    """Perform a job and tell how it ended; the exit status that goes with it."""
    try:
        perform(job, tell, shelf)
    except FintuneError as error:
        tell({"event": "failed", "error": str(error)[:LONGEST]})
        return error.exit_status
    except Interrupted as stopped:
        return stopped.status
    except Exception as error:  # a fault of ours must not take the other cells with it: its traceback is in the cell's log
        traceback.print_exc()
        tell({"event": "failed", "error": f"unexpected {type(error).__name__}: {' '.join(str(error).split())[: LONGEST // 2]}"})
        return 1
    tell({"event": "done", "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024})
    return 0


def alone(job: Mapping[str, Any]) -> tuple[int, list[dict[str, Any]]]:
    """Do a job in this process, which does no other; its exit status, and how it says it ended."""
    told: list[dict[str, Any]] = []
    _log_to(Path(job["log"]))
    status = attempt(job, lambda event: told.append(dict(event)) if event["event"] in ("failed", "done") else None, Shelf())
    return status, told


def _task(job: Mapping[str, Any]) -> Task:
    recipe = from_settings(job["recipe"], job["cell"])
    return load_task(recipe.task, recipe.prompt)


def _serve(out: int) -> None:
    """Fork a process for each job that comes in, until there is no more to come."""
    torch.set_num_threads(1)  # a fork must not copy a pool of threads
    shelf, children = Shelf(), dict[int, str]()
    lifeline, held = os.pipe()  # ends with this process, however it ends
    _write(out, {"event": "ready", "devices": torch.cuda.device_count()})
    buffer = b""
    while True:
        _reap(children, out)
        if not select.select([0], [], [], POLL)[0]:
            continue
        if not (read := os.read(0, 1 << 16)):
            os._exit(0)  # the study has gone: the children see the lifeline end
        *lines, buffer = (buffer + read).split(b"\n")
        for request in map(json.loads, lines):
            if "stop" in request:
                for pid in children:
                    os.kill(pid, request["stop"])
            elif _ready(request["job"], shelf, out) and request["start"]:
                gc.freeze()  # what is there stays shared: no collection writes to it
                pid = os.fork()
                if pid == 0:
                    os.close(held)
                    _live(lifeline)
                    _child(request["job"], out, shelf)
                children[pid] = request["job"]["cell"]


def _ready(job: Mapping[str, Any], shelf: Shelf, out: int) -> bool:
    """Prepare for a job; tells the bytes it needs where that was looked at, or why it cannot be."""
    try:
        needs = shelf.prepare(job)
    except FintuneError as error:
        _write(out, {"event": "failed", "cell": job["cell"], "error": str(error)[:LONGEST]})
        _write(out, {"event": "ended", "cell": job["cell"], "status": error.exit_status})
        return False
    _write(out, {"event": "prepared", "cell": job["cell"], "bytes": needs})
    return True


def _reap(children: dict[int, str], out: int) -> None:
    """Tell which children have ended: a status below 0 is the signal that ended them."""
    for pid in list(children):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            _write(out, {"event": "ended", "cell": children.pop(pid), "status": os.waitstatus_to_exitcode(status)})


def _child(job: Mapping[str, Any], out: int, shelf: Shelf) -> NoReturn:
    """Do a job in a fork; never returns."""
    status = 1
    try:
        _log_to(Path(job["log"]))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        if job["device"] is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = machine.gpu(job["device"])
        status = attempt(job, lambda event: _write(out, {**event, "cell": job["cell"]}), shelf)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _live(lifeline: int) -> None:
    """End this process at once when the other end of a pipe has gone; its checkpoints stand."""

    def watch() -> None:
        os.read(lifeline, 1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _log_to(place: Path) -> None:
    """Send what this process prints to a file."""
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _write(out: int, event: Mapping[str, Any]) -> None:
    os.write(out, json.dumps(event).encode() + b"\n")


def _cell(out: int) -> NoReturn:
    """Do the one job that standard input holds, in this process."""
    line = b""
    while not line.endswith(b"\n"):
        line += os.read(0, 1 << 16)
    job = json.loads(line)
    _live(0)
    _child(job, out, Shelf())


def main() -> None:
    """Serve, or do one cell; what libraries print goes to a log, not among the events."""
    out = os.dup(1)
    os.dup2(2, 1)
    {"serve": _serve, "cell": _cell}[sys.argv[1]](out)


if __name__ == "__main__":
    main()
