"""The error browser: the examples with most mistakes, gold and prediction side by side with what is wrong.

Examples without gold, and predictions that belong to no example, cannot be judged; they are counted, never guessed at. How one
example is judged stands in `browser_spans`, `browser_labels`, `browser_several` and `browser_answers`.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fintune.records import Example, Prediction
from fintune.report import browser_answers, browser_labels, browser_several, browser_spans
from fintune.report.entry import Entry

LIMIT = 40
"""Examples shown."""

_JUDGES: Mapping[str, Callable[[Example, Prediction, Sequence[str]], Entry]] = {
    "spans": browser_spans.judge,
    "label": browser_labels.judge,
    "labels": browser_several.judge,
    "answer": browser_answers.judge,
}


@dataclass(frozen=True, slots=True)
class Browser:
    """The entries in order, how many examples were judged and have errors, and how many could not be judged."""

    entries: tuple[Entry, ...]
    judged: int
    faulty: int
    unpaired: int


def browse(examples: Sequence[Example], predictions: Sequence[Prediction], *, labels: Sequence[str] = (), limit: int = LIMIT) -> Browser:
    """The examples with most errors first; among equals, what could not be read, then those the model was surest of.

    Args:
        examples: with gold, or without.
        predictions: of the examples, in any order.
        labels: the label set in the order of the predictions' probabilities.
        limit: most entries.
    """
    judged = [_JUDGES[_kind(example)](example, prediction, labels) for example, prediction in paired(examples, predictions)]
    faulty = [entry for entry in judged if entry.errors]
    faulty.sort(key=lambda entry: (-entry.errors, entry.prediction.status != "malformed", -_confidence(entry.prediction)))
    unpaired = sum(_kind(example) != "" for example in examples) - len(judged)
    return Browser(tuple(faulty[:limit]), len(judged), len(faulty), unpaired)


def _confidence(prediction: Prediction) -> float:
    return -1.0 if prediction.confidence is None else prediction.confidence


def _kind(example: Example) -> str:
    """What kind of gold an example has; empty without any."""
    if example.spans is not None:
        return "spans"
    if example.question is not None:
        return "answer"
    return "label" if example.label is not None else "labels" if example.labels is not None else ""


def _fits(prediction: Prediction, kind: str) -> bool:
    """Whether a prediction is of a kind; a malformed one is of any, and no answer is an answer."""
    if prediction.status == "malformed":
        return True
    found = {"spans": prediction.spans is not None, "label": prediction.label is not None, "labels": prediction.labels is not None}
    return found[kind] if kind in found else not any(found.values())


def paired(examples: Sequence[Example], predictions: Sequence[Prediction]) -> Iterator[tuple[Example, Prediction]]:
    """Examples with gold and the next prediction of their id, of their kind and about the same text."""
    waiting: defaultdict[tuple[str, str], deque[Prediction]] = defaultdict(deque)
    for prediction in predictions:
        waiting[prediction.id, prediction.text].append(prediction)
    for example in examples:
        found, kind = waiting.get((example.id, example.text)), _kind(example)
        while kind and found:
            prediction = found.popleft()
            if _fits(prediction, kind):
                yield example, prediction
                break
