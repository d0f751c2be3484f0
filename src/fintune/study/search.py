"""Which combinations a search tries: drawn at random, or proposed by optuna out of what was measured before.

What is drawn depends on the seed and the number of the trial alone, so that more trials keep the earlier ones. optuna is local and
offline; its journal stands in the study's folder. `pytest tests/study/test_search.py`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import random
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from fintune.errors import ResourceError
from fintune.study.cells import Choice, Point, choices
from fintune.study.spec import Axis, Range, Spec, label, role

DIGITS = 6
"""Significant digits of a number that is drawn, so that a label says all of it."""
_SPELT = {"maximise": "maximize", "minimise": "minimize"}


def drawn(spec: Spec) -> list[Point]:
    """The points of a random search, each another one; fewer than its trials where the axes have no more."""
    axes = varied(spec)
    wanted = min(spec.search.trials or 0, math.prod(map(_variants, axes.values())))
    found: dict[tuple[str, ...], Point] = {}
    number = 0
    while len(found) < wanted:
        generator = random.Random(f"{spec.search.seed}/{number}")
        point = {name: _draw(axis, generator) for name, axis in axes.items()}
        found.setdefault(tuple(choice[0] for choice in point.values()), point)
        number += 1
    return list(found.values())


def varied(spec: Spec) -> dict[str, Axis]:
    """The axes that are searched: all but seeds."""
    return {name: axis for name, axis in spec.axes.items() if role(axis) != "seed"}


def _variants(axis: Axis) -> float:
    """How many different choices an axis has."""
    if not isinstance(axis.values, Range):
        return len(choices(axis))
    low, high = axis.values.low, axis.values.high
    return high - low + 1 if isinstance(low, int) and isinstance(high, int) else math.inf


def _draw(axis: Axis, generator: random.Random) -> Choice:
    if not isinstance(axis.values, Range):
        return generator.choice(choices(axis))
    low, high = axis.values.low, axis.values.high
    evenly = generator.uniform(math.log(low), math.log(high)) if axis.values.log else generator.uniform(low, high)
    return number_choice(axis, math.exp(evenly) if axis.values.log else evenly)


def number_choice(axis: Axis, number: float) -> Choice:
    """A number out of a range as a choice, rounded to what its label shows."""
    assert isinstance(axis.values, Range)
    assert axis.key is not None
    low, high = axis.values.low, axis.values.high
    whole = isinstance(low, int) and isinstance(high, int)
    value: int | float = round(number) if whole else float(f"{number:.{DIGITS}g}")
    value = min(max(value, low), high)
    return label(value), {axis.key: value}


class Proposals:
    """The trials of an optuna search, kept in a journal; asks for another point, and tells what a point came to."""

    def __init__(self, spec: Spec, folder: Path, *, metric: str, data: str) -> None:
        """Take up the journal of this search.

        Args:
            spec: of the study.
            folder: of the study, which this process holds.
            metric: that the search goes by.
            data: fingerprint of what it is measured on.

        Raises:
            ResourceError: where optuna is not installed.
        """
        if importlib.util.find_spec("optuna") is None:
            raise ResourceError("optuna is not installed", where="search.method", fix="run: pip install 'fintune[study]'")
        optuna: Any = import_module("optuna")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.optuna = optuna
        self.spec, self.axes, self.trials = spec, varied(spec), spec.search.trials or 0
        space = {name: axis.model_dump(mode="json") for name, axis in self.axes.items()}
        recipe = [spec.recipe, spec.set, space, spec.search.seed, spec.search.direction, metric, data]
        digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]
        journal = folder / f"search-{digest}.journal"
        journal.with_name(journal.name + ".lock").unlink(missing_ok=True)  # of a process that was killed; the folder is ours
        backend = import_module("optuna.storages.journal").JournalFileBackend(str(journal))
        self.study: Any = optuna.create_study(
            study_name=digest, storage=optuna.storages.JournalStorage(backend), direction=_SPELT[spec.search.direction], load_if_exists=True
        )  # fmt: skip

    def open(self) -> list[tuple[int, Point]]:
        """Trials of earlier calls, told or not, with their points."""
        return [(trial.number, self._point(trial.params)) for trial in self.study.trials]

    def told(self) -> set[int]:
        """Numbers of trials whose value is known."""
        return {trial.number for trial in self.study.trials if trial.state.is_finished()}

    def ask(self) -> tuple[int, Point] | None:
        """The next trial, or None where there are as many as the study wants."""
        number = len(self.study.trials)
        if number >= self.trials:
            return None
        digest = hashlib.sha256(f"{self.spec.search.seed}/{number}".encode()).digest()
        first = min(10, self.trials // 2)  # drawn at random, before there is something to go by
        self.study.sampler = self.optuna.samplers.TPESampler(seed=int.from_bytes(digest[:4], "big"), n_startup_trials=first)
        trial = self.study.ask(self._distributions())
        return trial.number, self._point(trial.params)

    def tell(self, number: int, value: float) -> None:
        """The value of a trial; those that are told already stay as they are."""
        if number not in self.told():
            self.study.tell(number, value)

    def _distributions(self) -> dict[str, Any]:
        kinds = self.optuna.distributions
        found: dict[str, Any] = {}
        for name, axis in self.axes.items():
            if not isinstance(axis.values, Range):
                found[name] = kinds.CategoricalDistribution([choice[0] for choice in choices(axis)])
                continue
            low, high = axis.values.low, axis.values.high
            whole = isinstance(low, int) and isinstance(high, int)
            kind = kinds.IntDistribution if whole else kinds.FloatDistribution
            found[name] = kind(low, high, log=axis.values.log)
        return found

    def _point(self, values: Mapping[str, Any]) -> Point:
        point: dict[str, Choice] = {}
        for name, axis in self.axes.items():
            if isinstance(axis.values, Range):
                point[name] = number_choice(axis, values[name])
            else:
                point[name] = next(choice for choice in choices(axis) if choice[0] == values[name])
        return point
