"""`fintune compare`: parse, call `api.compare`, print. Registered by `fintune.cli`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fintune.console import note, print_json, terminal
from fintune.data.formats.base import ReadOptions
from fintune.options import reads_data


@reads_data
def compare(
    options: ReadOptions,
    systems: Annotated[list[str], typer.Argument(help="Run folders, or prediction files of any system.", show_default=False)] = [],  # noqa: B006
    data: Annotated[str | None, typer.Option(help="The gold; what the runs were evaluated on otherwise.", show_default=False)] = None,
    task: Annotated[str | None, typer.Option(help="Task name or TOML file; that of the runs otherwise.", show_default=False)] = None,
    group: Annotated[list[str], typer.Option("--group", help="NAME=RUN,RUN,...: one system of several seeds.", show_default=False)] = [],  # noqa: B006
    study: Annotated[Path | None, typer.Option(help="Folder of a study, whose finished cells are compared.", show_default=False)] = None,
    by: Annotated[
        list[str], typer.Option("--by", help="Axis of the study to compare by; all but seeds otherwise.", show_default=False)
    ] = [],  # noqa: B006
    where: Annotated[list[str], typer.Option("--where", help="AXIS=VALUE: take these cells only.", show_default=False)] = [],  # noqa: B006
    metric: Annotated[
        list[str], typer.Option("--metric", help="Score to compare, such as micro_f1; the usual few otherwise.", show_default=False)
    ] = [],  # noqa: B006
    against: Annotated[
        str | None,
        typer.Option(help="Compare each system with this one only: fewer tests to correct for.", show_default=False),
    ] = None,
    common: Annotated[bool, typer.Option("--common", help="Take the examples that all systems have; the others are counted.")] = False,
    replicates: Annotated[int | None, typer.Option(help="Replicates of bootstrap and randomisation.", show_default=False)] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of both.", show_default=False)] = None,
    level: Annotated[
        float | None, typer.Option(help="Level of the intervals; what is left of 1 is that of the tests.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for comparison.html, .md, .csv and .json.", show_default=False)
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Say which of several systems is better on the same examples, by how much and how sure."""
    from fintune import api
    from fintune.study.compare_request import Request, named_pairs, plan_of, split_groups

    found = api.compare(
        Request(
            systems=tuple(systems), groups=split_groups(group), study=str(study) if study is not None else None, by=tuple(by),
            where=named_pairs(where, flag="--where"), data=data, task=task, metrics=tuple(metric), against=against,
            ids="common" if common else "same", plan=plan_of(replicates=replicates, seed=seed, level=level), options=options,
        ),
        output=output,
    )  # fmt: skip
    if json_:
        print_json(found.document)
        return
    from fintune.report.comparison_terminal import comparison

    terminal().print(comparison(found.document, found.disagreements))
    if output is not None:
        note(str(output / "comparison.html"))
