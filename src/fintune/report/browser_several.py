"""One example of several labels in the error browser: the text, its gold labels, and those given with their probabilities."""

from __future__ import annotations

from collections.abc import Sequence

from fintune.records import Example, Prediction
from fintune.report.entry import Entry, Line, marked, written
from fintune.report.figures import decimal
from fintune.report.wording import VERDICTS

_NONE = "no label"


def judge(example: Example, prediction: Prediction, labels: Sequence[str]) -> Entry:
    """Text, gold, what was given, and what is missing; a malformed prediction has no labels and is one error."""
    gold, given = example.labels or (), prediction.labels or ()
    unread = prediction.status == "malformed"
    missed, added = ([label for label in one if label not in other] for one, other in ((gold, given), (given, gold)))
    counts = [(VERDICTS["label_missed"], len(missed)), (VERDICTS["label_added"], len(added))]
    chances = dict(zip(labels, prediction.probabilities or (), strict=False)) if len(prediction.probabilities or ()) == len(labels) else {}
    raw, cut = written(prediction, expected="; ".join(given) or "none")
    return Entry(
        example=example,
        prediction=prediction,
        errors=1 if unread else len(missed) + len(added),
        counts=(VERDICTS["unreadable"],) if unread else tuple(f"{count} {words}" for words, count in counts if count),
        lines=(
            marked("Text", example.text, (), around=()),
            _line("Gold", gold, {}),
            Line("Predicted", words="nothing that could be read") if unread else _line("Predicted", given, chances),
            *([_line("Missed", missed, chances)] if missed and not unread else []),
        ),
        labels=tuple(dict.fromkeys((*gold, *given))),
        raw=raw,
        cut=cut,
    )


def _line(name: str, labels: Sequence[str], chances: dict[str, float]) -> Line:
    """Labels with their probabilities, where these are known."""
    if not labels:
        return Line(name, words=_NONE)
    return Line(name, labels=tuple((label, decimal(chances[label]) if label in chances else "") for label in labels))
