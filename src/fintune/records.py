"""The values that pass between the rooms: examples in, predictions out, findings about either. Frozen, no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["label", "labels", "spans", "answer"]
"""What a prediction is. A task file with `multiple = true` makes `labels` of the kind `label` (decision 0013)."""
Alignment = Literal["exact", "normalised", "predicted"]
Severity = Literal["error", "warning", "info"]
Purpose = Literal["train", "predict"]
Message = dict[str, str]
"""One turn of a conversation: `role` and `content`."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A label on the characters `[start, end)` of a text, counted in Unicode code points.

    `text` is the surface. `alignment` says how the offsets came about: given with the annotation or found verbatim
    (`exact`), found after normalising blanks (`normalised`), or written by a model (`predicted`). `confidence` is the
    probability in [0, 1] that a model gave it, or None.
    """

    start: int
    end: int
    label: str
    text: str = field(compare=False, default="")
    alignment: Alignment = field(compare=False, default="exact")
    confidence: float | None = field(compare=False, default=None)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. An extractive one begins at character `start` of the context; a computed or free one has no `start`."""

    start: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Meta:
    """Provenance that splits, scores and graphs use. `published` is ISO 8601; `document` groups what was written together."""

    document: str | None = None
    published: str | None = None
    source: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """One text with its gold annotation.

    Exactly one of `spans`, `label`, `labels` and (`question` with `answer`) is used by a task, according to its kind; all are None
    in unlabelled text. `labels` are any number of different labels, () where none applies. An `answer` of None with a `question` says
    that the text does not answer it.
    `alternatives` are other answers that a score accepts as well as `answer`, which is the one to learn.
    `unaligned` holds the (label, surface) pairs of list annotations that occur nowhere in the text: they are still gold
    for the surface score, and reported. `reasoning` is the worked solution that leads to the answer, where a data set has
    one. `where` is `file:line`.
    """

    id: str
    text: str
    spans: tuple[Span, ...] | None = None
    label: str | None = None
    question: str | None = None
    answer: Answer | None = None
    alternatives: tuple[Answer, ...] = ()
    reasoning: str | None = None
    meta: Meta = Meta()
    unaligned: tuple[tuple[str, str], ...] = ()
    where: str = ""
    labels: tuple[str, ...] | None = None

    @property
    def golds(self) -> tuple[str, ...]:
        """The texts of all gold answers, the one to learn first; empty where there is no answer."""
        return () if self.answer is None else (self.answer.text, *(other.text for other in self.alternatives))


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model said about one example.

    `status`: `ok`, `repaired` or `malformed` (with `reason`); `raw` is the text a generative head wrote, else "".
    `confidence` is a probability in [0, 1] or None; `probabilities` are those of each label, in the order of the label set: of one
    label they add up to 1, of `labels`, which stand in that order too, each is by itself.
    """

    id: str
    text: str
    spans: tuple[Span, ...] | None = None
    label: str | None = None
    answer: Answer | None = None
    probabilities: tuple[float, ...] | None = None
    raw: str = ""
    status: Literal["ok", "repaired", "malformed"] = "ok"
    reason: str = ""
    confidence: float | None = None
    prompt_hash: str = ""
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A coded remark of `check` about data.

    `count` is how many examples it concerns, `examples` some of their ids, `where` the place of the first.
    """

    code: str
    severity: Severity
    message: str
    count: int
    examples: tuple[str, ...] = ()
    where: str = ""
    fix: str = ""

    def record(self) -> dict[str, Any]:
        """The finding as a JSON object."""
        return {
            "code": self.code, "severity": self.severity, "message": self.message, "count": self.count,
            "examples": list(self.examples), "where": self.where, "fix": self.fix,
        }  # fmt: skip
