"""One example of the error browser, whatever its kind: lines of marked text, of labels or of plain words, and what the model wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fintune.records import Example, Prediction
from fintune.report.highlight import Mark, Passage, passages, windows

_LONGEST, _CONTEXT = 1_500, 240
_RAW = 2_000


@dataclass(frozen=True, slots=True)
class Line:
    """A named line of an entry: passages of the text with `left` characters after them, or labels with a figure each, or words."""

    name: str
    passages: tuple[Passage, ...] = ()
    left: int = 0
    labels: tuple[tuple[str, str], ...] = ()
    words: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What the page shows of one example.

    `errors` is how many there are and `counts` say of what kind, each with its number where there may be several. `marks` are all
    marks and labels, for their colours. `raw` is the beginning of what the model wrote, where that is worth seeing; `cut` says
    there is more of it.
    """

    example: Example
    prediction: Prediction
    errors: int
    counts: tuple[str, ...]
    lines: tuple[Line, ...]
    labels: tuple[str, ...]
    raw: str = ""
    cut: bool = False


def written(prediction: Prediction, *, expected: str) -> tuple[str, bool]:
    """What the model wrote and whether it goes on, empty where it is the text `expected`, read as it is."""
    raw = "" if prediction.status == "ok" and prediction.raw.strip() == expected.strip() else prediction.raw
    return raw[:_RAW], len(raw) > _RAW


def marked(name: str, text: str, marks: Sequence[Mark], *, around: Sequence[Mark]) -> Line:
    """A line of the text with marks; of a long text the parts around some of them."""
    places = windows(text, around, longest=_LONGEST, context=_CONTEXT)
    return Line(name, passages(text, marks, places), len(text) - (places[-1][1] if places else 0))
