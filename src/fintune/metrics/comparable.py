"""What comparisons count: for each kind of task, integers or points of every example that add up to its scores.

A yardstick turns the pairs of one run into counts `(examples, ...)` once; scores are then functions of their sums, so that whatever is
drawn or swapped at random is arithmetic on these arrays. Labels outside the set are refused. `pytest tests/metrics/test_paired.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from fintune.metrics import labels as label_scores
from fintune.metrics import several, several_report
from fintune.metrics.answer_report import AnswerPair
from fintune.metrics.answers import Form, answer_accuracy, exact_match, f1, form, rounded_accuracy
from fintune.metrics.intervals import Statistic
from fintune.metrics.spans import MEASURES, Rates, Rule, SpanPair, Totals, count, macro, micro
from fintune.metrics.spans import f1 as f1_of

Counts = NDArray[Any]
Points = Callable[[Counts], Rates]


@dataclass(frozen=True, slots=True)
class Score:
    """A score of totals `(..., *columns)`, and the points `(examples,)` by which one system beats another on an example.

    More points are better. `shares` says that points are 0 or 1 and the score is their mean, so that McNemar's test applies.
    The score lies between `least` and 1.
    """

    statistic: Statistic
    points: Points
    shares: bool = False
    least: float = 0.0


@dataclass(frozen=True, slots=True)
class Yardstick:
    """How one kind is measured.

    `scores` are all there are, `shown` those of a comparison that names none, the main one first. `groups` gives the score of each
    label or form `(..., groups)` from totals, `support` how many spans, texts or questions of the gold each has, `names` the groups.
    """

    scores: Mapping[str, Score]
    shown: tuple[str, ...]
    names: tuple[str, ...]
    groups: Statistic
    support: Callable[[Totals], NDArray[Any]]


# ---------------------------------------------------------------- spans

_RULES: tuple[Rule, ...] = ("strict", "surface")


def count_spans(pairs: Sequence[SpanPair], *, labels: Sequence[str]) -> Counts:
    """Counts `(examples, 2, labels, 3)` by character spans and by surfaces, see `spans.count`."""
    return np.stack([count(pairs, labels=labels, rule=rule) for rule in _RULES], axis=1)


def _span_score(average: Callable[..., Rates], measure: str, rule: int) -> Score:
    return Score(
        lambda totals: average(MEASURES[measure], totals[..., rule, :, :]),
        lambda counts: -counts[:, rule, :, 1:].sum(axis=(1, 2)).astype(np.float64),  # its errors: what is spurious and what is missed
    )


def of_spans(labels: Sequence[str]) -> Yardstick:
    """Scores of `count_spans`; an example is won by fewer false positives and negatives."""
    scores = {
        f"{prefix}{name}_{measure}": _span_score(average, measure, rule)
        for rule, prefix in enumerate(("", "surface_"))
        for name, average in (("micro", micro), ("macro", macro))
        for measure in MEASURES
    }
    return Yardstick(
        scores=MappingProxyType(scores),
        shown=("micro_f1", "surface_micro_f1", "macro_f1"),
        names=tuple(labels),
        groups=lambda totals: f1_of(totals[..., 0, :, :]),
        support=lambda totals: totals[..., 0, :, 0] + totals[..., 0, :, 2],
    )


# ---------------------------------------------------------------- labels


def count_labels(gold: Sequence[str], predicted: Sequence[str | None], *, labels: Sequence[str]) -> Counts:
    """Counts `(examples, labels, 3)`, see `labels.count`; None is a prediction that could not be read."""
    known, given = (label_scores.ids_of(names, labels=labels) for names in (gold, predicted))
    return label_scores.count(known, given, labels=len(labels))


def of_labels(labels: Sequence[str]) -> Yardstick:
    """Scores of `count_labels`; an example is won by the right label."""

    def right(counts: Counts) -> Rates:
        return np.asarray(counts[..., 0].sum(axis=1), dtype=np.float64)

    return Yardstick(
        scores=MappingProxyType(
            {name: Score(score, right, name == "accuracy", -1.0 if name == "mcc" else 0.0) for name, score in label_scores.SCORES.items()}
        ),
        shown=("accuracy", "macro_f1"),
        names=tuple(labels),
        groups=f1_of,
        support=lambda totals: totals[..., 0] + totals[..., 2],
    )


# ---------------------------------------------------------------- several labels


def count_sets(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str] | None], *, labels: Sequence[str]) -> Counts:
    """Counts `(examples, 1 + labels, 3)`: one and whether the whole set is right, then those of each label, see `several.count`.

    None is a prediction that could not be read.
    """
    judged = several_report.judged(gold, predicted, labels=labels)
    whole = np.stack([np.ones(len(judged.right)), judged.right, np.zeros(len(judged.right))], axis=-1).astype(np.int64)
    return np.concatenate([whole[:, None, :], several.count(judged.gold, judged.given)], axis=1)


def of_sets(labels: Sequence[str]) -> Yardstick:
    """Scores of `count_sets`; an example is won by fewer labels missed or added, in `accuracy` by the right set."""

    def errors(counts: Counts) -> Rates:
        return np.asarray(-counts[:, 1:, 1:].sum(axis=(1, 2)), dtype=np.float64)

    def averaged(average: Callable[..., Rates], measure: str) -> Score:
        return Score(lambda totals: average(MEASURES[measure], totals[..., 1:, :]), errors)

    scores = {
        "micro_f1": averaged(micro, "f1"), "micro_precision": averaged(micro, "precision"), "micro_recall": averaged(micro, "recall"),
        "macro_f1": averaged(macro, "f1"), "weighted_f1": Score(lambda totals: label_scores.weighted_f1(totals[..., 1:, :]), errors),
        "accuracy": Score(
            lambda totals: np.asarray(totals[..., 0, 1] / np.maximum(1, totals[..., 0, 0])),
            lambda counts: np.asarray(counts[:, 0, 1], dtype=np.float64), True,
        ),
    }  # fmt: skip
    return Yardstick(
        scores=MappingProxyType(scores),
        shown=("micro_f1", "macro_f1", "accuracy"),
        names=tuple(labels),
        groups=lambda totals: f1_of(totals[..., 1:, :]),
        support=lambda totals: totals[..., 1:, 0] + totals[..., 1:, 2],
    )


# ---------------------------------------------------------------- answers

_FORMS: tuple[Form, ...] = get_args(Form)
_POINTS: Mapping[str, Callable[[str | None, Sequence[str]], float]] = MappingProxyType(
    {"answer_accuracy": answer_accuracy, "exact_match": exact_match, "f1": f1, "rounded_accuracy": rounded_accuracy}
)


def count_answers(pairs: Sequence[AnswerPair]) -> Counts:
    """For the form of each gold answer one and its points by each score, `(examples, forms, 1 + scores)`; zero for other forms."""
    counts = np.zeros((len(pairs), len(_FORMS), 1 + len(_POINTS)))
    for row, pair in enumerate(pairs):
        points = [0.0 if pair.malformed else score(pair.predicted, pair.golds) for score in _POINTS.values()]
        counts[row, _FORMS.index(form(pair.golds[0] if pair.golds else None))] = [1.0, *points]
    return counts


def _answer_score(name: str, column: int) -> Score:
    def mean(totals: Totals) -> Rates:
        examples = totals[..., 0].sum(axis=-1)
        return np.asarray(totals[..., column].sum(axis=-1) / np.maximum(1, examples))

    return Score(mean, lambda counts: counts[..., column].sum(axis=1), name != "f1")


def of_answers() -> Yardstick:
    """Scores of `count_answers`; an example is won by more points. Groups are the forms of the gold answer."""

    def right(totals: Totals) -> Rates:
        return np.asarray(totals[..., 1] / np.maximum(1, totals[..., 0]))

    return Yardstick(
        scores=MappingProxyType({name: _answer_score(name, column) for column, name in enumerate(_POINTS, start=1)}),
        shown=("answer_accuracy", "exact_match", "f1"),
        names=_FORMS,
        groups=right,
        support=lambda totals: totals[..., 0],
    )
