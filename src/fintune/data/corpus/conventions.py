"""Conventions of annotation that a program can check: what stays outside a span, and values that agree with their surface.

`validate` runs them on every entry. They guard decisions that annotators would otherwise make one way or the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from fintune.data.corpus.source import SCHEMA, Entry, Mention

_APPROXIMATORS = re.compile(
    r"(?i)(about|around|roughly|nearly|almost|approximately|circa|some|at least|at most|up to|(?:more|less|fewer) than|over|under|"
    r"between|another|a further|etwa|rund|knapp|bis zu|mehr als|unos|unas|casi|más de|menos de|hasta|entre|environ|près de|"
    r"plus de|moins de|jusqu'à) |(约|近|超过|逾|至少|不到|高达)"
)
_CLOCK = re.compile(r"(?i)\d{1,2}([.:]\d\d)? ?[ap]\.?m\b|\d{1,2}:\d\d")
_VAGUE = {"now", "lunch", "lunchtime", "noon", "midday", "midnight", "ahora", "derzeit", "maintenant", "现在"}
_DETERMINER = re.compile(r"(?i)(the|a|an|its|our|his|her|their) ")
_PERCENT = re.compile(r"(?:%|\b(?:percent|per cent|pct|Prozent|por ciento)\b)")
_BASIS_POINTS = re.compile(r"\b(?:basis points?|bps?|Basispunkten?|puntos básicos|points de base)\b|(?<=\d)bps?\b|基点")
_SINGLE_NUMBER = re.compile(r"[^\d¼-¾⅐-⅞]*?(\d+(?:\.\d+|,\d{1,2})?)[^\d¼-¾⅐-⅞]*")  # neither 6½ nor 1,240
_FRACTION = re.compile(r"-?(\d+(?:\.\d+)?) fraction")
_PERIOD = re.compile(r"(\d{4})-\d\d-\d\d(?:/(\d{4})-\d\d-\d\d)?")
_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")


def extents(entry: Entry) -> Iterator[str]:
    """What stays outside: approximators of amounts, clock times and vague words for now, articles of places and anchors."""
    for mention in entry.mentions:
        surface = entry.text[mention.start : mention.end]
        if mention.label in ("Money", "Quantity") and _APPROXIMATORS.match(surface):
            yield f"the approximator of {surface!r} stays outside the span"
        if mention.label == "Date" and (_CLOCK.search(surface) or surface.lower() in _VAGUE):
            yield f"{surface!r} is a time of day or a vague word, not a Date"
        if mention.label in ("Location", *SCHEMA["anchors"]) and _DETERMINER.match(surface) and surface != "The Hague":
            yield f"the determiner of {surface!r} stays outside the span"


def anchors(entry: Entry) -> Iterator[str]:
    """An anchor is marked only as an end of a relation, and no relation stands twice."""
    ends = {index for relation in entry.relations for index in (relation.head, relation.tail)}
    for index, mention in enumerate(entry.mentions):
        if mention.label in SCHEMA["anchors"] and index not in ends:
            yield f"{mention.label} {entry.text[mention.start : mention.end]!r} is the end of no relation"
    if len(set(entry.relations)) < len(entry.relations):
        yield "a relation stands twice"


def values(entry: Entry) -> Iterator[str]:
    """Percentages and basis points equal their fraction, and a year in a date lies in its period."""
    for mention in entry.mentions:
        surface = entry.text[mention.start : mention.end]
        if mention.value is not None and (expected := _disagreement(mention, surface)):
            yield f"value {mention.value!r} of {surface!r} should be {expected}"


def _disagreement(mention: Mention, surface: str) -> str | None:
    """What the value should have been, or None where it agrees or cannot be compared."""
    value = mention.value or ""
    if mention.label == "Date" and (period := _PERIOD.fullmatch(value)):
        years = [int(year) for year in _YEAR.findall(surface)]
        first, last = int(period[1]), int(period[2] or period[1])
        return f"in {years[0]}" if years and not any(first <= year <= last for year in years) else None
    scale = 0.01 if _PERCENT.search(surface) else 0.0001 if _BASIS_POINTS.search(surface) else None
    number, fraction = _SINGLE_NUMBER.fullmatch(surface), _FRACTION.fullmatch(value)
    if mention.label != "Quantity" or scale is None or number is None or fraction is None:
        return None
    expected = float(number[1].replace(",", ".")) * scale
    return None if abs(float(fraction[1]) - expected) < 1e-9 else f"{expected:g} fraction"


PER_ENTRY = (extents, anchors, values)
