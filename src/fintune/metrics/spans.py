"""Counting right and wrong spans under five matching rules, and the rates that follow from the counts. Needs numpy only.

Each rule turns every example once into integer counts `(examples, labels, 3)`: true positives, false positives, false
negatives. All that comes after (averages, resampling, comparison) is arithmetic on these arrays. Sets are compared: a
span or surface repeated within one example counts once. Labels outside the given set are refused, never dropped.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fintune.errors import DataError, did_you_mean
from fintune.records import Span

Rule = Literal["strict", "surface", "partial", "type", "boundary"]
Counts = NDArray[np.int64]
Rates = NDArray[np.float64]
Totals = NDArray[Any]
Measure = Callable[[Totals], Rates]
Pairs = tuple[tuple[str, str], ...]
# (label, true positives, false positives, false negatives), to be added up
Tally = tuple[str, int, int, int]


@dataclass(frozen=True, slots=True)
class SpanPair:
    """Gold and predicted spans of one text.

    Surfaces are read off `text`, so `Span.text` may be empty. The unaligned (label, surface) pairs have no place in the
    text. Under the rule `surface` they count like all others. Under the rules about characters a gold one is left out,
    as no system could place it, and a predicted one is a false positive unless the gold has the same.
    """

    text: str
    gold: tuple[Span, ...]
    predicted: tuple[Span, ...]
    gold_unaligned: Pairs = ()
    predicted_unaligned: Pairs = ()


def normalise(surface: str) -> str:
    """The surface with each run of blanks as one space and none at the ends; case is kept."""
    return " ".join(surface.split())


def surface_pairs(text: str, spans: Iterable[Span], unaligned: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """The unique (label, normalised surface) pairs of one annotation, in the text or not."""
    pairs = {(span.label, normalise(text[span.start : span.end])) for span in spans}
    return pairs | {(label, normalise(surface)) for label, surface in unaligned}


def overlaps(gold: Iterable[Span], predicted: Iterable[Span]) -> list[tuple[Span, Span]]:
    """Pairs overlapping spans one to one, whatever their labels.

    Predictions are taken by (start, end, label), and each gets the first gold span in that order which shares a
    character with it and is still free. Where neither side overlaps itself this finds as many pairs as can be had.
    """
    waiting, open_spans, found = sorted(gold, reverse=True), [], []
    for guess in sorted(predicted):
        while waiting and waiting[-1].start < guess.end:
            open_spans.append(waiting.pop())
        # Guesses come by rising start, so a gold span that has ended stays out of reach of all that follow.
        open_spans = [span for span in open_spans if span.end > guess.start]
        match = next((span for span in open_spans if max(span.start, guess.start) < min(span.end, guess.end)), None)
        if match is not None:
            open_spans.remove(match)
            found.append((match, guess))
    return found


def by_label(spans: Iterable[Span]) -> dict[str, list[Span]]:
    """The spans of each label, in their order."""
    groups: defaultdict[str, list[Span]] = defaultdict(list)
    for span in spans:
        groups[span.label].append(span)
    return groups


def same_boundaries(gold: Iterable[Span], predicted: Iterable[Span]) -> list[tuple[Span, Span]]:
    """Pairs spans on the same characters one to one, equal labels first, the rest in order of label."""
    gold, predicted = set(gold), set(predicted)
    places: defaultdict[tuple[int, int], list[Span]] = defaultdict(list)
    for span in sorted(gold - predicted):
        places[span.start, span.end].append(span)
    found = [(span, span) for span in sorted(gold & predicted)]
    for guess in sorted(predicted - gold):
        if free := places[guess.start, guess.end]:
            found.append((free.pop(0), guess))
    return found


def _matched(gold: set[Any], predicted: set[Any], label: Callable[[Any], str]) -> Iterator[Tally]:
    yield from ((label(item), 1, 0, 0) for item in gold & predicted)
    yield from ((label(item), 0, 1, 0) for item in predicted - gold)
    yield from ((label(item), 0, 0, 1) for item in gold - predicted)


def _strict(pair: SpanPair) -> Iterator[Tally]:
    yield from _matched(set(pair.gold), set(pair.predicted), lambda span: span.label)
    yield from _invented(pair, weight=1)


def _surface(pair: SpanPair) -> Iterator[Tally]:
    gold = surface_pairs(pair.text, pair.gold, pair.gold_unaligned)
    predicted = surface_pairs(pair.text, pair.predicted, pair.predicted_unaligned)
    yield from _matched(gold, predicted, lambda item: item[0])


def _boundary(pair: SpanPair) -> Iterator[Tally]:
    found = same_boundaries(pair.gold, pair.predicted)
    yield from ((span.label, 1, 0, 0) for span, _ in found)
    yield from ((span.label, 0, 1, 0) for span in set(pair.predicted) - {guess for _, guess in found})
    yield from ((span.label, 0, 0, 1) for span in set(pair.gold) - {span for span, _ in found})
    yield from _invented(pair, weight=1)


def _overlapping(pair: SpanPair, *, whole: int, touching: int) -> Iterator[Tally]:
    """Per label: equal spans are worth `whole`, pairs of `overlaps` among the rest `touching`, and lone spans cost `whole`."""
    gold, predicted = set(pair.gold), set(pair.predicted)
    equal = gold & predicted
    yield from ((span.label, whole, 0, 0) for span in equal)
    rest, guesses = by_label(gold - equal), by_label(predicted - equal)
    for label in rest.keys() | guesses.keys():
        spans, others = rest.get(label, []), guesses.get(label, [])
        worth = len(overlaps(spans, others)) * touching
        yield (label, worth, len(others) * whole - worth, len(spans) * whole - worth)
    yield from _invented(pair, weight=whole)


def _partial(pair: SpanPair) -> Iterator[Tally]:
    return _overlapping(pair, whole=2, touching=1)


def _type(pair: SpanPair) -> Iterator[Tally]:
    return _overlapping(pair, whole=1, touching=1)


def hallucinated(pair: SpanPair) -> list[tuple[str, str]]:
    """Predicted (label, surface) pairs, unique and normalised, that neither the text nor the gold has."""
    invented = surface_pairs(pair.text, (), pair.predicted_unaligned) - surface_pairs(pair.text, (), pair.gold_unaligned)
    return sorted(invented)


def _invented(pair: SpanPair, *, weight: int) -> Iterator[Tally]:
    yield from ((label, 0, weight, 0) for label, _ in hallucinated(pair))


RULES: dict[Rule, Callable[[SpanPair], Iterator[Tally]]] = {
    "strict": _strict,
    "surface": _surface,
    "partial": _partial,
    "type": _type,
    "boundary": _boundary,
}


def count(pairs: Sequence[SpanPair], *, labels: Sequence[str], rule: Rule) -> Counts:
    """Counts `(examples, labels, 3)` of true positives, false positives and false negatives.

    Rules:
        strict: same start, end and label.
        surface: same label and same whitespace-normalised, case-sensitive surface, as a set per example (the papers' rule).
        partial: same label; equal spans are worth one, overlapping ones a half (MUC). Counted in **half spans**, so that
            precision, recall and F1 come out of the same formulas.
        type: same label and at least one shared character (nervaluate's `ent_type` within a label).
        boundary: same start and end, any label; a match counts for the gold label.

    Raises:
        DataError: where a label is not among `labels`.
    """
    column = {label: index for index, label in enumerate(labels)}
    counts = np.zeros((len(pairs), len(labels), 3), dtype=np.int64)
    tally = RULES[rule]
    for row, pair in enumerate(pairs):
        for label, *amounts in tally(pair):
            if label not in column:
                raise DataError(f"unknown label {label!r}", why="not in the label set", fix=did_you_mean(label, labels))
            counts[row, column[label]] += amounts
    return counts


def _ratio(part: Totals, whole: Totals) -> Rates:
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)


def precision(totals: Totals) -> Rates:
    """Share of the predictions `(..., 3)` that are right; 0.0 where nothing was predicted."""
    return _ratio(totals[..., 0], totals[..., 0] + totals[..., 1])


def recall(totals: Totals) -> Rates:
    """Share of the gold `(..., 3)` that was found; 0.0 where there is no gold."""
    return _ratio(totals[..., 0], totals[..., 0] + totals[..., 2])


def f1(totals: Totals) -> Rates:
    """Harmonic mean of precision and recall of `(..., 3)`; 0.0 where neither gold nor predictions exist."""
    return _ratio(2 * totals[..., 0], 2 * totals[..., 0] + totals[..., 1] + totals[..., 2])


MEASURES: dict[str, Measure] = {"f1": f1, "precision": precision, "recall": recall}


def micro(measure: Measure, totals: Totals) -> Rates:
    """The measure of all labels together, from `(..., labels, 3)`."""
    return measure(totals.sum(axis=-2))


def macro(measure: Measure, totals: Totals) -> Rates:
    """The mean of the measure over the labels that have gold, from `(..., labels, 3)`; 0.0 where none has.

    A label that was only predicted, never annotated, is left out here and counted by `micro`. F1 is the mean of the
    labels' F1, not the F1 of mean precision and recall.
    """
    supported = totals[..., 0] + totals[..., 2] > 0
    return _ratio((measure(totals) * supported).sum(axis=-1), supported.sum(axis=-1))
