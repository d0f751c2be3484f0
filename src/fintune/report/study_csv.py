"""`cells.csv` and `effects.csv` of a study: figures in full, and texts that no spreadsheet takes for a formula.

A text that begins like a formula gets an apostrophe in front, as does one that begins with an apostrophe, so that `plain` gives every
text back; characters that act on a terminal stand as signs. Exercised by `fintune ablate`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence

from fintune.report.figures import Score
from fintune.report.study_cells import rows
from fintune.report.study_contrast import Difference
from fintune.report.study_effects import Level, effects
from fintune.report.study_interactions import interactions
from fintune.report.study_table import Pick, Study
from fintune.report.visible import visible

# What spreadsheets read as the beginning of a formula (OWASP, CSV injection), in their wide forms too; and the mark itself.
_ACTS = tuple("=+-@\t\n'＝＋－＠")
Value = str | float | int | None

CELLS = ("id", "status", "attempts", "training_examples", "examples")
EFFECTS = (
    "kind", "axis", "value", "from", "data", "metric", "mean", "difference", "low", "high", "p", "p_holm", "seeds", "cells", "planned",
    "examples_low", "examples_high", "verdict",
)  # fmt: skip


def escaped(text: str) -> str:
    """The text as a spreadsheet may safely open it."""
    shown = visible(text)
    return f"'{shown}" if shown.startswith(_ACTS) else shown


def plain(text: str) -> str:
    """The text that `escaped` was given, as far as it was visible."""
    return text.removeprefix("'")


def table(heading: Sequence[str], lines: Sequence[Sequence[Value]]) -> str:
    """A CSV document (RFC 4180) with escaped texts; numbers stand as they are, and what is not there is empty."""
    file = io.StringIO()
    writer = csv.writer(file)
    for line in (heading, *lines):
        writer.writerow(["" if one is None else escaped(one) if isinstance(one, str) else one for one in line])
    return file.getvalue()


def cells(study: Study) -> str:
    """A line for each cell: labels, every score with its ends, slices and costs; an axis named like another column is `axis NAME`."""
    metrics = dict.fromkeys(name for cell in study.cells for name in cell.metrics)
    elsewhere = dict.fromkeys(name for cell in study.cells for name in cell.slices)
    spent = dict.fromkeys(name for cell in study.cells for name in cell.cost)
    scored: list[tuple[str, Pick]] = [(name, study.of(name)) for name in metrics]
    scored += [(f"{name} {study.metric}", study.of(study.metric, slice_=name)) for name in elsewhere]
    others = [*CELLS[2:], *(f"{name}{end}" for name, _ in scored for end in ("", " low", " high")), *spent, "error", "command"]
    axes = [f"axis {axis.name}" if axis.name in (*CELLS, *others) else axis.name for axis in study.axes]
    heading = [*CELLS[:2], *axes, *others]
    lines: list[list[Value]] = []
    for row in rows(study):
        cell = row.cell
        line: list[Value] = [cell.id, cell.status, *row.labels, cell.attempts, cell.training_examples, cell.examples]
        line += [figure for _, pick in scored for figure in _three(pick(cell))]
        lines.append([*line, *(cell.cost.get(name) for name in spent), cell.error, row.command])
    return table(heading, lines)


def _three(score: Score | None) -> tuple[float | None, float | None, float | None]:
    return (score.value, score.low, score.high) if score else (None, None, None)


def effects_table(study: Study) -> str:
    """A line for each value of each axis on each data and metric, then one for each interaction; none for searches."""
    return table(EFFECTS, [line for lines in (_effects(study), _interactions(study)) for line in lines] if study.crossed else [])


def _effects(study: Study) -> Iterator[list[Value]]:
    own = "test" if study.tested else "validation"
    metrics = dict.fromkeys([study.metric, *(name for cell in study.cells for name in cell.metrics)])
    others = dict.fromkeys(name for cell in study.cells for name in cell.slices)
    picks: Mapping[tuple[str, str], Pick] = {
        **{(own, name): study.of(name) for name in metrics},
        **{(name, study.metric): study.of(study.metric, slice_=name) for name in others},
    }
    for (data, metric), pick in picks.items():
        for effect in effects(study, pick):
            for level in effect.levels:
                yield _line(effect.axis.name, effect.levels[0].value, level, data, metric)


def _line(axis: str, start: str, level: Level, data: str, metric: str) -> list[Value]:
    mean, found = level.score.value if level.score else None, level.difference
    line: list[Value] = ["effect", axis, level.value, start if found else None, data, metric, mean]
    if found is None:
        return [*line, None, None, None, None, None, len(level.by_seed), level.cells, level.planned, None, None, "first"]
    return [*line, *_figures(found), *(level.examples or (None, None)), found.verdict]


def _figures(found: Difference) -> list[Value]:
    return [*_three(found.score), found.p, found.p_holm, len(found.by_seed), found.cells, found.planned]


def _interactions(study: Study) -> Iterator[list[Value]]:
    own = "test" if study.tested else "validation"
    for found in interactions(study):
        means = {one.labels: one for line in found.means for one in line}
        axes, start = f"{found.first.name} x {found.second.name}", f"{found.first.values[0]}, {found.second.values[0]}"
        for labels, contrast in found.contrasts.items():
            line: list[Value] = ["interaction", axes, ", ".join(labels), start, own, study.metric, means[labels].value]
            yield [*line, *_figures(contrast), None, None, contrast.verdict]
