"""Reads the systems of a comparison: run folders, prediction files of any origin, groups of them, and the cells of a study.

Nothing here needs a model. A folder without predictions, a study without finished cells, and systems whose tasks score differently
are refused. `pytest tests/study/test_compare_systems.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fintune import recipe as recipes
from fintune import run as folders
from fintune.data import predictions as seam
from fintune.errors import ArtifactError, DataError, UsageError, did_you_mean
from fintune.records import Prediction
from fintune.study.compare_request import Request, short_names
from fintune.tasks.base import Task, available, load_task
from fintune.tasks.spans import SpansTask

STUDY = "study.json"


@dataclass(frozen=True, slots=True)
class Outputs:
    """What one run said: the path that was given, its predictions with their file, and its report and task as far as it has them."""

    path: str
    file: Path
    predictions: tuple[Prediction, ...]
    report: Mapping[str, Any]
    task: Task | None

    @property
    def data(self) -> Mapping[str, Any]:
        """What the report says of the gold: `source` and `fingerprint`; empty without a report."""
        found = self.report.get("data")
        return found if isinstance(found, Mapping) else {}


@dataclass(frozen=True, slots=True)
class System:
    """One side of a comparison: a run, or several that differ in their seed alone."""

    name: str
    runs: tuple[Outputs, ...]


def read_systems(request: Request) -> tuple[list[System], list[str]]:
    """The systems in the order given, and what a reader should know about how they came about.

    Raises:
        UsageError: for fewer than two systems, or a name that two have.
        ArtifactError: for a folder or a study that holds no predictions.
        DataError: for predictions that cannot be read.
    """
    cells, notes = _cells(request) if request.study is not None else ({}, [])
    if request.study is None and (request.by or request.where):
        raise UsageError("--by and --where choose cells of a study", fix="give --study")
    named: dict[str, tuple[str, ...]] = {name: (path,) for name, path in zip(short_names(request.systems), request.systems, strict=True)}
    for other in (request.groups, cells):
        if twice := named.keys() & other.keys():
            raise UsageError(f"two systems are called {min(twice)!r}", fix="choose another --group name")
        named |= other
    if len(named) < 2:
        raise UsageError(f"{len(named)} system to compare", why="a comparison needs two", fix="fintune compare runs/a runs/b")
    return [System(name, tuple(read_outputs(path) for path in paths)) for name, paths in named.items()], notes


def reference_of(request: Request, systems: Sequence[System]) -> str | None:
    """The name of the system that all others are compared with, asked for by name or path; None where each is with each.

    Raises:
        UsageError: where no system is called so.
    """
    if request.against is None:
        return None
    names = [system.name for system in systems]
    paths = {system.runs[0].path: system.name for system in systems if len(system.runs) == 1}
    found = request.against if request.against in names else paths.get(request.against)
    if found is None:
        raise UsageError(f"no system {request.against!r}", where="--against", fix=did_you_mean(request.against, names))
    return found


def read_outputs(path: str) -> Outputs:
    """One run folder, folder of an evaluation, or prediction file."""
    place = Path(path)
    if not place.is_dir():
        return Outputs(path, place, tuple(seam.read(place)), {}, None)
    file, report = place / folders.PREDICTIONS, place / folders.REPORT_JSON
    if not file.is_file():
        fix = f"run 'fintune evaluate {path} --data ...' first, or give a predictions file"
        raise ArtifactError("folder holds no predictions", where=path, why=f"it has no {folders.PREDICTIONS}", fix=fix)
    said = folders.read_json(report) if report.is_file() else {}
    return Outputs(path, file, tuple(seam.read(file)), said, _task_of(place, said))


def _task_of(place: Path, report: Mapping[str, Any]) -> Task | None:
    """The task that a folder's outputs are read by: that of its recipe, or a bundled one that its report names."""
    if (place / folders.RECIPE).is_file():
        recipe = recipes.load(place / folders.RECIPE)
        return load_task(recipe.task, recipe.prompt)
    name = report.get("task")
    return load_task(name) if isinstance(name, str) and name in available() else None


