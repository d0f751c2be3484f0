"""What several runs of one process, or of processes forked from it, need alike and take from here instead of making it again.

Shared are the head with its tokenizer, the encoded items of the training examples, and the base model as it was found: its files
are located, verified and hashed once. Each run still reads the weights for itself, from files that the system holds in memory by
then, since it draws its adapter and output layer from its own seed and puts them into the network. A run takes nothing that
another changed: runs of one process are not for this; fork one for each. `pytest tests/train/test_prepared.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fintune.heads.base import ready
from fintune.heads.build import Built, assembled, build
from fintune.recipe import Recipe
from fintune.records import Example
from fintune.tasks.base import Task

FREE: Mapping[str, tuple[str, ...]] = {
    "adapter": ("method", "rank", "alpha", "scale", "targets", "initialisation"),
    "train": (
        "epochs", "batch_size", "accumulate", "learning_rate", "head_learning_rate", "schedule", "warmup", "weight_decay", "clip",
        "noise_alpha", "precision", "keep", "metric", "patience", "checkpoint_every", "recompute", "kernels", "compile",
    ),
}  # fmt: skip
"""Settings, besides the seed, that no head reads and no encoding depends on; runs that differ in others share nothing."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The head and the base as they were first built, without the network, and the items of the training examples."""

    built: Built
    items: Sequence[Any]


class Prepared:
    """Heads and items by what they depend on."""

    def __init__(self) -> None:
        self.kept: dict[str, Kept] = {}

    def add(self, recipe: Recipe, task: Task, examples: Sequence[Example], *, data: str) -> tuple[Built, Sequence[Any]] | None:
        """Make what a run needs, and give it with the network that came with it; None where it is there.

        Args:
            recipe: settled, as `fintune.train.run.settle` leaves it.
            task: its task.
            examples: to learn from.
            data: their fingerprint.

        Raises:
            FintuneError: as `build` and `encode` do.
        """
        key = key_of(recipe, task, data)
        if key in self.kept:
            return None
        built = build(recipe, task)
        items = ready(built.head, examples)
        self.kept[key] = Kept(replace(built, model=None), items)
        return built, items

    def ready(self, recipe: Recipe, task: Task, examples: Sequence[Example], *, data: str) -> tuple[Built, Sequence[Any]]:
        """A freshly drawn network with the head that is kept, and the items; the same as `build` and `encode` would give."""
        self.add(recipe, task, examples, data=data)
        kept = self.kept[key_of(recipe, task, data)]
        parts = assembled(recipe, task, kept.built.base)
        return replace(kept.built, model=parts.model, matched=parts.matched), kept.items


def key_of(recipe: Recipe, task: Task, data: str) -> str:
    """What the head and the items of a run depend on, as a text."""
    settings = {**recipe.settings(), "predict": recipe.predict.model_dump(mode="json")}
    settings.pop("seed")
    for section, names in FREE.items():
        settings[section] = {name: value for name, value in settings[section].items() if name not in names}
    return json.dumps([settings, task.describe(), data], sort_keys=True)
