"""The loop and `transformers.Trainer` end with the same weights on the same batches: accumulation with a ragged last update, masked
labels, clipping, decay, warm-up and schedule, with and without NEFTune. What is compared is Trainer's normalisation by
`num_items_in_batch`, which is shown by counting, and by the other gradient that the mean of micro-batch means gives.

Limits: one process, fp32, CPU, no dropout.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoModelForTokenClassification, Trainer, TrainingArguments

import tiny
from fintune.heads.build import build
from fintune.heads.noise import Noise
from fintune.models.adapter import attach, trainable_state
from fintune.recipe import Adapter
from fintune.tasks.base import load_task
from fintune.train import order
from fintune.train.loop import Batch, Loss, Step, Work, optimizer_for, schedule_for, steps

ACCUMULATE, EPOCHS, ALPHA = 3, 2, 5.0
RATE, DECAY, WARMUP = 5e-3, 0.01, 0.2
SEED = 3


@dataclass
class Side:
    """One way to train: model, batches of an epoch as it takes them, and its loss."""

    model: nn.Module
    batches: list[dict[str, Tensor]]
    loss: Any


@dataclass
class Case:
    """The same model twice, and the batches of one epoch in both forms."""

    ours: Side
    theirs: Side
    schedule: str
    clip: float
    """Low enough for the gradients of these models to be clipped."""


def token_case(base: Path, noise: str) -> Case:
    """Ours: word tags through `Tagger`. Theirs: the stock model on token labels, -100 at all but first tokens."""
    recipe = tiny.recipe(base, {
        "seed": SEED, "model.dropout": 0.0, "head.dropout": 0.0, "adapter.dropout": 0.0, "head.surface": "none",
        "head.transitions": "fixed", "train.noise": noise, "train.noise_alpha": ALPHA,
    })  # fmt: skip
    built = build(recipe, load_task(recipe.task))
    # A token has one label, so that no two words may share one here.
    items = [w for w in built.head.encode(tiny.examples(60)) if len(set(w.heads)) == len(w.heads)]
    parts = equal_lengths([w.length for w in items]) if noise != "none" else shuffled([w.length for w in items])
    ours = [built.head.collate([items[i] for i in part]) for part in parts]
    theirs = [{"input_ids": b["tokens"], "attention_mask": b["mask"], "labels": at_tokens(b)} for b in ours]
    torch.manual_seed(SEED)
    stock = AutoModelForTokenClassification.from_pretrained(
        base, num_labels=15, dtype=torch.float32, attn_implementation="eager", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    peft_model, _ = attach(stock, recipe.adapter, task_type="TOKEN_CLS")
    same_start(built.model, peft_model)
    return Case(Side(built.model, ours, built.head.loss), Side(peft_model, theirs, summed_over_items), "linear", clip=0.5)


def causal_case(base: Path, noise: str) -> Case:
    """A causal model on masked prompts. Theirs: the loss that the model computes itself."""
    adapter = Adapter(rank=4, alpha=8, scale="rank-stabilised", targets=["q_proj", "v_proj"])

    def fresh() -> nn.Module:
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
        torch.manual_seed(SEED)
        return attach(model, adapter, task_type="CAUSAL_LM")[0]

    def loss(model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        embedded = model.get_base_model().get_input_embeddings()(batch["tokens"])
        if noise != "none":
            embedded = Noise("neftune", ALPHA)(embedded, batch["mask"])
        logits = model(inputs_embeds=embedded, attention_mask=batch["mask"]).logits[:, :-1].float()
        total = functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten(), reduction="sum")
        return total, (batch["labels"] != -100).sum()

    draw = torch.Generator().manual_seed(SEED)
    lengths = torch.randint(6, 20, (30,), generator=draw).tolist()
    parts = equal_lengths(lengths) if noise != "none" else shuffled(lengths)
    theirs = [causal_batch([lengths[i] for i in part], draw) for part in parts]
    ours = [{"tokens": b["input_ids"], "mask": b["attention_mask"], "labels": b["labels"][:, 1:]} for b in theirs]
    one, other = fresh(), fresh()
    same_start(one, other)
    return Case(Side(one, ours, loss), Side(other, theirs, None), "cosine", clip=0.03)


def shuffled(lengths: list[int]) -> list[list[int]]:
    """Micro-batches of up to three, the last one ragged, so that the last update is ragged in both ways."""
    assert len(lengths) >= 28
    return order.batches(lengths[:28], batch_size=3, seed=SEED, epoch=0, group=16)


def equal_lengths(lengths: list[int]) -> list[list[int]]:
    """Micro-batches without padding: Trainer's noise depends on the padded length, ours on the example's own."""
    alike: dict[int, list[int]] = {}
    for i, length in enumerate(lengths):
        alike.setdefault(length, []).append(i)
    return [group[:3] for group in alike.values()][:8]


def at_tokens(batch: Batch) -> Tensor:
    """Tags of words as labels of tokens."""
    labels = torch.full_like(batch["tokens"], -100)
    for row in range(len(labels)):
        there = batch["labels"][row] != -100
        labels[row, batch["heads"][row, there]] = batch["labels"][row, there]
    return labels


def causal_batch(lengths: list[int], draw: torch.Generator) -> dict[str, Tensor]:
    """Random texts padded on the right; the first third of each is a prompt without loss."""
    shape = (len(lengths), max(lengths))
    tokens = torch.randint(3, tiny.VOCABULARY, shape, generator=draw)
    mask = (torch.arange(shape[1])[None] < torch.tensor(lengths)[:, None]).long()
    learnt = mask * (torch.arange(shape[1])[None] >= torch.tensor(lengths)[:, None] // 3)
    return {"input_ids": tokens * mask, "attention_mask": mask, "labels": torch.where(learnt == 1, tokens, -100)}


def summed_over_items(outputs: Any, labels: Tensor, num_items_in_batch: Tensor) -> Tensor:
    """What a user gives to Trainer for a model that takes means itself."""
    return functional.cross_entropy(outputs.logits.flatten(0, 1), labels.flatten(), reduction="sum") / num_items_in_batch


def same_start(one: nn.Module, other: nn.Module) -> None:
    """Copy the trainable weights of one model into the other, which has the same names."""
    source, target = weights(one), weights(other)
    assert source.keys() == target.keys()
    for name, tensor in target.items():
        tensor.copy_(source[name])


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name.removeprefix("adapted."): p.data for name, p in trainable_state(model).items()}


def apart(case: Case) -> float:
    """Largest difference between two trainable weights of the same name."""
    ours, theirs = weights(case.ours.model), weights(case.theirs.model)
    assert ours.keys() == theirs.keys()
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours)


def train_ours(case: Case) -> list[Step]:
    side, seeds = case.ours, iter(range(10_000))
    updates = math.ceil(len(side.batches) / ACCUMULATE)
    optimizer = optimizer_for(side.model, rate=RATE, head_rate=None, decay=DECAY)
    schedule = schedule_for(optimizer, kind=case.schedule, warmup=WARMUP, steps=updates * EPOCHS)
    accelerator = Accelerator(cpu=True)
    model, optimizer = accelerator.prepare(side.model, optimizer)
    loss = seeded(side.loss, seeds)
    return list(steps(model, loss, pieces(side.batches), optimizer=optimizer, schedule=schedule, accelerator=accelerator, clip=case.clip))


def seeded(loss: Loss, seeds: Iterator[int]) -> Loss:
    """Each micro-batch draws its noise from a seed of its own, on both sides."""

    def run(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        torch.manual_seed(next(seeds))
        return loss(model, batch)

    return run


def pieces(batches: list[Batch]) -> Iterator[Work]:
    for epoch in range(EPOCHS):
        for start in range(0, len(batches), ACCUMULATE):
            yield Work(epoch, batches[start : start + ACCUMULATE], [f"{start}"])


class Recorded(Trainer):
    """Trainer on ready-made batches in the order given, which remembers what it normalises by."""

    seeds: Iterator[int]
    items: list[int]

    def _get_train_sampler(self, *_: Any) -> torch.utils.data.Sampler[int]:
        return torch.utils.data.SequentialSampler(self.train_dataset)  # type: ignore[arg-type]

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        torch.manual_seed(next(self.seeds))
        self.items.append(int(num_items_in_batch))
        return super().training_step(model, inputs, num_items_in_batch)


def train_theirs(case: Case, folder: Path, *, noise: str, normalise: Callable[[Trainer], None] = lambda trainer: None) -> Recorded:
    arguments = TrainingArguments(
        output_dir=str(folder), per_device_train_batch_size=1, gradient_accumulation_steps=ACCUMULATE, num_train_epochs=EPOCHS,
        learning_rate=RATE, weight_decay=DECAY, warmup_steps=WARMUP, lr_scheduler_type=case.schedule, max_grad_norm=case.clip,
        neftune_noise_alpha=ALPHA if noise != "none" else None, optim="adamw_torch", use_cpu=True, save_strategy="no", report_to="none",
        logging_steps=1, disable_tqdm=True, remove_unused_columns=False,
    )  # fmt: skip
    trainer = Recorded(
        model=case.theirs.model, args=arguments, train_dataset=case.theirs.batches, data_collator=lambda rows: rows[0],  # type: ignore[arg-type]
        compute_loss_func=case.theirs.loss,
    )  # fmt: skip
    trainer.seeds, trainer.items = iter(range(10_000)), []
    normalise(trainer)
    trainer.train()
    return trainer


@pytest.fixture
def case(request: pytest.FixtureRequest, tiny_base: Path, tiny_llama: Path) -> Case:
    family, noise = request.param
    return token_case(tiny_base, noise) if family == "token" else causal_case(tiny_llama, noise)


CASES = [("token", "none"), ("causal", "none"), ("token", "neftune"), ("causal", "neftune")]


@pytest.mark.parametrize(("case", "noise"), [(c, c[1]) for c in CASES], indirect=["case"], ids=["-".join(c) for c in CASES])
def test_the_loop_ends_with_the_weights_of_trainer(case: Case, noise: str, tmp_path: Path) -> None:
    before = {name: p.clone() for name, p in weights(case.ours.model).items()}
    taken = train_ours(case)
    trainer = train_theirs(case, tmp_path, noise=noise)
    after = weights(case.ours.model)
    assert len(case.ours.batches) % ACCUMULATE != 0, "the last update of an epoch is to be ragged"
    assert all((after[name] - before[name]).abs().max() > 1e-3 for name in after), "training has to move every tensor"
    assert apart(case) <= 1e-6
    logged = [entry for entry in trainer.state.log_history if "grad_norm" in entry]
    assert [step.rate for step in taken] == pytest.approx([entry["learning_rate"] for entry in logged], rel=1e-9)
    assert [step.norm for step in taken] == pytest.approx([entry["grad_norm"] for entry in logged], rel=1e-4)
    assert max(step.norm for step in taken) > case.clip, "some gradients are to be clipped"


@pytest.mark.parametrize("case", [("token", "none"), ("causal", "none")], indirect=True, ids=["token", "causal"])
def test_trainer_normalises_by_the_supervised_tokens_of_an_update(case: Case, tmp_path: Path) -> None:
    taken = train_ours(case)
    trainer = train_theirs(case, tmp_path, noise="none")
    seen = [trainer.items[i] for i in update_starts(len(case.ours.batches))]
    assert seen == [step.units for step in taken]
    assert len(set(seen)) > 1


def update_starts(batches: int) -> list[int]:
    """Index of the first micro-batch of each update over all epochs."""
    return [epoch * batches + start for epoch in range(EPOCHS) for start in range(0, batches, ACCUMULATE)]


@pytest.mark.parametrize("case", [("causal", "none")], indirect=True, ids=["causal"])
def test_the_mean_of_micro_batch_means_would_end_elsewhere(case: Case, tmp_path: Path) -> None:
    def means(trainer: Trainer) -> None:
        trainer.model_accepts_loss_kwargs = False
        trainer.get_batch_samples = lambda iterator, number, device: ([next(iterator) for _ in range(number)], -1)  # type: ignore[assignment, method-assign, return-value]
        trainer.loss_is_scaled_for_ga = False

    train_ours(case)
    train_theirs(case, tmp_path, noise="none", normalise=means)
    assert apart(case) > 1e-4


@pytest.mark.parametrize(("ours", "theirs"), [("constant", "constant_with_warmup"), ("linear", "linear"), ("cosine", "cosine")])
@pytest.mark.parametrize(("warmup", "total"), [(0.0, 7), (0.1, 25), (0.34, 10), (1.0, 4)])
def test_schedules_are_those_of_transformers_at_the_rate_given(ours: str, theirs: str, warmup: float, total: int) -> None:
    from transformers import get_scheduler

    one, other = (torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=RATE) for _ in range(2))
    mine = schedule_for(one, kind=ours, warmup=warmup, steps=total)
    reference = get_scheduler(theirs, other, num_warmup_steps=math.ceil(warmup * total), num_training_steps=total)
    for _ in range(total):
        assert mine.get_last_lr() == reference.get_last_lr()
        one.step()
        other.step()
        mine.step()
        reference.step()
