"""What killable children do (`forks.py`): a whole training run on a tiny base, in one call, with the exit status of the command line."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tiny
from faults import DEAD, Disk
from fintune.errors import FintuneError
from fintune.records import Example

Act = tuple[str, int, str | int]

TRAINING = 48
"""Of the tiny examples, so many are learnt from; the rest are for validation."""


def train(*, base: str, output: str, settings: Mapping[str, Any], acts: Sequence[Act] = ()) -> tuple[int, dict[str, Any]]:
    """Train or go on; exit status, and the error or the events other than steps.

    Each of `acts` is an event's name, its step, and what to do when it first happens: `die`, `hold` (until OUTPUT.release is there,
    having made OUTPUT.held) or a signal to send to this process; in this order.
    """
    import torch

    from fintune.train.run import Interrupted

    torch.set_num_threads(1)
    events: list[dict[str, Any]] = []
    waiting = list(acts)

    def listen(event: Mapping[str, Any]) -> None:
        if event["event"] != "step":
            events.append(dict(event))
        while waiting and (event["event"], event.get("step")) == tuple(waiting[0][:2]):
            _act(waiting.pop(0)[2], Path(output))

    try:
        run_training(Path(base), Path(output), settings, listen)
    except FintuneError as error:
        return error.exit_status, {"error": error.record(), "message": str(error), "events": events}
    except Interrupted as stopped:
        return stopped.status, {"message": str(stopped), "events": events}
    return 0, {"events": events}


def _act(what: str | int, output: Path) -> None:
    if what == "die":
        os._exit(DEAD)
    elif what == "hold":
        output.with_suffix(".held").touch()
        while not output.with_suffix(".release").exists():
            time.sleep(0.001)
    else:
        os.kill(os.getpid(), int(what))


def run_training(base: Path, output: Path, settings: Mapping[str, Any], listen: Callable[[Mapping[str, Any]], None]) -> Path:
    """One run of the tiny examples, in this process."""
    from fintune.tasks.base import load_task
    from fintune.train.run import train as training

    examples = tiny.examples()
    resolved = tiny.recipe(base, settings)
    return training(
        resolved, load_task(resolved.task), examples[:TRAINING], examples[TRAINING:], output, data=described(examples), listen=listen
    )


def described(examples: list[Example]) -> dict[str, Any]:
    """The data as a run's manifest describes it."""
    from fintune.data.load import load

    parts = {"train": examples[:TRAINING], "validation": examples[TRAINING:]}
    return {name: {"fingerprint": load(part, kind="spans").fingerprint, "examples": len(part)} for name, part in parts.items()}


def outcome(output: Path) -> dict[str, Any]:
    """All that two runs must have in common to be called identical: every byte of the adapter, and what was logged but times."""
    from fintune import run

    document = run.manifest(output)  # verifies the files against their hashes
    document["files"].pop(run.PREFLIGHT)  # it estimates the time from the speed of the machine at that moment
    return {
        "adapter": run.hash_files(output / run.ADAPTER),
        "log": [{k: v for k, v in record.items() if k != "seconds"} for record in run.Log(output / run.LOG).records()],
        "manifest": {name: document[name] for name in ("steps", "tokens", "validation", "kept_epoch", "files")},
    }


def left_over(output: Path) -> list[str]:
    """Names in a finished run folder that do not belong there."""
    belongs = {"recipe.yaml", "manifest.json", "started.json", "log.jsonl", "floors.json", "preflight.json", "adapter", ".lock"}
    return sorted(path.name for path in output.iterdir() if path.name not in belongs)


PHASES = {
    "begin": ("fintune.train.run", "claim"),
    "save": ("fintune.train.run:_Session", "after"),
    "finish": ("fintune.train.run:_Session", "finish"),
}
"""Where the last step is recorded and saved, and what comes before the first and after the last."""


def train_on_bad_disks(
    *, base: str, folder: str, settings: Mapping[str, Any], phase: str, faults: list[str]
) -> tuple[int, list[dict[str, Any]]]:
    """Train in `folder`/run up to the last call of a phase; from there on once for every fault at every call that changes files.

    Each goes on in a process of its own, with its own copy of the folder, `folder`/PHASE-FAULT-NUMBER/run. For each: its fault, the
    number and the name of the call, the exit status and the message; first of all for no fault, with the names of all calls.
    """
    import torch

    torch.set_num_threads(1)
    owner, name = PHASES[phase]
    module, _, attribute = owner.partition(":")
    holder: Any = importlib.import_module(module)
    holder = getattr(holder, attribute) if attribute else holder
    original = getattr(holder, name)
    os.chdir(folder)
    reached: list[dict[str, Any]] = []

    def at_the_phase(*arguments: Any) -> Any:
        last = phase != "save" or arguments[1].step == arguments[0].total
        if not last:
            return original(*arguments)
        place = Path(f"{phase}-none")
        undisturbed = _in_a_fork(Path("run"), Disk(place / "run", fault="none", at=0), place, original, arguments)
        reached.append({"fault": "none", "number": 0, "call": "", "place": str(place.absolute()), **undisturbed})
        for fault in faults:
            for number, call in enumerate(undisturbed["calls"], start=1):
                place = Path(f"{phase}-{fault}-{number}")
                disk = Disk(place / "run", fault=fault, at=number)
                ended = _in_a_fork(Path("run"), disk, place, original, arguments)
                reached.append({"fault": fault, "number": number, "call": call, "place": str(place.absolute()), **ended})
        raise _Enough

    setattr(holder, name, at_the_phase)
    with contextlib.suppress(_Enough):
        run_training(Path(base), Path("run"), settings, lambda event: None)
    return 0, reached


class _Enough(BaseException):
    """All faults of a phase have been tried."""


def _in_a_fork(source: Path, disk: Disk, place: Path, function: Any, arguments: Any) -> dict[str, Any]:
    """Call `function` in a fork that works in a copy of the folder, on a disk that fails."""
    shutil.copytree(source, place / source)
    here, there = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.chdir(place)
        disk.root = os.path.abspath(source)
        disk.install()
        status, message = 0, ""
        try:
            function(*arguments)
        except FintuneError as error:
            status, message = error.exit_status, str(error)
        except BaseException as error:
            status, message = 1, repr(error)
        os.write(there, json.dumps({"message": message, "calls": disk.calls}).encode())
        os._exit(status)
    os.close(there)
    with os.fdopen(here, "rb") as pipe:
        told = json.loads(pipe.read() or b'{"message": "", "calls": []}')
    return {**told, "status": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}


def train_with_small_files(*, limit: int, **arguments: Any) -> tuple[int, dict[str, Any]]:
    """Train; once the last step is done the kernel refuses files of more than `limit` bytes."""
    import resource

    from fintune.train.run import _Session

    finish = _Session.finish

    def refused(*rest: Any) -> Path:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            return finish(*rest)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    _Session.finish = refused  # type: ignore[method-assign]
    return train(**arguments)
