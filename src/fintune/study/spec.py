"""A study file: which recipe, what is varied, on which data, and how the cells are searched and worked off.

Unknown keys are refused with the nearest name, as in recipes; so are axes that set one key twice, and searches without what they
need. Every default stands here. `fintune ablate x.study.yaml --dry-run` shows what a file comes to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError

from fintune import recipe as recipes
from fintune.errors import RecipeError, did_you_mean
from fintune.recipe import Section
from fintune.study import reading

BUNDLED = Path(recipes.__file__).parent / "recipes" / "studies"
ENDING = ".study.yaml"
RECIPE, SIZE, SEED = "recipe", "data.examples", "seed"
"""Keys of a study beside those of recipes: which recipe, and how many training examples; and the one that makes a seed axis."""

Whole = Annotated[int, Field(ge=1)]
_BRANCHES = {"Range", "constrained-int"}  # what pydantic puts into a place beside its keys: which of several types it tried


class Range(Section):
    """Numbers from which a search draws."""

    low: int | float
    """Least value; where both ends are whole numbers, so is what is drawn."""
    high: int | float
    """Largest value."""
    log: bool = False
    """Draw evenly on the scale of logarithms."""


class Axis(Section):
    """What is varied: the values of one key, or labelled groups of settings."""

    key: str | None = None
    """A recipe key, `recipe`, or `data.examples`: the number of training examples, or a share such as 0.25."""
    values: list[Any] | Range | dict[str, dict[str, Any]]
    """Of a key: its values, or for a search `{low, high, log}`. Without a key: a label for each group of settings."""


class Data(Section):
    """Where examples come from: files, hub names or slices of the bundled corpus."""

    train: str
    """What is learnt from."""
    validation: str | None = None
    """What training chooses and stops by, and a search goes by."""
    test: str | None = None
    """What cells are scored on; the validation data where null."""
    slices: dict[str, str] = Field(default_factory=dict)
    """Further data that every cell is scored on, by name."""


class Search(Section):
    """Which combinations of the axes' values become cells. Axes of seeds are crossed with every combination."""

    method: Literal["grid", "list", "random", "optuna"] = "grid"
    """`grid`: all; `list`: those under `cells`; `random`: `trials` drawn; `optuna`: `trials` proposed by TPE (Bergstra et al. 2011)."""
    trials: Whole | None = None
    """Combinations of a random or optuna search."""
    seed: int = Field(default=0, ge=0)
    """Of what is drawn."""
    direction: Literal["maximise", "minimise"] = "maximise"
    """What is good of the metric."""


class Limits(Section):
    """How cells are worked off. None of it is part of a cell's identity; with other threads sums are rounded in another way."""

    parallel: Literal["auto"] | Whole = "auto"
    """Most cells at once; `auto`: one for each core or GPU, fewer where memory is short."""
    threads: Literal["auto"] | Whole = "auto"
    """Threads of a cell; `auto`: the cores, divided by the cells at once."""
    memory: Literal["auto"] | Whole = "auto"
    """Bytes that all cells together may take; `auto`: nine tenths of what is free when the study begins."""
    attempts: Whole = 1
    """How often a cell that fails is tried in one call."""


