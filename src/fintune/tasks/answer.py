"""Answers to questions about a text: the model writes the bare answer, after reasoning where it is asked to reason.

`tasks.final_answer` reads what language models write around it. An answer that stands in the text gets its place; where it
stands several times, the first. Numbers are not looked at here but compared by `metrics.answers`. Refuses gold without a
question and answers that are not where they say.
Exercised by `pytest tests/tasks/test_answer_task.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from fintune.errors import ArtifactError, DataError
from fintune.metrics.answer_floors import EMPTY, RULES, SameAnswer, from_record, learn
from fintune.metrics.answer_report import AnswerPair, build
from fintune.metrics.intervals import Bootstrap
from fintune.records import Answer, Example, Kind, Message, Prediction, Purpose
from fintune.tasks import final_answer
from fintune.tasks.base import Definition, Floor
from fintune.tasks.prompts import Prompting
from fintune.tasks.texts import require_about
from fintune.text.align import align

_FREQUENT = "frequent"
_NO_FLOORS: Mapping[str, Floor] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class AnswerTask:
    """Questions with extracted or computed answers."""

    name: str
    description: str
    prompting: Prompting

    @property
    def kind(self) -> Kind:
        """Always `answer`."""
        return "answer"

    @property
    def labels(self) -> tuple[str, ...]:
        """Always empty."""
        return ()

    @property
    def numbers(self) -> Mapping[str, str]:
        """None: an answer is no label."""
        return {}

    @property
    def shares(self) -> Mapping[str, float]:
        """Nothing: only single labels have usual shares."""
        return {}

    @property
    def main_metric(self) -> str:
        """Right as a number where the gold is one, and as text otherwise."""
        return "answer_accuracy"

    def describe(self) -> dict[str, Any]:
        """Everything that determines prompt, target and score, as plain JSON."""
        return {
            "name": self.name,
            "kind": self.kind,
            "description": self.description,
            "instruction": self.prompting.instruction,
            "prompt": self.prompting.describe(),
        }

    def messages(self, example: Example, *, purpose: Purpose, demonstrations: Sequence[Example] = ()) -> list[Message]:
        """The conversation up to where the answer begins: instruction, text and question.

        Raises:
            DataError: without a question, or for a demonstration that `target` refuses.
        """
        return self.prompting.messages(
            self._fields(example),
            labels=(),
            key=example.id,
            purpose=purpose,
            demonstrations=[(self._fields(shown), self.target(shown)) for shown in demonstrations],
        )

    def require_gold(self, example: Example) -> None:
        """Refuses an example that cannot be learnt from or scored; no `answer` says that the text does not answer the question.

        Raises:
            DataError: without a question, with a blank answer, or one that does not stand at its `start`.
        """
        self._fields(example)
        answer = example.answer
        if answer is None:
            return
        if not answer.text.strip() or final_answer.says_nothing(answer.text):
            what = f"the answer of example {example.id!r} is {answer.text!r}"
            raise DataError(what, where=example.where, fix="give its words, or null where the text does not answer the question")
        if answer.start is not None and not example.text.startswith(answer.text, answer.start):
            what = f"the answer {answer.text!r} does not stand at character {answer.start}"
            raise DataError(what, where=example.where, fix="correct 'start', or leave it out where the answer is computed")

    def target(self, example: Example) -> str:
        """The answer as it is, without blanks at its ends; `Answer:` stands before one that would be read as something else.

        Raises:
            DataError: as `require_gold`.
        """
        self.require_gold(example)
        if example.answer is None:
            return final_answer.NOTHING
        return final_answer.written(example.answer.text)

    def parse(self, raw: str, example: Example) -> Prediction:
        """Reads an answer and looks for its place in the text. Never raises.

        `ok` is an answer alone, also after reasoning. `repaired` was announced, boxed or decorated. `malformed` is empty, or
        reasoning that does not end. The text of an answer that differs from the example's in blanks alone is the example's.
        """
        try:
            written, note = final_answer.read(raw)
        except final_answer.UnreadableError as error:
            return Prediction(example.id, example.text, raw=raw, status="malformed", reason=str(error))
        answer = None if written is None else _placed(written, example.text)
        return Prediction(example.id, example.text, answer=answer, raw=raw, status="repaired" if note else "ok", reason=note)

    def pair(self, example: Example, prediction: Prediction) -> AnswerPair:
        """Gold and prediction side by side, checked; a malformed prediction answers nothing.

        Raises:
            DataError: where the two are not about the same text, or the prediction is of another kind.
        """
        self.require_gold(example)
        require_about(example, prediction)
        if prediction.answer is None and (prediction.spans is not None or prediction.label is not None):
            raise DataError(f"prediction {prediction.id!r} has no answer", why="it is of another kind", fix="predict with an answer task")
        malformed = prediction.status == "malformed"
        given = None if malformed or prediction.answer is None else prediction.answer.text
        return AnswerPair(given, example.golds, malformed)

    def score(
        self,
        pairs: Sequence[tuple[Example, Prediction]],
        *,
        documents: Sequence[str],
        floors: Mapping[str, Floor] = _NO_FLOORS,
        plan: Bootstrap = Bootstrap(),
    ) -> dict[str, Any]:
        """The `report.json` object, as `metrics.answer_report` describes it; the floors `empty` and `RULES` are always there.

        Args:
            pairs: examples with their predictions, in any order.
            documents: the document of each pair (`tasks.base.documents_of`); intervals resample documents, not examples.
            floors: further floors by name, see `learn_floors`.
            plan: how to resample.

        Raises:
            DataError: as `pair`, and without examples.
        """
        judged = [self.pair(example, prediction) for example, prediction in pairs]
        answered = {name: [floor.find(e.text) for e, _ in pairs] for name, floor in {"empty": EMPTY, **floors}.items()}
        answered |= {name: [rule(e.question or "", e.text) for e, _ in pairs] for name, rule in RULES.items()}
        guesses = {
            name: [AnswerPair(None if found is None else found.text, pair.golds) for found, pair in zip(answers, judged, strict=True)]
            for name, answers in answered.items()
        }
        return build(judged, task=self.name, clusters=documents, floors=guesses, plan=plan)

    def learn_floors(self, examples: Sequence[Example]) -> dict[str, SameAnswer]:
        """The most frequent answer of training examples.

        Raises:
            DataError: where one has no question.
        """
        return {_FREQUENT: learn(examples)}

    def read_floors(self, record: object, *, where: str) -> dict[str, SameAnswer]:
        """The most frequent answer from the records that a run keeps, by name.

        Raises:
            ArtifactError: where it is not there or something else; `where` names the file.
        """
        if not isinstance(record, dict) or _FREQUENT not in record:
            raise ArtifactError("floors without a frequent answer", where=where, fix="evaluate with the file that the training run wrote")
        return {_FREQUENT: from_record(record[_FREQUENT], where=where)}

    def _fields(self, example: Example) -> dict[str, str]:
        if example.question is None or not example.question.strip():
            raise DataError(f"example {example.id!r} has no question", where=example.where, why="the task needs one", fix="add 'question'")
        return {"text": example.text, "question": example.question}


def from_definition(definition: Definition, prompting: Prompting) -> AnswerTask:
    """The task of a task file, asked as the recipe's prompt settings say."""
    return AnswerTask(definition.name, definition.description, prompting)


def _placed(written: str, text: str) -> Answer:
    """The answer with its first place in the text, or without one."""
    spans, _ = align(text, {final_answer.NOTHING: [written]}, occurrences="first")
    if spans:
        return Answer(spans[0].start, spans[0].text)
    return Answer(None, written)
