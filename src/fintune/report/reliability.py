"""The reliability diagram: for each bin of confidence, how much was right; on the diagonal a model can be taken at its word."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from fintune.report.figures import Score, decimal, number, part, score, whole
from fintune.report.svg import element, line, picture, share, text

HEIGHT = 260


@dataclass(frozen=True, slots=True)
class Bin:
    """Predictions of about one confidence: its mean, the share that is right with its interval, and how many there are."""

    confidence: float
    accuracy: Score
    count: int | None


def bins(report: Mapping[str, Any]) -> tuple[Bin, ...]:
    """The bins of the report by rising confidence; those without figures are left out."""
    listed = part(report, "calibration").get("bins")
    found = []
    for entry in listed if isinstance(listed, list) else ():
        confidence, accuracy = number(part({"bin": entry}, "bin").get("confidence")), score(entry, "accuracy")
        if confidence is not None and accuracy is not None:
            found.append(Bin(confidence, accuracy, whole(entry.get("count"))))
    return tuple(sorted(found, key=lambda one: one.confidence))


def words(report: Mapping[str, Any]) -> str:
    """What the calibration error is, and what chance alone makes of so few examples; "" without either."""
    measured, expected = score(part(report, "metrics"), "ece"), number(part(report, "calibration").get("expected"))
    if measured is None or expected is None:
        return ""
    return (
        f"The calibration error is {decimal(measured.value)}; if every confidence were true, chance would make it about "
        f"{decimal(expected)} on so many examples."
    )


def diagram(report: Mapping[str, Any]) -> Markup | None:
    """The bins as dots with their intervals, on one scale for both directions; None where there are none."""
    found = bins(report)
    if not found:
        return None
    least = min(value for one in found for value in (one.confidence, one.accuracy.value, one.accuracy.low or one.accuracy.value))
    low = 0.5 if least >= 0.5 else 0.0

    def at(value: float) -> float:
        return (value - low) / (1 - low)

    ticks = [round(low + step * (1 - low) / 5, 12) for step in range(6)]
    parts = []
    for tick in ticks:
        parts.append(line("grid", ("0%", share(1 - at(tick))), ("100%", share(1 - at(tick)))))
        parts.append(element("text", {"class": "tick", "x": -8, "y": share(1 - at(tick)), "dy": 4, "text-anchor": "end"}, f"{tick:g}"))
        anchor = "start" if tick == ticks[0] else "end" if tick == ticks[-1] else "middle"
        parts.append(text("tick", (share(at(tick)), HEIGHT + 18), anchor, f"{tick:g}"))
    parts.append(line("kept", ("0%", "100%"), ("100%", "0%")))
    parts += [piece for one in found for piece in _dot(one, at)]
    described = "; ".join(f"confidence {decimal(one.confidence)}, right {decimal(one.accuracy.value)}" for one in found)
    return picture("chart", HEIGHT, f"reliability: {described}", *parts)


def _dot(one: Bin, at: Callable[[float], float]) -> list[Markup]:
    place, value = share(at(one.confidence)), one.accuracy
    parts = []
    if value.low is not None and value.high is not None:
        parts.append(line("whisker", (place, share(1 - at(value.low))), (place, share(1 - at(value.high)))))
    told = f"{one.count if one.count is not None else 'some'} at {decimal(one.confidence)}, {decimal(value.value)} right"
    return [*parts, element("circle", {"class": "dot", "cx": place, "cy": share(1 - at(value.value)), "r": 4}, element("title", {}, told))]
