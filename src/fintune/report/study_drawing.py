"""The drawings of a study page, of the primitives of `svg`: rows of seeds with their mean on one scale, and planes of two scales.

Everything a drawing shows stands in a table beside it or in its description; nothing is told by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from fintune.report.curves import ticks
from fintune.report.figures import Reference, Score, decimal, scaled
from fintune.report.study_contrast import BySeed
from fintune.report.svg import element, line, picture, polyline, share, stretched, text

HEIGHT, ROW = 260, 28
_LETTERS = 14
# From this ratio on, amounts are laid out by their logarithm.
WIDE = 20


@dataclass(frozen=True, slots=True)
class Scale:
    """A direction of a drawing from `low` to `high`; `marks` are (place, lettering)."""

    low: float
    high: float
    marks: tuple[tuple[float, str], ...]
    log: bool = False

    def at(self, value: float) -> float:
        """The place of a value as a share of the way."""
        low, high, place = (math.log(one) for one in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        return (place - low) / (high - low)


def linear(values: Iterable[float], *, most: int = 4) -> Scale:
    """A scale between round numbers around the values, of which there is one at least."""
    known = list(values)
    marks = ticks(min(known), max(known), most=most)
    return Scale(marks[0], marks[-1], tuple((mark, f"{mark:g}".replace("-", "−")) for mark in marks))


def around(values: Sequence[float], others: Iterable[float] = ()) -> Scale:
    """A scale around the values and such of the others, intervals and references, as lie no further off than the values lie apart."""
    low, high = min(values), max(values)
    room = max(high - low, 0.01)
    return linear([*values, *(one for one in others if low - room <= one <= high + room)])


def logarithmic(values: Iterable[float]) -> Scale:
    """The same for positive values, by their logarithm."""
    known = list(values)
    powers = range(math.floor(math.log10(min(known))) - 1, math.ceil(math.log10(max(known))) + 2)
    steps = [float(f"{factor}e{power}") for power in powers for factor in (1, 2, 5)]
    start = max(step for step in steps if step <= min(known) * (1 + 1e-9))
    end = min(step for step in steps if step >= max(known) * (1 - 1e-9) and step > start)
    inside = [step for step in steps if start <= step <= end]
    marks = inside[:: math.ceil(len(inside) / 6)]
    return Scale(start, end, tuple((mark, _amount(mark)) for mark in marks), log=True)


def _amount(value: float) -> str:
    return scaled(value, "").strip() if abs(value) >= 100_000 else f"{value:,g}"


def amounts(values: Sequence[float]) -> Scale:
    """By the logarithm where the values are positive and far apart."""
    if min(values) > 0 and max(values) >= WIDE * min(values):
        return logarithmic(values)
    even = linear(values)
    return replace(even, marks=tuple((mark, _amount(mark)) for mark, _ in even.marks))


def named(names: Sequence[str]) -> Scale:
    """Names side by side, at 0, 1, 2 and so on."""
    short = [name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…" for name in names]
    return Scale(-0.5, len(names) - 0.5, tuple((float(at), name) for at, name in enumerate(short)))


def header(scale: Scale, *, apart: float) -> Markup:
    """The lettering above a column of rows: of its marks 0, where it is one, and others at least so far apart, as a share."""
    places = [scale.at(at) for at, _ in scale.marks]
    stride = math.ceil(apart / (places[1] - places[0]) - 1e-9)
    origin = next((number for number, (at, _) in enumerate(scale.marks) if at == 0), 0) % stride
    chosen = [(place, name) for place, (_, name) in zip(places, scale.marks, strict=True)][origin::stride]
    marks = [text("tick", (share(place), 12), _anchor(place), name) for place, name in chosen]
    return picture("axis", 16, f"scale from {scale.marks[0][1]} to {scale.marks[-1][1]}", *marks)


def _anchor(place: float) -> str:
    return "start" if place < 0.02 else "end" if place > 0.98 else "middle"


def row(
    scale: Scale,
    seeds: BySeed,
    score: Score | None,
    *,
    wide: tuple[float, float] | None = None,
    references: Mapping[str, Reference] | None = None,
) -> Markup:
    """Seeds as small dots above; their mean as a dot on its interval below, and under it a wider interval where there is one."""
    parts = [line("zero" if at == 0 else "grid", (share(scale.at(at)), -30), (share(scale.at(at)), 60)) for at, _ in scale.marks]
    for name, of in (references or {}).items():
        place, title = share(scale.at(of.score.value)), element("title", {}, f"{name} {decimal(of.score.value)}")
        parts.append(line(of.kind, (place, 4), (place, ROW - 4), title))
    for name, value in seeds:
        title = element("title", {}, f"{f'seed {name}: ' if name else ''}{value:.4f}")
        parts.append(element("circle", {"class": "seed", "cx": share(scale.at(value)), "cy": 8, "r": 3}, title))
    if wide:
        parts.append(line("wide", (share(scale.at(wide[0])), 25), (share(scale.at(wide[1])), 25)))
    if score:
        parts += _mean(scale, score)
    described = "; ".join([*(f"{name or 'score'} {value:.4f}" for name, value in seeds), *([f"mean {score.value:.4f}"] if score else [])])
    return picture("row", ROW, described or "nothing to draw", *parts)


def _mean(scale: Scale, score: Score) -> list[Markup]:
    parts, middle = [], 18
    if score.low is not None and score.high is not None:
        low, high = share(scale.at(score.low)), share(scale.at(score.high))
        parts = [line("whisker", (low, middle), (high, middle))]
        inside = [end for end in (score.low, score.high) if 0 <= scale.at(end) <= 1]  # what goes on beyond the scale has no cap
        parts += [line("whisker", (share(scale.at(end)), middle - 3), (share(scale.at(end)), middle + 3)) for end in inside]
    return [*parts, element("circle", {"class": "dot", "cx": share(scale.at(score.value)), "cy": middle, "r": 4})]


def plane(across: Scale, upwards: Scale, described: str, *parts: str) -> Markup:
    """A drawing of two scales with a grid; the parts are placed by `point`, `bar` and `path`."""
    grid: list[Markup] = []
    for at, name in upwards.marks:
        height = share(1 - upwards.at(at))
        grid.append(line("grid", ("0%", height), ("100%", height)))
        grid.append(element("text", {"class": "tick", "x": -8, "y": height, "dy": 4, "text-anchor": "end"}, name))
    for at, name in across.marks:
        grid.append(text("tick", (share(across.at(at)), HEIGHT + 18), "middle", name))
    return picture("chart", HEIGHT, described, *grid, *parts)


def point(kind: str, place: tuple[float, float], told: str, *, letter: str = "") -> Markup:
    """A dot at shares from the left and from below, with what it tells on pointing at it and a letter beside it."""
    x, y = share(place[0]), share(1 - place[1])
    radius = 3 if kind == "seed" else 5
    dot = element("circle", {"class": kind, "cx": x, "cy": y, "r": radius}, element("title", {}, told))
    if not letter:
        return dot
    side = {"dx": -9, "text-anchor": "end"} if place[0] > 0.95 else {"dx": 9, "text-anchor": "start"}
    return dot + element("text", {"class": "note", "x": x, "y": y, "dy": -6, **side}, letter)


def bar(kind: str, across: float, ends: tuple[float, float]) -> Markup:
    """An upright interval."""
    return line(kind, (share(across), share(1 - ends[0])), (share(across), share(1 - ends[1])))


def path(kind: str, places: Sequence[tuple[float, float]]) -> Markup:
    """A line through shares from the left and from below."""
    return stretched(polyline(kind, [(x, 1 - y) for x, y in places]))
