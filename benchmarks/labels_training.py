"""How fast a sequence head trains, for `labels.py`: fintune's loop beside transformers' Trainer on the same texts.

All do the same work on the same examples of a round: LoRA of the recipe, steps of its batch size, AdamW, clipping, the base's
dropout. `Trainer` is how it is used without further thought: random batches padded to their longest, fp32; `Trainer tuned` groups by
length and uses bf16 where the processor has it. Building a model and a few steps before each turn are not timed; making the
batches is. Nothing is to be run here: `python benchmarks/labels.py`.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from transformers import AutoModelForSequenceClassification, DataCollatorWithPadding, PrinterCallback, Trainer, TrainingArguments

import common
from fintune.heads.build import Built, build
from fintune.heads.sequence import SequenceHead, Window
from fintune.models.adapter import attach
from fintune.models.precision import arithmetic
from fintune.recipe import Recipe
from fintune.records import Example
from fintune.tasks.base import load_task
from fintune.train import order
from fintune.train.loop import Step, Work, optimizer_for, schedule_for, steps
from throughput import WARM_UP, Clock


def batches(head: SequenceHead, windows: Sequence[Window], batch: int) -> Iterator[Work]:
    """Steps over windows, grouped by length."""
    for chosen in order.batches([w.length for w in windows], batch_size=batch, seed=0, epoch=0, group=SequenceHead.group):
        yield Work(0, [head.collate([windows[i] for i in chosen])], [])


def looped(built: Built, recipe: Recipe, work: Iterator[Work], *, count: int) -> Iterator[Step]:
    """The loop of fintune over `count` steps of work."""
    settings = recipe.train
    AcceleratorState._reset_state()
    half = arithmetic(settings.precision, "cpu") == torch.bfloat16
    accelerator = Accelerator(cpu=True, mixed_precision="bf16" if half else "no")
    optimizer = optimizer_for(built.model, rate=settings.learning_rate, head_rate=None, decay=settings.weight_decay)
    schedule = schedule_for(optimizer, kind=settings.schedule, warmup=0.1, steps=count)
    model, optimizer = accelerator.prepare(built.model, optimizer)
    yield from steps(
        model, built.head.loss, work, optimizer=optimizer, schedule=schedule, accelerator=accelerator, clip=settings.clip
    )  # fmt: skip
    accelerator.unwrap_model(model, keep_fp32_wrapper=False)


def trained(recipe: Recipe, examples: Sequence[Example], *, count: int) -> Built:
    """A model after `count` steps on examples drawn at random."""
    built = build(recipe, load_task(recipe.task))
    rows = random.Random(0).choices(examples, k=count * recipe.train.batch_size)
    work = batches(built.head, built.head.encode(rows, "train"), recipe.train.batch_size)
    for step in looped(built, recipe, work, count=count):
        loss = step.loss
    print(f"trained {count} steps, last loss {loss:.2f}", file=sys.stderr)
    return built


class Bench:
    """The recipe, and turns of any variant on the texts of a round."""

    def __init__(self, recipe: Recipe, examples: Sequence[Example], *, count: int) -> None:
        self.recipe, self.examples, self.count, self.batch = recipe, examples, count, recipe.train.batch_size
        self.task = load_task(recipe.task)
        self.head: SequenceHead = build(recipe, self.task).head
        self.half = arithmetic(recipe.train.precision, "cpu") == torch.bfloat16

    def drawn(self, round_: int) -> tuple[list[Window], list[Window]]:
        """The windows of a round, the same for every variant: those to warm up with, and those that are timed."""
        warm, timed = WARM_UP * self.batch, self.count * self.batch
        rows = random.Random(round_).choices(self.examples, k=warm + timed)
        windows = self.head.encode(rows, "train")
        return windows[:warm], windows[warm:][:timed]

    def ours(self, round_: int) -> common.Timing:
        """A turn of fintune's loop."""
        built = build(self.recipe, self.task)
        work = (step for windows in self.drawn(round_) for step in batches(built.head, windows, self.batch))
        taken = looped(built, self.recipe, work, count=self.count + WARM_UP)
        for _ in range(WARM_UP):
            next(taken)
        began = time.perf_counter()
        done = sum(1 for _ in taken)
        return common.Timing(done * self.batch, time.perf_counter() - began)

    def theirs(self, round_: int, arguments: Mapping[str, Any]) -> common.Timing:
        """A turn of Trainer: once for the warm-up, then anew on the same model."""
        base = build(self.recipe, self.task).base.folder
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=len(self.task.labels))
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        adapted, _ = attach(model, self.recipe.adapter, task_type="SEQ_CLS")
        clock, collator = Clock(), DataCollatorWithPadding(self.head.tokenizer)
        for windows in self.drawn(round_):
            rows = [{"input_ids": w.tokens, "attention_mask": [1] * w.length, "labels": w.label} for w in windows]
            AcceleratorState._reset_state()
            with tempfile.TemporaryDirectory() as folder:
                given = TrainingArguments(
                    folder, num_train_epochs=1, per_device_train_batch_size=self.batch, learning_rate=self.recipe.train.learning_rate,
                    use_cpu=True, report_to=[], disable_tqdm=True, save_strategy="no", **arguments,
                )  # fmt: skip
                trainer = Trainer(adapted, given, train_dataset=rows, data_collator=collator, callbacks=[clock])  # type: ignore[arg-type]
                trainer.remove_callback(PrinterCallback)
                trainer.train()
        return common.Timing(len(rows), clock.seconds)

    def padding(self, rounds: int) -> str:
        """Real tokens of the rounds."""
        lengths = [w.length for number in range(rounds) for w in self.drawn(number)[1]]
        return f"{len(lengths)} texts learnt in {rounds} rounds, {self.batch} a step, {sum(lengths) / len(lengths):.1f} tokens each"


def report(recipe: Recipe, examples: Sequence[Example], *, rounds: int, steps: int) -> list[str]:
    """The lines on training."""
    bench = Bench(recipe, examples, count=steps)
    tuned = {"train_sampling_strategy": "group_by_length", "bf16": bench.half}
    variants: dict[str, Callable[[int], common.Timing]] = {
        "training, fintune": bench.ours,
        "training, Trainer": lambda number: bench.theirs(number, {}),
        "training, Trainer tuned": lambda number: bench.theirs(number, tuned),
    }
    found = common.in_turns(variants, rounds)
    return [common.table(found, unit="texts/s", against=["training, Trainer", "training, Trainer tuned"]), "", bench.padding(rounds)]
