"""The learning curve from the records of `log.jsonl`: training loss, and validation scores, over optimizer steps.

Records without finite numbers are left out. Long runs are drawn as means of neighbouring steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from fintune.report.figures import number, part
from fintune.report.svg import element, line, picture, polyline, share, stretched, text
from fintune.report.wording import kind_of_metrics, kind_words, metric_words

Points = list[tuple[float, float]]

HEIGHT = 190
_POINTS = 240


@dataclass(frozen=True, slots=True)
class Panel:
    """A chart with its heading and the names of its lines, by their classes."""

    title: str
    drawing: Markup
    legend: tuple[tuple[str, str], ...]
    note: str = ""


def panels(log: Sequence[Mapping[str, Any]], *, kept_epoch: int | None) -> tuple[Panel, ...]:
    """The charts that the records allow: loss, validation, both or none."""
    loss = points((record.get("step"), record.get("loss")) for record in log if record.get("event") == "step")
    checks = [record for record in log if record.get("event") == "validation"]
    names = {name: None for record in checks for name in part(record, "metrics")}
    drawn = [name for name in kind_words(kind_of_metrics(names)).drawn if name in names] or list(names)[:1]
    curves = {name: points((r.get("step"), part(r, "metrics").get(name)) for r in checks) for name in drawn}
    curves = {name: curve for name, curve in curves.items() if curve}
    last = max((curve[-1][0] for curve in (loss, *curves.values()) if curve), default=1.0)
    found = [_loss(loss, last)] if loss else []
    if curves:
        kept = next((number(r.get("step")) for r in checks if r.get("epoch") == kept_epoch and kept_epoch is not None), None)
        found.append(_validation(curves, last, kept, kind_of_metrics(names)))
    return tuple(found)


def points(pairs: Iterable[tuple[object, object]]) -> Points:
    """The pairs of finite numbers, by rising first."""
    numbers = ((number(x), number(y)) for x, y in pairs)
    return sorted((x, y) for x, y in numbers if x is not None and y is not None)


def thinned(curve: Points, size: int) -> Points:
    """Means of `size` neighbours each."""
    groups = [curve[at : at + size] for at in range(0, len(curve), size)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def smoothed(curve: Points) -> Points:
    """A moving mean over about a tenth of the points, half of that at the ends."""
    reach = max(1, len(curve) // 20)
    means = []
    for at, (x, _) in enumerate(curve):
        near = curve[max(0, at - reach) : at + reach + 1]
        means.append((x, sum(y for _, y in near) / len(near)))
    return means


def ticks(low: float, high: float, *, most: int = 5) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`, about `most` of them."""
    span = max(high - low, abs(high) / 50, 1e-9)
    unit = 10 ** math.floor(math.log10(span / most))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10, 20) if span / (unit * factor) <= most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(at * step, 12) for at in range(first, max(last, first + 1) + 1)]


def _loss(curve: Points, last: float) -> Panel:
    size = math.ceil(len(curve) / _POINTS)
    curve = thinned(curve, size)
    scale = ticks(min(0.0, *(y for _, y in curve)), max(y for _, y in curve))
    lines = {"raw": curve, "smooth": smoothed(curve)} if len(curve) > 20 else {"smooth": curve}
    drawing = _chart("training loss over steps", lines, scale, last)
    points_are = "each step" if size == 1 else f"means of {size} steps"
    legend = (("raw", points_are), ("smooth", "moving mean")) if len(lines) > 1 else (("smooth", points_are),)
    return Panel("Training loss", drawing, legend)


def _validation(curves: Mapping[str, Points], last: float, kept: float | None, kind: str) -> Panel:
    values = [y for curve in curves.values() for _, y in curve]
    scale = ticks(min(values), max(values))
    kinds = dict(zip(curves, ("first", "second"), strict=False))
    drawing = _chart("validation score over steps", {kinds[name]: curve for name, curve in curves.items()}, scale, last, kept=kept)
    legend = tuple((kinds[name], metric_words(name, kind)) for name in curves)
    return Panel("Validation score", drawing, legend, "Dashed: the epoch whose weights were kept." if kept is not None else "")


def _chart(described: str, curves: Mapping[str, Points], scale: Sequence[float], last: float, *, kept: float | None = None) -> Markup:
    """Lines on a grid; the scale stands left of the drawing, the steps below it."""

    def place(x: float, y: float) -> tuple[float, float]:
        return x / last if last else 0.0, 1 - (y - scale[0]) / (scale[-1] - scale[0])

    parts = []
    for value in scale:
        height = share(place(0, value)[1])
        parts.append(line("grid", ("0%", height), ("100%", height)))
        parts.append(element("text", {"class": "tick", "x": -8, "y": height, "dy": 4, "text-anchor": "end"}, f"{value:g}"))
    parts += [text("tick", (share(at), HEIGHT + 18), anchor, f"{at * last:,.0f}") for at, anchor in ((0, "start"), (0.5, "middle"))]
    parts.append(text("tick", ("100%", HEIGHT + 18), "end", f"step {last:,.0f}"))
    if kept is not None:
        parts.append(line("kept", (share(place(kept, 0)[0]), 0), (share(place(kept, 0)[0]), HEIGHT)))
    placed = {kind: [place(x, y) for x, y in curve] for kind, curve in curves.items()}
    parts.append(stretched(*(polyline(f"curve {kind}", curve) for kind, curve in placed.items())))
    for kind, curve in placed.items():
        if kind in ("first", "second") or len(curve) == 1:
            parts += [element("circle", {"class": f"point {kind}", "cx": share(x), "cy": share(y), "r": 3}) for x, y in curve]
    return picture("chart", HEIGHT, described, *parts)
