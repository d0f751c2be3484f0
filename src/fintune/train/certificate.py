"""The pre-flight certificate as a value: what a run will learn, what that takes, and what a person should know beforehand.

`fintune.train.preflight` makes one; `report.terminal.certificate` prints its record, and the report shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fintune.models.estimate import Memory
from fintune.train.preflight_figures import Epoch, Loudness, Mask, Spread

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Needs:
    """Memory in bytes, work and time on the device that training would take; all of it estimated.

    `memory` is with recomputation where the run recomputes, `kept` the total without; `room` is what the device has. `work` counts
    floating-point operations of all epochs, `rate` those that the device did a second in a matrix product.
    """

    device: str
    memory: Memory
    kept: int
    recomputed: bool
    room: int
    work: int
    rate: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Certificate:
    """What will be learnt. `record` is all of it as JSON, `summary` one line.

    Attributes:
        head: token, sequence or generative.
        task: name of the task.
        kind: of the task.
        examples: how many were given.
        items: units of batches: conversations, windows or texts.
        left_out: ids of examples that are too long, where the recipe drops them.
        unit: what is supervised: tokens, words or labels.
        supervised: units of an item that the loss sums over.
        tokens: of an item.
        longest: id and tokens of the longest item.
        limit: most tokens of one.
        masks: the shortest, middle and longest example as they will be learnt; empty for heads without prompts.
        labels: how often each label of the task is gold.
        unreachable: ids of examples whose gold the target cannot say exactly, such as one of two equal surfaces.
        chat: template, tokenizer, and the tokens that begin, end and pad; empty for heads without a chat.
        modules: paths that the adapter sits on.
        parameters: trained and all.
        epoch: what the first epoch computes.
        epochs: passes over the examples.
        steps: optimizer steps in all.
        batch: examples of a step.
        needs: memory, work and time.
        noise: how loud it is; None without.
        notes: what a person should know and no check refuses.
    """

    head: str
    task: str
    kind: str
    examples: int
    items: int
    left_out: tuple[str, ...]
    unit: str
    supervised: Spread
    tokens: Spread
    longest: tuple[str, int]
    limit: int
    masks: tuple[Mask, ...]
    labels: Mapping[str, int]
    unreachable: tuple[str, ...]
    chat: Mapping[str, Any]
    modules: tuple[str, ...]
    parameters: tuple[int, int]
    epoch: Epoch
    epochs: int
    steps: int
    batch: int
    needs: Needs
    noise: Loudness | None
    notes: tuple[str, ...]

    @property
    def memory(self) -> int:
        """Estimated bytes of training that keeps all activations."""
        return self.needs.kept

    @property
    def saved(self) -> float:
        """Share of an epoch's tokens that sharing prefixes saves; below 0 where padding adds some."""
        return 1 - self.epoch.load.tokens / self.epoch.tokens if self.epoch.tokens else 0.0

    def record(self) -> dict[str, Any]:
        """The certificate as plain JSON."""
        of, needs = self.epoch, self.needs
        return {
            "schema_version": SCHEMA_VERSION, "head": self.head, "task": self.task, "kind": self.kind,
            "examples": {"count": self.examples, "items": self.items, "left_out": list(self.left_out)},
            "supervised": {"unit": self.unit, **asdict(self.supervised)},
            "tokens": asdict(self.tokens),
            "longest": {"id": self.longest[0], "tokens": self.longest[1], "limit": self.limit},
            "masks": [{**asdict(mask), "segments": [asdict(segment) for segment in mask.segments]} for mask in self.masks],
            "labels": dict(self.labels),
            "unreachable": list(self.unreachable),
            "chat": dict(self.chat),
            "modules": {"count": len(self.modules), "names": list(self.modules)},
            "parameters": {"trainable": self.parameters[0], "total": self.parameters[1]},
            "prefix": {"tokens": of.prefix, "saved": self.saved},
            "steps": {
                "total": self.steps, "per_epoch": of.steps, "epochs": self.epochs, "batch": self.batch, "tokens_per_epoch": of.tokens,
                "computed_per_epoch": of.load.tokens, "projected_per_epoch": of.load.rows,
            },
            "memory": {
                **asdict(needs.memory), "total": needs.memory.total, "without_recomputation": needs.kept, "recomputed": needs.recomputed,
                "room": needs.room, "device": needs.device, "estimated": True,
            },
            "time": {"operations": needs.work, "rate": needs.rate, "seconds": needs.seconds, "estimated": True},
            "noise": asdict(self.noise) if self.noise else None,
            "notes": list(self.notes),
        }  # fmt: skip

    def summary(self) -> str:
        """The most important of it in one line, for a log; it holds no text of the data."""
        spread, needs = self.supervised, self.needs
        of_each = f"{spread.median} {self.unit} learnt of each ({spread.min} to {spread.max})" if spread.max > 1 else "a label of each"
        parts = [f"pre-flight passed: {self.examples - len(self.left_out):,} examples", of_each]
        if self.left_out:
            parts.append(f"{len(self.left_out)} too long and left out")
        if self.epoch.prefix and self.saved > 0:
            parts.append(f"{self.saved:.0%} of tokens saved by a shared prefix")
        size, unit = (needs.memory.total / 2**20, "MiB") if needs.memory.total < 2**30 else (needs.memory.total / 2**30, "GiB")
        parts.append(f"about {size:.3g} {unit} and {needs.seconds:.2g} s of arithmetic on {needs.device} (estimated)")
        return ", ".join(parts)
