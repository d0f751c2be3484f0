"""One example of an answer in the error browser: question and text, the gold answer and the one given, and how the two differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fintune.metrics.answers import verdict
from fintune.records import Answer, Example, Prediction
from fintune.report.entry import Entry, Line, marked, written
from fintune.report.highlight import Mark
from fintune.report.wording import VERDICTS

GOLD, GIVEN = "gold answer", "answer given"
_NOTHING = "no answer"


def judge(example: Example, prediction: Prediction, labels: Sequence[str]) -> Entry:
    """Question, text with the places of the answers where they have one, gold answer and answer given."""
    del labels
    given = None if prediction.status == "malformed" else prediction.answer
    golds = () if example.answer is None else (example.answer.text,)
    found = "unreadable" if prediction.status == "malformed" else verdict(given.text if given else None, golds)
    marks = [*_place(example.text, example.answer, GOLD), *_place(example.text, given, GIVEN)]
    raw, cut = written(prediction, expected=given.text if given else "")
    return Entry(
        example=example,
        prediction=prediction,
        errors=int(found != "right"),
        counts=() if found == "right" else (VERDICTS[found],),
        lines=(
            Line("Question", words=example.question or ""),
            marked("Text", example.text, marks, around=marks),
            Line("Gold", words=_said(example.answer)),
            Line("Answered", words=_said(given) if prediction.status != "malformed" else "nothing that could be read"),
        ),
        labels=(GOLD, GIVEN),
        raw=raw,
        cut=cut,
    )


def _said(answer: Answer | None) -> str:
    return _NOTHING if answer is None else answer.text


def _place(text: str, answer: Answer | None, label: str) -> Iterator[Mark]:
    """The mark of an answer that stands in the text."""
    if answer is not None and answer.start is not None and answer.text and text.startswith(answer.text, answer.start):
        yield Mark(answer.start, answer.start + len(answer.text), label)