class Spec(Section):
    """A study."""

    name: str
    """Name of the study; that of its file where it gives none."""
    question: str
    """What the study decides, in one sentence."""
    description: str = ""
    """What else a reader should know: whose question it is, and what the study cannot show."""
    recipe: str
    """A bundled recipe, or a file, relative to the study's."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Settings of all cells, over those of the recipe."""
    data: Data
    metric: str = "auto"
    """The figure of the report that the study goes by; the main one of the task where `auto`."""
    seed: int = Field(default=0, ge=0)
    """Of the order in which training sets of several sizes are taken; a smaller one is a part of every larger one."""
    axes: dict[str, Axis] = Field(default_factory=dict)
    """What is varied, by name."""
    search: Search = Search()
    cells: list[dict[str, Any]] = Field(default_factory=list)
    """Of a `list` search: for each combination the label of every axis."""
    baselines: list[Annotated[int, Field(ge=0)]] = Field(default_factory=list)
    """Of language models: score the unmodified base too, shown so many solved examples, such as [0, 5]."""
    floors: Literal["all", "none"] = "all"
    """Whether the table has the trivial baselines of the evaluation."""
    limits: Limits = Limits()

    def to_yaml(self) -> str:
        """The study with every value written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def available() -> list[str]:
    """Names of the bundled studies."""
    return sorted(path.name.removesuffix(ENDING) for path in BUNDLED.glob(f"*{ENDING}"))


def locate(name: str) -> Path:
    """The file of a bundled study or of a path; errors as of `recipe.file_of`."""
    return recipes.file_of(name, what="study", many="studies", folder=BUNDLED, ending=ENDING, known=available())


def load(name: str | Path, *, data: Mapping[str, str] | None = None, overrides: Mapping[str, Any] | None = None) -> Spec:
    """The study of a bundled name or a file.

    Args:
        name: bundled, or the path of a file.
        data: sources in place of the file's, by `train`, `validation` and `test`.
        overrides: settings of all cells, over those of the file.

    Raises:
        RecipeError: for unreadable YAML, an unknown key, a value out of range, or parts that do not fit.
    """
    path = locate(str(name))
    settings, lines = reading.read(path)
    settings.setdefault("name", path.name.removesuffix(ENDING).removesuffix(path.suffix))
    if data and isinstance(settings.setdefault("data", {}), dict):
        settings["data"] = {**settings["data"], **data}
    if overrides and isinstance(settings.setdefault("set", {}), dict):
        settings["set"] = {**settings["set"], **overrides}
    spec = validate(settings, lines, str(path))
    beside = path.parent / spec.recipe
    return spec.model_copy(update={"recipe": str(beside)}) if beside.is_file() else spec


def validate(settings: Mapping[str, Any], lines: Mapping[tuple[str, ...], str], where: str) -> Spec:
    """A study from plain settings.

    Raises:
        RecipeError: as `load`.
    """
    try:
        spec = Spec.model_validate(settings)
    except ValidationError as error:
        raise _first(error, lines, where) from None
    for name, axis in spec.axes.items():
        _require_axis(spec, name, axis, reading.place(lines, ("axes", name), where))
    _require_apart(spec, lines, where)
    _require_search(spec, reading.place(lines, ("search",), where))
    return spec


def keys_of(axis: Axis) -> set[str]:
    """The keys that an axis sets."""
    if isinstance(axis.values, dict):
        return {key for settings in axis.values.values() for key in settings}
    return {axis.key} if axis.key is not None else set()


def role(axis: Axis) -> Literal["factor", "seed", "size"]:
    """What an axis is for: seeds repeat a cell, sizes make a learning curve, all else is a factor."""
    return "seed" if keys_of(axis) == {SEED} else "size" if keys_of(axis) == {SIZE} else "factor"


def _require_axis(spec: Spec, name: str, axis: Axis, where: str) -> None:
    grouped = isinstance(axis.values, dict)
    if grouped == (axis.key is not None):
        raise RecipeError(
            f"axis {name!r} has {'a key and labelled settings' if grouped else 'values without a key'}", where=where,
            fix="give a key with a list of values, or labels with settings and no key",
        )  # fmt: skip
    if isinstance(axis.values, Range):
        if spec.search.method not in ("random", "optuna"):
            raise RecipeError(
                f"axis {name!r} is a range", where=where, why=f"a {spec.search.method} needs values",
                fix="list them, or set search.method to random or optuna",
            )  # fmt: skip
        low, high = axis.values.low, axis.values.high
        if not low < high or (axis.values.log and low <= 0):
            fix = "give low < high, with log both above 0"
            raise RecipeError(f"axis {name!r} has no numbers between {low} and {high}", where=where, fix=fix)
        return
    if not axis.values:
        raise RecipeError(f"axis {name!r} has no values", where=where, fix="give at least one")
    if isinstance(axis.values, list):
        labels = [label(value) for value in axis.values]
        twice = next((one for one in labels if labels.count(one) > 1), None)
        if twice is not None:
            raise RecipeError(f"axis {name!r} has {twice!r} twice", where=where, fix="keep one of them")


def _require_apart(spec: Spec, lines: Mapping[tuple[str, ...], str], where: str) -> None:
    """No key is set by two axes, or by an axis and for all cells."""
    owner = dict.fromkeys(spec.set, "set")
    for name, axis in spec.axes.items():
        for key in sorted(keys_of(axis)):
            if key in owner:
                raise RecipeError(
                    f"{key} is set by axis {name!r} and by {owner[key]!r}", where=reading.place(lines, ("axes", name), where),
                    fix="leave it to one of them",
                )  # fmt: skip
            owner[key] = name


def _require_search(spec: Spec, where: str) -> None:
    method, trials = spec.search.method, spec.search.trials
    if (method in ("random", "optuna")) != (trials is not None):
        what = f"a {method} search without trials" if trials is None else f"trials in a {method}"
        raise RecipeError(what, where=where, fix="give search.trials with the methods random and optuna, and only with them")
    if (method == "list") != bool(spec.cells):
        what = "a list search without cells" if method == "list" else f"cells in a {method}"
        raise RecipeError(what, where=where, fix="give cells with search.method=list, and only with it")
    if method == "optuna" and spec.data.validation is None:
        why = "what is chosen by test data is not measured by them"
        raise RecipeError("an optuna search without validation data", where=where, why=why, fix="give data.validation")
    if spec.data.validation is None and spec.data.test is None:
        raise RecipeError("no data to score cells on", where=where.partition(":")[0], fix="give data.validation or data.test")


def label(value: Any) -> str:
    """How a table shows a value of an axis."""
    return value if isinstance(value, str) else json.dumps(value)


def _first(error: ValidationError, lines: Mapping[tuple[str, ...], str], where: str) -> RecipeError:
    """The complaint of pydantic that says most, as a line of ours: the key, its place, and the nearest key or the reason."""
    complaints = error.errors()
    complaint = next((c for c in complaints if c["type"] in ("extra_forbidden", "missing") and "Range" not in c["loc"]), complaints[0])
    keys = tuple(part for part in map(str, complaint["loc"]) if part not in _BRANCHES and "[" not in part)
    stands, key = reading.place(lines, keys, where), ".".join(keys)
    if complaint["type"] == "extra_forbidden":
        section: Any = {"axes": Axis, "data": Data, "search": Search, "limits": Limits}.get(keys[0], Spec) if len(keys) > 1 else Spec
        return RecipeError(f"unknown key {key!r}", where=stands, fix=did_you_mean(keys[-1], section.model_fields))
    if complaint["type"] == "missing":
        return RecipeError(f"key {key!r} is missing", where=stands, fix=f"add '{key}: ...'")
    given = json.dumps(complaint["input"], default=str)
    return RecipeError(f"{key!r} cannot be {given}", where=stands, why=complaint["msg"], fix="see docs/how-to/run-a-study.md")
