"""How the score grows with the training data, and from which size on no difference from the largest is shown.

`learning(study)` wants an axis of sizes of which two are known and finished; else there is nothing to draw.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from markupsafe import Markup

from fintune.report.curves import Panel
from fintune.report.figures import decimal
from fintune.report.study_contrast import Labels, split
from fintune.report.study_drawing import Scale, around, bar, logarithmic, path, plane, point
from fintune.report.study_effects import Effect, effect
from fintune.report.study_interactions import Mean, mean
from fintune.report.study_student import interval
from fintune.report.study_table import SIZE, Axis, Study, amount
from fintune.report.study_words import ends, metric

# With more combinations of other axes, one line over all of them is drawn.
LINES = 4


@dataclass(frozen=True, slots=True)
class Learning:
    """The curve of one axis of sizes; `effect` compares each size with the largest, `sizes` are its examples by value."""

    panel: Panel
    effect: Effect
    sizes: Mapping[str, float]
    sentence: str


def learning(study: Study) -> tuple[Learning, ...]:
    """A curve for each axis of sizes with two sizes that are known and finished."""
    return tuple(found for axis in study.factors if axis.role == SIZE and (found := _learning(study, axis)) is not None)


def sizes(study: Study, axis: Axis) -> dict[str, float]:
    """The number of training examples at each value, rising; values whose number is not known are left out."""
    found = {}
    for value in axis.values:
        counts = [cell.training_examples for cell in study.cells if cell.at((axis,)) == (value,) and cell.training_examples]
        stated = amount(value)
        if counts or (stated is not None and stated > 1):
            found[value] = fmean(counts) if counts else float(stated or 0)
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _learning(study: Study, axis: Axis) -> Learning | None:
    known = sizes(study, axis)
    lines = _lines(study, axis, known)
    drawn = [place for line in lines.values() for place in line]
    if len({place for place, _ in drawn}) < 2:
        return None
    across = logarithmic([place for place, _ in drawn])
    seeds = [value for _, one in drawn for _, value in one.by_seed]
    scores = [interval([value for _, value in one.by_seed]) for _, one in drawn]
    upwards = around(seeds, [end for score in scores for end in (score.low, score.high) if end is not None])
    parts: list[Markup] = []
    for number, (name, line) in enumerate(lines.items()):
        parts += _line(number, name if len(lines) > 1 else "", line, across, upwards)
    said = [
        f"{name or 'mean'}: " + ", ".join(f"{place:,.0f} {decimal(one.value or 0)}" for place, one in line) for name, line in lines.items()
    ]
    legend = tuple((f"s{number}", name) for number, name in enumerate(lines)) if len(lines) > 1 else ()
    drawing = plane(across, upwards, f"{metric(study)} by training examples; {'; '.join(said)}", *parts)
    falling = effect(study, replace(axis, values=tuple(reversed(known))), study.main)
    return Learning(Panel(axis.name, drawing, legend), falling, known, enough(falling, known))


def _lines(study: Study, axis: Axis, known: Mapping[str, float]) -> dict[str, list[tuple[float, Mean]]]:
    """A line for each combination of the other axes, or one over all where these are many."""
    others = [one for one in study.factors if one != axis and len(one.values) > 1]
    combinations: list[Labels] = list(itertools.product(*(one.values for one in others)))
    if len(combinations) > LINES:
        others, combinations = [], [()]
    found, cells = {}, split(study, (axis, *others))
    for labels in combinations:
        means = [(place, mean(cells, (value, *labels), study.main)) for value, place in known.items()]
        name = ", ".join(f"{one.name} {label}" for one, label in zip(others, labels, strict=True))
        found[name] = [(place, one) for place, one in means if one.value is not None]
    return {name: line for name, line in found.items() if line}


def _line(number: int, name: str, line: Sequence[tuple[float, Mean]], across: Scale, upwards: Scale) -> list[Markup]:
    parts = [path(f"curve s{number}", [(across.at(place), upwards.at(one.value or 0)) for place, one in line])]
    for place, one in line:
        score = interval([value for _, value in one.by_seed])
        if score.low is not None and score.high is not None:
            parts.append(bar(f"whisker s{number}", across.at(place), (upwards.at(score.low), upwards.at(score.high))))
        for seed, value in one.by_seed:
            parts.append(point("seed", (across.at(place), upwards.at(value)), f"seed {seed}: {decimal(value)}"))
        told = f"{name}{': ' if name else ''}{decimal(score.value)} with {place:,.0f}"
        parts.append(point(f"mark s{number}", (across.at(place), upwards.at(score.value)), told))
    return parts


def enough(found: Effect, known: Mapping[str, float]) -> str:
    """From which size on no difference from the largest is shown; sizes are taken from the largest down, as long as that is known."""
    whole = f"all {known[found.levels[0].value]:,.0f}"
    alike = list(itertools.takewhile(lambda one: one[1].verdict in ("none", "identical"), found.compared))
    if alike:
        scores = [difference.score for _, difference in alike if difference.score]
        room = min(score.low or 0.0 for score in scores), max(score.high or 0.0 for score in scores)
        smallest = f"{known[alike[-1][0].value]:,.0f}"
        return f"From {smallest} examples on, no difference from {whole} is shown; the intervals leave room for {ends(room)}."
    next_ = found.compared[0][1].verdict
    if next_ in ("one seed", "missing"):
        why = "there is one seed" if next_ == "one seed" else "cells there are not finished"
        return f"Whether fewer examples are as good as {whole} is not shown: {why}."
    return f"Already the next smaller size differs from {whole}: more may still help."
