"""`fintune history`: parse, read the runs below a folder, print. Registered by `fintune.cli`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from fintune.console import print_json, terminal
from fintune.errors import UsageError


def history(
    folder: Annotated[Path, typer.Argument(help="Folder that holds runs and studies.")] = Path("runs"),
    task: Annotated[str | None, typer.Option(help="Runs of this task.", show_default=False)] = None,
    base: Annotated[str | None, typer.Option(help="Runs on this base model.", show_default=False)] = None,
    since: Annotated[str | None, typer.Option(help="Runs since a date, 2026-11-01, or of the last days, 7d.", show_default=False)] = None,
    status: Annotated[
        Literal["finished", "unfinished", "failed", "damaged"] | None, typer.Option(help="Runs in this state.", show_default=False)
    ] = None,
    filter_: Annotated[
        list[str],
        typer.Option("--filter", help="'micro_f1>=0.9', 'adapter.rank=8': metric, cost, setting or axis.", show_default=False),
    ] = [],  # noqa: B006
    metric: Annotated[str | None, typer.Option(help="Score to show; the main one of the task otherwise.", show_default=False)] = None,
    sort: Annotated[str, typer.Option(help="Key to sort by, with - before it the largest first.")] = "-date",
    verify: Annotated[bool, typer.Option("--verify", help="Compare every file with its hash, which takes longer.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values and nothing else.")] = False,
) -> None:
    """Show the runs below a folder, those of studies included: task, base, data, score, cost, date and state."""
    from fintune.report.history import history_csv, history_table
    from fintune.study import history_filter as filters
    from fintune.study.history import read

    if json_ and csv:
        raise UsageError("--json and --csv are both given", fix="give one of them")
    named = {"task": task, "base": base, "status": status}
    conditions = [filters.condition(text) for text in filter_]
    begin = filters.since(since, now=datetime.now(UTC)) if since is not None else ""
    entries = read(folder, metric=metric or "", verify=verify)
    found = filters.chosen(entries, conditions)
    found = [entry for entry in found if all(entry.values.get(key) == value for key, value in named.items() if value is not None)]
    found = [entry for entry in found if str(entry.values.get("date", "")) >= begin]
    records = [entry.record() for entry in filters.ordered(found, sort)]
    if json_:
        print_json({"folder": str(folder), "runs": records})
    elif csv:
        sys.stdout.write(history_csv(records))
    else:
        terminal().print(history_table(records))
