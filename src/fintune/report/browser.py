"""The error browser: the examples with most mistakes, gold and prediction marked in the text with what is wrong.

Examples without gold spans, and predictions that belong to no example, cannot be judged; they are counted, never guessed at.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fintune.metrics.mistakes import CLASSES, assign
from fintune.metrics.spans import SpanPair
from fintune.records import Example, Prediction
from fintune.report.highlight import Mark, Passage, passages, windows

LIMIT = 40
"""Examples shown."""
_LONGEST, _CONTEXT = 1_500, 240
_RAW = 2_000


@dataclass(frozen=True, slots=True)
class Judged:
    """An example with its prediction, every span marked `correct` or with its error class."""

    example: Example
    prediction: Prediction
    gold: tuple[Mark, ...]
    predicted: tuple[Mark, ...]
    errors: Counter[str]


@dataclass(frozen=True, slots=True)
class Entry:
    """What the page shows of one example. `raw` is the beginning of an output that could not be read; `cut` says there is more of it."""

    judged: Judged
    counts: tuple[tuple[str, int], ...]
    gold: tuple[Passage, ...]
    predicted: tuple[Passage, ...]
    left: int
    raw: str
    cut: bool


@dataclass(frozen=True, slots=True)
class Browser:
    """The entries in order, how many examples were judged and have errors, and how many could not be judged."""

    entries: tuple[Entry, ...]
    judged: int
    faulty: int
    unpaired: int


def browse(examples: Sequence[Example], predictions: Sequence[Prediction], *, limit: int = LIMIT) -> Browser:
    """The examples with most errors first; among equals, those the model was surest of."""
    judged = [judge(example, prediction) for example, prediction in paired(examples, predictions)]
    faulty = [item for item in judged if item.errors]
    faulty.sort(key=lambda item: (-item.errors.total(), -_confidence(item.prediction)))
    unpaired = sum(example.spans is not None for example in examples) - len(judged)
    return Browser(tuple(map(entry, faulty[:limit])), len(judged), len(faulty), unpaired)


def _confidence(prediction: Prediction) -> float:
    return -1.0 if prediction.confidence is None else prediction.confidence


def paired(examples: Sequence[Example], predictions: Sequence[Prediction]) -> Iterator[tuple[Example, Prediction]]:
    """Examples with gold spans and the next prediction of their id about the same text."""
    waiting: defaultdict[tuple[str, str], deque[Prediction]] = defaultdict(deque)
    for prediction in predictions:
        if prediction.spans is not None or prediction.status == "malformed":
            waiting[prediction.id, prediction.text].append(prediction)
    for example in examples:
        found = waiting.get((example.id, example.text))
        if example.spans is not None and found:
            yield example, found.popleft()


def judge(example: Example, prediction: Prediction) -> Judged:
    """Each span's verdict, as the error counts of the report have it; a malformed prediction has no spans."""
    guesses = () if prediction.status == "malformed" else prediction.spans or ()
    gold, predicted, errors = list[Mark](), list[Mark](), Counter[str]()
    for verdict, span, guess in assign(SpanPair(example.text, example.spans or (), guesses)):
        if span is not None:
            gold.append(Mark(span.start, span.end, span.label, verdict))
        if guess is not None:
            predicted.append(Mark(guess.start, guess.end, guess.label, verdict))
        if verdict != "correct":
            errors[verdict] += 1
    return Judged(example, prediction, tuple(sorted(gold)), tuple(sorted(predicted)), errors)


def entry(judged: Judged) -> Entry:
    """An example ready to be shown; of a long text the parts around its errors."""
    text, raw = judged.example.text, judged.prediction.raw if judged.prediction.status == "malformed" else ""
    wrong = [mark for mark in (*judged.gold, *judged.predicted) if mark.verdict != "correct"]
    places = windows(text, wrong, longest=_LONGEST, context=_CONTEXT)
    return Entry(
        judged=judged,
        counts=tuple((name, judged.errors[name]) for name in CLASSES if judged.errors[name]),
        gold=passages(text, judged.gold, places),
        predicted=passages(text, judged.predicted, places),
        left=len(text) - (places[-1][1] if places else 0),
        raw=raw[:_RAW],
        cut=len(raw) > _RAW,
    )
