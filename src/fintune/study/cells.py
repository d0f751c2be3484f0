"""From a study to its cells: points of the axes, the recipe of each, and an id that changes with whatever decides its result.

A point gives every axis a label and settings. All cells are resolved and validated before anything runs; those that cannot be are
named at once. `pytest tests/study/test_cells.py`.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fintune import recipe as recipes
from fintune.errors import FintuneError, RecipeError, did_you_mean
from fintune.recipe import Recipe
from fintune.study import sources
from fintune.study.reading import written
from fintune.study.sources import Part, Sources
from fintune.study.spec import RECIPE, SIZE, Axis, Range, Spec, label, role
from fintune.study.subsets import count
from fintune.tasks.base import Task, load_task

CELLS = "cells"
ID_LENGTH = 12
Choice = tuple[str, Mapping[str, Any]]
"""A label, and the settings it stands for."""
Point = Mapping[str, Choice]
"""A choice for each axis, by name."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of a study."""

    id: str
    labels: Mapping[str, str]
    recipe_name: str
    overrides: Mapping[str, Any]
    recipe: Recipe
    train: Part

    @property
    def folder(self) -> str:
        """Relative to the study's."""
        return f"{CELLS}/{self.id}"

    def command(self, validation: Part | None, output: Path) -> str:
        """What trains the same run by itself, beside the one that is there."""
        held = ["--validation", validation.again] if validation is not None else []
        given = [word for key, value in self.overrides.items() for word in ("--set", f"{key}={written(value)}")]
        return shlex.join(["fintune", "train", self.recipe_name, "--data", self.train.again, *held, *given, "--output", f"{output}-again"])


def choices(axis: Axis) -> list[Choice]:
    """The choices of an axis that lists them."""
    if isinstance(axis.values, dict):
        return [(name, settings) for name, settings in axis.values.items()]
    assert axis.key is not None and not isinstance(axis.values, Range)  # noqa: PT018
    return [(label(value), {axis.key: value}) for value in axis.values]


def grid(axes: Mapping[str, Axis]) -> list[Point]:
    """Every combination; the last axis turns fastest."""
    return [dict(zip(axes, combination, strict=True)) for combination in itertools.product(*map(choices, axes.values()))]


def listed(spec: Spec) -> list[Point]:
    """The combinations that a study lists.

    Raises:
        RecipeError: where one has an unknown axis or label, or lacks an axis.
    """
    points: list[Point] = []
    for number, given in enumerate(spec.cells, start=1):
        where = f"cells: {number}"
        for name in given:
            if name not in spec.axes:
                raise RecipeError(f"no axis {name!r}", where=where, fix=did_you_mean(name, spec.axes))
        point: dict[str, Choice] = {}
        for name, axis in spec.axes.items():
            known = dict(choices(axis))
            if name not in given:
                raise RecipeError(f"no label for axis {name!r}", where=where, fix=f"give one of {', '.join(known)}")
            chosen = label(given[name])
            if chosen not in known:
                raise RecipeError(f"axis {name!r} has no {chosen!r}", where=where, fix=did_you_mean(chosen, known))
            point[name] = (chosen, known[chosen])
        points.append(point)
    return points


def seeded(spec: Spec, points: Iterable[Point]) -> list[Point]:
    """Each point with every seed, the axes in the order of the study."""
    seeds = {name: axis for name, axis in spec.axes.items() if role(axis) == "seed"}
    joined = [{**point, **repeat} for point in points for repeat in grid(seeds)]
    return [{name: point[name] for name in spec.axes} for point in joined]


class Maker:
    """Makes cells of one study out of points; reads each task and each training set once."""

    def __init__(self, spec: Spec, data: Sources, folder: Path) -> None:
        self.spec, self.data, self.folder = spec, data, folder
        self.parts: dict[int, Part] = {len(data.train.examples): data.train}
        self.tasks: dict[str, Task] = {}
        self.task = task_of(spec)

    def make(self, points: Sequence[Point]) -> list[Cell]:
        """The cells of points, in order.

        Raises:
            RecipeError: naming every cell that has no recipe, with the key; or two cells that are one.
        """
        made: dict[str, Cell] = {}
        faults: list[str] = []
        for point in points:
            labels = {name: choice[0] for name, choice in point.items()}
            try:
                cell = self._cell(labels, point)
            except FintuneError as error:
                faults.append(f"{named(labels)}: {error}")
                continue
            if cell.id in made:
                faults.append(f"{named(labels)}: the same run as {named(made[cell.id].labels)}")
            made[cell.id] = cell
        if faults:
            raise RecipeError(
                f"{len(faults)} of {len(points)} cells cannot be", where=self.spec.name, why="; ".join(faults),
                fix="mend the study; nothing has run",
            )  # fmt: skip
        return list(made.values())

    def _cell(self, labels: Mapping[str, str], point: Point) -> Cell:
        given = dict(self.spec.set)
        for _, settings in point.values():
            given |= settings
        name, size = str(given.pop(RECIPE, self.spec.recipe)), given.pop(SIZE, None)
        recipe = recipes.load(name, given)
        if self.spec.baselines and recipe.head.type != "generative":
            raise RecipeError(
                f"baselines of a {recipe.head.type} head", where="baselines", why="without training it says nothing",
                fix="take baselines out: the floors stand beside every score",
            )  # fmt: skip
        task = self._task(recipe)
        train = self.data.train if size is None else self._part(count(size, len(self.data.train.examples)))
        held = self.data.validation.fingerprint if self.data.validation is not None else None
        return Cell(identity(recipe, task, train.fingerprint, held), labels, name, given, recipe, train)

    def _task(self, recipe: Recipe) -> Task:
        key = json.dumps([recipe.task, recipe.prompt.model_dump(mode="json")], sort_keys=True)
        if key not in self.tasks:
            self.tasks[key] = load_task(recipe.task, recipe.prompt)
        task = self.tasks[key]
        if (task.kind, task.labels) != (self.task.kind, self.task.labels):
            raise RecipeError(
                f"task {task.name!r} in a study of {self.task.name!r}", where="task", why="their scores cannot be compared",
                fix="vary recipes of one task",
            )  # fmt: skip
        return task

    def _part(self, size: int) -> Part:
        if size not in self.parts:
            self.parts[size] = sources.smaller(self.data.train, size, seed=self.spec.seed, folder=self.folder)
        return self.parts[size]


def task_of(spec: Spec) -> Task:
    """The task of a study, which all of its cells share."""
    return load_task(spec.set.get("task", recipes.load(spec.recipe).task))


def identity(recipe: Recipe, task: Task, train: str, validation: str | None) -> str:
    """A short hash over what decides a cell's weights and predictions: settings, task, and fingerprints of the data it learns from.

    Data that it is scored on are left out: with other ones it is scored again, not trained again.
    """
    document = {
        "settings": recipe.settings(), "predict": recipe.predict.model_dump(mode="json"), "task": task.describe(), "train": train,
        "validation": validation,
    }  # fmt: skip
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:ID_LENGTH]


def named(labels: Mapping[str, str]) -> str:
    """A cell in words."""
    return " ".join(f"{axis}={chosen}" for axis, chosen in labels.items()) or "the only cell"
