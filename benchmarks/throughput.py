"""How fast the adapter of `ner-minilm` trains: fintune's loop beside transformers' Trainer on the same sentences, in one process.

All do the same work on the same examples of a round: MiniLM, LoRA of the recipe on all linear layers, steps of 16 examples,
AdamW, clipping, the base's dropout. `Trainer` is how it is used without further thought: random batches padded to their longest,
fp32, plain token classification. `Trainer padded` pads every sentence to 128 tokens. `Trainer tuned` groups by length and uses
bf16 where the processor has it. The other rows are fintune's loop with one thing taken away or changed; the last two do other
work than the rest. Building a model and a few steps before each turn are not timed; making the batches is.

    python benchmarks/throughput.py [--rounds 5] [--steps 40] [--batch 16] [--rows fintune,Trainer]
"""

from __future__ import annotations

import random
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from transformers import (
    AutoModelForTokenClassification,
    DataCollatorForTokenClassification,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

import common
from fintune import recipe as recipes
from fintune.data.load import load
from fintune.heads.base import IGNORED
from fintune.heads.build import build
from fintune.heads.token import TokenHead, Window
from fintune.models.adapter import attach
from fintune.models.precision import arithmetic
from fintune.recipe import Recipe
from fintune.records import Example
from fintune.tasks.base import load_task
from fintune.train import order
from fintune.train.loop import Work, optimizer_for, schedule_for, steps
from fintune.train.run import settle

WARM_UP = 5
"""Steps before each turn, on other examples, that are not timed."""
PADDED = 128
"""Tokens of the fixed padding."""


@dataclass(frozen=True)
class Ours:
    """A way to run fintune's loop: what is changed in the recipe, how batches are made, which attention."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    grouped: bool = True
    attention: str = "as built"


@dataclass(frozen=True)
class Theirs:
    """A way to run Trainer: what its collator pads to, and arguments beyond the defaults."""

    padded: int | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)


class Bench:
    """The rows, the recipe, and turns of any variant on the examples of a round."""

    def __init__(self, examples: Sequence[Example], *, steps: int, batch: int) -> None:
        self.examples, self.steps, self.batch = examples, steps, batch
        recipe = recipes.load("ner-minilm")
        self.task = load_task(recipe.task)
        resolved = settle(recipe, self.task, examples)
        self.recipe = resolved.model_copy(update={"train": resolved.train.model_copy(update={"batch_size": batch})})
        self.head: TokenHead = build(self.recipe, self.task).head

    def drawn(self, round_: int) -> tuple[list[Window], list[Window]]:
        """The windows of a round, the same for every variant: those to warm up with, and those that are timed."""
        warm, timed = WARM_UP * self.batch, self.steps * self.batch
        draw = random.Random(round_)
        rows = draw.sample(list(self.examples), warm) + draw.choices(list(self.examples), k=timed)
        windows = self.head.encode(rows)
        return windows[:warm], windows[warm:][:timed]

    def ours(self, way: Ours, round_: int) -> common.Timing:
        """A turn of fintune's loop."""
        recipe = self._changed(way.settings)
        AcceleratorState._reset_state()
        half = arithmetic(recipe.train.precision, "cpu") == torch.bfloat16
        accelerator = Accelerator(cpu=True, mixed_precision="bf16" if half else "no")
        built = build(recipe, self.task)
        if way.attention != "as built":
            built.model.adapted.get_base_model().set_attn_implementation(way.attention)  # type: ignore[operator, union-attr]
        optimizer = optimizer_for(built.model, rate=recipe.train.learning_rate, head_rate=None, decay=recipe.train.weight_decay)
        schedule = schedule_for(optimizer, kind=recipe.train.schedule, warmup=0.1, steps=self.steps + WARM_UP)
        model, optimizer = accelerator.prepare(built.model, optimizer)
        taken = steps(
            model, built.head.loss, self._work(built.head, way, round_), optimizer=optimizer, schedule=schedule, accelerator=accelerator,
            clip=recipe.train.clip,
        )  # fmt: skip
        for _ in range(WARM_UP):
            next(taken)
        began = time.perf_counter()
        done = sum(1 for _ in taken)
        return common.Timing(done * self.batch, time.perf_counter() - began)

    def _work(self, head: TokenHead, way: Ours, round_: int) -> Iterator[Work]:
        for windows in self.drawn(round_):
            lengths = [w.length for w in windows]
            for batch in self._grouped(lengths) if way.grouped else self._in_order(lengths):
                yield Work(0, [head.collate([windows[i] for i in batch])], [])

    def _grouped(self, lengths: Sequence[int]) -> list[list[int]]:
        return order.batches(lengths, batch_size=self.batch, seed=0, epoch=0, group=TokenHead.group)

    def _in_order(self, lengths: Sequence[int]) -> list[list[int]]:
        """Batches as the examples were drawn."""
        return [list(range(i, min(i + self.batch, len(lengths)))) for i in range(0, len(lengths), self.batch)]

    def _changed(self, settings: Mapping[str, Any]) -> Recipe:
        recipe = self.recipe
        for key, value in settings.items():
            section, _, name = key.partition(".")
            recipe = recipe.model_copy(update={section: getattr(recipe, section).model_copy(update={name: value})})
        return recipe

    def theirs(self, way: Theirs, round_: int) -> common.Timing:
        """A turn of Trainer: once for the warm-up, then anew on the same model."""
        base = build(self.recipe, self.task).base.folder
        torch.manual_seed(0)
        model = AutoModelForTokenClassification.from_pretrained(base, num_labels=len(self.head.tagset.tags))
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        adapted, _ = attach(model, self.recipe.adapter, task_type="TOKEN_CLS")
        clock = Clock()
        padding: Any = {"padding": "max_length", "max_length": way.padded} if way.padded else {"padding": True}
        collator = DataCollatorForTokenClassification(self.head.tokenizer, **padding)
        for windows in self.drawn(round_):
            rows = [self._row(window, way.padded) for window in windows]
            with tempfile.TemporaryDirectory() as folder:
                arguments = TrainingArguments(
                    folder, num_train_epochs=1, per_device_train_batch_size=self.batch, learning_rate=self.recipe.train.learning_rate,
                    use_cpu=True, report_to=[], disable_tqdm=True, save_strategy="no", **way.arguments,
                )  # fmt: skip
                trainer = Trainer(adapted, arguments, train_dataset=rows, data_collator=collator, callbacks=[clock])  # type: ignore[arg-type]
                trainer.remove_callback(PrinterCallback)
                trainer.train()
        return common.Timing(self.steps * self.batch, clock.seconds)

    def _row(self, window: Window, limit: int | None) -> dict[str, list[int]]:
        labels = [IGNORED] * window.length
        for place, tag in zip(window.heads, window.tags or [], strict=True):
            labels[place] = tag
        return {"input_ids": window.tokens[:limit], "attention_mask": [1] * len(window.tokens[:limit]), "labels": labels[:limit]}

    def facts(self, rounds: int) -> str:
        """What the rounds consist of: real tokens, and what grouping and fixed padding add to them."""
        real = grouped = drawn = 0
        for number in range(rounds):
            lengths = [w.length for w in self.drawn(number)[1]]
            real += sum(lengths)
            grouped += padded(lengths, self._grouped(lengths))
            drawn += padded(lengths, self._in_order(lengths))
        count = rounds * self.steps * self.batch
        return (
            f"{count} examples in {rounds} rounds, {real / count:.1f} tokens each; computed tokens for each real one: grouped by length "
            f"{grouped / real:.2f}, random batches {drawn / real:.2f}, padded to {PADDED} {PADDED * count / real:.2f}"
        )


def padded(lengths: Sequence[int], batches: Sequence[Sequence[int]]) -> int:
    return sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)


