"""What tasks share that ask one thing about one text and have a label set: their description, their conversation, their checks.

A prediction of another text, and probabilities that are none, are refused. `pytest tests/tasks` exercises it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from fintune.errors import DataError
from fintune.metrics.spans import Rates
from fintune.records import Example, Kind, Message, Prediction, Purpose
from fintune.tasks.prompts import Prompting


class Labelled(Protocol):
    """A task with a label set; `meanings` belong to `labels` one by one."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> Kind: ...  # noqa: D102
    @property
    def description(self) -> str: ...  # noqa: D102
    @property
    def labels(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def meanings(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def prompting(self) -> Prompting: ...  # noqa: D102
    def target(self, example: Example) -> str: ...  # noqa: D102


def described(task: Labelled) -> dict[str, Any]:
    """Name, kind, instruction and labels as plain JSON; labels as a list, since their order counts."""
    return {
        "name": task.name,
        "kind": task.kind,
        "description": task.description,
        "instruction": task.prompting.instruction,
        "labels": [{"name": label, "meaning": meaning} for label, meaning in zip(task.labels, task.meanings, strict=True)],
    }


def asked(task: Labelled, example: Example, *, purpose: Purpose, demonstrations: Sequence[Example]) -> list[Message]:
    """The conversation up to where the target begins; by default one turn, the instruction and the text below it.

    Raises:
        DataError: for a demonstration that `target` refuses.
    """
    return task.prompting.messages(
        {"text": example.text},
        labels=list(zip(task.labels, task.meanings, strict=True)),
        key=example.id,
        purpose=purpose,
        demonstrations=[({"text": shown.text}, task.target(shown)) for shown in demonstrations],
    )


def require_about(example: Example, prediction: Prediction) -> None:
    """Refuse the prediction of another text.

    Raises:
        DataError: where id or text differ.
    """
    if (prediction.id, prediction.text) != (example.id, example.text):
        fix = "score predictions against the examples they were made for"
        raise DataError(f"prediction {prediction.id!r} is not about example {example.id!r}", where=example.where, fix=fix)


def probabilities(
    predictions: Sequence[Prediction], *, labels: int, valid: Callable[[Sequence[float]], bool], wanted: str
) -> Rates | None:  # fmt: skip
    """Probabilities `(examples, labels)`; None unless every prediction has been read and has them.

    Raises:
        DataError: for another number than `labels`, or numbers that are not `valid`; `wanted` says what these are.
    """
    rows = [None if prediction.status == "malformed" else prediction.probabilities for prediction in predictions]
    for row, prediction in zip(rows, predictions, strict=True):
        if row is not None and not (len(row) == labels and valid(row)):
            fix = f"give {labels} {wanted}, in the order of the task's labels"
            raise DataError(f"{len(row)} probabilities that are none", where=f"prediction {prediction.id!r}", fix=fix)
    if not rows or any(row is None for row in rows):
        return None
    return np.array(rows, dtype=np.float64)
