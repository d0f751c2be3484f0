"""Counts of one run's predictions, by the task's kind: the seam between examples and the arithmetic of `metrics.paired`.

A prediction of another kind than the task's, or with a label outside its set, is refused with the file it stands in.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fintune.errors import DataError, UsageError, did_you_mean
from fintune.metrics.comparable import (
    Counts,
    Yardstick,
    count_answers,
    count_labels,
    count_sets,
    count_spans,
    of_answers,
    of_labels,
    of_sets,
    of_spans,
)
from fintune.records import Example, Prediction
from fintune.tasks.answer import AnswerTask
from fintune.tasks.base import Task
from fintune.tasks.several import SeveralTask
from fintune.tasks.spans import SpansTask


def yardstick_of(task: Task) -> Yardstick:
    """The scores of a task's kind."""
    return {"answer": lambda _: of_answers(), "spans": of_spans, "labels": of_sets, "label": of_labels}[task.kind](task.labels)


def chosen_scores(yardstick: Yardstick, asked: Sequence[str]) -> tuple[str, ...]:
    """The scores to compare, the first of which decides what an example is won by.

    Raises:
        UsageError: for one that the kind has not.
    """
    for name in asked:
        if name not in yardstick.scores:
            raise UsageError(f"no score {name!r} to compare", where="--metric", fix=did_you_mean(name, yardstick.scores))
    return tuple(dict.fromkeys(asked)) or yardstick.shown


def counts_of(task: Task, reader: Task, examples: Sequence[Example], predictions: Sequence[Prediction], *, file: Path) -> Counts:
    """Counts `(examples, ...)` of predictions in the order of the examples.

    Args:
        task: of the comparison, which scores.
        reader: the run's own task, by which what a model wrote is read again.
        examples: with gold.
        predictions: one for each.
        file: named in errors.

    Raises:
        DataError: for predictions of another kind, or gold and predictions that do not fit the task.
    """
    try:
        pairs = list(zip(examples, predictions, strict=True))
        if isinstance(reader, SpansTask):
            return count_spans([reader.pair(example, prediction) for example, prediction in pairs], labels=task.labels)
        if isinstance(reader, AnswerTask):
            return count_answers([reader.pair(example, prediction) for example, prediction in pairs])
        if isinstance(reader, SeveralTask):
            return count_sets([example.labels or () for example in examples], [_labels(p) for p in predictions], labels=task.labels)
        return count_labels([task.target(example) for example in examples], [_label(p) for p in predictions], labels=task.labels)
    except DataError as error:
        raise DataError(error.what, where=f"{file}, {error.where}" if error.where else str(file), why=error.why, fix=error.fix) from None


def _labels(prediction: Prediction) -> tuple[str, ...] | None:
    """The labels of a prediction, None where they could not be read."""
    if prediction.status == "malformed":
        return None
    if prediction.labels is None:
        raise DataError(f"prediction {prediction.id!r} has no labels", why="it is of another kind", fix='give its "labels"')
    return prediction.labels


def _label(prediction: Prediction) -> str | None:
    """The label of a prediction, None where it could not be read."""
    if prediction.status == "malformed":
        return None
    if prediction.label is None:
        raise DataError(f"prediction {prediction.id!r} has no label", why="it is of another kind", fix='give its "label"')
    return prediction.label
