"""The account of a run: what it has spent and computed since it began, over interruptions and over all its processes.

What a process spent after its last checkpoint is not known to the run that goes on, and is not in the sum. The manifest
keeps the result as `cost`. `pytest tests/train/test_cost.py` exercises it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from accelerate import PartialState

from fintune.heads.build import Built
from fintune.models import estimate
from fintune.models.cost import Meter, Spent, beside, record
from fintune.models.structure import structure
from fintune.models.watch import Seen
from fintune.recipe import Recipe
from fintune.train import order, together
from fintune.train import preflight_figures as figures


class Account:
    """Adds up what each process of a run does; all of them have to call `state` and `looked` together."""

    def __init__(self, recipe: Recipe, built: Built, meter: Meter, *, recomputed: bool) -> None:
        """Open it.

        Args:
            recipe: of the run.
            built: its model, for the operations of a pass.
            meter: begun with the process.
            recomputed: whether backward passes compute activations again.
        """
        self._recipe, self._head, self._meter = recipe, built.head, meter
        self._structure = structure(built.model)
        self._recompute: estimate.Recompute = "always" if recomputed else "never"
        self._before: Spent | None = None
        self._flop = self._supervised = 0

    def resume(self, kept: Mapping[str, Any]) -> None:
        """Take up the state of a checkpoint; one of an older version has none."""
        if kept:
            self._before, self._flop, self._supervised = Spent(**kept["spent"]), kept["flop"], kept["supervised"]

    def computes(self, items: Sequence[Any]) -> None:
        """A step over these items, which all processes share."""
        for mine in order.share(range(len(items)), parts=PartialState().num_processes):
            for load in figures.passes([items[i] for i in mine], self._head, self._recipe.train.accumulate):
                self._flop += estimate.flops(self._structure, load, recompute=self._recompute)
        self._supervised += sum(map(figures.learnt, items))

    def looked(self, seen: Seen) -> None:
        """Passes over validation examples, of which each process made its own."""
        self._flop += sum(together.gathered([estimate.forward(self._structure, seen.load)]))

    def sample(self) -> None:
        """To be called now and then, see `Meter.sample`."""
        self._meter.sample()

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, as plain JSON."""
        return {"spent": asdict(self._spent()), "flop": self._flop, "supervised": self._supervised}

    def record(self, tokens: int) -> dict[str, Any]:
        """The cost of the whole run, which saw this number of tokens."""
        return record(
            self._spent(), tokens=tokens, supervised_tokens=self._supervised, flop=self._flop, cost=self._recipe.cost
        )  # fmt: skip

    def _spent(self) -> Spent:
        now = beside(together.gathered([self._meter.read()]))
        return now if self._before is None else self._before.then(now)
