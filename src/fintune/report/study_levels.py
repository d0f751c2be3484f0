"""The main effects and the spread of seeds as tables with drawings: each row one value or one setting, all rows of a table on one scale.

What lies far beyond the values, such as a floor, is named beside the table and does not squeeze the scale.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from fintune.report.figures import Reference, Score, decimal
from fintune.report.study_drawing import Scale, around, header, row
from fintune.report.study_effects import Effect, Level
from fintune.report.study_interactions import Mean
from fintune.report.study_student import interval
from fintune.report.study_table import Study
from fintune.report.wording import FLOORS, floor_words

# Least distance of letterings, as a share of a narrow and of a broad column.
_NARROW, _BROAD = 0.26, 0.13


@dataclass(frozen=True, slots=True)
class LevelRow:
    """A value with its seeds and mean drawn, and its difference from the first, where it is not the first itself."""

    level: Level
    drawing: Markup
    difference: Markup | None


@dataclass(frozen=True, slots=True)
class Levels:
    """The rows of an axis under the letterings of their two drawings; `near` are the references drawn, `off` those beyond the scale."""

    effect: Effect
    rows: tuple[LevelRow, ...]
    scale: Markup
    differences: Markup | None
    near: Mapping[str, str]
    off: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SpreadRow:
    """A setting with its seeds drawn."""

    mean: Mean
    drawing: Markup


@dataclass(frozen=True, slots=True)
class Spreads:
    """The settings under the lettering of their drawings."""

    rows: tuple[SpreadRow, ...]
    scale: Markup


def references(study: Study) -> dict[str, Reference]:
    """The floors and untrained models that have the metric of the study, by what they do."""
    found: dict[str, Reference] = {}
    for name, scores in study.references.items():
        value = scores.get(study.metric)
        floor = name in (*FLOORS, "empty") or name.startswith("frequent")
        if value is not None:
            found[floor_words(name, study.kind) if floor else name] = Reference(value, "floor" if floor else "baseline")
    return found


def levels(study: Study, effects: Sequence[Effect]) -> tuple[Levels, ...]:
    """A table for each axis of several values of which one is finished."""
    given = references(study)
    return tuple(_levels(effect, given) for effect in effects if effect.compared and any(level.score for level in effect.levels))


def _levels(effect: Effect, given: Mapping[str, Reference]) -> Levels:
    scores = [value for level in effect.levels for _, value in level.by_seed]
    scale = around(scores, [*_ends(level.score for level in effect.levels), *(of.score.value for of in given.values())])
    near = {name: of for name, of in given.items() if 0 <= scale.at(of.score.value) <= 1}
    steps = [value for _, difference in effect.compared for _, value in difference.by_seed]
    across = around([0.0, *steps], _ends(difference.score for _, difference in effect.compared)) if steps else None
    return Levels(
        effect,
        tuple(LevelRow(level, row(scale, level.by_seed, level.score, references=near), _step(level, across)) for level in effect.levels),
        header(scale, apart=_NARROW),
        header(across, apart=_NARROW) if across else None,
        {name: of.kind for name, of in near.items()},
        tuple(f"{name} {decimal(of.score.value)}" for name, of in given.items() if name not in near),
    )


def _step(level: Level, across: Scale | None) -> Markup | None:
    found = level.difference
    return row(across, found.by_seed, found.score, wide=level.examples) if found and found.score and across else None


def _ends(scores: Iterable[Score | None]) -> list[float]:
    return [end for score in scores if score for end in (score.low, score.high) if end is not None]


def spread_table(means: Sequence[Mean]) -> Spreads | None:
    """The settings with their seeds; None where fewer than two cells are finished."""
    values = [value for one in means for _, value in one.by_seed]
    if len(values) < 2:
        return None
    scale = around(values)
    rows = [
        SpreadRow(one, row(scale, one.by_seed, interval([value for _, value in one.by_seed]) if one.by_seed else None)) for one in means
    ]
    return Spreads(tuple(rows), header(scale, apart=_BROAD))
