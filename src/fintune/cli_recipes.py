"""`fintune show`, `copy` and `models`: recipes and the base models they name. Registered by `fintune.cli`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from fintune.console import print_json
from fintune.options import Force, Json, Set, refuse_existing


def show(
    recipe: Annotated[str | None, typer.Argument(help="Bundled recipe or YAML file; all names without one.", show_default=False)] = None,
    set_: Set = [],  # noqa: B006
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of recipes, for editors.")] = False,
    json_: Json = False,
) -> None:
    """Print a recipe with every value and what it means."""
    from fintune import recipe as recipes

    if schema:
        print(json.dumps(recipes.schema(), indent=2, ensure_ascii=False))
    elif recipe is None:
        listed = [recipes.load(name) for name in recipes.available()]
        if json_:
            print_json({"recipes": [{"name": r.name, "description": r.description, "task": r.task} for r in listed]})
        else:
            width = max(len(r.name) for r in listed)
            print("\n".join(f"{r.name:{width}}  {r.description}" for r in listed))
    else:
        resolved = recipes.load(recipe, set_)
        if json_:
            print_json({"recipe": resolved.model_dump(mode="json"), "fingerprint": resolved.fingerprint()})
        else:
            sys.stdout.write(resolved.to_yaml(comments=True))


def copy(
    recipe: Annotated[str, typer.Argument(help="Bundled recipe or YAML file.")],
    target: Annotated[Path, typer.Argument(help="File to write.")],
    set_: Set = [],  # noqa: B006
    force: Force = False,
) -> None:
    """Copy a recipe, with every value and what it means, to edit it."""
    from fintune import recipe as recipes
    from fintune import run as folders

    resolved = recipes.load(recipe, set_)
    refuse_existing(target, force=force)
    folders.write_file(target, resolved.model_copy(update={"name": target.stem}).to_yaml(comments=True))
    print(target)


def models(json_: Json = False) -> None:
    """List the base models of the catalog, with licences and what they oblige to."""
    from dataclasses import asdict

    from fintune.models.catalog import catalog

    entries = list(catalog().values())
    if json_:
        print_json({"models": [asdict(e) for e in entries]})
        return
    for entry in entries:
        print(f"{entry.name}: {entry.id}, {entry.parameters / 1e6:,.0f} M parameters, {entry.licence}")
        print(f"    For {entry.used_by}. {entry.obligations}")
