"""Small drawings as inline SVG: intervals, bars, the strip of the headline, and line charts.

Places along the width are percentages, so a drawing fills its cell and its lettering keeps its size. Colours come from
classes of the page's stylesheet; there is no `style` attribute, which the page's policy forbids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

from fintune.report.figures import Reference, Score, decimal
from fintune.report.visible import visible

GRID = (0.0, 0.25, 0.5, 0.75, 1.0)
# Share of the headline's width that a letter takes, where there is room for it.
_LETTER = 0.009


def element(name: str, attributes: Mapping[str, object], *children: str) -> Markup:
    """An element; attributes and children that are not markup are escaped."""
    listed = Markup("").join(Markup(' {}="{}"').format(Markup(key), visible(str(value))) for key, value in attributes.items())
    inner = Markup("").join(child if isinstance(child, Markup) else escape(visible(child)) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), listed, inner)


def share(value: float) -> str:
    """A share of the width, cut to 0 to 1."""
    return f"{100 * min(max(value, 0.0), 1.0):.2f}%"


def line(kind: str, start: tuple[str, object], end: tuple[str, object], *children: str) -> Markup:
    """A straight line of a class."""
    return element("line", {"class": kind, "x1": start[0], "y1": start[1], "x2": end[0], "y2": end[1]}, *children)


def text(kind: str, place: tuple[object, object], anchor: str, content: str) -> Markup:
    """Lettering of a class."""
    return element("text", {"class": kind, "x": place[0], "y": place[1], "text-anchor": anchor}, content)


def picture(kind: str, height: int, described: str, *children: str) -> Markup:
    """A drawing as wide as its place and `height` pixels high."""
    return element("svg", {"class": kind, "width": "100%", "height": height, "role": "img", "aria-label": described}, *children)


def axis() -> Markup:
    """The scale from 0 to 1 above a column of intervals."""
    marks = [text("tick", (share(at), 12), {0.0: "start", 1.0: "end"}.get(at, "middle"), f"{at:g}") for at in GRID]
    return picture("axis", 16, "scale from 0 to 1", *marks)


def _grid(top: int, bottom: int) -> list[Markup]:
    return [line("grid", (share(at), top), (share(at), bottom)) for at in GRID]


def _whisker(score: Score, middle: int, size: int) -> list[Markup]:
    """The interval as a line with caps, the value as a dot on it."""
    parts = []
    if score.low is not None and score.high is not None:
        low, high = share(score.low), share(score.high)
        parts = [line("whisker", (low, middle), (high, middle))]
        parts += [line("whisker", (end, middle - size), (end, middle + size)) for end in (low, high)]
    return [*parts, element("circle", {"class": "dot", "cx": share(score.value), "cy": middle, "r": size})]


def _spoken(score: Score) -> str:
    return decimal(score.value) + (f", interval {score.interval}" if score.interval else "")


def _told(references: Mapping[str, Reference]) -> list[str]:
    return [f"{of.kind} {name} {decimal(of.score.value)}" for name, of in references.items()]


def interval(score: Score, references: Mapping[str, Reference]) -> Markup:
    """One row: dot and whisker, and a short upright line for each floor and baseline."""
    described = "; ".join([_spoken(score), *_told(references)])
    ticks = [
        line(of.kind, (share(of.score.value), 5), (share(of.score.value), 19), element("title", {}, f"{name} {decimal(of.score.value)}"))
        for name, of in references.items()
    ]
    return picture("interval", 24, described, *_grid(-30, 60), *ticks, *_whisker(score, 12, 4))


def bar(value: float, score: Score | None = None) -> Markup:
    """A bar of a share of the width, with the interval on it where a score is given."""
    rects = [
        element("rect", {"class": kind, "x": 0, "y": 3, "width": share(width), "height": 5, "rx": 1})
        for kind, width in (("track", 1), ("fill", value))
    ]
    spread = _whisker(score, 5, 3)[:-1] if score else []
    return element("svg", {"class": "bar", "width": "100%", "height": 11, "aria-hidden": "true"}, *rects, *spread)


def strip(score: Score, references: Mapping[str, Reference]) -> Markup:
    """The headline: the score above the line, floors and baselines below it, each with its name."""
    described = "; ".join([f"score {_spoken(score)}", *_told(references)])
    parts = [line("base", ("0%", 30), ("100%", 30))]
    parts += [line("base", (share(at), 26), (share(at), 34)) for at in GRID]
    parts += [text("tick", (share(at), 18), {0.0: "start", 1.0: "end"}.get(at, "middle"), f"{at:g}") for at in GRID]
    names = []
    for row, (name, of, right) in enumerate(_flags(references)):
        place, bottom = of.score.value, 50 + 18 * row
        parts.append(line(of.kind, (share(place), 22), (share(place), bottom)))
        side = {"dx": 7, "text-anchor": "start"} if right else {"dx": -7, "text-anchor": "end"}
        names.append(element("text", {"class": "note", "x": share(place), "y": bottom, **side}, f"{name} {decimal(place)}"))
    return picture("strip", 40 + 18 * max(1, len(references)), described, *parts, *names, *_whisker(score, 30, 6))


def _flags(references: Mapping[str, Reference]) -> list[tuple[str, Reference, bool]]:
    """The references from the top, and whether their names stand to the right.

    Names to the left, of those too far right for their length, come first; then the rightmost first, so that no leader crosses
    the name of another.
    """
    sided = [(name, of, of.score.value + _LETTER * (len(name) + 6) < 1) for name, of in references.items()]
    return sorted(sided, key=lambda flag: (flag[2], -flag[1].score.value if flag[2] else flag[1].score.value))


def polyline(kind: str, points: Sequence[tuple[float, float]]) -> Markup:
    """A line through points given as shares of width and height, from the top left; its width does not stretch with it."""
    path = " ".join(f"{1000 * x:.1f},{1000 * y:.1f}" for x, y in points)
    return element("polyline", {"class": kind, "points": path, "vector-effect": "non-scaling-stroke"})


def stretched(*children: str) -> Markup:
    """A plane of 1000 x 1000 units pulled to the size of its drawing."""
    return element("svg", {"width": "100%", "height": "100%", "viewBox": "0 0 1000 1000", "preserveAspectRatio": "none"}, *children)
