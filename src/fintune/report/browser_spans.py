"""One example of spans in the error browser: every span of gold and prediction marked `correct` or with its error class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fintune.metrics.mistakes import CLASSES, assign
from fintune.metrics.spans import SpanPair
from fintune.records import Example, Prediction
from fintune.report.entry import Entry, marked, written
from fintune.report.highlight import Mark
from fintune.report.wording import VERDICTS


def mistakes(example: Example, prediction: Prediction) -> tuple[list[Mark], list[Mark], Counter[str]]:
    """Marks of gold and prediction, and the errors as the report counts them; a malformed prediction has no spans."""
    guesses = () if prediction.status == "malformed" else prediction.spans or ()
    gold, predicted, errors = list[Mark](), list[Mark](), Counter[str]()
    for verdict, span, guess in assign(SpanPair(example.text, example.spans or (), guesses)):
        if span is not None:
            gold.append(Mark(span.start, span.end, span.label, verdict))
        if guess is not None:
            predicted.append(Mark(guess.start, guess.end, guess.label, verdict, guess.confidence))
        if verdict != "correct":
            errors[verdict] += 1
    return sorted(gold), sorted(predicted), errors


def judge(example: Example, prediction: Prediction, labels: Sequence[str]) -> Entry:
    """The text twice, with the gold spans and with the predicted ones."""
    del labels
    gold, predicted, errors = mistakes(example, prediction)
    wrong = [mark for mark in (*gold, *predicted) if mark.verdict != "correct"]
    raw, cut = ("", False) if prediction.status == "ok" else written(prediction, expected="")
    return Entry(
        example=example,
        prediction=prediction,
        errors=errors.total(),
        counts=tuple(f"{errors[name]} {VERDICTS[name]}" for name in CLASSES if errors[name]),
        lines=(marked("Gold", example.text, gold, around=wrong), marked("Predicted", example.text, predicted, around=wrong)),
        labels=tuple(mark.label for mark in (*gold, *predicted)),
        raw=raw,
        cut=cut,
    )
