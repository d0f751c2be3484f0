"""`fintune ablate`: many runs that differ in a few settings, worked off, shown while they run, and reported.

fintune ablate ner-rank-minilm --dry-run
fintune ablate ner-rank-minilm --data train.csv --validation val.csv --output runs/rank
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from fintune.console import mode, note, print_json, terminal
from fintune.data.formats.base import ReadOptions
from fintune.errors import ArtifactError, GateError, RecipeError
from fintune.options import reads_data


@reads_data
def ablate(
    options: ReadOptions,
    study: Annotated[str | None, typer.Argument(help="Bundled study or YAML file; all names without one.", show_default=False)] = None,
    data: Annotated[str | None, typer.Option(help="Training data; the study's own otherwise.", show_default=False)] = None,
    validation: Annotated[str | None, typer.Option(help="Validation data, to choose and stop by.", show_default=False)] = None,
    test: Annotated[str | None, typer.Option(help="What cells are scored on; the validation data otherwise.", show_default=False)] = None,
    set_: Annotated[list[str], typer.Option("--set", help="A setting of all cells: train.epochs=5", show_default=False)] = [],  # noqa: B006
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the study; runs/NAME otherwise.", show_default=False)
    ] = None,
    engine: Annotated[Literal["local", "ray"], typer.Option(help="This machine, or the Ray cluster of RAY_ADDRESS.")] = "local",
    parallel: Annotated[
        int | None, typer.Option(min=1, help="Cells at once; what memory and cores allow otherwise.", show_default=False)
    ] = None,
    retry: Annotated[int | None, typer.Option(min=1, help="How often a cell that fails is tried in this call.", show_default=False)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the cells and what they will take, and stop: runs nothing.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print results only, no progress.")] = False,
) -> None:
    """Run a study: one run for each combination of its axes, kept, compared and reported; the same command goes on with it."""
    from fintune.study.ablate import Request, outline
    from fintune.study.ablate import run as run_study
    from fintune.study_console import Watch, table

    if study is None:
        _list(json_=json_)
        return
    given = {name: source for name, source in (("train", data), ("validation", validation), ("test", test)) if source is not None}
    with Watch(mode(quiet=quiet, json=json_)) as watch:
        request = Request(study, given, _settings(set_), options, output, engine, parallel, retry, watch)
        if dry_run:
            _outline(outline(request), json_=json_)
            return
        finished = run_study(request)
    if finished.failed:
        for line in finished.failed:
            note(line)
        raise GateError(
            f"{len(finished.failed)} of {len(finished.cells)} cells failed", where=str(finished.folder), why=finished.failed[0],
            fix="mend the cause and give the same command again: finished cells are kept",
        )  # fmt: skip
    if json_:
        print_json({**finished.table, "folder": str(finished.folder)})
        return
    terminal().print(table(finished.table))
    print(finished.folder / "report.html")


def _settings(items: list[str]) -> dict[str, Any]:
    """`key=value` as settings.

    Raises:
        RecipeError: where one is not that.
    """
    from fintune.study import reading

    found = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or not key.strip():
            raise RecipeError(f"override {item!r} is not key=value", where="--set", fix="write e.g. --set train.epochs=5")
        found[key.strip()] = reading.value(value, where=f"--set {key.strip()}")
    return found


def _list(*, json_: bool) -> None:
    from fintune.study import spec as studies

    listed = [studies.load(name) for name in studies.available()]
    if json_:
        print_json({"studies": [{"name": s.name, "question": s.question, "recipe": s.recipe} for s in listed]})
        return
    width = max(len(s.name) for s in listed)
    print("\n".join(f"{s.name:{width}}  {s.question}" for s in listed))


def _outline(made: Any, *, json_: bool) -> None:
    """The cells of a study, and an estimate of the time and memory of the first."""
    from fintune.study.cells import named

    estimate = _estimate(made)
    rows = [
        {"id": cell.id, "labels": dict(cell.labels), "recipe": cell.recipe_name, "overrides": dict(cell.overrides),
         "training_examples": len(cell.train.examples), "steps": made.steps(cell)}
        for cell in made.cells
    ]  # fmt: skip
    if json_:
        print_json({
            "name": made.spec.name, "question": made.spec.question, "folder": str(made.folder), "cells": rows, "trials": made.trials,
            "estimate": estimate,
        })  # fmt: skip
        return
    print(made.spec.question)
    for cell, row in zip(made.cells, rows, strict=True):
        print(f"  {cell.id}  {named(cell.labels)}: {row['training_examples']:,} examples, {row['steps']:,} steps")
    if made.trials:
        print(f"  and up to {made.trials} cells that the search proposes")
    print(_sentence(made, estimate))


def _estimate(made: Any) -> dict[str, Any]:
    """Of the first cell, scaled to all by their steps: `{"seconds", "memory_bytes"}`, or why that cannot be said."""
    from fintune.api import preflight

    if not made.cells:
        return {"unknown": "an optuna search proposes its cells as it goes"}
    cell, data = made.cells[0], made.maker.data
    held = data.validation.examples if data.validation is not None else None
    try:
        needs = preflight(cell.recipe, data=cell.train.examples, validation=held).needs
    except ArtifactError as error:  # a base model that is not here yet
        return {"unknown": str(error)}
    share = sum(made.steps(one) for one in made.cells) / max(made.steps(cell), 1)
    return {"seconds": round(needs.seconds * share, 1), "memory_bytes": needs.memory.total, "device": needs.device}


def _sentence(made: Any, estimate: dict[str, Any]) -> str:
    steps = f"{len(made.cells)} cells, {sum(made.steps(cell) for cell in made.cells):,} steps in all"
    if "unknown" in estimate:
        return f"{steps}; no estimate of the time: {estimate['unknown']}"
    hours, memory = estimate["seconds"] / 3600, estimate["memory_bytes"] / 2**20
    return f"{steps}; about {hours:.2g} h of arithmetic on {estimate['device']} and {memory:,.0f} MiB a cell (estimated from the first)"
