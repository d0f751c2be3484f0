"""What `fintune compare` was asked, and the command that asks it again.

One value holds it all, so that the page, the terminal and the JSON document print the same command. Refuses what cannot be meant:
fewer than two systems, names given twice, groups without a name. `pytest tests/study/test_compare_request.py`.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from fintune.data.formats.base import ReadOptions
from fintune.errors import UsageError
from fintune.metrics.intervals import Bootstrap
from fintune.metrics.paired import REPLICATES
from fintune.run import PREDICTIONS


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A comparison to make.

    Attributes:
        systems: run folders or prediction files, each a system of its own.
        groups: systems of several runs, which differ in their seed alone, by name.
        study: folder of a study, whose finished cells become systems.
        by: axes of the study; each combination of their values is a system. All axes but seeds where empty.
        where: axes of the study held at one value.
        data: the gold, read with `options`; where None, that which the runs were evaluated on.
        task: name or file of the task; where None, that of the runs.
        metrics: the scores to compare; the kind's own few where empty.
        against: compare each system with this one only, by its name or path.
        ids: whether all systems must have the `same` examples, or those `common` to all are taken.
        plan: how to resample; the level is that of the intervals, and what is left of 1 that of the tests.
        options: how to read the gold.
    """

    systems: tuple[str, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=_nothing)
    study: str | None = None
    by: tuple[str, ...] = ()
    where: Mapping[str, str] = field(default_factory=_nothing)
    data: str | None = None
    task: str | None = None
    metrics: tuple[str, ...] = ()
    against: str | None = None
    ids: Literal["same", "common"] = "same"
    plan: Bootstrap = field(default_factory=lambda: Bootstrap(REPLICATES))
    options: ReadOptions = field(default_factory=ReadOptions)

    def command(self) -> str:
        """What to type to get the same figures."""
        return shlex.join(["fintune", "compare", *self.systems, *self._arguments()])

    def _arguments(self) -> Iterator[str]:
        usual = Bootstrap(REPLICATES)
        for name, runs in self.groups.items():
            yield from ("--group", f"{name}={','.join(runs)}")
        for flag, value in (("--study", self.study), ("--data", self.data), ("--task", self.task), ("--against", self.against)):
            yield from (flag, value) if value is not None else ()
        yield from (part for axis in self.by for part in ("--by", axis))
        yield from (part for axis, value in self.where.items() for part in ("--where", f"{axis}={value}"))
        yield from (part for name in self.metrics for part in ("--metric", name))
        yield from ("--common",) if self.ids == "common" else ()
        yield from ("--replicates", str(self.plan.replicates)) if self.plan.replicates != usual.replicates else ()
        yield from ("--level", str(self.plan.level)) if self.plan.level != usual.level else ()
        yield from ("--seed", str(self.plan.seed)) if self.plan.seed != usual.seed else ()
        yield from _reading(self.options)


def _reading(options: ReadOptions) -> Iterator[str]:
    """The options of reading that are not the usual ones."""
    for setting in dataclasses.fields(options):
        value = getattr(options, setting.name)
        if not setting.metadata or value == getattr(ReadOptions(), setting.name):
            continue
        flag = setting.metadata["option"]
        if isinstance(value, Mapping):
            yield from (part for old, new in value.items() for part in (flag, f"{old}={new}"))
        else:
            yield from (flag,) if setting.name == "on_bad" else (flag, str(value))


def plan_of(*, replicates: int | None, seed: int | None, level: float | None) -> Bootstrap:
    """The plan of a comparison, with the values given; what is None is as usual.

    Raises:
        RecipeError: for a value out of range.
    """
    given = {"replicates": replicates, "seed": seed, "level": level}
    return dataclasses.replace(Bootstrap(REPLICATES), **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


def named_pairs(given: Sequence[str], *, flag: str) -> dict[str, str]:
    """`NAME=VALUE` texts of an option as a mapping.

    Raises:
        UsageError: for another form, or a name given twice.
    """
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise UsageError(f"{text!r} is not NAME=VALUE", where=flag, fix=f"write e.g. {flag} {_EXAMPLES[flag]}")
        if name in found:
            raise UsageError(f"{name!r} is given twice", where=flag, fix="give each name once")
        found[name] = value
    return found


_EXAMPLES = {"--group": "rank8=runs/a,runs/b,runs/c", "--where": "noise=5"}


def split_groups(given: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The groups of `NAME=RUN,RUN,...` texts.

    Raises:
        UsageError: as `named_pairs`, and for a group without runs or with one of them twice.
    """
    found = {name: tuple(run for run in runs.split(",") if run) for name, runs in named_pairs(given, flag="--group").items()}
    for name, runs in found.items():
        if not runs or len(set(map(Path, runs))) != len(runs):
            what = f"group {name!r} has no run, or one of them twice"
            raise UsageError(what, where="--group", fix=f"write e.g. --group {_EXAMPLES['--group']}")
    return found


def short_names(paths: Sequence[str]) -> list[str]:
    """A name for each path: its last part, with as many of those before it as it takes to tell all apart.

    Raises:
        UsageError: for a path given twice.
    """
    parts = [_parts(path) for path in paths]
    for place, other in enumerate(parts):
        if other in parts[:place]:
            raise UsageError(f"{paths[place]!r} is given twice", fix="give each system once")
    return ["/".join(own[-_depth(own, [other for other in parts if other != own]) :]) for own in parts]


def _parts(path: str) -> tuple[str, ...]:
    """The parts of a path that could be its name; a predictions file in a run folder is named by the folder."""
    parts = tuple(part for part in Path(path).resolve().parts if part != "/")
    if parts and parts[-1] == PREDICTIONS:
        parts = parts[:-1]
    return (*parts[:-1], parts[-1].removesuffix(".jsonl")) if parts else (path,)


def _depth(own: tuple[str, ...], others: Sequence[tuple[str, ...]]) -> int:
    depth = 1
    while depth < len(own) and any(other[-depth:] == own[-depth:] for other in others):
        depth += 1
    return depth
