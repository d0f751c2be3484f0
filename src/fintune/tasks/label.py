"""One label for a text: the model writes its name, `positive`.

Reading accepts the name exactly, or mends case, blanks, marks around it and a sentence that names one label and denies nothing; all
else is malformed and counts as wrong. Class numbers in data mean something only where the task file numbers its labels:
`numbers` says what, and data are read with it as a renaming. `fintune show sentiment-3` prints a task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from fintune.errors import ArtifactError, DataError
from fintune.metrics import label_floors
from fintune.metrics.intervals import Bootstrap
from fintune.metrics.label_floors import LabelFloor
from fintune.metrics.label_report import build, judged
from fintune.metrics.spans import Rates
from fintune.records import Example, Kind, Message, Prediction, Purpose
from fintune.tasks.base import Definition, Floor
from fintune.tasks.label_names import require
from fintune.tasks.label_reading import Reader
from fintune.tasks.prompts import Prompting
from fintune.tasks.texts import asked, described, probabilities, require_about

_NO_FLOORS: Mapping[str, Floor] = MappingProxyType({})
# How far probabilities may be from adding up to one: they are written with few decimals by other systems.
_SLACK = 1e-3


@dataclass(frozen=True, slots=True)
class LabelTask:
    """One label of a set.

    `meanings` belong to `labels` one by one; `numbers` maps class numbers of data to labels, if there are any; `shares` are the
    fractions of the labels in usual data, if they are known.
    """

    name: str
    labels: tuple[str, ...]
    meanings: tuple[str, ...]
    description: str
    prompting: Prompting
    numbers: Mapping[str, str]
    shares: Mapping[str, float]
    _reader: Reader = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_reader", Reader(self.labels))

    @property
    def kind(self) -> Kind:
        """Always `label`."""
        return "label"

    @property
    def main_metric(self) -> str:
        """Share of right labels, by which the papers score."""
        return "accuracy"

    def describe(self) -> dict[str, Any]:
        """Everything that determines prompt, target and score, as plain JSON; labels as a list, since their order counts."""
        return {
            **described(self),
            "numbers": dict(self.numbers),
            "prompt": self.prompting.describe(),
        }

    def messages(self, example: Example, *, purpose: Purpose, demonstrations: Sequence[Example] = ()) -> list[Message]:
        """The conversation up to where the label begins; by default one turn, the instruction and the text below it.

        Raises:
            DataError: for a demonstration that `target` refuses.
        """
        return asked(self, example, purpose=purpose, demonstrations=demonstrations)

    def require_gold(self, example: Example) -> None:
        """Refuses an example that cannot be learnt from or scored.

        Raises:
            DataError: without a label, or with one outside the set.
        """
        self.target(example)

    def target(self, example: Example) -> str:
        """The gold label, as it is written.

        Raises:
            DataError: as `require_gold`.
        """
        where = example.where or f"example {example.id!r}"
        if example.label is None:
            raise DataError(f"example {example.id!r} has no label", where=where, why="the task needs one label for each text")
        self._require(example.label, where=where)
        return example.label

    def parse(self, raw: str, example: Example) -> Prediction:
        """Reads a label. Never raises.

        `ok` is the name of a label, with or without blanks around it, and after the reasoning where the recipe asks for some.
        `repaired` wrote it in another case, with other blanks or within marks, after thinking, on a line before other text, or
        in one sentence that names no other label. All else is `malformed` and has no label.
        """
        label, reason = self._reader.read(raw, reasons=self.prompting.settings.thinking == "reason")
        if label is None:
            return Prediction(example.id, example.text, raw=raw, status="malformed", reason=reason)
        return Prediction(example.id, example.text, label=label, raw=raw, status="repaired" if reason else "ok", reason=reason)

    def score(
        self,
        pairs: Sequence[tuple[Example, Prediction]],
        *,
        documents: Sequence[str],
        floors: Mapping[str, Floor] = _NO_FLOORS,
        plan: Bootstrap = Bootstrap(),
    ) -> dict[str, Any]:
        """The `report.json` object, as `metrics.label_report` describes it.

        Args:
            pairs: examples with their predictions, in any order.
            documents: the document of each pair (`tasks.base.documents_of`); intervals resample documents, not examples.
            floors: floors by name, see `learn_floors`.
            plan: how to resample.

        Raises:
            DataError: without examples, for labels outside the set, predictions that are not about their examples, or probabilities
                that are none.
        """
        gold = [self.target(example) for example, _ in pairs]
        given = [self._given(example, prediction) for example, prediction in pairs]
        found = {name: [floor.find(example.text) for example, _ in pairs] for name, floor in floors.items()}
        return build(
            judged(gold, given, labels=self.labels, probabilities=self._probabilities([prediction for _, prediction in pairs])),
            task=self.name,
            labels=self.labels,
            clusters=documents,
            floors={name: judged(gold, labels, labels=self.labels) for name, labels in found.items()},
            plan=plan,
        )

    def learn_floors(self, examples: Sequence[Example]) -> dict[str, LabelFloor]:
        """The floors `majority` and `words` of training examples.

        Raises:
            DataError: without examples, or where one has no label.
        """
        return label_floors.learn(examples)

    def read_floors(self, record: object, *, where: str) -> dict[str, LabelFloor]:
        """The floors from the records that a run keeps, by name.

        Raises:
            ArtifactError: where one is not there or something else; `where` names the file.
        """
        if not isinstance(record, dict) or not {*label_floors.NAMES} <= record.keys():
            raise ArtifactError("not the floors of labels", where=where, fix="evaluate with the file that the training run wrote")
        return {name: label_floors.from_record(record[name], where=where) for name in label_floors.NAMES}

    def _require(self, label: str, *, where: str) -> None:
        require(label, self.labels, numbers=self.numbers, task=self.name, where=where)

    def _given(self, example: Example, prediction: Prediction) -> str | None:
        """The label of a prediction, None where it could not be read."""
        require_about(example, prediction)
        if prediction.status == "malformed":
            return None
        if prediction.label is None:
            raise DataError(f"prediction {prediction.id!r} has no label", why="it is of another kind", fix='give its "label"')
        self._require(prediction.label, where=f"prediction {prediction.id!r}")
        return prediction.label

    def _probabilities(self, predictions: Sequence[Prediction]) -> Rates | None:
        """Those of the labels `(examples, labels)`, which add up to 1 for each text."""

        def valid(row: Sequence[float]) -> bool:
            return min(row) >= 0 and abs(sum(row) - 1) <= _SLACK

        return probabilities(predictions, labels=len(self.labels), valid=valid, wanted="that add up to 1")


def from_definition(definition: Definition, prompting: Prompting) -> LabelTask:
    """The task of a task file, asked as the recipe's prompt settings say."""
    labels = tuple(definition.labels)
    return LabelTask(
        name=definition.name,
        labels=labels,
        meanings=tuple(definition.labels.values()),
        description=definition.description,
        prompting=prompting,
        numbers=MappingProxyType(dict(zip(definition.numbers, labels, strict=False))),
        shares=MappingProxyType(dict(definition.shares)),
    )
