"""However an optimizer step is cut into micro-batches, its gradient is the same; and what makes up a step is a pure function."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import tiny
from fintune.errors import GateError
from fintune.heads.build import Built, build
from fintune.models.adapter import trainable_state
from fintune.tasks.base import load_task
from fintune.train import order
from fintune.train.loop import Step, Work, optimizer_for, schedule_for, steps

STILL = {"model.dropout": 0.0, "head.dropout": 0.0, "adapter.dropout": 0.0, "train.noise": "none"}
BATCHES = [list(range(16)), list(range(16, 32)), list(range(32, 39))]
CUTS: dict[str, Any] = {
    "two": lambda batch: order.share(batch, parts=2),
    "four": lambda batch: order.share(batch, parts=4),
    "uneven": lambda batch: [batch[:1], batch[1:4], batch[4:]],
    "one by one": lambda batch: [[i] for i in batch],
    "with empty shares": lambda batch: [[], batch[:5], [], batch[5:], []],
    "more parts than examples": lambda batch: order.share(batch, parts=20),
}


def fresh(base: Path, transitions: str) -> Built:
    recipe = tiny.recipe(base, {**STILL, "head.transitions": transitions})
    return build(recipe, load_task(recipe.task))


def run(built: Built, cut: Any, *, batches: Sequence[list[int]] = BATCHES) -> tuple[list[Step], list[dict[str, Tensor]]]:
    """Train; the steps, and the gradients that the optimizer was given at each."""
    items = built.head.encode(tiny.examples(40))
    optimizer = optimizer_for(built.model, rate=5e-3, head_rate=None, decay=0.01)
    schedule = schedule_for(optimizer, kind="linear", warmup=0.0, steps=4)
    gradients: list[dict[str, Tensor]] = []

    def keep(*_: Any) -> None:
        state = trainable_state(built.model)
        gradients.append({name: p.grad.clone() for name, p in state.items() if p.grad is not None})

    optimizer.register_step_pre_hook(keep)
    work = (
        Work(0, [built.head.collate([items[i] for i in part]) if part else None for part in cut(batch)], [str(i) for i in batch])
        for batch in batches
    )
    taken = list(steps(
        built.model, built.head.loss, work, optimizer=optimizer, schedule=schedule, accelerator=Accelerator(cpu=True), clip=1.0
    ))  # fmt: skip
    return taken, gradients


@pytest.mark.parametrize("transitions", ["fixed", "learned"])
@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS.keys())
def test_gradients_weights_and_losses_do_not_depend_on_the_cut(tiny_base: Path, cut: Any, transitions: str) -> None:
    whole, parts = fresh(tiny_base, transitions), fresh(tiny_base, transitions)
    taken, gradients = run(whole, lambda batch: [batch])
    other, others = run(parts, cut)
    assert [(s.step, s.units, s.tokens) for s in other] == [(s.step, s.units, s.tokens) for s in taken]
    assert [s.loss for s in other] == pytest.approx([s.loss for s in taken], rel=1e-6)
    assert [s.norm for s in other] == pytest.approx([s.norm for s in taken], rel=1e-5)
    assert len(gradients) == len(BATCHES)
    for one, two in zip(gradients, others, strict=True):
        assert one.keys() == two.keys() == trainable_state(whole.model).keys()
        assert max(float((one[name] - two[name]).abs().max()) for name in one) <= 1e-6
    first, second = trainable_state(whole.model), trainable_state(parts.model)
    assert max(float((first[name] - second[name]).detach().abs().max()) for name in first) <= 1e-6


def test_a_step_is_counted_by_words_and_real_tokens(tiny_base: Path) -> None:
    built = fresh(tiny_base, "learned")
    items = built.head.encode(tiny.examples(40))
    taken, _ = run(built, CUTS["uneven"])
    assert [s.units for s in taken] == [sum(len(items[i].heads) for i in batch) for batch in BATCHES]
    assert [s.tokens for s in taken] == [sum(items[i].length for i in batch) for batch in BATCHES]


@pytest.mark.parametrize("transitions", ["fixed", "learned"])
def test_padding_has_no_part_in_loss_or_gradient(tiny_base: Path, transitions: str) -> None:
    """A batch of the shortest and the longest example gives the sum of what they give alone."""
    built = fresh(tiny_base, transitions)
    items = sorted(built.head.encode(tiny.examples(40)), key=lambda w: w.length)
    ends = [items[0], items[-1]]
    assert ends[0].length < ends[1].length
    together, count = built.head.loss(built.model, built.head.collate(ends))
    alone = [built.head.loss(built.model, built.head.collate([item])) for item in ends]
    assert int(count) == sum(int(n) for _, n in alone)
    assert together.item() == pytest.approx(sum(value.item() for value, _ in alone), rel=1e-6)
    together.backward()
    joint = {name: p.grad.clone() for name, p in trainable_state(built.model).items() if p.grad is not None}
    built.model.zero_grad()
    for value, _ in alone:
        value.backward()
    for name, parameter in trainable_state(built.model).items():
        assert parameter.grad is not None
        assert float((parameter.grad - joint[name]).abs().max()) <= 1e-5


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_leaves_the_weights_alone(tiny_base: Path, poison: float) -> None:
    built = fresh(tiny_base, "learned")
    before = {name: p.detach().clone() for name, p in trainable_state(built.model).items()}
    honest = built.head.loss

    def loss(model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        value, count = honest(model, batch)
        return value * poison, count

    built.head.loss = loss  # type: ignore[method-assign]
    with pytest.raises(GateError, match=r"examples 0, 1, 2, .*step 1"):
        run(built, lambda batch: [batch])
    after = trainable_state(built.model)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert all(p.grad is None for p in after.values())


sizes = st.integers(1, 9)
lengths = st.lists(st.integers(1, 300), max_size=400)


@given(lengths, sizes, st.integers(0, 3), st.integers(0, 3))
def test_every_item_is_in_one_batch_of_an_epoch(items: list[int], size: int, seed: int, epoch: int) -> None:
    found = order.batches(items, batch_size=size, seed=seed, epoch=epoch, group=16)
    assert sorted(i for batch in found for i in batch) == list(range(len(items)))
    assert len(found) == order.steps_per_epoch(len(items), size)
    assert all(1 <= len(batch) <= size for batch in found)
    assert sum(len(batch) < size for batch in found) <= 1


@given(lengths, sizes)
def test_the_order_is_a_function_of_seed_and_epoch_alone(items: list[int], size: int) -> None:
    random.seed(1)
    torch.manual_seed(1)
    before = random.getstate(), torch.get_rng_state()
    first = [order.batches(items, batch_size=size, seed=5, epoch=epoch, group=16) for epoch in (0, 1)]
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])
    random.seed(2)
    assert [order.batches(items, batch_size=size, seed=5, epoch=epoch, group=16) for epoch in (1, 0)] == first[::-1]


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    items = [10 + i % 30 for i in range(200)]
    orders = [order.batches(items, batch_size=8, seed=seed, epoch=epoch, group=16) for seed in (0, 1) for epoch in (0, 1, 2)]
    assert all(one != other for i, one in enumerate(orders) for other in orders[:i])
    for one, other in itertools.pairwise(orders):
        assert len({tuple(sorted(batch)) for batch in one} & {tuple(sorted(batch)) for batch in other}) < 5


def test_seed_and_epoch_do_not_run_into_each_other() -> None:
    items = list(range(1, 100))
    assert order.batches(items, batch_size=8, seed=1, epoch=11, group=16) != order.batches(items, batch_size=8, seed=11, epoch=1, group=16)


@given(st.lists(st.integers(1, 300), min_size=64, max_size=400), st.integers(2, 9), st.integers(0, 3))
def test_grouping_never_wastes_more_padding_than_the_same_items_ungrouped(items: list[int], size: int, seed: int) -> None:
    drawn = list(range(len(items)))
    random.Random(f"{seed}/0").shuffle(drawn)
    unsorted = [drawn[i : i + size] for i in range(0, len(drawn), size)]
    assert padded(items, order.batches(items, batch_size=size, seed=seed, epoch=0, group=16)) <= padded(items, unsorted)


def test_grouping_saves_most_of_the_padding_of_sentences() -> None:
    draw = random.Random(0)
    items = [3 + int(draw.lognormvariate(3.4, 0.6)) for _ in range(1693)]
    real = sum(items)
    grouped = padded(items, order.batches(items, batch_size=16, seed=0, epoch=0, group=16)) - real
    unsorted = padded(items, [list(range(i, min(i + 16, len(items)))) for i in range(0, len(items), 16)]) - real
    assert grouped < 0.15 * unsorted


@given(lengths, st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_without_grouping_a_batch_takes_items_whatever_their_lengths(items: list[int], size: int, seed: int) -> None:
    """Packs have no padding: which examples meet in a step is drawn, and does not depend on how long they are."""
    others = list(reversed(items))
    one, two = (order.batches(given, batch_size=size, seed=seed, epoch=0, group=1) for given in (items, others))
    assert one == two
    assert sorted(i for batch in one for i in batch) == list(range(len(items)))


def padded(items: Sequence[int], batches: Sequence[Sequence[int]]) -> int:
    """Tokens that are computed, padding included."""
    return sum(len(batch) * max(items[i] for i in batch) for batch in batches)


@given(st.lists(st.integers(), max_size=40, unique=True), st.integers(1, 12))
def test_shares_are_even_in_order_and_complete(batch: list[int], parts: int) -> None:
    found = order.share(batch, parts=parts)
    counts = [len(part) for part in found]
    assert [i for part in found for i in part] == batch
    assert len(found) == parts
    assert max(counts) - min(counts) <= 1
    assert counts == sorted(counts, reverse=True), "what is empty comes last"


@given(st.lists(st.integers(), max_size=40, unique=True), st.integers(1, 4), st.integers(1, 4))
def test_shares_of_shares_are_complete_too(batch: list[int], processes: int, accumulate: int) -> None:
    found = [i for mine in order.share(batch, parts=processes) for part in order.share(mine, parts=accumulate) for i in part]
    assert found == batch
