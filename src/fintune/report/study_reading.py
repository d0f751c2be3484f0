"""`study.json` of any state as a `Study`: whatever is missing or not of its type is left out.

`read(document)`; nothing in the document can make it fail. Exercised by `fintune ablate`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fintune.report.figures import Score, number, part, score, whole
from fintune.report.study_table import SEED, SIZE, UNNAMED, Axis, Cell, Study, by_size
from fintune.report.wording import KINDS, kind_of_metrics, kind_words


def read(document: Mapping[str, Any]) -> Study:
    """The study of a `study.json`."""
    cells = tuple(_cell(entry) for entry in _objects(document.get("cells")))
    metrics = next((cell.metrics for cell in cells if cell.metrics), {})
    said = document.get("kind")
    kind = said if isinstance(said, str) and said in KINDS else kind_of_metrics(metrics)
    metric = document.get("metric")
    baselines = part(document, "baselines")
    return Study(
        name=_words(document.get("name")),
        question=_words(document.get("question")),
        description=_words(document.get("description")),
        recipe=_words(document.get("recipe")),
        kind=kind,
        metric=metric if isinstance(metric, str) and metric else kind_words(kind).main or next(iter(metrics), ""),
        axes=_axes(document, cells),
        cells=cells,
        references={str(name): _scores(baselines[name]) for name in baselines},
        document=document,
    )


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []


def _words(value: object) -> str:
    return value if isinstance(value, str) else ""


def _scores(entries: object) -> dict[str, Score]:
    names = entries if isinstance(entries, Mapping) else {}
    return {str(name): found for name in names if (found := score(entries, name)) is not None}


def _cell(entry: Mapping[str, Any]) -> Cell:
    slices, groups, cost = part(entry, "slices"), part(entry, "per_label"), part(entry, "cost")
    return Cell(
        id=_words(entry.get("id")),
        labels={str(axis): str(label) for axis, label in part(entry, "labels").items()},
        status=_words(entry.get("status")) or "waiting",
        overrides={str(key): value for key, value in part(entry, "overrides").items()},
        folder=_words(entry.get("folder")),
        command=_words(entry.get("command")),
        error=_words(entry.get("error")),
        attempts=whole(entry.get("attempts")),
        metrics=_scores(part(entry, "metrics")),
        validation=_scores(part(entry, "validation")),
        slices={str(name): _scores(slices[name]) for name in slices},
        groups={str(label): _scores(groups[label]) for label in groups},
        cost={str(name): amount for name, value in cost.items() if (amount := number(value)) is not None},
        examples=whole(entry.get("examples")),
        training_examples=whole(entry.get("training_examples")),
    )


def _axes(document: Mapping[str, Any], cells: Sequence[Cell]) -> tuple[Axis, ...]:
    """The axes as stated, with the labels that only cells name after the stated ones, numbers by size."""
    found = []
    for entry in _objects(document.get("axes")):
        name, listed = _words(entry.get("name")), entry.get("values")
        stated = [str(value) for value in listed] if isinstance(listed, list) else []
        used = {cell.labels.get(name, UNNAMED) for cell in cells} - set(stated)
        role = entry.get("role")
        values = tuple(dict.fromkeys((*stated, *sorted(used, key=by_size))))
        found.append(Axis(name, values, role if role in (SEED, SIZE) else "factor"))
    return tuple({axis.name: axis for axis in found}.values())
