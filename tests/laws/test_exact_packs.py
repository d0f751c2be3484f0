"""A pack is its examples one by one: the same loss and gradient, in any layout, with nothing passing between examples."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import AutoModelForCausalLM

import packed
from fintune.heads.generative import attention, packs
from fintune.heads.generative.conversation import Conversation
from fintune.heads.noise import Noise

BOUND = 1e-5
"""Relative error of gradients in fp32; found are 2e-7 to 5e-7."""
SHARINGS = ("none", "prefix")
STORIES = Path(os.environ.get("FINTUNE_DATA", "../shared/data")) / "models" / "stories260K"


@pytest.fixture(scope="module", params=[*packed.FAMILIES, "stories260K"])
def model(request: pytest.FixtureRequest) -> Any:
    """Tiny models of each architecture with grouped queries, and a real one."""
    torch.set_num_threads(1)
    if request.param != "stories260K":
        return packed.adapted(packed.base(request.param))
    if not STORIES.is_dir():
        pytest.skip("set FINTUNE_DATA to the folder with the real model")
    return packed.adapted(AutoModelForCausalLM.from_pretrained(STORIES, attn_implementation=attention.NAME, dtype=torch.float32))


@pytest.fixture(scope="module")
def llama() -> Any:
    torch.set_num_threads(1)
    return packed.adapted(packed.base("llama"))


@pytest.fixture(autouse=True)
def in_training(request: pytest.FixtureRequest) -> None:
    for name in {"model", "llama"} & set(request.fixturenames):
        request.getfixturevalue(name).train().zero_grad(set_to_none=True)


def in_packs(model: Any, items: list[Conversation], sharing: str, pack_tokens: int = 10_000) -> tuple[float, Tensor]:
    total, summed = 0.0, torch.zeros(())
    for part in packs.split(items, sharing=sharing, pack_tokens=pack_tokens):
        loss, count = packs.loss(model, packs.pack(part, sharing=sharing))
        assert count == sum(sum(c.full.supervised) for c in part if c.full)
        total += loss.item()
        summed = summed + packed.gradient(model, loss)
    return total, summed


@pytest.mark.parametrize("sharing", SHARINGS)
@pytest.mark.parametrize("shared", [0, 1, 23])
def test_a_pack_has_the_loss_and_gradient_of_its_examples_one_by_one(model: Any, sharing: str, shared: int) -> None:
    items = packed.conversations(7, shared=shared, seed=shared)
    expected_loss, expected = packed.alone(model, items)
    loss, found = in_packs(model, items, sharing)
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    assert packed.error(found, expected) <= BOUND


def test_a_shared_prefix_is_computed_once_and_changes_nothing(model: Any) -> None:
    items = packed.conversations(6, shared=40)
    separate, shared = (packs.pack(items, sharing=sharing) for sharing in SHARINGS)
    assert separate["tokens"].numel() - shared["tokens"].numel() == 5 * 40
    losses = [packs.loss(model, batch)[0] for batch in (separate, shared)]
    assert losses[1].item() == pytest.approx(losses[0].item(), rel=1e-6)
    assert packed.error(packed.gradient(model, losses[1]), packed.gradient(model, losses[0])) <= BOUND


def test_a_padded_batch_of_transformers_has_the_same_loss_and_gradient(model: Any) -> None:
    """Stock sdpa, right padding, labels of -100, and the loss of transformers itself."""
    items = packed.conversations(5, shared=9)
    _, found = in_packs(model, items, "prefix")
    longest = max(c.length for c in items)
    ids, mask = torch.zeros(5, longest, dtype=torch.long), torch.zeros(5, longest, dtype=torch.long)
    labels = torch.full((5, longest), -100)
    for row, item in enumerate(items):
        assert item.full is not None
        ids[row, : item.length], mask[row, : item.length] = torch.tensor(item.full.ids), 1
        labels[row, : item.length] = torch.where(torch.tensor(item.full.supervised), ids[row, : item.length], -100)
    model.get_base_model().set_attn_implementation("sdpa")
    theirs = model(input_ids=ids, attention_mask=mask, labels=labels, num_items_in_batch=1).loss
    model.get_base_model().set_attn_implementation(attention.NAME)
    assert packed.error(found, packed.gradient(model, theirs)) <= BOUND


@pytest.mark.parametrize("sharing", SHARINGS)
def test_nothing_passes_from_one_example_to_another(model: Any, sharing: str) -> None:
    """Another text of the same length in one example leaves the logits of all others as they are."""
    items = packed.conversations(6, shared=11, longest=12)
    model.eval()
    with torch.no_grad():
        batch = packs.pack(items, sharing=sharing)
        before = packs.forward(model, batch)
        for changed in range(len(items)):
            whole = items[changed].full
            assert whole is not None
            ids = [*whole.ids[:12], *(3 + (t * 7) % 100 for t in whole.ids[12:])]  # the prefix and its own first token stay
            targets = sum(whole.supervised)
            others = [*items[:changed], packed.conversation(ids[:-targets], ids[-targets:]), *items[changed + 1 :]]
            other = packs.pack(others, sharing=sharing)
            after = packs.forward(model, other)
            assert other["branches"].equal(batch["branches"])
            touched = rows_of(batch, sorted(range(6), key=lambda i: -items[i].length).index(changed))
            difference = (after - before).abs().amax(1) / before.abs().max()
            assert difference[~touched].max() <= 1e-6
            assert difference[touched].max() > 1e-5


def rows_of(batch: dict[str, Tensor], branch: int) -> Tensor:
    """Which rows are those of a branch."""
    ends = batch["prefix"] + batch["branches"].cumsum(0)
    return (batch["rows"] < ends[branch]) & (batch["rows"] >= ends[branch] - batch["branches"][branch])


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(20, 400), st.sampled_from(SHARINGS))
def test_order_and_cutting_change_nothing(llama: Any, draw: random.Random, pack_tokens: int, sharing: str) -> None:
    items = packed.conversations(8, shared=15)
    expected_loss, expected = in_packs(llama, items, "none")
    draw.shuffle(items)
    loss, found = in_packs(llama, items, sharing, pack_tokens)
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    assert packed.error(found, expected) <= BOUND


@pytest.mark.parametrize("sharing", SHARINGS)
def test_supervised_rows_alone_reach_the_vocabulary(model: Any, sharing: str) -> None:
    items = packed.conversations(4, shared=8)
    batch, seen = packs.pack(items, sharing=sharing), []
    handle = (
        model.get_base_model().get_output_embeddings().register_forward_hook(lambda _, given, __: seen.append(given[0].shape[:-1].numel()))
    )
    packs.loss(model, batch)
    handle.remove()
    assert seen == [sum(sum(c.full.supervised) for c in items if c.full)]


def test_activation_checkpointing_has_the_same_gradient(model: Any) -> None:
    batch = packs.pack(packed.conversations(5, shared=12), sharing="prefix")
    expected = packed.gradient(model, packs.loss(model, batch)[0])
    model.gradient_checkpointing_enable({"use_reentrant": False})
    try:
        calls: list[int] = []
        layer = model.get_base_model().model.layers[0].mlp
        handle = layer.register_forward_pre_hook(lambda *_: calls.append(1))
        found = packed.gradient(model, packs.loss(model, batch)[0])
        handle.remove()
    finally:
        model.gradient_checkpointing_disable()
    assert len(calls) == 2, "computed again in the backward pass"
    assert packed.error(found, expected) <= BOUND


@pytest.mark.parametrize("sharing", SHARINGS)
def test_noise_in_training_and_none_in_evaluation(model: Any, sharing: str) -> None:
    batch = packs.pack(packed.conversations(3, shared=6), sharing=sharing)
    with torch.no_grad():
        assert not torch.equal(packs.forward(model, batch, noise=Noise("neftune", 5.0)), packs.forward(model, batch))
        model.eval()
        assert torch.equal(packs.forward(model, batch, noise=Noise("neftune", 5.0)), packs.forward(model, batch))


def test_without_dropout_or_noise_every_pass_is_the_same(model: Any) -> None:
    batch = packs.pack(packed.conversations(5, shared=12), sharing="prefix")
    assert torch.equal(packed.gradient(model, packs.loss(model, batch)[0]), packed.gradient(model, packs.loss(model, batch)[0]))
