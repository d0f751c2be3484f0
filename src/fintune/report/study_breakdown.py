"""The same question by another metric, by label, and on other data: a row each, the values of an axis as columns.

Whether a value differs from the first is corrected over the whole table (Holm), for who looks at many labels finds something in some.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from fintune.report.figures import Score
from fintune.report.study_contrast import Difference, Labels, corrected
from fintune.report.study_effects import Level, effect
from fintune.report.study_table import UNNAMED, Axis, Cell, Pick, Study
from fintune.report.wording import kind_words, metric_words

# The one column where nothing is varied, or where the values of a search are too many to be columns.
WHOLE = Axis("", (UNNAMED,), "factor")
_MOST = 12


@dataclass(frozen=True, slots=True)
class Entry:
    """A value of the axis in a row: its mean over seeds, and its difference from the first value."""

    level: Level
    difference: Difference | None


@dataclass(frozen=True, slots=True)
class Row:
    """What is scored, with an entry for each value of the axis; `summary` marks averages below single labels."""

    name: str
    entries: tuple[Entry, ...]
    summary: bool = False


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The rows of one axis."""

    axis: Axis
    rows: tuple[Row, ...]


def columns(study: Study) -> tuple[Axis, ...]:
    """The axes whose values are columns: those with a few values, of a full grid; else all cells are one column."""
    found = tuple(axis for axis in study.factors if 1 < len(axis.values) <= _MOST) if study.crossed else ()
    return found or (WHOLE,)


def breakdown(study: Study, axis: Axis, picks: Mapping[str, Pick], summaries: Mapping[str, Pick]) -> Breakdown:
    """The rows of what `picks` read, then of `summaries`; rows without any score are left out."""
    rows = {name: effect(study, axis, pick).levels for name, pick in (*picks.items(), *summaries.items())}
    rows = {name: levels for name, levels in rows.items() if any(level.score for level in levels)}
    family: dict[Labels, Difference] = {
        (name, one.value): one.difference for name, levels in rows.items() for one in levels if one.difference
    }
    stands = corrected(family)
    return Breakdown(
        axis,
        tuple(
            Row(name, tuple(Entry(level, stands.get((name, level.value))) for level in levels), name in summaries)
            for name, levels in rows.items()
        ),
    )


def metrics(study: Study) -> tuple[Breakdown, ...]:
    """The metric of the study beside the others that comparisons of its kind show; empty where there is no other."""
    names = {study.metric: None} | dict.fromkeys(
        name for name in kind_words(study.kind).compared if any(name in c.metrics for c in study.cells)
    )
    picks = {metric_words(name, study.kind): study.of(name) for name in names}
    return _tables(study, picks, {}) if len(names) > 1 else ()


def labels(study: Study) -> tuple[Breakdown, ...]:
    """Each label, then the averages; empty where cells have no scores by label."""
    names = dict.fromkeys(label for cell in study.cells for label in cell.groups)
    rate = next(
        (rate for rate, _ in reversed(kind_words(study.kind).rates) if any(rate in s for c in study.cells for s in c.groups.values())), ""
    )
    averages = [
        name for name in ("micro_f1", "accuracy", "answer_accuracy", "macro_f1") if any(name in cell.metrics for cell in study.cells)
    ]
    summaries = {metric_words(name, study.kind): study.of(name) for name in averages}
    return _tables(study, {name: partial(_group, name, rate) for name in names}, summaries) if names and rate else ()


def _group(label: str, rate: str, cell: Cell) -> Score | None:
    return cell.groups.get(label, {}).get(rate) if cell.status == "finished" else None


def slices(study: Study) -> tuple[Breakdown, ...]:
    """The evaluation data of the study, then each slice; empty where there is none."""
    names = dict.fromkeys(name for cell in study.cells for name in cell.slices)
    own = "test data" if study.tested else "validation data"
    picks = {own: study.main} | {name: study.of(study.metric, slice_=name) for name in names}
    return _tables(study, picks, {}) if names else ()


def _tables(study: Study, picks: Mapping[str, Pick], summaries: Mapping[str, Pick]) -> tuple[Breakdown, ...]:
    found = (breakdown(study, axis, picks, summaries) for axis in columns(study))
    return tuple(table for table in found if table.rows)
