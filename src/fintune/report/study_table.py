"""A study as its report sees it: axes, cells with their scores and costs, floors and untrained models.

`study_reading.read` makes it of `study.json`; nothing is computed here. Exercised by `fintune ablate`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fintune.report.figures import Score, part
from fintune.report.wording import LESS_IS_BETTER

# The label of a cell on an axis that it does not name.
UNNAMED = "–"
SEED, SIZE = "seed", "size"
Scores = Mapping[str, Score]


@dataclass(frozen=True, slots=True)
class Axis:
    """What is varied: its values in order, the first of which the others are compared with; `role` is `factor`, `seed` or `size`."""

    name: str
    values: tuple[str, ...]
    role: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of the study.

    `metrics` are of the data that the study is scored on, `validation` of those a search goes by where these are others, `slices` of
    further ones; `groups` are scores by label, `cost` its figures that are numbers.
    """

    id: str
    labels: Mapping[str, str]
    status: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    folder: str = ""
    command: str = ""
    error: str = ""
    attempts: int | None = None
    metrics: Scores = field(default_factory=dict)
    validation: Scores = field(default_factory=dict)
    slices: Mapping[str, Scores] = field(default_factory=dict)
    groups: Mapping[str, Scores] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)
    examples: int | None = None
    training_examples: int | None = None

    def at(self, axes: Sequence[Axis]) -> tuple[str, ...]:
        """Its labels on these axes."""
        return tuple([self.labels.get(axis.name, UNNAMED) for axis in axes])


Pick = Callable[[Cell], Score | None]


@dataclass(frozen=True, slots=True)
class Study:
    """The table of a study. `references` are its floors and baselines, `document` is what it was read from."""

    name: str
    question: str
    description: str
    recipe: str
    kind: str
    metric: str
    axes: tuple[Axis, ...]
    cells: tuple[Cell, ...]
    references: Mapping[str, Scores]
    document: Mapping[str, Any]

    @property
    def factors(self) -> tuple[Axis, ...]:
        """The axes that a question is asked about: all but seeds."""
        return tuple(axis for axis in self.axes if axis.role != SEED)

    @property
    def seeds(self) -> tuple[Axis, ...]:
        """The axes that only repeat."""
        return tuple(axis for axis in self.axes if axis.role == SEED)

    @property
    def settings(self) -> tuple[tuple[str, ...], ...]:
        """The combinations of factors that occur, in the order of the axes' values."""
        places = [{value: at for at, value in enumerate(axis.values)} for axis in self.factors]
        found = dict.fromkeys(cell.at(self.factors) for cell in self.cells)
        return tuple(sorted(found, key=lambda labels: [place.get(label, len(place)) for place, label in zip(places, labels, strict=True)]))

    @property
    def crossed(self) -> bool:
        """Whether there is a cell, finished or not, for every combination of values; a list or a search has only some."""
        there = {cell.at(self.axes) for cell in self.cells}
        return all(labels in there for labels in itertools.product(*(axis.values for axis in self.axes)))

    @property
    def done(self) -> tuple[Cell, ...]:
        """The cells with a score."""
        return tuple(cell for cell in self.cells if self.main(cell) is not None)

    @property
    def less_is_better(self) -> bool:
        """Whether the metric is an error, or the study says so."""
        return self.metric in LESS_IS_BETTER or part(self.document, "search").get("direction") == "minimise"

    @property
    def tested(self) -> bool:
        """Whether the scores are of test data, else of validation data."""
        return bool(part(part(self.document, "data"), "test"))

    def main(self, cell: Cell) -> Score | None:
        """The score the study goes by, of a finished cell."""
        return self.of(self.metric)(cell)

    def chosen_by(self, cell: Cell) -> Score | None:
        """The score on validation data that a search goes by, where the study is scored on other data."""
        return cell.validation.get(self.metric) if cell.status == "finished" else None

    def of(self, metric: str, *, slice_: str = "") -> Pick:
        """How to read a metric off a finished cell, on the evaluation data or on a slice."""

        def pick(cell: Cell) -> Score | None:
            scores = cell.slices.get(slice_, {}) if slice_ else cell.metrics
            return scores.get(metric) if cell.status == "finished" else None

        return pick


def by_size(label: str) -> tuple[bool, float, str]:
    """Orders labels: numbers first and by size, then words."""
    value = amount(label)
    return value is None, value or 0.0, label


def amount(label: str) -> float | None:
    """The finite number that a label is, or None."""
    try:
        value = float(label)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
