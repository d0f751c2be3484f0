"""A difference between cells of a study, paired by seed over the combinations that are there on every side of it.

`compare(differences)` computes and judges one; `balanced` says over which cells. Nothing is refused: what cannot be computed is
None, with a verdict that says why. Exercised through `study_effects` and `study_interactions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from fintune.metrics.significance import holm
from fintune.report.figures import Score
from fintune.report.study_student import LEVEL, ROUNDING, interval, p_value
from fintune.report.study_table import Axis, Cell, Pick, Study, by_size

Verdict = Literal["higher", "lower", "none", "identical", "constant", "one seed", "missing"]
Labels = tuple[str, ...]
# A cell's labels on the other axes, and its seeds.
Place = tuple[Labels, Labels]
BySeed = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference, or a difference of differences, over seeds.

    `score` is the mean over seeds with its 95 % t interval, or without where there is one seed or where all agree to the last digit;
    `by_seed` is what it is the mean of. On each side `cells` are used of the `planned`. `p` is two-sided, `p_holm` corrected within
    its family.
    """

    score: Score | None
    by_seed: BySeed
    cells: int
    planned: int
    p: float | None
    verdict: Verdict
    p_holm: float | None = None


def compare(differences: Mapping[Place, float], *, planned: int) -> Difference:
    """Balanced differences as one, before any correction for being several."""
    seeds = by_seed(differences)
    if not seeds:
        return Difference(None, (), 0, planned, None, "missing")
    values = [value for _, value in seeds]
    score, p = interval(values), p_value(values)
    return Difference(score, seeds, len(differences), planned, p, _verdict(list(differences.values()), values, score, p))


def _verdict(differences: Sequence[float], seeds: Sequence[float], score: Score, p: float | None) -> Verdict:
    if all(abs(value) <= ROUNDING for value in differences):
        return "identical"
    if len(seeds) == 1:
        return "one seed"
    return "constant" if p is None else _shown(score, p)


def _shown(score: Score, p: float) -> Verdict:
    if p >= 1 - LEVEL:
        return "none"
    return "higher" if score.value > 0 else "lower"


def corrected(found: Mapping[Labels, Difference]) -> dict[Labels, Difference]:
    """A family of differences with Holm's correction: those that do not stand it are no difference shown."""
    known = {name: one.p for name, one in found.items() if one.p is not None}
    adjusted = dict(zip(known, holm(list(known.values())), strict=True))
    return {
        name: replace(one, p_holm=adjusted[name], verdict=_shown(one.score, adjusted[name])) if name in adjusted and one.score else one
        for name, one in found.items()
    }


def split(study: Study, axes: Sequence[Axis]) -> dict[Labels, dict[Place, Cell]]:
    """The cells at each combination of labels of these axes that occurs, by their place on the others."""
    names = {axis.name for axis in axes}
    others, seeds = [axis for axis in study.factors if axis.name not in names], study.seeds
    found: dict[Labels, dict[Place, Cell]] = {}
    for cell in study.cells:
        found.setdefault(cell.at(axes), {})[cell.at(others), cell.at(seeds)] = cell
    return found


def picked(cells: Mapping[Place, Cell], pick: Pick) -> dict[Place, Score]:
    """The scores of the cells that have one."""
    return {place: found for place, cell in cells.items() if (found := pick(cell)) is not None}


def balanced(there: Mapping[Place, object]) -> list[Place]:
    """The places left when whole combinations or whole seeds with gaps are dropped, the emptier ones first, until there is no gap."""
    combinations, seeds = sorted({place[0] for place in there}), sorted({place[1] for place in there})
    while combinations:
        rows = {one: sum((one, seed) not in there for seed in seeds) / len(seeds) for one in combinations}
        columns = {seed: sum((one, seed) not in there for one in combinations) / len(combinations) for seed in seeds}
        row, column = max(combinations, key=lambda one: rows[one]), max(seeds, key=lambda seed: columns[seed])
        if not rows[row]:
            break
        if rows[row] >= columns[column]:
            combinations.remove(row)
        else:
            seeds.remove(column)
    return [(one, seed) for one in combinations for seed in seeds]


def by_seed(values: Mapping[Place, float]) -> BySeed:
    """The mean over the other axes of each seed, seeds in the order of their numbers."""
    seeds: dict[Labels, list[float]] = {}
    for (_, seed), value in sorted(values.items()):
        seeds.setdefault(seed, []).append(value)
    ordered = sorted(seeds, key=lambda labels: [by_size(label) for label in labels])
    return tuple((", ".join(seed), fmean(seeds[seed])) for seed in ordered)