class Clock(TrainerCallback):
    """Time of the latest training from its beginning, before its first batch is made, to the end of its last step."""

    began = seconds = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock."""
        self.began = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Read the clock."""
        self.seconds = time.perf_counter() - self.began


def ways() -> dict[str, Ours | Theirs]:
    half = arithmetic("auto", "cpu") == torch.bfloat16
    return {
        "fintune": Ours(),
        "Trainer": Theirs(),
        "Trainer padded": Theirs(padded=PADDED),
        "Trainer tuned": Theirs(arguments={"train_sampling_strategy": "group_by_length", "bf16": half}),
        "random batches": Ours(grouped=False),
        "fp32": Ours({"train.precision": "fp32"}),
        "fused attention": Ours(attention="sdpa"),
        "all three": Ours({"train.precision": "fp32"}, grouped=False, attention="sdpa"),
        "plain head": Ours({"head.transitions": "fixed", "head.surface": "none"}),
        "no dropout": Ours({"model.dropout": 0.0, "head.dropout": 0.0}),
    }


def main() -> None:
    parser = common.options(__doc__, rounds=5, steps=40, batch=16)
    parser.add_argument("--rows", default=",".join(ways()), help="which variants, separated by commas")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    data = common.source()
    bench = Bench(load(data, kind="spans").examples, steps=given.steps, batch=given.batch)

    def turn(way: Ours | Theirs) -> Callable[[int], common.Timing]:
        return lambda number: bench.ours(way, number) if isinstance(way, Ours) else bench.theirs(way, number)

    chosen = {name: turn(way) for name, way in ways().items() if name in given.rows.split(",")}
    found = common.in_turns(chosen, given.rounds)
    against = [name for name in ("Trainer", "Trainer padded", "fintune") if name in found]
    lines = [common.table(found, unit="examples/s", against=against), "", bench.facts(given.rounds), "", *common.circumstances(data)]
    common.publish("throughput", "\n".join(lines), given.output)


if __name__ == "__main__":
    main()
