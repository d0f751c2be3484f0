"""Two axes at once: the mean of each pair of values, whether a step of one differs with the other, and how much seeds alone move a score.

`interactions(read(document))` and `spreads(...)` compute for the study page and effects.csv; missing cells are left out and counted.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from fintune.report.study_contrast import BySeed, Difference, Labels, Place, balanced, by_seed, compare, corrected, picked, split
from fintune.report.study_student import deviation
from fintune.report.study_table import Axis, Cell, Pick, Study

Split = Mapping[Labels, Mapping[Place, Cell]]


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean over seeds and the axes not named, the standard deviation of the seeds, and of how many cells of the planned."""

    labels: Labels
    value: float | None
    spread: float | None
    by_seed: BySeed
    cells: int
    planned: int


@dataclass(frozen=True, slots=True)
class Interaction:
    """Two axes: the mean at each pair of values, rows first, and contrasts by pair.

    A contrast is how much more the second axis's step from its first value is at a value of the first axis than at that axis's first.
    """

    first: Axis
    second: Axis
    means: tuple[tuple[Mean, ...], ...]
    contrasts: Mapping[Labels, Difference]


def interactions(study: Study, pick: Pick | None = None) -> tuple[Interaction, ...]:
    """Each pair of axes that both have several values."""
    several = [axis for axis in study.factors if len(axis.values) > 1]
    return tuple(_interaction(study, pair, pick or study.main) for pair in itertools.combinations(several, 2))


def _interaction(study: Study, pair: tuple[Axis, Axis], pick: Pick) -> Interaction:
    first, second = pair
    cells = split(study, pair)
    means = tuple(tuple(mean(cells, (one, other), pick) for other in second.values) for one in first.values)
    start = (first.values[0], second.values[0])
    steps: list[Labels] = list(itertools.product(first.values[1:], second.values[1:]))
    contrasts = {labels: _contrast(cells, labels, start, pick) for labels in steps}
    return Interaction(first, second, means, corrected(contrasts))


def _contrast(cells: Split, labels: Labels, start: Labels, pick: Pick) -> Difference:
    corners = [cells.get(corner, {}) for corner in (labels, (start[0], labels[1]), (labels[0], start[1]), start)]
    scores = [picked(corner, pick) for corner in corners]
    used = balanced({place: None for place in scores[0] if all(place in corner for corner in scores)})
    signs = (1, -1, -1, 1)
    differences = {place: math.fsum(sign * corner[place].value for sign, corner in zip(signs, scores, strict=True)) for place in used}
    return compare(differences, planned=sum(all(place in corner for corner in corners) for place in corners[0]))


def mean(cells: Split, labels: Labels, pick: Pick) -> Mean:
    """The balanced mean of the cells at these labels, of cells that `split` has put apart."""
    here = cells.get(labels, {})
    scores = picked(here, pick)
    used = balanced(scores)
    seeds = by_seed({place: scores[place].value for place in used})
    values = [value for _, value in seeds]
    return Mean(labels, fmean(values) if values else None, deviation(values), seeds, len(used), len(here))


def spreads(study: Study, pick: Pick | None = None) -> tuple[Mean, ...]:
    """Each setting with its seeds."""
    cells = split(study, study.factors)
    return tuple(mean(cells, labels, pick or study.main) for labels in study.settings)


def pooled(means: Sequence[Mean]) -> tuple[float, int] | None:
    """The standard deviation of seeds over all settings, and its degrees of freedom; None where no setting has two seeds."""
    freedom = sum(len(one.by_seed) - 1 for one in means if one.spread is not None)
    squares = math.fsum((len(one.by_seed) - 1) * one.spread**2 for one in means if one.spread is not None)
    return (math.sqrt(squares / freedom), freedom) if freedom else None
