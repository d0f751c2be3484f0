"""Processes that may be killed: a helper imports everything once, then forks one child for each job, so that a child costs little.

The helper itself computes nothing (a fork must not copy a thread pool); what a child had to import is imported by the helper
before the next one. `with Forks() as forks: forks.run("jobs:train", {...}, kill_after=0.2)`.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
POLL = 0.0005
"""Seconds between two looks at a child; bounds how late a kill may come."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended: `status` as a shell shows it (128 + signal), what the job returned, seconds since the fork."""

    status: int
    result: Any
    seconds: float


class Forks:
    """Client of one helper process."""

    def __init__(self, scratch: Path, *, modules: Sequence[str] = ()) -> None:
        """Start the helper; results go to `scratch`, and jobs may also be in the folders `modules`."""
        self.scratch = scratch
        self.count = 0
        path = os.pathsep.join(filter(None, [str(HERE), *modules, os.environ.get("PYTHONPATH")]))
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}
        self.helper = subprocess.Popen(
            [sys.executable, str(HERE / "forks.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def __enter__(self) -> Forks:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.helper.stdin is not None
        self.helper.stdin.close()
        self.helper.wait()

    def start(self, job: str, arguments: Mapping[str, Any]) -> tuple[int, Path]:
        """Fork a child for `module:function`; its process id and where its result will be."""
        self.count += 1
        place = self.scratch / f"result-{self.count}.json"
        return int(self._ask({"job": job, "arguments": arguments, "place": str(place)})["pid"]), place

    def wait(self, child: tuple[int, Path], *, after: float | None = None, number: int = signal.SIGKILL) -> Ended:
        """Wait for a child; `after` so many seconds of its life, send it signal `number` first."""
        pid, place = child
        answer = self._ask({"wait": pid, "after": after, "number": int(number)})
        result = json.loads(place.read_text(encoding="utf-8")) if place.is_file() else None
        if result is not None:
            self._ask({"import": result["modules"]})
        return Ended(answer["status"], result and result["value"], answer["seconds"])

    def run(self, job: str, arguments: Mapping[str, Any], *, kill_after: float | None = None) -> Ended:
        """Fork and wait."""
        return self.wait(self.start(job, arguments), after=kill_after)

    def run_all(self, job: str, each: Sequence[Mapping[str, Any]]) -> list[Ended]:
        """Fork a child for each of the arguments, a few at a time; how they ended, in order."""
        ended: list[Ended] = []
        running: list[tuple[int, Path]] = []
        for arguments in each:
            running.append(self.start(job, arguments))
            if len(running) > (os.cpu_count() or 1):
                ended.append(self.wait(running.pop(0)))
        return ended + [self.wait(child) for child in running]

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        assert self.helper.stdin is not None
        assert self.helper.stdout is not None
        self.helper.stdin.write(json.dumps(request) + "\n")
        self.helper.stdin.flush()
        line = self.helper.stdout.readline()
        assert line, "the helper has died; its traceback is on standard error"
        answer: dict[str, Any] = json.loads(line)
        return answer


def _serve() -> None:
    """The helper: one JSON request a line, one answer a line, until its input ends."""
    born: dict[int, float] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "job" in request:
            pid = os.fork()
            if pid == 0:
                _child(request)
            born[pid] = time.monotonic()
            answer: dict[str, Any] = {"pid": pid}
        elif "wait" in request:
            answer = _wait(request["wait"], born.pop(request["wait"]), request["after"], request["number"])
        else:
            for name in request["import"]:
                if name not in sys.modules:
                    importlib.import_module(name)
            answer = {}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    for pid in born:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _wait(pid: int, born: float, after: float | None, number: int) -> dict[str, Any]:
    sent = after is None
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        lived = time.monotonic() - born
        if done:
            code = os.waitstatus_to_exitcode(status)
            return {"status": code if code >= 0 else 128 - code, "seconds": lived}
        if not sent and after is not None and lived >= after:
            os.kill(pid, number)
            sent = True
        time.sleep(POLL)


def _child(request: Mapping[str, Any]) -> None:
    """Run a job in a fork; never returns. Its result is written whole or not at all."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what a job prints must not reach the protocol
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that runs us in the background has it ignored
    status = 1
    try:
        before = set(sys.modules)
        module, _, function = request["job"].partition(":")
        status, value = getattr(importlib.import_module(module), function)(**request["arguments"])
        new = [name for name in sys.modules if name not in before and not name.startswith("__")]
        place = Path(request["place"])
        temporary = place.with_suffix(".part")
        temporary.write_text(json.dumps({"value": value, "modules": importable(new)}), encoding="utf-8")
        temporary.rename(place)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def importable(names: list[str]) -> list[str]:
    """Those names that stand for files; libraries also put objects of their own among the modules."""
    return [name for name in names if getattr(getattr(sys.modules[name], "__spec__", None), "name", None) == name]


if __name__ == "__main__":
    _serve()
