"""The cells of a study as rows for people: what each is, reached and cost, what went wrong, and the command that trains it by itself.

A command is only given where the study says what it takes; a value stands in it so that YAML reads the same value back.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

import yaml

from fintune.report.figures import Score, part
from fintune.report.study_front import currency_of
from fintune.report.study_table import Cell, Study
from fintune.report.study_words import costs

SHOWN_COSTS = {"wall_seconds": "Time", "flop": "Work", "peak_memory_bytes": "Memory", "price": "Price"}
_TOTALS = {
    "wall_seconds": "all cells, one after another",
    "cpu_seconds": "CPU",
    "gpu_seconds": "GPU",
    "flop": "",
    "energy_joules": "",
    "price": "",
}


@dataclass(frozen=True, slots=True)
class CellRow:
    """A cell: its labels in the order of the axes, its score, its costs in the order of the table's headings, and its command."""

    cell: Cell
    labels: tuple[str, ...]
    score: Score | None
    costs: tuple[str, ...]
    command: str


def cost_names(study: Study) -> dict[str, str]:
    """The costs that a cell has, with their headings."""
    return {name: heading for name, heading in SHOWN_COSTS.items() if any(name in cell.cost for cell in study.cells)}


def rows(study: Study) -> tuple[CellRow, ...]:
    """Every cell, in the order of the study."""
    names, currency = cost_names(study), currency_of(study)
    return tuple(
        CellRow(
            cell,
            cell.at(study.axes),
            study.main(cell),
            tuple(costs(name, cell.cost[name], currency=currency) if name in cell.cost else "" for name in names),
            command(study, cell),
        )
        for cell in study.cells
    )


def totals(study: Study) -> tuple[tuple[str, str], ...]:
    """(figure, what it is) of all that was spent, of the cells that tell."""
    found, currency = [], currency_of(study)
    for name, words in _TOTALS.items():
        spent = [cell.cost[name] for cell in study.cells if name in cell.cost]
        if spent:
            found.append((costs(name, sum(spent), currency=currency), words))
    return tuple(found)


def command(study: Study, cell: Cell) -> str:
    """What trains the cell by itself: the command it names, or one from its overrides; empty where the data are not known."""
    if cell.command:
        return cell.command
    data = part(study.document, "data")
    train, held = (part(data, name).get("source") for name in ("train", "validation"))
    overrides: Mapping[str, Any] = {key: value for key, value in cell.overrides.items() if key not in ("recipe", "data.examples")}
    if not study.recipe or not isinstance(train, str) or "data.examples" in cell.overrides:
        return ""
    validation = ["--validation", held] if isinstance(held, str) else []
    given = [word for key, value in overrides.items() for word in ("--set", f"{key}={written(value)}")]
    recipe = str(cell.overrides.get("recipe", study.recipe))
    return shlex.join(
        ["fintune", "train", recipe, "--data", train, *validation, *given, "--output", f"runs/{study.name or 'study'}-{cell.id}"]
    )


def written(value: Any) -> str:
    """A value in one line of YAML: `0.5`, `1.0e-05`, `'8'`; in double quotes only where it holds line breaks and the like."""
    text = _yaml(value, style=None)
    return text if text.isprintable() else _yaml(value, style='"')


def _yaml(value: Any, *, style: str | None) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, default_style=style, allow_unicode=True, width=inf)
    return text.removesuffix("\n").removesuffix("\n...")
