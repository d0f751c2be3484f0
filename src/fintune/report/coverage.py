"""The curve of risk and coverage: how many of the labels that stand are wrong, when the least certain ones are left to a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from fintune.report.curves import ticks
from fintune.report.figures import number, part, score, whole
from fintune.report.svg import element, line, picture, polyline, share, stretched, text

HEIGHT = 260
_STEPS = 5


def points(report: Mapping[str, Any]) -> tuple[tuple[float, float], ...]:
    """(coverage, error) by rising coverage; those without figures are left out."""
    listed = part(report, "selective").get("points")
    found = []
    for entry in listed if isinstance(listed, list) else ():
        coverage, error = (number(part({"point": entry}, "point").get(name)) for name in ("coverage", "error"))
        if coverage is not None and error is not None:
            found.append((coverage, error))
    return tuple(sorted(found))


def diagram(report: Mapping[str, Any]) -> Markup | None:
    """Error upwards, coverage to the right; None where there are not two points."""
    found = points(report)
    if len(found) < 2:
        return None
    scale = ticks(0.0, max(1.0, *(100 * error for _, error in found)))
    top = scale[-1] / 100
    parts = []
    for value in scale:
        height = share(1 - value / scale[-1])
        parts.append(line("grid", ("0%", height), ("100%", height)))
        parts.append(element("text", {"class": "tick", "x": -8, "y": height, "dy": 4, "text-anchor": "end"}, f"{value:g}"))
    for step in range(_STEPS + 1):
        at = step / _STEPS
        anchor = "start" if step == 0 else "end" if step == _STEPS else "middle"
        parts.append(text("tick", (share(at), HEIGHT + 18), anchor, f"{100 * at:.0f}"))
    parts.append(stretched(polyline("curve first", [(coverage, 1 - error / top) for coverage, error in found])))
    chosen = [found[int(step * (len(found) - 1) / _STEPS)] for step in range(_STEPS + 1)]
    described = "; ".join(f"of the most certain {100 * coverage:.0f} %, {100 * error:.1f} % are wrong" for coverage, error in chosen)
    return picture("chart", HEIGHT, f"errors by coverage: {described}", *parts)


def sentences(report: Mapping[str, Any]) -> list[str]:
    """What the run's threshold did, and what the score is on texts unlike the training data; empty where neither was asked for."""
    found, abstention, clean = [], part(report, "abstention"), part(report, "clean")
    stand, review, precision = whole(abstention.get("stand")), whole(abstention.get("review")), score(abstention, "precision")
    if stand is not None and review is not None and precision is not None:
        wanted = number(abstention.get("wanted_precision"))
        aim = f" (wanted: {100 * wanted:.1f} %)" if wanted is not None else ""
        right = f"{100 * precision.value:.1f} % of them right{aim}" if stand else "none of them certain enough"
        found.append(f"{stand:,} of {stand + review:,} labels stand, {right}; {review:,} wait in review.jsonl.")
    left, accuracy = whole(clean.get("left_out")), score(part(clean, "metrics"), "accuracy")
    if left is not None and accuracy is not None:
        found.append(f"{left:,} texts are near duplicates of training texts; without them, {100 * accuracy.value:.1f} of 100 are right.")
    return found
