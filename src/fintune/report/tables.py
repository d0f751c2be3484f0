"""The tables of the page as plain rows: scores by rule, scores by type, the confusion matrix, the error classes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fintune.metrics.mistakes import CLASSES
from fintune.report.figures import Score, part, score, whole
from fintune.report.headline import floor_scores
from fintune.report.wording import ERRORS, RULES, VERDICTS, metric_words

SHADES = 9


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One rule of counting. `precision` and `recall` are None for metrics that have none."""

    title: str
    meaning: str
    precision: Score | None
    recall: Score | None
    main: Score
    floors: Mapping[str, Score]


@dataclass(frozen=True, slots=True)
class TypeRow:
    """One label with its scores and numbers of spans; `weight` is the share of the largest support."""

    label: str
    precision: Score | None
    recall: Score | None
    f1: Score | None
    support: int | None
    predicted: int | None
    weight: float


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the confusion matrix. `shade`, 0 to `SHADES`, is its share of the row; `kind` is `right`, `wrong` or `void`."""

    count: int
    shade: int
    kind: str


@dataclass(frozen=True, slots=True)
class Matrix:
    """The confusion matrix; `rows` are (gold label, its cells)."""

    labels: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]

    @property
    def upright(self) -> bool:
        """Whether the names above the columns are too many or too long to stand side by side."""
        return len(self.labels) > 10 or max(map(len, self.labels)) > 10


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """An error class with its number and its share of all errors."""

    title: str
    meaning: str
    count: int
    share: float


def score_rows(report: Mapping[str, Any]) -> tuple[ScoreRow, ...]:
    """A row for each rule the report has, then one for each metric that belongs to none."""
    metrics = part(report, "metrics")
    rows = [row for rule in RULES if (row := _row(report, rule.title, rule.meaning, rule.prefix)) is not None]
    of_rules = {rule.prefix + measure for rule in RULES for measure in ("f1", "precision", "recall")}
    for name in metrics:
        value = score(metrics, name)
        if name not in of_rules and value is not None:
            rows.append(ScoreRow(metric_words(name), "", None, None, value, floor_scores(report, name)))
    return tuple(rows)


def _row(report: Mapping[str, Any], title: str, meaning: str, prefix: str) -> ScoreRow | None:
    metrics = part(report, "metrics")
    f1, precision, recall = (score(metrics, prefix + measure) for measure in ("f1", "precision", "recall"))
    return None if f1 is None else ScoreRow(title, meaning, precision, recall, f1, floor_scores(report, f"{prefix}f1"))


def type_rows(report: Mapping[str, Any]) -> tuple[TypeRow, ...]:
    """The labels in the order of the report."""
    rows = {str(label): row for label, row in part(report, "per_label").items() if isinstance(row, Mapping)}
    most = max((whole(row.get("support")) or 0 for row in rows.values()), default=0) or 1
    return tuple(
        TypeRow(
            label=label,
            precision=score(row, "precision"),
            recall=score(row, "recall"),
            f1=score(row, "f1"),
            support=whole(row.get("support")),
            predicted=whole(row.get("predicted")),
            weight=(whole(row.get("support")) or 0) / most,
        )
        for label, row in rows.items()
    )


def matrix(report: Mapping[str, Any]) -> Matrix | None:
    """The confusion matrix, or None where the report has none that is square."""
    labels, counts = part(report, "confusion").get("labels"), part(report, "confusion").get("counts")
    if not isinstance(labels, list) or not isinstance(counts, list) or not labels:
        return None
    square = len(counts) == len(labels) and all(isinstance(row, list) and len(row) == len(labels) for row in counts)
    if not square or not all(isinstance(count, int) for row in counts for count in row):
        return None
    names = tuple(map(str, labels))
    return Matrix(names, tuple((name, tuple(_cells(counts[at], at))) for at, name in enumerate(names)))


def _cells(counts: list[int], row: int) -> Iterator[Cell]:
    total = sum(counts) or 1
    for column, count in enumerate(counts):
        void = row == column == len(counts) - 1  # neither gold nor prediction: nothing to count
        yield Cell(count, math.ceil(SHADES * count / total), "void" if void else "right" if row == column else "wrong")


def error_rows(report: Mapping[str, Any]) -> tuple[ErrorRow, ...]:
    """The error classes in their order; empty where the report counts none of them."""
    counts = {name: whole(part(report, "errors").get(name)) for name in CLASSES}
    total = sum(count or 0 for count in counts.values()) or 1
    return tuple(
        ErrorRow(VERDICTS[name].capitalize(), ERRORS[name], count, count / total) for name, count in counts.items() if count is not None
    )
