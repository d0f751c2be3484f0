"""Any number of labels for a text, none included: the model writes their names, `mergers; results`, or `none`.

A task file of the kind `label` with `multiple = true`. Which labels are given is a decision on each; reading accepts them in the order
of the set, or mends order, case and separators; all else is malformed and counts as wrong. `tests/tasks/test_several_task.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from fintune.errors import ArtifactError, DataError
from fintune.metrics import several_floors
from fintune.metrics.intervals import Bootstrap
from fintune.metrics.label_floors import NAMES
from fintune.metrics.several_floors import SeveralFloor
from fintune.metrics.several_report import build, judged
from fintune.metrics.spans import Rates
from fintune.records import Example, Kind, Message, Prediction, Purpose
from fintune.tasks.base import Definition, Floor
from fintune.tasks.label_names import require
from fintune.tasks.prompts import Prompting
from fintune.tasks.several_reading import SeveralReader, require_names, write
from fintune.tasks.texts import asked, described, probabilities, require_about

_NO_FLOORS: Mapping[str, Floor] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class SeveralTask:
    """Any number of labels of a set.

    `meanings` belong to `labels` one by one; `numbers` maps class numbers of data to labels, if there are any.
    """

    name: str
    labels: tuple[str, ...]
    meanings: tuple[str, ...]
    description: str
    prompting: Prompting
    numbers: Mapping[str, str]
    _reader: SeveralReader = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_reader", SeveralReader(self.labels))

    @property
    def kind(self) -> Kind:
        """Always `labels`."""
        return "labels"

    @property
    def main_metric(self) -> str:
        """F1 of all labels given: unlike the share of texts with exactly their labels it counts what is nearly right."""
        return "micro_f1"

    @property
    def shares(self) -> Mapping[str, float]:
        """Nothing is known of them."""
        return {}

    def describe(self) -> dict[str, Any]:
        """Everything that determines prompt, target and score, as plain JSON; labels as a list, since their order counts."""
        return {
            **described(self),
            "numbers": dict(self.numbers),
            "prompt": self.prompting.describe(),
        }

    def messages(self, example: Example, *, purpose: Purpose, demonstrations: Sequence[Example] = ()) -> list[Message]:
        """The conversation up to where the labels begin; by default one turn, the instruction and the text below it.

        Raises:
            DataError: for a demonstration that `target` refuses.
        """
        return asked(self, example, purpose=purpose, demonstrations=demonstrations)

    def require_gold(self, example: Example) -> None:
        """Refuses an example that cannot be learnt from or scored.

        Raises:
            DataError: without labels, which an empty list has not, or with one outside the set.
        """
        self._gold(example)

    def target(self, example: Example) -> str:
        """The gold labels in the order of the set, as they are written.

        Raises:
            DataError: as `require_gold`.
        """
        return write(self._gold(example))

    def _gold(self, example: Example) -> tuple[str, ...]:
        where = example.where or f"example {example.id!r}"
        if example.labels is None:
            why, fix = "the task needs a list for each text", 'give "labels", [] where none applies'
            raise DataError(f"example {example.id!r} has no labels", where=where, why=why, fix=fix)
        return self._ordered(example.labels, where=where)

    def _ordered(self, names: Sequence[str], *, where: str) -> tuple[str, ...]:
        for name in names:
            require(name, self.labels, numbers=self.numbers, task=self.name, where=where)
        return tuple(label for label in self.labels if label in names)

    def parse(self, raw: str, example: Example) -> Prediction:
        """Reads labels. Never raises.

        `ok` is as `target` writes them, with or without blanks around, and after the reasoning where the recipe asks for some.
        `repaired` wrote them in another order, case or layout, or after thinking. All else is `malformed` and has no labels.
        """
        labels, reason = self._reader.read(raw, reasons=self.prompting.settings.thinking == "reason")
        if labels is None:
            return Prediction(example.id, example.text, raw=raw, status="malformed", reason=reason)
        return Prediction(example.id, example.text, labels=labels, raw=raw, status="repaired" if reason else "ok", reason=reason)

    def score(
        self,
        pairs: Sequence[tuple[Example, Prediction]],
        *,
        documents: Sequence[str],
        floors: Mapping[str, Floor] = _NO_FLOORS,
        plan: Bootstrap = Bootstrap(),
    ) -> dict[str, Any]:
        """The `report.json` object, as `metrics.several_report` describes it.

        Args:
            pairs: examples with their predictions, in any order.
            documents: the document of each pair (`tasks.base.documents_of`); intervals resample documents, not examples.
            floors: floors by name, see `learn_floors`.
            plan: how to resample.

        Raises:
            DataError: without examples, for labels outside the set, predictions that are not about their examples, or probabilities
                that are none.
        """
        gold = [self._gold(example) for example, _ in pairs]
        given = [self._given(example, prediction) for example, prediction in pairs]
        found = {name: [floor.find(example.text) for example, _ in pairs] for name, floor in floors.items()}
        return build(
            judged(gold, given, labels=self.labels, probabilities=self._probabilities([prediction for _, prediction in pairs])),
            task=self.name,
            labels=self.labels,
            clusters=documents,
            floors={name: judged(gold, sets, labels=self.labels) for name, sets in found.items()},
            plan=plan,
        )

    def learn_floors(self, examples: Sequence[Example]) -> dict[str, SeveralFloor]:
        """The floors `majority` and `words` of training examples.

        Raises:
            DataError: without examples, or where one has no labels.
        """
        return several_floors.learn(examples, labels=self.labels)

    def read_floors(self, record: object, *, where: str) -> dict[str, SeveralFloor]:
        """The floors from the records that a run keeps, by name.

        Raises:
            ArtifactError: where one is not there or something else; `where` names the file.
        """
        if not isinstance(record, dict) or not {*NAMES} <= record.keys():
            raise ArtifactError("not the floors of labels", where=where, fix="evaluate with the file that the training run wrote")
        return {name: several_floors.from_record(record[name], where=where) for name in NAMES}

    def _given(self, example: Example, prediction: Prediction) -> tuple[str, ...] | None:
        """The labels of a prediction, None where it could not be read."""
        require_about(example, prediction)
        if prediction.status == "malformed":
            return None
        if prediction.labels is None:
            fix = 'give its "labels", [] where none applies'
            raise DataError(f"prediction {prediction.id!r} has no labels", why="it is of another kind", fix=fix)
        return self._ordered(prediction.labels, where=f"prediction {prediction.id!r}")

    def _probabilities(self, predictions: Sequence[Prediction]) -> Rates | None:
        """Those of the labels `(examples, labels)`, each by itself."""

        def valid(row: Sequence[float]) -> bool:
            return min(row) >= 0 and max(row) <= 1

        return probabilities(predictions, labels=len(self.labels), valid=valid, wanted="from 0 to 1")


def from_definition(definition: Definition, prompting: Prompting) -> SeveralTask:
    """The task of a task file, asked as the recipe's prompt settings say.

    Raises:
        RecipeError: for labels whose names could not be told apart in a list.
    """
    labels = tuple(definition.labels)
    require_names(labels, where=definition.where)
    return SeveralTask(
        name=definition.name,
        labels=labels,
        meanings=tuple(definition.labels.values()),
        description=definition.description,
        prompting=prompting,
        numbers=MappingProxyType(dict(zip(definition.numbers, labels, strict=False))),
    )
