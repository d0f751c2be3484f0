"""Cost against quality: what each setting costs to train and reaches, and which settings no other one beats in both.

`front(study, cost)` computes, `panels(study)` draws. Seeds of a setting are averaged: the best seed is no setting of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from string import ascii_uppercase

from markupsafe import Markup

from fintune.report.figures import decimal, part
from fintune.report.study_contrast import Labels, split
from fintune.report.study_drawing import amounts, around, path, plane, point
from fintune.report.study_table import Study
from fintune.report.study_words import costs, metric, setting

COSTS = {"wall_seconds": "Time of training, seconds", "flop": "Work of training, FLOP", "price": "Price of training"}


@dataclass(frozen=True, slots=True)
class Place:
    """A setting: mean cost and quality of its seeds, and (cost, quality) of each; `letter` where none is cheaper and as good."""

    labels: Labels
    cost: float
    quality: float
    seeds: tuple[tuple[float, float], ...]
    letter: str = ""


@dataclass(frozen=True, slots=True)
class Front:
    """A drawing of cost and quality; `best` are the lettered settings as (letter, setting, quality, cost)."""

    title: str
    drawing: Markup
    best: tuple[tuple[str, str, str, str], ...]
    places: int


def front(study: Study, cost: str) -> tuple[Place, ...]:
    """The settings with this cost, by rising cost; those that no other beats in both have a letter."""
    found = []
    for labels, places in split(study, study.factors).items():
        cells = [(cell.cost.get(cost), study.main(cell)) for cell in places.values()]
        seeds = tuple((spent, score.value) for spent, score in cells if spent is not None and score is not None)
        if seeds:
            found.append(Place(labels, fmean(spent for spent, _ in seeds), fmean(value for _, value in seeds), seeds))
    sign = -1 if study.less_is_better else 1
    found.sort(key=lambda place: (place.cost, -sign * place.quality))
    names = iter([*ascii_uppercase, *(f"{first}{second}" for first in ascii_uppercase for second in ascii_uppercase)])
    return tuple(replace(place, letter=next(names, "*")) if not _beaten(place, found, sign) else place for place in found)


def _beaten(place: Place, others: Sequence[Place], sign: int) -> bool:
    """Whether another setting is as cheap and as good, and better in one of the two."""
    return any(
        other.cost <= place.cost
        and sign * other.quality >= sign * place.quality
        and (other.cost < place.cost or other.quality != place.quality)
        for other in others
    )


def panels(study: Study) -> tuple[Front, ...]:
    """A drawing for each cost that at least two settings have; the price only without the time, of which it is a multiple."""
    found = {cost: places for cost in COSTS if len(places := front(study, cost)) > 1}
    return tuple(_drawn(study, cost, places) for cost, places in found.items() if cost != "price" or "wall_seconds" not in found)


def _drawn(study: Study, cost: str, places: Sequence[Place]) -> Front:
    currency = currency_of(study)
    seeds = [seed for place in places for seed in place.seeds]
    across, upwards = amounts([spent for spent, _ in seeds]), around([value for _, value in seeds])

    def at(spent: float, value: float) -> tuple[float, float]:
        return across.at(spent), upwards.at(value)

    best = [place for place in places if place.letter]
    letters = _letters([(place.letter, at(place.cost, place.quality)) for place in best])
    parts = [path("curve first", [at(place.cost, place.quality) for place in best])]
    parts += [point("seed", at(*seed), setting(study, place.labels)) for place in places for seed in place.seeds if len(place.seeds) > 1]
    for place in places:
        told = f"{setting(study, place.labels)}: {decimal(place.quality)} for {costs(cost, place.cost, currency=currency)}"
        parts.append(
            point("dot" if place.letter else "dot beaten", at(place.cost, place.quality), told, letter=letters.get(place.letter, ""))
        )
    rows = tuple((p.letter, setting(study, p.labels), decimal(p.quality), costs(cost, p.cost, currency=currency)) for p in best)
    described = f"{metric(study)} by {COSTS[cost].lower()}: " + "; ".join(f"{name} {value} for {spent}" for _, name, value, spent in rows)
    title = f"{COSTS[cost]}, {currency}" if cost == "price" else COSTS[cost]
    return Front(title, plane(across, upwards, described, *parts), rows, len(places))


def _letters(places: Sequence[tuple[str, tuple[float, float]]]) -> dict[str, str]:
    """What stands beside each lettered place: letters of places too near to one another stand together, at the first of them."""
    found: dict[str, str] = {}
    first, held = "", (-1.0, -1.0)
    for letter, (x, y) in places:
        if first and x - held[0] < 0.05 and abs(y - held[1]) < 0.09:
            found[first] += f" {letter}"
        else:
            first, held = letter, (x, y)
            found[first] = letter
    return found


def currency_of(study: Study) -> str:
    """The currency that the cells' costs are stated in."""
    cells = study.document.get("cells")
    for cell in cells if isinstance(cells, list) else ():
        named = part(part({"cell": cell}, "cell"), "cost").get("currency")
        if isinstance(named, str) and named:
            return named
    return ""