def task_of(systems: Sequence[System], asked: str | None) -> Task:
    """The task that all systems are scored by: the one asked for, else that of the first run that has one.

    Raises:
        UsageError: where none has one.
        DataError: where another run's task has another kind, label set or rule of alignment.
    """
    known = [(run, run.task) for system in systems for run in system.runs if run.task is not None]
    if asked is None and not known:
        fix = "name it: --task finance-ner-7, or --task my-task.toml"
        raise UsageError("prediction files do not say what their task is", fix=fix)
    chosen = load_task(asked) if asked is not None else known[0][1]
    for run, task in known:
        for what, one, two in _differences(task, chosen):
            raise DataError(
                f"another {what} than in the comparison: {one}", where=run.path, why=f"it is {two} there",
                fix="compare systems of one task",
            )  # fmt: skip
    return chosen


def _differences(task: Task, chosen: Task) -> Iterator[tuple[str, object, object]]:
    """What of two tasks makes scores that do not compare."""
    if task.kind != chosen.kind:
        yield "kind of task", task.kind, chosen.kind
    elif sorted(task.labels) != sorted(chosen.labels):
        yield "label set", ", ".join(task.labels), ", ".join(chosen.labels)
    elif isinstance(task, SpansTask) and isinstance(chosen, SpansTask) and task.occurrences != chosen.occurrences:
        yield "rule of alignment", task.occurrences, chosen.occurrences


def _cells(request: Request) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Finished cells of a study by the values of the axes, and notes of what is missing."""
    folder = Path(str(request.study))
    table = folders.read_json(folder / STUDY)
    axes, cells = table.get("axes"), table.get("cells")
    if not isinstance(axes, list) or not isinstance(cells, list):
        raise ArtifactError("not the table of a study", where=str(folder / STUDY), fix="give the folder of a 'fintune ablate'")
    factors = [str(axis["name"]) for axis in axes if axis.get("role") != "seed"]
    by = request.by or tuple(factors)
    for name in (*by, *request.where):
        if name not in factors:
            raise UsageError(f"no axis {name!r} to compare by", where=str(folder), fix=did_you_mean(name, factors))
    chosen = [cell for cell in cells if all(cell["labels"].get(axis) == value for axis, value in request.where.items())]
    done = [cell for cell in chosen if cell.get("status") == "finished"]
    _one_value_each(done, by, factors)
    found: dict[str, list[str]] = {}
    for cell in done:
        found.setdefault(_cell_name(cell, by), []).append(str(folder / str(cell["folder"])))
    if not found:
        raise ArtifactError("no finished cell", where=str(folder), fix="run 'fintune ablate' again, or choose another --where")
    unfinished = len(chosen) - len(done)
    notes = [f"{unfinished} of {len(chosen)} cells of the study are not finished and take no part"] if unfinished else []
    return {name: tuple(runs) for name, runs in found.items()}, notes


def _cell_name(cell: Mapping[str, Any], by: Sequence[str]) -> str:
    return ", ".join(f"{axis}={cell['labels'][axis]}" for axis in by) or "all cells"


def _one_value_each(cells: Sequence[Mapping[str, Any]], by: Sequence[str], factors: Sequence[str]) -> None:
    """Refuses groups in which more than the seed differs: their spread would not be that of seeds."""
    for axis in (factor for factor in factors if factor not in by):
        values: dict[str, set[str]] = {}
        for cell in cells:
            values.setdefault(_cell_name(cell, by), set()).add(cell["labels"][axis])
        for name, several in values.items():
            if len(several) > 1:
                what = f"the runs of {name!r} differ in {axis!r} too: {', '.join(sorted(several))}"
                fix = f"give --by {axis} as well, or hold it: --where {axis}={min(several)}"
                raise UsageError(what, why="a group differs in the seed alone", fix=fix)
