"""What determines the bits of a run, written before its first step; and whose folder it is.

A folder is taken up again only by the same run: same recipe, data, base weights and library versions. It refuses finished runs,
other runs, with the keys that differ, and folders that hold anything else.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from fintune import __version__, run
from fintune.errors import ArtifactError
from fintune.heads.build import Built
from fintune.recipe import Recipe
from fintune.tasks.base import Task

CONTEXT = 8
"""Characters that a message shows of what two values have in common."""


def versions() -> dict[str, str]:
    """Versions that decide the bits of a run."""
    names = ("torch", "transformers", "peft", "accelerate", "safetensors", "tokenizers", "numpy")
    return {"python": platform.python_version(), "fintune": __version__, **{name: metadata.version(name) for name in names}}


def describe(recipe: Recipe, task: Task, built: Built, data: Mapping[str, Any]) -> dict[str, Any]:
    """What determines the bits of a run; written before its first step and compared on resuming."""
    return {
        "schema_version": 1,
        "recipe_fingerprint": recipe.fingerprint(),
        "settings": recipe.settings(),
        "task": task.describe(),
        "data": dict(data),
        "base_sha256": built.base_sha256,
        "versions": versions(),
        "seed": recipe.seed,
    }


def claim(output: Path, started: Mapping[str, Any], recipe: Recipe) -> None:
    """Make the folder this run's own, or see that it is.

    Raises:
        ArtifactError: where it holds a finished run, an unfinished other one, or files of somebody else.
    """
    if run.finished(output):
        raise ArtifactError("this folder holds a finished run", where=str(output), fix="choose another --output, or remove the folder")
    if (output / run.STARTED).is_file():
        before = run.read_json(output / run.STARTED)
        changed = list(differences(before, started))
        if changed:
            more = f"; and {len(changed) - 6} more" if len(changed) > 6 else ""
            raise ArtifactError(
                "this folder holds an unfinished run of another kind", where=str(output), why="; ".join(changed[:6]) + more,
                fix="go on with the same recipe and data, or choose another --output",
            )  # fmt: skip
    else:
        foreign = sorted(p.name for p in output.iterdir() if p.name != ".lock" and p not in run.temporaries(output))
        if foreign:
            raise ArtifactError(
                "the output folder is not empty", where=str(output), why=f"it holds {foreign[0]!r}", fix="choose another --output"
            )
        run.write_json(output / run.STARTED, started)
    # The folder is this run's. What does not decide the weights (`predict`, the name) may have changed: the last word counts.
    run.write_file(output / run.RECIPE, recipe.to_yaml())
    for left in run.temporaries(output):  # of a process that was killed while it wrote
        left.unlink()


def differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """`key: was -> is` for each leaf on which two documents differ; long values are cut to where they do."""
    for key in [*before, *(k for k in now if k not in before)]:
        name, old, new = f"{prefix}{key}", before.get(key), now.get(key)
        if key == "recipe_fingerprint" or old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from differences(old, new, name + ".")
        else:
            alike = next((i for i, (a, b) in enumerate(zip(str(old), str(new), strict=False)) if a != b), 0)
            start = max(0, alike - CONTEXT)
            yield f"{name}: {_cut(str(old), start)} -> {_cut(str(new), start)}"


def _cut(text: str, start: int) -> str:
    end = start + 3 * CONTEXT
    return ("..." if start else "") + text[start:end] + ("..." if end < len(text) else "")
