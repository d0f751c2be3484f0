"""What killable children do (`forks.py`): a whole training run on a tiny base, in one call, with the exit status of the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tiny

from fintune.errors import FintuneError
from fintune.records import Example

TRAINING = 48
"""Of the tiny examples, so many are learnt from; the rest are for validation."""


def train(*, base: str, output: str, settings: Mapping[str, Any], seed: int = 0) -> tuple[int, dict[str, Any]]:
    """Train or go on; exit status, and the error or the events other than steps."""
    import torch

    from fintune.train.run import Interrupted

    torch.set_num_threads(1)
    events: list[dict[str, Any]] = []
    try:
        run_training(Path(base), Path(output), {"seed": seed, **settings}, events)
    except FintuneError as error:
        return error.exit_status, {"error": error.record(), "message": str(error), "events": events}
    except Interrupted as stopped:
        return stopped.status, {"message": str(stopped), "events": events}
    return 0, {"events": events}


def run_training(base: Path, output: Path, settings: Mapping[str, Any], events: list[dict[str, Any]]) -> Path:
    """One run of the tiny examples, in this process; events other than steps are added to `events`."""
    from fintune.tasks.base import load_task
    from fintune.train.run import train as training

    examples = tiny.examples()
    resolved = tiny.recipe(base, settings)
    return training(
        resolved, load_task(resolved.task), examples[:TRAINING], examples[TRAINING:], output, data=described(examples),
        listen=lambda event: events.append(dict(event)) if event["event"] != "step" else None,
    )  # fmt: skip


def described(examples: list[Example]) -> dict[str, Any]:
    """The data as a run's manifest describes it."""
    from fintune.data.load import load

    parts = {"train": examples[:TRAINING], "validation": examples[TRAINING:]}
    return {name: {"fingerprint": load(part, kind="spans").fingerprint, "examples": len(part)} for name, part in parts.items()}


def outcome(output: Path) -> dict[str, Any]:
    """All that two runs must have in common to be called identical: every byte of the adapter, and what was logged but times."""
    from fintune import run

    document = run.manifest(output)  # verifies the files against their hashes
    return {
        "adapter": run.hash_files(output / run.ADAPTER),
        "log": [{k: v for k, v in record.items() if k != "seconds"} for record in run.Log(output / run.LOG).records()],
        "manifest": {name: document[name] for name in ("steps", "tokens", "validation", "kept_epoch", "files")},
    }


def left_over(output: Path) -> list[str]:
    """Names in a finished run folder that do not belong there."""
    belongs = {"recipe.yaml", "manifest.json", "started.json", "log.jsonl", "floors.json", "adapter", ".lock"}
    return sorted(path.name for path in output.iterdir() if path.name not in belongs)


def pretty(value: Any) -> str:
    """A value as readable JSON, for messages of assertions."""
    return json.dumps(value, indent=1, default=str)
