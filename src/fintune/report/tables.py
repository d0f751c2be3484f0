"""The tables of the page as plain rows: scores, groups, the base model beside the run, the confusion matrix, the error classes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fintune.report.figures import Reference, Score, kind_of, part, score, whole
from fintune.report.headline import references
from fintune.report.wording import (
    DECISIONS,
    ERRORS,
    LESS_IS_BETTER,
    MEASURES,
    RATES,
    RULES,
    VERDICTS,
    floor_words,
    kind_words,
    metric_words,
)

SHADES = 9


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One rule of counting. `precision` and `recall` are None for metrics that have none."""

    title: str
    meaning: str
    precision: Score | None
    recall: Score | None
    main: Score
    references: Mapping[str, Reference]


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One label or form with its scores by heading, and its numbers; `weight` is the share of the largest support."""

    label: str
    rates: tuple[tuple[str, Score | None], ...]
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


@dataclass(frozen=True, slots=True)
class SystemRow:
    """The run, the base model before training, or a floor, with the metrics of the comparison and the share it did not write readably.

    `kind` is `run`, `baseline` or `floor`.
    """

    name: str
    kind: str
    scores: tuple[Score | None, ...]
    unread: float | None


@dataclass(frozen=True, slots=True)
class ConfusedRow:
    """A gold label that was taken for another, how often, and the share of the gold label's texts."""

    gold: str
    predicted: str
    count: int
    share: float


def score_rows(report: Mapping[str, Any]) -> tuple[ScoreRow, ...]:
    """A row for each rule the report has, then one for each metric that belongs to none; errors of probabilities are apart."""
    metrics, kind = part(report, "metrics"), kind_of(report)
    rules = RULES if kind == "spans" else ()
    rows = [row for rule in rules if (row := _row(report, rule.title, rule.meaning, rule.prefix)) is not None]
    of_rules = {rule.prefix + measure for rule in rules for measure in RATES}
    for name in metrics:
        value = score(metrics, name)
        if name not in (*of_rules, *LESS_IS_BETTER) and value is not None:
            rows.append(ScoreRow(metric_words(name, kind), _meaning(name, kind), None, None, value, references(report, name)))
    return tuple(rows)


def _row(report: Mapping[str, Any], title: str, meaning: str, prefix: str) -> ScoreRow | None:
    metrics = part(report, "metrics")
    f1, precision, recall = (score(metrics, prefix + measure) for measure in RATES)
    return None if f1 is None else ScoreRow(title, meaning, precision, recall, f1, references(report, f"{prefix}f1"))


def _meaning(name: str, kind: str) -> str:
    known = MEASURES.get(kind, {}).get(name)
    return known.meaning if known else ""


def probability_rows(report: Mapping[str, Any]) -> tuple[ScoreRow, ...]:
    """The errors of the probabilities, of which less is better."""
    metrics, kind = part(report, "metrics"), kind_of(report)
    found = {name: score(metrics, name) for name in LESS_IS_BETTER}
    return tuple(ScoreRow(metric_words(name, kind), _meaning(name, kind), None, None, value, {}) for name, value in found.items() if value)


def group_rows(report: Mapping[str, Any]) -> tuple[GroupRow, ...]:
    """The labels, or the forms of answers, in the order of the report."""
    rows = {str(label): row for label, row in part(report, "per_label").items() if isinstance(row, Mapping)}
    most = max((whole(row.get("support")) or 0 for row in rows.values()), default=0) or 1
    rates = kind_words(kind_of(report)).rates
    return tuple(
        GroupRow(
            label=label,
            rates=tuple((heading, score(row, name)) for name, heading in rates),
            support=whole(row.get("support")),
            predicted=whole(row.get("predicted")),
            weight=(whole(row.get("support")) or 0) / most,
        )
        for label, row in rows.items()
    )


def comparison(report: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[SystemRow, ...]]:
    """Headings and rows of the run beside its base model before training; empty where that was not scored."""
    kind, metrics, baselines, floors = kind_of(report), *(part(report, name) for name in ("metrics", "baselines", "floors"))
    names = [name for name in kind_words(kind).compared or metrics if score(metrics, name)][:3]
    if not baselines or not names:
        return (), ()
    malformed = part(report, "malformed").get("share")
    systems = [("This run", "run", metrics, {"malformed": {"value": malformed}})]
    systems += [(str(name), "baseline", baselines[name], baselines[name]) for name in baselines]
    systems += [(floor_words(name, kind), "floor", floors[name], {}) for name in floors]
    rows = []
    for title, system, scores, extra in systems:
        unread = score(extra, "malformed")
        rows.append(SystemRow(title, system, tuple(score(scores, name) for name in names), unread.value if unread else None))
    return tuple(metric_words(name, kind) for name in names), tuple(rows)


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


def confused(report: Mapping[str, Any], *, most: int = 8) -> tuple[ConfusedRow, ...]:
    """The pairs of labels that are taken for one another most often, largest first; `none` is what could not be read."""
    found = matrix(report) if kind_of(report) == "label" else None
    if found is None:
        return ()
    pairs = [
        ConfusedRow(gold, found.labels[column], cell.count, cell.count / (sum(c.count for c in cells) or 1))
        for gold, cells in found.rows
        for column, cell in enumerate(cells)
        if cell.kind == "wrong" and cell.count
    ]
    return tuple(sorted(pairs, key=lambda pair: (-pair.count, -pair.share))[:most])


def error_rows(report: Mapping[str, Any]) -> tuple[ErrorRow, ...]:
    """The error classes in their order; empty where the report counts none of them."""
    meanings = {**ERRORS, **DECISIONS}
    counts = {name: whole(part(report, "errors").get(name)) for name in meanings}
    total = sum(count or 0 for count in counts.values()) or 1
    return tuple(
        ErrorRow(VERDICTS[name].capitalize(), meanings[name], count, count / total) for name, count in counts.items() if count is not None
    )
