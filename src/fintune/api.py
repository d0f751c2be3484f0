"""fintune from Python, and what each command does: train, load, and what `Run` has.

import fintune as ft
run = ft.train("ner-minilm", data="train.csv", validation="val.csv")
print(run.evaluate("test.csv")["metrics"]["surface_micro_f1"])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fintune import recipe as recipes
from fintune import run as folders
from fintune.data.formats.base import ReadOptions
from fintune.data.load import Loaded, load_for
from fintune.data.split import split as split_examples
from fintune.errors import UsageError
from fintune.opened import Data as Data
from fintune.opened import Run as Run
from fintune.opened import name_of
from fintune.opened import score as score
from fintune.recipe import Recipe
from fintune.records import Example
from fintune.study.ablate import ablate as ablate
from fintune.study.compare import compare as compare
from fintune.tasks.base import Task, load_task

RUNS = Path("runs")


def load(folder: str | Path) -> Run:
    """Open a finished run."""
    return Run(folder)


def train(
    recipe: str | Path | Recipe,
    *,
    data: Data,
    validation: Data | None = None,
    split: str | None = None,
    output: str | Path | None = None,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    options: ReadOptions = ReadOptions(),
    log_to: Sequence[str] = (),
    listen: Any = None,
) -> Run:
    """Train, or go on with an unfinished run of the same fingerprint, and give the finished run.

    Args:
        recipe: a bundled name, a YAML file, or a resolved recipe.
        data: training examples, or all examples where `split` is given.
        validation: to choose and stop by.
        split: a method of `fintune.data.split`, which takes validation (and leaves test) examples out of `data`.
        output: the run folder; `runs/NAME` where None, with a number where that is taken.
        overrides: `{"train.epochs": 3}` or `["train.epochs=3"]`.
        options: how to read the data.
        log_to: trackers that are told as well, `tensorboard`, `mlflow` or `trackio`, on this machine (`train.trackers`).
        listen: told of every event, see `fintune.train.run`.

    Raises:
        FintuneError: with what, where, why and how to mend it.
    """
    from fintune.train import trackers

    trackers.require(log_to)
    resolved = _resolved(recipe, overrides)
    task = load_task(resolved.task, resolved.prompt)
    tell = listen or _silent
    examples, held, described = _read(task, data, validation, split, options, tell)
    folder = Path(output) if output is not None else _free(resolved.name)
    from fintune.train.run import train as run_training

    facts = {"recipe": resolved.name, "task": task.name, "settings": resolved.settings(), "data": described}
    with trackers.followed(log_to, folder=folder, facts=facts, listen=tell) as followed:
        run_training(resolved, task, examples, held, folder, data=described, listen=followed)
    return Run(folder)


def preflight(
    recipe: str | Path | Recipe,
    *,
    data: Data,
    validation: Data | None = None,
    split: str | None = None,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    options: ReadOptions = ReadOptions(),
    listen: Any = None,
) -> Any:
    """The certificate of what `train` would learn with the same arguments; trains nothing and writes nothing.

    Raises:
        FintuneError: where nothing, or the wrong thing, would be trained.
    """
    resolved = _resolved(recipe, overrides)
    task = load_task(resolved.task, resolved.prompt)
    examples, held, _ = _read(task, data, validation, split, options, listen or _silent)
    from fintune.train.run import preflight as certify

    return certify(resolved, task, examples, held)


def _resolved(recipe: str | Path | Recipe, overrides: Sequence[str] | Mapping[str, Any]) -> Recipe:
    if not isinstance(recipe, Recipe):
        return recipes.load(recipe, overrides)
    if overrides:
        raise UsageError("overrides go with a recipe's name or file", why="a resolved recipe is complete", fix="use Recipe.model_copy")
    return recipe


def _read(
    task: Task, data: Data, validation: Data | None, split: str | None, options: ReadOptions, tell: Any
) -> tuple[Sequence[Example], Sequence[Example], dict[str, Any]]:
    """Training and validation examples, and what the manifest says of them."""
    if split is not None and validation is not None:
        raise UsageError("--split and --validation are both given", fix="give one of them")
    loaded = load_for(task, data, options)
    described: dict[str, Any] = {"train": _described(data, loaded, tell)}
    if split is not None:
        parts = split_examples(loaded.examples, method=split)
        described |= {"split": split, "train": {**described["train"], "examples": len(parts.train)}}
        return parts.train, parts.validation, described
    if validation is None:
        return loaded.examples, (), described
    checked = load_for(task, validation, options)
    return loaded.examples, checked.examples, described | {"validation": _described(validation, checked, tell)}


def _described(data: Data, loaded: Loaded, listen: Any) -> dict[str, Any]:
    """What the manifest keeps of a data set; what was left out of it, or has no place in its text, is told."""
    for error in loaded.rejected:
        listen({"event": "note", "message": f"skipped {error}"})
    if loaded.unaligned:
        message = f"{name_of(data)}: listed surfaces that occur nowhere in their texts: {loaded.unaligned}; 'fintune check' names them"
        listen({"event": "note", "message": message})
    return {
        "source": name_of(data), "fingerprint": loaded.fingerprint, "examples": len(loaded.examples),
        "rejected": len(loaded.rejected), "unaligned": loaded.unaligned,
    }  # fmt: skip


def _free(name: str) -> Path:
    """`runs/name`, or the first numbered one that is not a finished run."""
    folder, number = RUNS / name, 1
    while folders.finished(folder):
        number += 1
        folder = RUNS / f"{name}-{number}"
    return folder


def _silent(_: Any) -> None:
    """Nobody listens."""
