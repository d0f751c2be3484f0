"""Options that several commands have, and what they say to the user.

Each field of `ReadOptions` becomes the option its metadata names: a command that takes `options: ReadOptions` is decorated with
`reads_data`. The options are stated in one place, with the readers.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from fintune.console import note
from fintune.data.formats.base import ReadOptions
from fintune.errors import UsageError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results only, no progress.")]
Set = Annotated[list[str], typer.Option("--set", help="Override a recipe key: train.epochs=5", show_default=False)]
Force = Annotated[bool, typer.Option("--force", help="Write over existing files.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Where to write.", show_default=False)]

_PANEL = "Reading data"
_PREFIX = "read_"  # keeps the parameters apart from a command's own


def reads_data(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command one option for each reading option, and call it with the `ReadOptions` they make."""
    fields = {f.name: f for f in dataclasses.fields(ReadOptions) if f.metadata}
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.name != "options"]
    added = [_parameter(f) for f in fields.values()]

    @functools.wraps(command)
    def run(**given: Any) -> Any:
        values = {name: given.pop(_PREFIX + name) for name in fields}
        return command(**given, options=_options(values))

    run.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in (*own, *added)}
    return run


def _parameter(field: dataclasses.Field[Any]) -> inspect.Parameter:
    flag, text = field.metadata["option"], field.metadata["help"]
    kind: Any = {"on_bad": bool, "limit": int | None, "rename": list[str]}.get(field.name, str | None)
    default: Any = {"on_bad": False, "rename": []}.get(field.name)
    annotation = Annotated[kind, typer.Option(flag, help=text, rich_help_panel=_PANEL, show_default=False)]
    return inspect.Parameter(_PREFIX + field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _options(values: dict[str, Any]) -> ReadOptions:
    """Options given; what was not given keeps its default, which `ReadOptions` states."""
    given = {name: value for name, value in values.items() if value is not None and value is not False and value != []}
    if "on_bad" in given:
        given["on_bad"] = "skip"
    if "rename" in given:
        pairs = [item.partition("=") for item in given["rename"]]
        for old, equals, new in pairs:
            if not (old and equals and new):
                raise UsageError(f"--rename {old}{equals}{new} is not OLD=NEW", fix="write e.g. --rename LOC=Location")
        given["rename"] = {old: new for old, _, new in pairs}
    return ReadOptions(**given)


def refuse_existing(target: Path, *, force: bool) -> None:
    """Refuse to write over a file without --force."""
    if target.exists() and not force:
        raise UsageError(f"{str(target)!r} exists", fix="choose another name, or give --force")


def tell_rejected(rejected: Iterable[Exception]) -> None:
    """Name the rows that were left out."""
    for error in rejected:
        note(f"skipped {error}")
