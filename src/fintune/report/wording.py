"""The words of the report: what each score, floor and error class means, for a reader who is no specialist."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """A way of counting. Metric names are `prefix`, then `f1`, `precision` or `recall`."""

    prefix: str
    title: str
    meaning: str


RULES = (
    Rule("micro_", "Exact spans", "same characters and same type"),
    Rule("macro_", "Exact spans, mean of types", "every type counts alike, however rare"),
    Rule("surface_micro_", "Surfaces", "same words and type, once a text; the rule of published scores"),
    Rule("surface_macro_", "Surfaces, mean of types", "every type counts alike, however rare"),
    Rule("partial_micro_", "Overlap counts half", "same type; part of the characters earns half"),
    Rule("type_micro_", "Right type", "same type and at least one character in common"),
    Rule("boundary_micro_", "Right characters", "same characters, whatever the type"),
)

FLOORS = {"empty": "marking nothing", "gazetteer": "name list from training"}

VERDICTS = {
    "missed": "missed",
    "spurious": "spurious",
    "wrong_type": "wrong type",
    "wrong_boundary": "wrong boundary",
    "wrong_type_and_boundary": "wrong type and boundary",
}

ERRORS = {
    "missed": "in the text, not marked",
    "spurious": "marked, nothing there",
    "wrong_type": "right characters, other type",
    "wrong_boundary": "right type, other characters",
    "wrong_type_and_boundary": "overlaps, other type",
}


def floor_words(name: str) -> str:
    """What a floor does."""
    return FLOORS.get(name, name.replace("_", " "))


def metric_words(name: str) -> str:
    """A metric name for people."""
    for rule in RULES:
        measure = name.removeprefix(rule.prefix)
        if name.startswith(rule.prefix) and measure in ("f1", "precision", "recall"):
            return f"{'F1' if measure == 'f1' else measure.capitalize()}, {rule.title[0].lower()}{rule.title[1:]}"
    return name.replace("_", " ")
