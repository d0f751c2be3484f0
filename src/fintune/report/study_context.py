"""Everything that the page and the Markdown of a study say, computed once: sentences, effects, tables, drawings and facts.

`told(read(document))` gives a `Told`; parts that the study has nothing for are empty, and are then not shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fintune.report import study_breakdown, study_cells, study_front, study_levels, study_search
from fintune.report.curves import Panel
from fintune.report.facts import Group, Rows, environment, said
from fintune.report.figures import counted, part
from fintune.report.study_curves import Learning, learning
from fintune.report.study_effects import Effect, effects
from fintune.report.study_interactions import Interaction, Mean, interactions, pooled, spreads
from fintune.report.study_table import Study
from fintune.report.study_words import depending, interplay, metric, remarks, sentence


@dataclass(frozen=True, slots=True)
class Told:
    """The parts of the report.

    `shows` is a sentence for each axis, and for each two that depend on each other; `data` are the data sets by name, `environment` what it
    ran on.
    """

    study: Study
    title: str
    question: str
    description: str
    metric: str
    shows: tuple[tuple[str, str], ...]
    remarks: tuple[str, ...]
    counts: tuple[tuple[str, str], ...]
    effects: tuple[Effect, ...]
    levels: tuple[study_levels.Levels, ...]
    interactions: tuple[tuple[Interaction, str], ...]
    learning: tuple[Learning, ...]
    best: study_search.Best | None
    warning: str
    scattered: tuple[Panel, ...]
    fronts: tuple[study_front.Front, ...]
    means: tuple[Mean, ...]
    spreads: study_levels.Spreads | None
    pooled: tuple[float, int] | None
    metrics: tuple[study_breakdown.Breakdown, ...]
    labels: tuple[study_breakdown.Breakdown, ...]
    slices: tuple[study_breakdown.Breakdown, ...]
    cost_names: Mapping[str, str]
    rows: tuple[study_cells.CellRow, ...]
    data: tuple[Group, ...]
    environment: tuple[Group, ...]
    command: str


def told(study: Study) -> Told:
    """The report of a study in any state."""
    document = study.document
    found = effects(study) if study.crossed else ()
    crossed = interactions(study) if study.crossed and study.done else ()
    means = spreads(study)
    best = study_search.best(study)
    command = document.get("command")
    return Told(
        study=study,
        title=study.name or "Study",
        question=study.question or study.description,
        description=study.description.removeprefix(study.question).strip() if study.question else "",
        metric=metric(study),
        shows=(*((effect.axis.name, sentence(effect)) for effect in found), *depending(crossed)),
        remarks=tuple(remarks(study, found)),
        counts=tuple(_counts(study)),
        effects=found,
        levels=study_levels.levels(study, found),
        interactions=tuple((one, interplay(one)) for one in crossed),
        learning=learning(study),
        best=best,
        warning=study_search.warning(study, best) if best else "",
        scattered=() if study.crossed else study_search.scattered(study),
        fronts=study_front.panels(study),
        means=means,
        spreads=study_levels.spread_table(means),
        pooled=pooled(means),
        metrics=study_breakdown.metrics(study),
        labels=study_breakdown.labels(study),
        slices=study_breakdown.slices(study),
        cost_names=study_cells.cost_names(study),
        rows=study_cells.rows(study),
        data=tuple(_data(part(document, "data"))),
        environment=environment({name: document[name] for name in ("hardware", "versions") if document.get(name)}),
        command=command if isinstance(command, str) else "",
    )


def _counts(study: Study) -> list[tuple[str, str]]:
    """(figure, what it counts), of the whole study."""
    found = [(f"{len(axis.values):,}", "seed" if len(axis.values) == 1 else "seeds") for axis in study.seeds]
    examples = {cell.examples for cell in study.done if cell.examples}
    found += [(f"{count:,}", "test examples" if study.tested else "validation examples") for count in sorted(examples)]
    return [*found, *study_cells.totals(study)]


def _data(data: Mapping[str, Any]) -> list[Group]:
    """The data sets with their fingerprints; slices each on their own."""
    sets = {str(name): part(data, name) for name in data if name != "slices"}
    sets |= {f"slice {name}": part(part(data, "slices"), name) for name in part(data, "slices")}
    return [Group(name.capitalize(), _facts(facts)) for name, facts in sets.items() if facts]


def _facts(facts: Mapping[str, Any]) -> Rows:
    return tuple((str(key).replace("_", " "), said(value)) for key, value in facts.items() if value not in (None, "", {}, []))


def identity(study: Study) -> tuple[str, ...]:
    """Recipe, task and date, as far as they are known, and how many cells."""
    document = study.document
    parts = (study.recipe, document.get("task"), str(document.get("finished") or document.get("created") or "")[:10])
    return (*(str(known) for known in parts if known), counted(len(study.cells), "cell"))
