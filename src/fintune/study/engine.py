"""Works off the cells of a study: as many at once as memory and cores allow, each in a fresh process, its state kept after each change.

Finished cells are kept, failed ones are tried again by the next call and stop no others. The folder is held by one process; when that
is killed its cells end too, and the next call goes on from their checkpoints. `pytest tests/study/test_engine.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fintune import run as folders
from fintune.errors import ArtifactError
from fintune.study.cells import Cell, Maker, Point, seeded
from fintune.study.jobs import Job, Jobs
from fintune.study.launch import Event, Launcher
from fintune.study.search import Proposals
from fintune.study.table import VALIDATION, Table, circumstances, evaluations, moment, reports, results
from fintune.train.signals import Interrupted, Signals

OVERHEAD = 512 << 20
"""Bytes of a process beside what training is estimated to need: the interpreter and its libraries."""
PAUSE = 0.2
"""Seconds between two looks at signals."""
Listen = Callable[[Mapping[str, Any]], None]
"""Told of every change: study, cell, step, scoring, note, stopping, each with the `row` of its cell."""


@dataclass
class Plan:
    """What the engine is given: the makings of a study, and how its cells are to be run."""

    folder: Path
    maker: Maker
    table: Table
    points: Sequence[Point]
    proposals: Proposals | None = None


@dataclass
class Trial:
    """Cells that repeat one proposal of a search with several seeds."""

    number: int
    cells: tuple[str, ...]


@dataclass
class Running:
    """A job that was started, the bytes it is expected to take, and why it said it failed."""

    job: Job
    bytes: int
    error: str | None = None


@dataclass
class Room:
    """What cells may take together: how many at once, of how many threads, of how many bytes; `claim` is that of the next cell."""

    parallel: int
    threads: int
    memory: int
    devices: int = 0
    claim: int = OVERHEAD


@dataclass
class State:
    """Where the work stands."""

    cells: dict[str, Cell] = field(default_factory=dict)
    queue: list[str] = field(default_factory=list)
    active: dict[str, Running] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    trials: list[Trial] = field(default_factory=list)


class Engine:
    """One call of a study."""

    def __init__(self, plan: Plan, make_launcher: Callable[[], Launcher], listen: Listen) -> None:
        self.plan, self.table, self.make_launcher, self.listen = plan, plan.table, make_launcher, listen
        self.spec, self.limits = plan.maker.spec, plan.maker.spec.limits
        self.wanted = evaluations(plan.maker.data, validated=plan.proposals is not None)
        self.jobs = Jobs(plan.folder, plan.maker.data, self.wanted)
        self.state = State()
        self.launcher: Launcher | None = None
        self.room = Room(1, 1, 0)

    def run(self) -> None:
        """Work the study off.

        Raises:
            Interrupted: after a signal; the cells have saved their state.
            ResourceError: where no cell can be run.
        """
        self.open()
        with Signals() as caught:
            try:
                while not caught and self.step():
                    pass
                if not caught:
                    self.refer(caught)
                if caught:
                    self.stop(caught[0])
                    raise Interrupted(caught[0])
            finally:
                if self.launcher is not None:
                    self.launcher.close()
                for cell in self.state.active.keys() & self.table.rows.keys():
                    self.row(cell, status="waiting")
        self.table.document["finished"] = moment()
        self.table.save()

    # ------------------------------------------------------------ what there is

    def open(self) -> None:
        """Lay out the folder and see what is there already."""
        self.jobs.lay_out()
        self.add(self.plan.points)
        for number, point in self.plan.proposals.open() if self.plan.proposals is not None else ():
            self.propose(number, point)
        self.table.save()
        self.listen({"event": "study", "rows": list(self.table.rows.values()), "metric": self.table.document["metric"]})

    def add(self, points: Sequence[Point]) -> list[str]:
        """Take cells up: those whose results are there are finished, the others wait. Gives the ids of all."""
        made = self.plan.maker.make(points)
        new = [cell for cell in made if cell.id not in self.state.cells]
        self.table.add(new, points, self.plan.folder, self.plan.maker.data)
        for cell in new:
            self.state.cells[cell.id] = cell
            if cell.train is not self.plan.maker.data.train:
                cell.train.write(Path(cell.train.source))
            if not self.collect(cell.id):
                self.state.queue.append(cell.id)
        return [cell.id for cell in made]

    def propose(self, number: int, point: Point) -> None:
        """Take up a proposal of a search, once for each seed."""
        self.state.trials.append(Trial(number, tuple(self.add(seeded(self.spec, [point])))))
        self.judge()

    def collect(self, cell: str) -> bool:
        """Enter the results of a cell; whether they are there."""
        try:
            found = reports(self.jobs.run(cell), self.wanted)
        except ArtifactError as error:
            self.table.rows[cell]["error"] = str(error)
            return False
        if found is not None:
            self.table.rows[cell] |= {"status": "finished", "error": None, **results(self.jobs.run(cell), found)}
        return found is not None

    # ------------------------------------------------------------ starting

    def step(self) -> bool:
        """Start what can be started and take in what was told; whether there is more to do."""
        self.fill()
        if not self.state.active:
            return bool(self.state.queue)
        for event in self.started().events(PAUSE):
            self.take(event)
        return True

    def started(self) -> Launcher:
        """The launcher, made on first use: a study that is finished starts no process."""
        if self.launcher is None:
            self.launcher = self.make_launcher()
        return self.launcher

    def fill(self) -> None:
        """Start cells as long as there is room for another."""
        while self.state.queue or self.ask():
            if self.launcher is None:
                self.measure(self.job(self.state.queue[0]))
            taken = sum(running.bytes for running in self.state.active.values())
            full = len(self.state.active) >= self.room.parallel or taken + self.room.claim > self.room.memory
            if self.state.active and full:
                return
            self.start(self.state.queue.pop(0))

    def ask(self) -> bool:
        """Take up another proposal where there is room for it; whether a cell waits."""
        proposals = self.plan.proposals
        while proposals is not None and not self.state.queue and len(self.state.active) < self.room.parallel:
            asked = proposals.ask()
            if asked is None:
                return False
            self.propose(*asked)
        return bool(self.state.queue)

    def measure(self, job: Job) -> None:
        """How many cells at once, and of how many threads: what the memory holds of the first one, and the cores divided by that."""
        told = self.started().prepare(job)
        asked = self.limits
        claim = (told["bytes"] or 0) + OVERHEAD
        memory = told["memory"] if asked.memory == "auto" else asked.memory
        known = len(self.state.cells) if self.plan.proposals is None else told["slots"]
        parallel = max(1, min(told["slots"], memory // claim, known)) if asked.parallel == "auto" else asked.parallel
        threads = max(1, told["cores"] // parallel) if asked.threads == "auto" else asked.threads
        self.room = Room(parallel, threads, memory, told["devices"], claim)

    def job(self, cell: str) -> Job:
        """The job of a cell; one that was begun keeps its number of threads, which decides how sums are rounded."""
        begun = (self.jobs.run(cell) / folders.STARTED).is_file()
        kept = self.table.rows[cell]["threads"] if begun else None
        return self.jobs.train(self.state.cells[cell], threads=kept or self.room.threads, device=self.device())

    def device(self) -> int | None:
        """The GPU that has least to do; None without any."""
        used = [running.job["device"] for running in self.state.active.values()]
        return min(range(self.room.devices), key=used.count, default=None)

    def start(self, cell: str) -> None:
        """Start a cell."""
        job = self.job(cell)
        attempts = self.table.rows[cell]["attempts"] + 1
        self.row(cell, status="running", attempts=attempts, started=moment(), ended=None, error=None, threads=job["threads"])
        self.state.active[cell] = Running(job, self.room.claim)
        self.state.tries[cell] = self.state.tries.get(cell, 0) + 1
        self.started().start(job)

    # ------------------------------------------------------------ what is told

    def take(self, event: Event) -> None:
        """What a cell tells."""
        kind, cell = event["event"], event.get("cell", "")
        running = self.state.active.get(cell)
        if running is None:
            return
        if kind in ("needs", "prepared") and event["bytes"]:
            running.bytes = event["bytes"] + OVERHEAD
        elif kind == "done":
            self.room.claim = max(self.room.claim, event["peak"])
        elif kind == "failed":
            running.error = event["error"]
        elif kind == "ended":
            self.finish(cell, event["status"])
            return
        self.listen({**event, "row": self.table.rows.get(cell, {})})

    def finish(self, cell: str, status: int) -> None:
        """A process has ended: its cell is finished, failed, or to be tried again."""
        running = self.state.active.pop(cell)
        if running.error is None and status == 0 and self.collect(cell):
            self.row(cell, ended=moment())
            self.judge()
            return
        error = running.error or self.table.rows[cell]["error"] or ended(status)
        again = self.state.tries[cell] < self.limits.attempts
        self.row(cell, status="waiting" if again else "failed", ended=moment(), error=error)
        if again:
            self.state.queue.append(cell)

    def judge(self) -> None:
        """Tell the search what trials came to, where all cells of one are finished: the mean over seeds on the validation data."""
        proposals, metric = self.plan.proposals, self.table.document["metric"]
        for trial in list(self.state.trials):
            rows = [self.table.rows[cell] for cell in trial.cells]
            if proposals is not None and all(row["status"] == "finished" for row in rows):
                values = [row.get(VALIDATION, row["metrics"])[metric]["value"] for row in rows]
                proposals.tell(trial.number, sum(values) / len(values))
                self.state.trials.remove(trial)

    def stop(self, number: int) -> None:
        """Have the cells save their state, and wait for them."""
        self.listen({"event": "stopping", "cells": len(self.state.active)})
        if self.launcher is not None and self.state.active:
            self.launcher.stop(number)
        while self.state.active:
            for event in self.started().events(PAUSE):
                if event["event"] == "ended" and self.state.active.pop(event["cell"], None) and event["cell"] in self.table.rows:
                    self.row(event["cell"], status="finished" if self.collect(event["cell"]) else "waiting", ended=moment())

    def row(self, cell: str, **values: Any) -> None:
        """Change a row, write the table and tell it."""
        self.table.update(cell, **values)
        self.listen({"event": "cell", "cell": cell, "row": self.table.rows[cell]})

    # ------------------------------------------------------------ what cells are measured against

    def refer(self, caught: Sequence[int]) -> None:
        """Enter the floors of the evaluation, and score unmodified base models where the study asks for them."""
        known: dict[str, Any] = {}
        done = [self.state.cells[row["id"]] for row in self.table.having("finished")]
        if done:
            self.table.document |= circumstances(self.jobs.run(done[0].id))
        if self.spec.floors == "all" and done:
            known |= folders.read_json(self.jobs.run(done[0].id) / folders.REPORT_JSON).get("floors", {})
        faults: list[str] = []
        bases = {cell.recipe.model.base: cell for cell in reversed(done) if cell.recipe.head.type == "generative"}
        for base, cell in bases.items() if self.spec.baselines else ():
            error = self.reference(cell, caught)
            if caught:
                return
            if error is not None:
                faults.append(f"baselines of {base}: {error}")
                continue
            found = folders.read_json(self.jobs.reference(cell) / folders.REPORT_JSON)["baselines"]
            known |= {name if len(bases) == 1 else f"{name}, {base}": scores for name, scores in found.items()}
        self.table.document |= {"baselines": known, "faults": faults}

    def reference(self, cell: Cell, caught: Sequence[int]) -> str | None:
        """Score the base of a cell where that is not done; why that failed, or None."""
        place = self.jobs.reference(cell) / folders.REPORT_JSON
        wanted = {*(("zero-shot" if shots == 0 else f"few-shot ({shots})") for shots in self.spec.baselines)}
        report = folders.read_json(place) if place.is_file() else {}
        if report.get("data", {}).get("fingerprint") == self.wanted[0].fingerprint and wanted <= report.get("baselines", {}).keys():
            return None
        job = self.jobs.baselines(cell, self.spec.baselines, threads=self.room.threads, device=self.device())
        if self.launcher is None:
            self.measure(job)
        running = self.state.active[job["cell"]] = Running(job, self.room.claim)
        self.started().start(job)
        for event in self._until_ended(job["cell"], caught):
            running.error = event.get("error") if event["event"] == "failed" else running.error
            if event["event"] == "ended":
                del self.state.active[job["cell"]]
                return running.error or (ended(event["status"]) if event["status"] else None)
        return None

    def _until_ended(self, cell: str, caught: Sequence[int]) -> Iterator[Event]:
        while not caught:
            for event in self.started().events(PAUSE):
                if event.get("cell") == cell:
                    yield event


def ended(status: int) -> str:
    """How a process ended that said nothing."""
    if status == -9:
        return "killed (signal 9): by a person, or by the system for want of memory, where fewer cells at once (--parallel) help"
    return f"ended by signal {-status}" if status < 0 else f"ended with status {status} and without a word; its log may say more"
