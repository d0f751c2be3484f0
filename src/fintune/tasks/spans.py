"""Extraction of labelled spans: the model writes one dictionary of lists, `{'Company': ['Acme'], 'Date': None}`.

The target is the papers' Python literal: all labels in the task's order, lists sorted and without repetition, None for
none. Reading accepts it as JSON too, and finds the characters of each surface; what the text does not have stays visible
in the raw text and counts as wrong. Data with a label outside the set is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from fintune.errors import DataError, did_you_mean, nearest
from fintune.metrics.floors import EMPTY
from fintune.metrics.intervals import Bootstrap
from fintune.metrics.report import build
from fintune.metrics.spans import Pairs, SpanPair, normalise
from fintune.records import Example, Kind, Prediction, Span
from fintune.tasks.base import Definition, Floor, Message
from fintune.text.align import Occurrences, align
from fintune.text.literals import LiteralError, parse_lists

_NO_FLOORS: Mapping[str, Floor] = MappingProxyType({})
_THINKING, _THOUGHT = "<think>", "</think>"
# A surface may hold a brace, so that the first closing brace need not be the last; no answer has more than a few.
_CLOSING_BRACES = 16


@dataclass(frozen=True, slots=True)
class SpansTask:
    """Spans of a label set. `meanings` belong to `labels` one by one.

    `occurrences` says which places a written surface stands for; lists cannot tell two mentions of one name apart.
    """

    name: str
    labels: tuple[str, ...]
    meanings: tuple[str, ...]
    description: str
    instruction: str
    occurrences: Occurrences = "all"

    @property
    def kind(self) -> Kind:
        """Always `spans`."""
        return "spans"

    def describe(self) -> dict[str, Any]:
        """Everything that determines prompt, target and score, as plain JSON; labels as a list, since their order counts."""
        return {
            "name": self.name,
            "kind": self.kind,
            "description": self.description,
            "instruction": self.instruction,
            "labels": [{"name": label, "meaning": meaning} for label, meaning in zip(self.labels, self.meanings, strict=True)],
            "occurrences": self.occurrences,
        }

    def messages(self, example: Example) -> list[Message]:
        """One user turn: the instruction, and the text on the next line."""
        return [{"role": "user", "content": f"{self.instruction}\n{example.text}"}]

    def target(self, example: Example) -> str:
        """The dictionary of the gold surfaces, unaligned ones included.

        Raises:
            DataError: without gold spans, or with a label outside the set.
        """
        lists: dict[str, dict[str, str]] = {label: {} for label in self.labels}
        spans = self._gold(example)
        pairs = {(span.label, example.text[span.start : span.end]) for span in spans} | set(example.unaligned)
        for label, surface in sorted(pairs):
            lists[label].setdefault(normalise(surface), surface)
        return repr({label: sorted(surfaces.values()) or None for label, surfaces in lists.items()})

    def parse(self, raw: str, example: Example) -> Prediction:
        """Reads a dictionary of lists and finds its surfaces in the text. Never raises.

        `ok` is a dictionary of exactly the task's labels, after a thinking block if there is one. `repaired` had text
        around it, lacked a label, wrote one in another case, or had an unknown one, which is dropped. All else is
        `malformed` and has no spans. Surfaces without a place in the text are not in `spans`; `pair` finds them again.
        """
        try:
            written, notes = _read(raw)
        except LiteralError as error:
            return Prediction(example.id, example.text, spans=(), raw=raw, status="malformed", reason=str(error))
        lists, remarks = self._known(written)
        notes += remarks
        spans, _ = align(example.text, lists, occurrences=self.occurrences)
        status: Literal["ok", "repaired"] = "repaired" if notes else "ok"
        return Prediction(example.id, example.text, spans=spans, raw=raw, status=status, reason="; ".join(notes))

    def pair(self, example: Example, prediction: Prediction) -> SpanPair:
        """Gold and prediction side by side, checked; a malformed prediction has nothing.

        Raises:
            DataError: where the two are not about the same text, spans lie outside it, or a label is outside the set.
        """
        gold = self._gold(example)
        if (prediction.id, prediction.text) != (example.id, example.text):
            fix = "score predictions against the examples they were made for"
            raise DataError(f"prediction {prediction.id!r} is not about example {example.id!r}", where=example.where, fix=fix)
        if prediction.status == "malformed":
            return SpanPair(example.text, gold, (), example.unaligned)
        if prediction.spans is None:
            raise DataError(f"prediction {prediction.id!r} has no spans", why="it is of another kind", fix="write [] for none")
        self._require(prediction.spans, text=example.text, where=f"prediction {prediction.id!r}")
        return SpanPair(example.text, gold, prediction.spans, example.unaligned, self._unaligned(prediction))

    def score(
        self,
        pairs: Sequence[tuple[Example, Prediction]],
        *,
        documents: Sequence[str],
        floors: Mapping[str, Floor] = _NO_FLOORS,
        plan: Bootstrap = Bootstrap(),
    ) -> dict[str, Any]:
        """The `report.json` object, as `metrics.report` describes it; the floor `empty` is always there.

        Args:
            pairs: examples with their predictions, in any order.
            documents: the document of each pair (`tasks.base.documents_of`); intervals resample documents, not examples.
            floors: further floors by name, such as `{"gazetteer": floors.learn(training_examples)}`.
            plan: how to resample.

        Raises:
            DataError: as `pair`, and without examples.
        """
        judged = [self.pair(example, prediction) for example, prediction in pairs]
        return build(
            judged,
            task=self.name,
            labels=self.labels,
            clusters=documents,
            malformed=sum(prediction.status == "malformed" for _, prediction in pairs),
            floors={name: self._floor(floor, judged) for name, floor in {"empty": EMPTY, **floors}.items()},
            plan=plan,
        )

    def _gold(self, example: Example) -> tuple[Span, ...]:
        if example.spans is None:
            raise DataError(f"example {example.id!r} has no spans", where=example.where, why="the task needs span annotation")
        where = example.where or f"example {example.id!r}"
        self._require(example.spans, text=example.text, where=where)
        self._require_labels((label for label, _ in example.unaligned), where=where)
        return example.spans

    def _require(self, spans: Sequence[Span], *, text: str, where: str) -> None:
        self._require_labels((span.label for span in spans), where=where)
        for span in spans:
            if not 0 <= span.start < span.end <= len(text):
                why = f"the text has {len(text)} characters, and a span at least one"
                raise DataError(f"span [{span.start}, {span.end}) of {span.label!r}", where=where, why=why)

    def _require_labels(self, labels: Iterable[str], *, where: str) -> None:
        for label in labels:
            if label not in self.labels:
                close = nearest(label, self.labels, alike=0.65)
                fix = f"{did_you_mean(label, self.labels)} Then --rename {label}={close or 'LABEL'}"
                raise DataError(f"unknown label {label!r}", where=where, why=f"not a label of task {self.name!r}", fix=fix)

    def _known(self, written: Mapping[str, Sequence[str]]) -> tuple[dict[str, list[str]], list[str]]:
        """The lists by label of the task, without repetition and blank surfaces; and what had to be mended."""
        folded = {label.casefold(): label for label in self.labels}
        lists: dict[str, dict[str, str]] = {}
        notes = []
        for key, surfaces in written.items():
            label = folded.get(key.strip().casefold())
            if label != key:
                notes.append(
                    f"label {key!r} read as {label!r}" if label else f"unknown label {key!r} dropped with {len(surfaces)} surfaces"
                )
            if label:
                unique = lists.setdefault(label, {})
                for surface in filter(str.strip, surfaces):
                    unique.setdefault(normalise(surface), surface)
        if missing := [label for label in self.labels if label not in lists]:
            notes.append(f"without {', '.join(missing)}")
        return {label: list(unique.values()) for label, unique in lists.items()}, notes

    def _unaligned(self, prediction: Prediction) -> Pairs:
        """Surfaces the model wrote that have no place in the text, read again from the raw text; none without it."""
        try:
            written, _ = _read(prediction.raw)
        except LiteralError:  # spans of a head that writes no dictionary
            return ()
        return align(prediction.text, self._known(written)[0], occurrences=self.occurrences)[1]

    def _floor(self, floor: Floor, pairs: Iterable[SpanPair]) -> list[SpanPair]:
        found = [SpanPair(pair.text, pair.gold, floor.find(pair.text), pair.gold_unaligned) for pair in pairs]
        for pair in found:
            self._require(pair.predicted, text=pair.text, where="floor")
        return found


def from_definition(definition: Definition) -> SpansTask:
    """The task of a task file."""
    return SpansTask(
        name=definition.name,
        labels=tuple(definition.labels),
        meanings=tuple(definition.labels.values()),
        description=definition.description,
        instruction=definition.instruction,
    )


def _read(raw: str) -> tuple[dict[str, list[str]], list[str]]:
    """The dictionary in a model's text, and what had to be mended to read it.

    Raises:
        LiteralError: where there is none; its reason is that of the first reading.
    """
    body = raw.strip()
    try:
        return parse_lists(body), []
    except LiteralError as error:
        # Looked for after the first reading, as a surface may hold the mark. Some templates open the block in the prompt.
        if _THOUGHT not in body:
            if body.startswith(_THINKING):
                raise LiteralError("thinking that never ends", 0) from error
            return _within(body, error)
    answer = body.partition(_THOUGHT)[2].strip()
    try:
        return parse_lists(answer), []
    except LiteralError as error:
        return _within(answer, error)


def _within(body: str, error: LiteralError) -> tuple[dict[str, list[str]], list[str]]:
    """The first dictionary that other text surrounds."""
    start = body.find("{")
    end = start
    for _ in range(_CLOSING_BRACES if start >= 0 else 0):
        end = body.find("}", end) + 1
        if not end:
            break
        try:
            return parse_lists(body[start:end]), ["text around the dictionary"]
        except LiteralError:
            continue  # a brace inside a surface
    raise error
