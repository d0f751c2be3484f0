"""One example on which two systems differ, as lines: the gold, and what each of the two said, marked where it is wrong.

The lines are those of the error browser (`entry`), drawn by the page and by the terminal alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from fintune.records import Answer, Example, Prediction
from fintune.report import browser_answers, browser_labels, browser_several
from fintune.report.browser_spans import mistakes
from fintune.report.entry import Line, marked
from fintune.report.figures import counted, decimal
from fintune.report.highlight import Mark

GOLD = "Gold"
_SAID = 2
"""Of the lines of a label or of several, which tells what was predicted: text and gold come before."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """An example with what two systems said of it; `better` is the one that has so many `points` more.

    Points are errors not made in spans, and 0 to 1 in labels and answers.
    """

    first: str
    second: str
    better: str
    points: float
    example: Example
    outputs: tuple[Prediction, Prediction]

    @property
    def names(self) -> tuple[str, str]:
        """The two systems."""
        return self.first, self.second


@dataclass(frozen=True, slots=True)
class Shown:
    """What a page shows of a disagreement: a sentence, the lines, and the labels on them, for their colours."""

    of: Disagreement
    words: str
    lines: tuple[Line, ...]
    labels: tuple[str, ...]


def shown(found: Disagreement, labels: Sequence[str]) -> Shown:
    """The lines of one example, whatever its kind; `labels` are those of the task, in order."""
    if found.example.spans is not None:
        lines, seen = _spans(found)
        return Shown(found, _fewer(found), lines, seen)
    if found.example.question is not None:
        lines, seen = _answers(found)
        return Shown(found, _much(found), lines, seen)
    several = found.example.labels is not None
    entries = [(browser_several if several else browser_labels).judge(found.example, output, labels) for output in found.outputs]
    said = [replace(entry.lines[_SAID], name=name) for entry, name in zip(entries, found.names, strict=True)]
    return Shown(
        found,
        _fewer(found) if several else _much(found),
        (*entries[0].lines[:_SAID], *said),
        tuple(label for entry in entries for label in entry.labels),
    )


def _fewer(found: Disagreement) -> str:
    errors = counted(round(found.points), "error") if found.points.is_integer() else f"{found.points:.3g} errors"
    return f"{errors} fewer by {found.better}"


def _much(found: Disagreement) -> str:
    return f"{found.better} is right, the other wrong" if found.points == 1 else f"{found.better} is better by {decimal(found.points)}"


def _spans(found: Disagreement) -> tuple[tuple[Line, ...], tuple[str, ...]]:
    """The text three times: with the gold spans, in which nothing is wrong, and with those of each system."""
    gold = [Mark(span.start, span.end, span.label, "correct") for span in sorted(found.example.spans or ())]
    marks, wrong = list[list[Mark]](), list[Mark]()
    for output in found.outputs:
        known, given, _ = mistakes(found.example, output)
        marks.append(given)
        wrong += [mark for mark in (*known, *given) if mark.verdict != "correct"]
    lines = [
        marked(name, found.example.text, shown_marks, around=wrong)
        for name, shown_marks in zip((GOLD, *found.names), (gold, *marks), strict=True)
    ]
    for at, output in enumerate(found.outputs, start=1):
        if output.status == "malformed":
            lines[at] = Line(lines[at].name, words="nothing that could be read")
    return tuple(lines), tuple(mark.label for mark in (*gold, *(mark for given in marks for mark in given)))


def _answers(found: Disagreement) -> tuple[tuple[Line, ...], tuple[str, ...]]:
    """Question, text with the places of all answers, the gold answer and those given."""
    entries = [browser_answers.judge(found.example, output, ()) for output in found.outputs]
    answers = [found.example.answer, *(None if output.status == "malformed" else output.answer for output in found.outputs)]
    names = (browser_answers.GOLD, *found.names)
    marks = [mark for answer, name in zip(answers, names, strict=True) for mark in _place(found.example.text, answer, name)]
    question, _, gold, _ = entries[0].lines
    said = [replace(entry.lines[-1], name=name) for entry, name in zip(entries, found.names, strict=True)]
    return (question, marked("Text", found.example.text, marks, around=marks), gold, *said), names


def _place(text: str, answer: Answer | None, label: str) -> Iterator[Mark]:
    """The mark of an answer that stands in the text; of overlapping ones each keeps its name."""
    if answer is not None and answer.start is not None and answer.text and text.startswith(answer.text, answer.start):
        yield Mark(answer.start, answer.start + len(answer.text), label, "correct")
