"""One call of a study, from its file to its table and report: what `fintune ablate` does.

`outline` resolves and validates every cell without running any; `ablate` runs them. A folder belongs to the study that began in it,
and to one process at a time. `pytest tests/study/test_ablate_cli.py`.
"""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fintune import run as folders
from fintune.data.formats.base import ReadOptions
from fintune.errors import ArtifactError, RecipeError, did_you_mean
from fintune.metrics.intervals import Bootstrap
from fintune.records import Example
from fintune.study import launch, search, sources
from fintune.study import spec as specs
from fintune.study.cells import Cell, Maker, Point, grid, listed, seeded, task_of
from fintune.study.engine import Engine, Listen, Plan
from fintune.study.launch import Launcher
from fintune.study.ray_engine import Ray
from fintune.study.reading import written
from fintune.study.spec import Spec
from fintune.study.table import STUDY_JSON, STUDY_YAML, Study, Table
from fintune.tasks.base import Task

RUNS = Path("runs")


def _silent(event: Mapping[str, Any]) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a command line or a caller asks for.

    Attributes:
        study: a bundled name or a file.
        data: sources in place of the file's, by `train`, `validation` and `test`.
        overrides: settings of all cells, over those of the file.
        options: how to read the data.
        output: the study's folder; `runs/NAME` where None.
        engine: this machine, or a Ray cluster.
        parallel: cells at once, in place of the file's.
        attempts: how often a cell that fails is tried, in place of the file's.
        listen: told of every change, see `fintune.study.engine`.
    """

    study: str | Path
    data: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    options: ReadOptions = field(default_factory=ReadOptions)
    output: Path | None = None
    engine: Literal["local", "ray"] = "local"
    parallel: int | None = None
    attempts: int | None = None
    listen: Listen = _silent

    def command(self, folder: Path) -> str:
        """What to type for the same study; how many cells ran at once is not part of it."""
        given = [word for name, source in self.data.items() for word in (_FLAGS[name], source)]
        given += [word for key, value in self.overrides.items() for word in ("--set", f"{key}={written(value)}")]
        return shlex.join(["fintune", "ablate", str(self.study), *given, *flags(self.options), "--output", str(folder)])


_FLAGS = {"train": "--data", "validation": "--validation", "test": "--test"}


@dataclass(frozen=True, slots=True)
class Outline:
    """A study resolved: its cells, or of an optuna search only how many there will be."""

    spec: Spec
    folder: Path
    maker: Maker
    points: list[Point]
    cells: list[Cell]

    @property
    def trials(self) -> int:
        """Cells that a search has still to propose, at most."""
        if self.spec.search.method != "optuna":
            return 0
        seeds = {name: axis for name, axis in self.spec.axes.items() if specs.role(axis) == "seed"}
        return (self.spec.search.trials or 0) * len(grid(seeds))

    def steps(self, cell: Cell) -> int:
        """Optimizer steps of a cell, where every example is one item."""
        train = cell.recipe.train
        return math.ceil(len(cell.train.examples) / train.batch_size) * train.epochs


def outline(request: Request) -> Outline:
    """Resolve a study: every cell's recipe is validated, and its data are read.

    Raises:
        DataError, RecipeError, UsageError: naming all cells that cannot be.
    """
    spec = specs.load(request.study, data=request.data, overrides=request.overrides)
    limits = {name: value for name, value in (("parallel", request.parallel), ("attempts", request.attempts)) if value is not None}
    spec = spec.model_copy(update={"limits": specs.Limits(**{**spec.limits.model_dump(), **limits})})
    folder = request.output or RUNS / spec.name
    task = task_of(spec)
    data = sources.read(task, spec.data, request.options, folder, lambda text: request.listen({"event": "note", "message": text}))
    _require_metric(spec, task, data.scored.examples[0])
    maker = Maker(spec, data, folder)
    points = points_of(spec)
    return Outline(spec, folder, maker, points, maker.make(points))


def points_of(spec: Spec) -> list[Point]:
    """The combinations that are known before anything is measured."""
    if spec.search.method == "grid":
        return grid(spec.axes)
    if spec.search.method == "list":
        return listed(spec)
    return seeded(spec, search.drawn(spec)) if spec.search.method == "random" else []


def ablate(
    study: str | Path, *, data: Mapping[str, str] | None = None, overrides: Mapping[str, Any] | None = None,
    options: ReadOptions = ReadOptions(), output: str | Path | None = None, engine: Literal["local", "ray"] = "local",
    parallel: int | None = None, attempts: int | None = None, listen: Listen = _silent,
) -> Study:  # fmt: skip
    """Run a study, or go on with it: finished cells are kept, failed ones are tried again and told in `Study.failed`.

    The arguments are those of `Request`.

    Raises:
        FintuneError: where the study cannot be run at all.
    """
    place = Path(output) if output is not None else None
    return run(Request(study, data or {}, overrides or {}, options, place, engine, parallel, attempts, listen))


def run(request: Request) -> Study:
    """Run what is asked for; a failed cell stops no other and is told in the table.

    Raises:
        FintuneError: where the study cannot be run at all.
        Interrupted: after a signal; the same call goes on.
    """
    made = outline(request)
    _require_own(made.folder, made.spec)
    with folders.lock(made.folder):
        folders.write_file(made.folder / STUDY_YAML, made.spec.to_yaml())
        task, data = made.maker.task, made.maker.data
        metric = task.main_metric if made.spec.metric == "auto" else made.spec.metric
        described = {"name": task.name, "kind": task.kind, "metric": metric}
        table = Table(made.folder, made.spec, data, task=described, command=request.command(made.folder))
        proposals = None
        if made.spec.search.method == "optuna":
            held = data.validation.fingerprint if data.validation is not None else ""
            proposals = search.Proposals(made.spec, made.folder, metric=metric, data=data.train.fingerprint + held)
        engine = Engine(Plan(made.folder, made.maker, table, made.points, proposals), _launcher(request, made), request.listen)
        try:
            engine.run()
        finally:
            if table.having("finished"):
                _report(made.folder)
    return Study(made.folder)


def _launcher(request: Request, made: Outline) -> Any:
    threads = made.spec.limits.threads

    def make() -> Launcher:
        return Ray(1 if threads == "auto" else threads) if request.engine == "ray" else launch.local(made.folder)

    return make


def _report(folder: Path) -> None:
    from fintune.report.study_page import write_study_report

    write_study_report(folder)


def _require_metric(spec: Spec, task: Task, probe: Example) -> None:
    """Refuse a metric that no report of the task has."""
    if spec.metric == "auto":
        return
    pair = (probe, task.parse(task.target(probe), probe))
    known = task.score([pair], documents=[""], floors={}, plan=Bootstrap(replicates=1))["metrics"]
    if spec.metric not in known:
        raise RecipeError(f"unknown metric {spec.metric!r}", where="metric", fix=did_you_mean(spec.metric, known))


def _require_own(folder: Path, spec: Spec) -> None:
    """Refuse a folder that holds anything else than this study."""
    if (folder / STUDY_JSON).is_file():
        name = folders.read_json(folder / STUDY_JSON).get("name")
        if name != spec.name:
            raise ArtifactError(f"this folder holds the study {name!r}", where=str(folder), fix="choose another --output")
    elif folder.is_dir():
        foreign = sorted(path.name for path in folder.iterdir() if path.name not in (".lock", STUDY_YAML, sources.FOLDER, "logs"))
        if foreign:
            why = f"it holds {foreign[0]!r}"
            raise ArtifactError("the output folder is not empty", where=str(folder), why=why, fix="choose another --output")


def flags(options: ReadOptions) -> list[str]:
    """Reading options as they are given on a command line."""
    found: list[str] = []
    for one in dataclasses.fields(options):
        value = getattr(options, one.name)
        if not one.metadata or value == getattr(ReadOptions(), one.name):
            continue
        option = one.metadata["option"]
        if one.name == "rename":
            found += [word for old, new in value.items() for word in (option, f"{old}={new}")]
        else:
            found += [option] if one.name == "on_bad" else [option, str(value)]
    return found
