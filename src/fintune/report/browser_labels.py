"""One example of a label in the error browser: the text, its gold label, and the labels that the model thought most likely."""

from __future__ import annotations

from collections.abc import Sequence

from fintune.records import Example, Prediction
from fintune.report.entry import Entry, Line, marked, written
from fintune.report.figures import decimal
from fintune.report.wording import VERDICTS

_MOST = 3


def judge(example: Example, prediction: Prediction, labels: Sequence[str]) -> Entry:
    """Text, gold, and what was predicted; a malformed prediction has no label."""
    label = None if prediction.status == "malformed" else prediction.label
    verdict = "" if label == example.label else "unreadable" if label is None else "wrong_label"
    guesses = _likeliest(prediction, labels) or (((label, ""),) if label is not None else ())
    raw, cut = written(prediction, expected=label or "")
    gold = ((example.label, ""),) if example.label is not None else ()
    predicted = Line("Predicted", labels=guesses) if guesses else Line("Predicted", words="nothing that could be read")
    return Entry(
        example=example,
        prediction=prediction,
        errors=int(bool(verdict)),
        counts=(VERDICTS[verdict],) if verdict else (),
        lines=(marked("Text", example.text, (), around=()), Line("Gold", labels=gold), predicted),
        labels=tuple(name for name, _ in (*gold, *guesses)),
        raw=raw,
        cut=cut,
    )


def _likeliest(prediction: Prediction, labels: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The labels with the highest probabilities, the predicted one first; nothing where they are not those of these labels."""
    if prediction.label is None or prediction.probabilities is None or len(prediction.probabilities) != len(labels):
        return ()
    ranked = sorted(zip(labels, prediction.probabilities, strict=True), key=lambda item: (item[0] != prediction.label, -item[1]))
    return tuple((label, decimal(probability)) for label, probability in ranked[:_MOST])
