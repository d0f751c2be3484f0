"""Extraction of labelled spans: the model writes one dictionary of lists, `{'Company': ['Acme'], 'Date': None}`.

The target is the papers' Python literal, or JSON: all labels in the task's order, lists sorted and without repetition, None
for none; compact JSON leaves out blanks and labels of which there is nothing. Reading accepts all three, and finds the
characters of each surface; what the text does not have stays visible in the raw text and counts as wrong. Data with a label
outside the set is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from fintune.errors import ArtifactError, DataError, did_you_mean, nearest
from fintune.metrics.floors import EMPTY, Gazetteer, from_record, learn
from fintune.metrics.intervals import Bootstrap
from fintune.metrics.report import build
from fintune.metrics.spans import Pairs, SpanPair, normalise
from fintune.records import Example, Kind, Message, Prediction, Purpose, Span
from fintune.tasks.base import Definition, Floor
from fintune.tasks.prompts import Prompting
from fintune.tasks.surfaces import read, write
from fintune.tasks.texts import asked, described, require_about
from fintune.text.align import Occurrences, align
from fintune.text.literals import LiteralError

_NO_FLOORS: Mapping[str, Floor] = MappingProxyType({})
_REMARKS = 8  # of a repaired prediction; the raw text has the rest


@dataclass(frozen=True, slots=True)
class SpansTask:
    """Spans of a label set. `meanings` belong to `labels` one by one.

    `occurrences` says which places a written surface stands for; lists cannot tell two mentions of one name apart.
    """

    name: str
    labels: tuple[str, ...]
    meanings: tuple[str, ...]
    description: str
    prompting: Prompting
    occurrences: Occurrences = "all"

    @property
    def kind(self) -> Kind:
        """Always `spans`."""
        return "spans"

    @property
    def numbers(self) -> Mapping[str, str]:
        """None: spans are labelled by name."""
        return {}

    @property
    def shares(self) -> Mapping[str, float]:
        """Nothing: only single labels have usual shares."""
        return {}

    @property
    def main_metric(self) -> str:
        """Micro F1 of (label, surface) sets, by which the papers score."""
        return "surface_micro_f1"

    def describe(self) -> dict[str, Any]:
        """Everything that determines prompt, target and score, as plain JSON; labels as a list, since their order counts."""
        return {
            **described(self),
            "occurrences": self.occurrences,
            "prompt": self.prompting.describe(),
        }

    def messages(self, example: Example, *, purpose: Purpose, demonstrations: Sequence[Example] = ()) -> list[Message]:
        """The conversation up to where the dictionary begins; by default one turn, the instruction and the text below it.

        Raises:
            DataError: for a demonstration that `target` refuses.
        """
        return asked(self, example, purpose=purpose, demonstrations=demonstrations)

    def require_gold(self, example: Example) -> None:
        """Refuses an example that cannot be learnt from or scored.

        Raises:
            DataError: without gold spans, with a label outside the set, or a span outside the text.
        """
        self._gold(example)

    def target(self, example: Example) -> str:
        """The dictionary of the gold surfaces, unaligned ones included, in the notation that `prompt.target` names.

        Raises:
            DataError: without gold spans, or with a label outside the set.
        """
        lists: dict[str, dict[str, str]] = {label: {} for label in self.labels}
        spans = self._gold(example)
        pairs = {(span.label, example.text[span.start : span.end]) for span in spans} | set(example.unaligned)
        for label, surface in sorted(pairs):
            lists[label].setdefault(normalise(surface), surface)
        return write({label: sorted(surfaces.values()) for label, surfaces in lists.items()}, self.prompting.settings.target)

    def parse(self, raw: str, example: Example) -> Prediction:
        """Reads a dictionary of lists in any notation and finds its surfaces in the text. Never raises.

        `ok` is a dictionary of the task's labels after a thinking block if there is one; none may be missing unless the task
        writes compact targets. `repaired` needed one of the repairs of `text.lenient`, lacked a label, wrote one in another
        case, repeated a surface, or had an unknown label, which is dropped. All else, labels of the task nowhere included, is
        `malformed` and has no spans. Surfaces without a place in the text are not in `spans`; `pair` finds them again.
        """
        try:
            lists, notes = read(raw, self.labels, self.prompting.settings.target)
        except LiteralError as error:
            return Prediction(example.id, example.text, spans=(), raw=raw, status="malformed", reason=str(error))
        spans, _ = align(example.text, lists, occurrences=self.occurrences)
        more = [f"and {len(notes) - _REMARKS} more"] if len(notes) > _REMARKS else []
        status: Literal["ok", "repaired"] = "repaired" if notes else "ok"
        return Prediction(example.id, example.text, spans=spans, raw=raw, status=status, reason="; ".join(notes[:_REMARKS] + more))

    def pair(self, example: Example, prediction: Prediction) -> SpanPair:
        """Gold and prediction side by side, checked; a malformed prediction has nothing.

        Raises:
            DataError: where the two are not about the same text, spans lie outside it, or a label is outside the set.
        """
        gold = self._gold(example)
        require_about(example, prediction)
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

    def learn_floors(self, examples: Sequence[Example]) -> dict[str, Gazetteer]:
        """The gazetteer of training examples.

        Raises:
            DataError: where one has no spans.
        """
        return {"gazetteer": learn(examples)}

    def read_floors(self, record: object, *, where: str) -> dict[str, Gazetteer]:
        """The gazetteer from the records that a run keeps, by name.

        Raises:
            ArtifactError: where it is not there or something else; `where` names the file.
        """
        if not isinstance(record, dict) or "gazetteer" not in record:
            raise ArtifactError("floors without a gazetteer", where=where, fix="evaluate with the file that the training run wrote")
        return {"gazetteer": from_record(record["gazetteer"], where=where)}

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

    def _unaligned(self, prediction: Prediction) -> Pairs:
        """Surfaces the model wrote that have no place in the text, read again from the raw text; none without it."""
        try:
            lists, _ = read(prediction.raw, self.labels, self.prompting.settings.target)
        except LiteralError:  # spans of a head that writes no dictionary
            return ()
        return align(prediction.text, lists, occurrences=self.occurrences)[1]

    def _floor(self, floor: Floor, pairs: Iterable[SpanPair]) -> list[SpanPair]:
        found = [SpanPair(pair.text, pair.gold, floor.find(pair.text), pair.gold_unaligned) for pair in pairs]
        for pair in found:
            self._require(pair.predicted, text=pair.text, where="floor")
        return found


def from_definition(definition: Definition, prompting: Prompting) -> SpansTask:
    """The task of a task file, asked as the recipe's prompt settings say."""
    return SpansTask(
        name=definition.name,
        labels=tuple(definition.labels),
        meanings=tuple(definition.labels.values()),
        description=definition.description,
        prompting=prompting,
    )
