"""What each axis of a study does: the differences of its values from the first one, paired by seed, other axes alike.

`effects(read(document))` computes, `study_words` speaks, `fintune ablate` writes them as effects.csv. A difference without an interval, one
whose interval spans zero, and one that does not stand Holm's correction within its axis are no difference shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from fintune.report.figures import Score
from fintune.report.study_contrast import BySeed, Difference, Place, balanced, by_seed, compare, corrected, picked, split
from fintune.report.study_student import interval
from fintune.report.study_table import Axis, Cell, Pick, Study

Cells = Mapping[Place, Cell]


@dataclass(frozen=True, slots=True)
class Level:
    """A value of an axis: its mean over seeds with a t interval, and the mean over the other axes of each seed.

    `difference` is that from the first value, None for the first itself; `examples` is how far that difference may lie off for other test
    examples, from the cells' own intervals, not paired and so rather too wide. On each side `cells` are used of the `planned`.
    """

    value: str
    score: Score | None
    by_seed: BySeed
    cells: int
    planned: int
    difference: Difference | None = None
    examples: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Effect:
    """An axis with its values; the first is what the others are compared with."""

    axis: Axis
    levels: tuple[Level, ...]

    @property
    def compared(self) -> tuple[tuple[Level, Difference], ...]:
        """All values but the first, with their differences from it."""
        return tuple((level, level.difference) for level in self.levels if level.difference is not None)


def effects(study: Study, pick: Pick | None = None) -> tuple[Effect, ...]:
    """The effect of each axis but the seeds, on the metric of the study or on what `pick` reads."""
    return tuple(effect(study, axis, pick or study.main) for axis in study.factors if axis.values)


def effect(study: Study, axis: Axis, pick: Pick) -> Effect:
    """The effect of an axis with at least one value."""
    cells = split(study, (axis,))
    first, *others = (cells.get((value,), {}) for value in axis.values)
    levels = [_first(axis.values[0], first, pick)]
    levels += [_other(value, mine, first, pick) for value, mine in zip(axis.values[1:], others, strict=True)]
    stands = corrected({(level.value,): level.difference for level in levels if level.difference})
    return Effect(axis, tuple(replace(level, difference=stands.get((level.value,))) for level in levels))


def _first(value: str, cells: Cells, pick: Pick) -> Level:
    scores = picked(cells, pick)
    used = balanced(scores)
    means = by_seed({place: scores[place].value for place in used})
    return Level(value, _mean(means), means, len(used), len(cells))


def _other(value: str, mine: Cells, first: Cells, pick: Pick) -> Level:
    """A value beside the first, both over the cells that are finished and balanced on both sides."""
    scores, against = picked(mine, pick), picked(first, pick)
    used = balanced({place: None for place in scores if place in against})
    planned = sum(place in first for place in mine)
    difference = compare({place: scores[place].value - against[place].value for place in used}, planned=planned)
    means = by_seed({place: scores[place].value for place in used})
    examples = unpaired([(scores[place], against[place]) for place in used])
    return Level(value, _mean(means), means, len(used), planned, difference, examples)


def _mean(means: BySeed) -> Score | None:
    return interval([value for _, value in means]) if means else None


def unpaired(pairs: Sequence[tuple[Score, Score]]) -> tuple[float, float] | None:
    """Where the mean difference of pairs may lie for other examples, from the intervals of either side; None where one has none.

    Cells of a study share their test examples. Those of one side move together, so their mean is taken as unsure as each of them (an upper
    bound). The two sides move together too, which a paired comparison profits from and this does not: they are taken as independent.
    """
    halves = [(_half(one), _half(other)) for one, other in pairs]
    known = [(one, other) for one, other in halves if one is not None and other is not None]
    if not pairs or len(known) < len(pairs):
        return None
    centre = fmean(one.value - other.value for one, other in pairs)
    half = math.hypot(fmean(one for one, _ in known), fmean(other for _, other in known))
    return centre - half, centre + half


def _half(score: Score) -> float | None:
    return None if score.low is None or score.high is None else (score.high - score.low) / 2
