"""A list or a search of settings, which have no main effects: every cell over each axis, the best settings, and why they look too good.

`scattered(study)` draws, `best(study)` computes. The best of several is never called better than the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from fintune.report.curves import Panel
from fintune.report.figures import decimal
from fintune.report.study_drawing import amounts, around, named, plane, point
from fintune.report.study_interactions import Mean, pooled, spreads
from fintune.report.study_student import LEVEL, best_of, normal
from fintune.report.study_table import Axis, Pick, Study, amount
from fintune.report.study_words import metric

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Best:
    """The settings with the best means, of how many; `gain` is by how much the best of so many equal ones would seem too good.

    `noise` is the standard deviation that this is computed from, and `of` whose it is: `seeds` or `examples`. `apart` says that they were
    chosen by validation data while the scores shown are of test data, which the choice did not see.
    """

    settings: tuple[Mean, ...]
    count: int
    gain: float | None
    noise: float | None
    of: str
    apart: bool


def best(study: Study) -> Best | None:
    """The best settings of a search; None for a full grid, where the effects speak, and where nothing is finished."""
    if study.crossed or not study.done:
        return None
    apart = all(study.metric in cell.validation for cell in study.done)
    pick = study.chosen_by if apart else study.main
    found = [one for one in spreads(study, pick) if one.value is not None]
    sign = 1 if study.less_is_better else -1
    found.sort(key=lambda one: sign * (one.value or 0))
    noise, of = _noise(study, found, pick)
    gain = None if noise is None else noise * best_of(len(found))
    return Best(tuple(found[:SHOWN]), len(found), gain, noise, of, apart)


def _noise(study: Study, found: Sequence[Mean], pick: Pick) -> tuple[float | None, str]:
    """How far a setting's mean lies from what it would be with endless seeds; where there is one seed, with endless examples."""
    spread = pooled(found)
    if spread is not None:
        return spread[0] / math.sqrt(fmean(len(one.by_seed) for one in found)), "seeds"
    scores = [score for cell in study.done if (score := pick(cell))]
    halves = [(score.high - score.low) / 2 for score in scores if score.low is not None and score.high is not None]
    return (fmean(halves) / normal(LEVEL), "examples") if halves else (None, "")


def warning(study: Study, found: Best) -> str:
    """Why the best setting is not as good as it looks."""
    by = "validation scores" if found.apart else "the very scores shown"
    words = f"The best of {found.count} settings, chosen by {by}, look too good by them."
    if found.gain and found.noise:
        side = "below" if study.less_is_better else "above"
        words += (
            f" Were all {found.count} equally good, the best would still be expected {found.gain:.4f} {side} what it is worth "
            f"({found.gain / found.noise:.2f} standard deviations of {found.noise:.4f}, of {found.of})."
        )
    left = (
        "The test scores had no part in the choice." if found.apart else "Score the chosen one once on data that had no part in the choice."
    )
    return f"{words} {left}"


def scattered(study: Study) -> tuple[Panel, ...]:
    """For each axis of several values, every finished cell by its value on it, whatever its others are."""
    return tuple(_scatter(study, axis) for axis in study.factors if len(axis.values) > 1) if study.done else ()


def _scatter(study: Study, axis: Axis) -> Panel:
    labels = [cell.at((axis,))[0] for cell in study.done]
    numbers = {label: number for label in labels if (number := amount(label)) is not None}
    numeric = len(numbers) == len(set(labels))
    across = amounts(list(numbers.values())) if numeric else named(axis.values)
    scores = [score.value for cell in study.done if (score := study.main(cell))]
    upwards = around(scores)
    places = [numbers[label] if numeric else float(axis.values.index(label)) for label in labels]
    dots = [
        point("dot", (across.at(place), upwards.at(value)), f"{axis.name} {label}: {decimal(value)}")
        for place, label, value in zip(places, labels, scores, strict=True)
    ]
    described = "; ".join(f"{label} {decimal(value)}" for label, value in zip(labels, scores, strict=True))
    return Panel(axis.name, plane(across, upwards, f"{metric(study)} by {axis.name}: {described}", *dots), ())
