"""What kind of mistakes were made: five error classes and a confusion matrix of labels, from one assignment per example.

The assignment is greedy and one to one, in four rounds, each on what the rounds before left over: equal spans; the same
characters under another label (wrong type); overlap under the same label (wrong boundary); overlap under another label
(wrong type and boundary). What stays alone is missed or spurious. Within a round the order is that of `spans.overlaps`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fintune.metrics.spans import Counts, SpanPair, by_label, hallucinated, overlaps, same_boundaries
from fintune.records import Span

NONE = "none"
CLASSES = ("missed", "spurious", "wrong_type", "wrong_boundary", "wrong_type_and_boundary")


@dataclass(frozen=True, slots=True)
class Mistakes:
    """Error counts by class, and `confusion` `(labels + 1, labels + 1)`: gold rows, predicted columns, the last being none."""

    errors: dict[str, int]
    confusion: Counts


def assign(pair: SpanPair) -> Iterator[tuple[str, Span | None, Span | None]]:
    """Yields (`correct` or an error class, gold span, predicted span); unaligned pairs are left to `mistakes`."""
    gold, predicted = set(pair.gold), set(pair.predicted)
    found = same_boundaries(gold, predicted)
    yield from (("correct" if span == guess else "wrong_type", span, guess) for span, guess in found)
    gold, predicted = _left(gold, predicted, found)

    labelled, guesses = by_label(gold), by_label(predicted)
    found = [match for label in sorted(labelled) for match in overlaps(labelled[label], guesses.get(label, ()))]
    yield from (("wrong_boundary", span, guess) for span, guess in found)
    gold, predicted = _left(gold, predicted, found)

    found = overlaps(gold, predicted)
    yield from (("wrong_type_and_boundary", span, guess) for span, guess in found)
    gold, predicted = _left(gold, predicted, found)

    yield from (("missed", span, None) for span in sorted(gold))
    yield from (("spurious", None, guess) for guess in sorted(predicted))


def _left(gold: set[Span], predicted: set[Span], found: list[tuple[Span, Span]]) -> tuple[set[Span], set[Span]]:
    return gold - {span for span, _ in found}, predicted - {guess for _, guess in found}


def mistakes(pairs: Sequence[SpanPair], *, labels: Sequence[str]) -> Mistakes:
    """Sums the assignment over examples. Every label must be among `labels` (`spans.count` refuses others).

    A hallucinated surface is spurious; gold without a place in the text is left out, as no system could place it.
    """
    column = {label: index for index, label in enumerate(labels)}
    errors: Counter[str] = Counter()
    confusion = np.zeros((len(labels) + 1, len(labels) + 1), dtype=np.int64)
    for pair in pairs:
        for kind, span, guess in assign(pair):
            errors[kind] += 1
            confusion[column[span.label] if span else -1, column[guess.label] if guess else -1] += 1
        for label, _ in hallucinated(pair):
            errors["spurious"] += 1
            confusion[-1, column[label]] += 1
    return Mistakes(errors={name: errors[name] for name in CLASSES}, confusion=confusion)
