"""The `report.json` object for spans: every score with its interval, errors, and the floors beside it.

    {"schema_version": 1, "task": str, "examples": int, "documents": int,
     "bootstrap": {"replicates": int, "seed": int, "level": float},
     "metrics": {NAME: {"value", "low", "high"}},
     "per_label": {LABEL: {"precision", "recall", "f1", "surface_f1": {"value", "low", "high"}, "support": int, "predicted": int}},
     "errors": {"missed", "spurious", "wrong_type", "wrong_boundary", "wrong_type_and_boundary": int},
     "confusion": {"labels": [..., "none"], "counts": [[int]]},      rows gold, columns predicted
     "malformed": {"count": int, "share": float}, "unaligned_gold": int, "unaligned_predicted": int,
     "floors": {FLOOR: {NAME: {"value", "low", "high"}}}}

NAME is `micro_` or `macro_` and `f1`, `precision` or `recall`, under a prefix for the matching rule (`spans.count`): none for
strict character spans, `surface_` for the papers' rule, and with micro alone `partial_`, `type_` and `boundary_`. All are
fractions; intervals are bootstrap percentiles over documents, so `value` need not lie in the middle. `support` and
`predicted` count unique character spans, hallucinated surfaces among the predicted. The floor `empty` is always there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fintune.metrics.intervals import Bootstrap, percentiles, resample
from fintune.metrics.mistakes import NONE, mistakes
from fintune.metrics.spans import MEASURES, Counts, Rates, Rule, SpanPair, count, f1, macro, micro

SCHEMA_VERSION = 1

# Prefix of the metric names, the rule they count by, and the ways of averaging that make sense under it.
_FAMILIES: tuple[tuple[str, Rule, tuple[str, ...]], ...] = (
    ("", "strict", ("micro", "macro")),
    ("surface_", "surface", ("micro", "macro")),
    ("partial_", "partial", ("micro",)),
    ("type_", "type", ("micro",)),
    ("boundary_", "boundary", ("micro",)),
)
_AVERAGES = {"micro": micro, "macro": macro}


@dataclass(frozen=True, slots=True)
class Graded:
    """Totals of one system under one rule: `actual` `(labels, 3)` and `replicates` `(replicates, labels, 3)`."""

    actual: Counts
    replicates: Rates


def grade(pairs: Sequence[SpanPair], *, labels: Sequence[str], clusters: Sequence[str], plan: Bootstrap) -> dict[Rule, Graded]:
    """Counts one system under every rule, and resamples all rules with the same weights."""
    rules = [rule for _, rule, _ in _FAMILIES]
    counts = np.stack([count(pairs, labels=labels, rule=rule) for rule in rules], axis=1)
    actual, replicates = counts.sum(axis=0), resample(counts, clusters, plan=plan)  # (rules, labels, 3), (replicates, rules, labels, 3)
    return {rule: Graded(actual=actual[index], replicates=replicates[:, index]) for index, rule in enumerate(rules)}


def metrics(graded: Mapping[Rule, Graded], *, level: float) -> dict[str, dict[str, float]]:
    """All averaged scores of a system, by name."""
    scores = {}
    for prefix, rule, averages in _FAMILIES:
        for average in averages:
            for name, measure in MEASURES.items():
                take = _AVERAGES[average]
                value, samples = take(measure, graded[rule].actual), take(measure, graded[rule].replicates)
                scores[f"{prefix}{average}_{name}"] = _entries(value[None], samples[:, None], level=level)[0]
    return scores


def per_label(graded: Mapping[Rule, Graded], *, labels: Sequence[str], level: float) -> dict[str, dict[str, Any]]:
    """Precision, recall and F1 of each label, with its numbers of gold and predicted spans."""
    strict, surface = graded["strict"], graded["surface"]
    columns = {name: _entries(measure(strict.actual), measure(strict.replicates), level=level) for name, measure in MEASURES.items()}
    columns["surface_f1"] = _entries(f1(surface.actual), f1(surface.replicates), level=level)
    rows: dict[str, dict[str, Any]] = {}
    for index, label in enumerate(labels):
        right, spurious, missed = (int(number) for number in strict.actual[index])
        rows[label] = {name: column[index] for name, column in columns.items()}
        rows[label] |= {"support": right + missed, "predicted": right + spurious}
    return rows


def _entries(values: Rates, samples: Rates, *, level: float) -> list[dict[str, float]]:
    """One {value, low, high} for each of `values` `(scores,)`, from `samples` `(replicates, scores)`."""
    low, high = percentiles(samples, level=level)
    rows = np.stack([values, low, high], axis=-1).tolist()
    return [{"value": value, "low": lower, "high": upper} for value, lower, upper in rows]


def build(
    pairs: Sequence[SpanPair],
    *,
    task: str,
    labels: Sequence[str],
    clusters: Sequence[str],
    malformed: int,
    floors: Mapping[str, Sequence[SpanPair]],
    plan: Bootstrap,
) -> dict[str, Any]:
    """The report of one system; `clusters` names each example's document, `floors` holds the floors' pairs by name.

    Raises:
        DataError: without examples, or for a label outside `labels`.
    """
    graded = grade(pairs, labels=labels, clusters=clusters, plan=plan)
    found = mistakes(pairs, labels=labels)
    return {
        "schema_version": SCHEMA_VERSION,
        "task": task,
        "examples": len(pairs),
        "documents": len(set(clusters)),
        "bootstrap": asdict(plan),
        "metrics": metrics(graded, level=plan.level),
        "per_label": per_label(graded, labels=labels, level=plan.level),
        "errors": found.errors,
        "confusion": {"labels": [*labels, NONE], "counts": found.confusion.tolist()},
        "malformed": {"count": malformed, "share": malformed / len(pairs)},
        "unaligned_gold": sum(len(pair.gold_unaligned) for pair in pairs),
        "unaligned_predicted": sum(len(pair.predicted_unaligned) for pair in pairs),
        "floors": {
            name: metrics(grade(guesses, labels=labels, clusters=clusters, plan=plan), level=plan.level) for name, guesses in floors.items()
        },
    }
