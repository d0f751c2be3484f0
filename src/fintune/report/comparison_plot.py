"""Drawings of differences: an interval around zero, what was won and lost, and the scores of several seeds, as inline SVG.

Colours come from classes of the page's stylesheet, and every figure stands in words beside its drawing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from fintune.report.comparison_words import between, signed
from fintune.report.figures import counted, decimal
from fintune.report.svg import element, line, picture, share, text

_HEIGHT = 24


def reach(entries: Iterable[Mapping[str, Any]]) -> float:
    """The end of a scale around zero that holds all intervals: 1, 2 or 5 times a power of ten, at most 1, as no scores differ by more."""
    most = max((abs(float(entry[key])) for entry in entries for key in ("value", "low", "high")), default=0.0)
    if most <= 0 or most > 1:
        return 0.01 if most <= 0 else 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= most * (1 - 1e-9))


def _place(value: float, scale: float) -> str:
    return share(0.5 + value / (2 * scale))


def axis(scale: float) -> Markup:
    """The scale from minus to plus `scale`."""
    anchors = {-1.0: "start", 0.0: "middle", 1.0: "end"}
    marks = [text("tick", (_place(at * scale, scale), 12), anchor, _tick(at * scale)) for at, anchor in anchors.items()]
    return picture("axis", 16, f"scale from {_tick(-scale)} to {_tick(scale)}", *marks)


def _tick(value: float) -> str:
    return f"{value:+.3g}".replace("-", "−") if value else "0"


def delta(entry: Mapping[str, Any], verdict: str, scale: float) -> Markup:
    """One row: the difference as a dot on its interval, and zero as an upright line."""
    value, low, high = (float(entry[key]) for key in ("value", "low", "high"))
    grid = [line("grid", (_place(at * scale, scale), -30), (_place(at * scale, scale), 60)) for at in (-1.0, -0.5, 0.5, 1.0)]
    middle = _HEIGHT // 2
    parts = [*grid, line("zero", ("50%", -30), ("50%", 60))]
    parts.append(line(f"whisker {verdict}", (_place(low, scale), middle), (_place(high, scale), middle)))
    parts += [line(f"whisker {verdict}", (_place(end, scale), middle - 4), (_place(end, scale), middle + 4)) for end in (low, high)]
    parts.append(element("circle", {"class": f"dot {verdict}", "cx": _place(value, scale), "cy": middle, "r": 4}))
    return picture("delta", _HEIGHT, f"difference {signed(value)}, interval {between(entry)}", *parts)


def balance(wins: int, ties: int, losses: int) -> Markup:
    """What was won, what was alike and what was lost, as one bar."""
    parts, begin, total = [], 0.0, max(1, wins + ties + losses)
    for kind, count in (("won", wins), ("alike", ties), ("lost", losses)):
        width = count / total
        parts.append(element("rect", {"class": kind, "x": share(begin), "y": 3, "width": share(width), "height": 9}))
        begin += width
    described = f"{counted(wins, 'example')} won, {ties:,} alike, {losses:,} lost"
    return picture("balance", 15, described, *parts)


def seeds(runs: Sequence[float], mean: float, scale: tuple[float, float]) -> Markup:
    """The score of each run as a dot, their mean as an upright line, on a scale from one score to another."""
    low, high = scale
    width = (high - low) or 1.0
    parts = [line("base", ("0%", 10), ("100%", 10)), line("mean", (share((mean - low) / width), 2), (share((mean - low) / width), 18))]
    parts += [element("circle", {"class": "dot", "cx": share((run - low) / width), "cy": 10, "r": 4}) for run in runs]
    return picture("seeds", 20, f"runs {', '.join(decimal(run) for run in runs)}, mean {decimal(mean)}", *parts)
