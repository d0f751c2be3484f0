"""What a pack is made of, how a step is cut into packs, and the loss over its rows."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

import packed
from fintune.heads.base import IGNORED
from fintune.heads.generative import packs
from fintune.heads.generative.conversation import Conversation

tokens = st.lists(st.integers(3, 6), min_size=1, max_size=9)
conversations = st.lists(st.builds(packed.conversation, tokens, tokens), min_size=1, max_size=7)
sharings = st.sampled_from(["none", "prefix"])


@settings(deadline=None)
@given(conversations, sharings)
def test_every_example_can_be_read_back_out_of_a_pack(items: list[Conversation], sharing: str) -> None:
    batch = packs.pack(items, sharing=sharing)
    row, positions, prefix = batch["tokens"][0].tolist(), batch["positions"][0].tolist(), int(batch["prefix"])
    found, start = [], prefix
    for branch, own in zip(batch["branches"].tolist(), batch["own"].tolist(), strict=True):
        assert positions[start : start + branch] == list(range(prefix, own))
        found.append((*row[:prefix], *row[start : start + branch]))
        start += branch
    assert start == len(row)
    assert positions[:prefix] == list(range(prefix))
    assert sorted(found) == sorted(c.full.ids for c in items if c.full)
    assert [len(ids) for ids in found] == sorted((c.length for c in items), reverse=True)


@settings(deadline=None)
@given(conversations, sharings)
def test_rows_predict_the_supervised_tokens_from_the_token_before_them_in_the_same_branch(items: list[Conversation], sharing: str) -> None:
    batch = packs.pack(items, sharing=sharing)
    ends = (batch["prefix"] + batch["branches"].cumsum(0)).tolist()
    expected = sorted((c.full.ids[t - 1], c.full.ids[t]) for c in items if c.full for t in range(len(c.full.ids)) if c.full.supervised[t])
    pairs = []
    for row, label in zip(batch["rows"].tolist(), batch["labels"].tolist(), strict=True):
        assert batch["prefix"] <= row
        assert row + 1 not in ends, "the last token of a branch predicts nothing"
        assert batch["tokens"][0, row + 1] == label
        pairs.append((int(batch["tokens"][0, row]), label))
    assert sorted(pairs) == expected


@settings(deadline=None)
@given(conversations)
def test_the_shared_prefix_is_the_longest_that_leaves_each_prompt_its_last_token(items: list[Conversation]) -> None:
    def common(length: int) -> bool:
        return len({c.prompt.ids[:length] for c in items}) == 1 and all(length < len(c.prompt.ids) for c in items)

    found = packs.shared(items)
    if len(items) == 1:
        assert found == 0
    else:
        assert common(found)
        assert not common(found + 1)


def test_nothing_supervised_is_shared() -> None:
    """Even where a prompt ends with tokens that are learnt, which the chat never makes."""
    items = [packed.conversation([5, 6, 7, 8], [9]), packed.conversation([5, 6, 7, 8], [10])]
    whole = items[0].full
    assert whole is not None
    learnt = Conversation(
        0, items[0].source, items[0].prompt, type(whole)(whole.ids, whole.offsets, whole.text, (False, False, True, True, True))
    )
    assert packs.shared(items) == 3
    assert packs.shared([learnt, items[1]]) == 1


def test_prompts_without_targets_are_packed_without_rows() -> None:
    batch = packs.pack([packed.conversation([3, 4, 5], []), packed.conversation([3, 4], [])], sharing="prefix")
    assert batch["tokens"].tolist() == [[3, 4, 5, 4]]
    assert batch["positions"].tolist() == [[0, 1, 2, 1]]
    assert batch["rows"].numel() == batch["labels"].numel() == 0


@settings(deadline=None)
@given(conversations, sharings, st.integers(1, 60))
def test_a_step_is_cut_into_packs_that_fit(items: list[Conversation], sharing: str, pack_tokens: int) -> None:
    parts = packs.split(items, sharing=sharing, pack_tokens=pack_tokens)
    assert sorted(map(id, itertools.chain(*parts))) == sorted(map(id, items))
    for part in parts:
        assert packs.pack(part, sharing=sharing)["tokens"].numel() <= pack_tokens or len(part) == 1
    assert parts == packs.split(items, sharing=sharing, pack_tokens=pack_tokens)


@settings(deadline=None)
@given(conversations, st.integers(8, 40))
def test_packs_are_nearly_as_few_as_can_be(items: list[Conversation], pack_tokens: int) -> None:
    """First-fit decreasing against all partitions; items of their own pack aside."""
    fitting = [c for c in items if c.length <= pack_tokens]
    best = fewest([c.length for c in fitting], pack_tokens)
    found = len(packs.split(fitting, sharing="none", pack_tokens=pack_tokens))
    assert best <= found <= best * 11 / 9 + 1


def fewest(lengths: list[int], room: int, bins: tuple[int, ...] = ()) -> int:
    """Bins needed, by trying every place for every item."""
    if not lengths:
        return len(bins)
    first, *rest = lengths
    ways = [(*bins[:i], full + first, *bins[i + 1 :]) for i, full in enumerate(bins) if full + first <= room]
    return min(fewest(rest, room, way) for way in [*ways, (*bins, first)])


def test_a_step_that_fits_is_one_pack_only_because_its_prefix_is_shared() -> None:
    items = packed.conversations(10, shared=50)
    room = packs.pack(items, sharing="prefix")["tokens"].numel()
    assert len(packs.split(items, sharing="prefix", pack_tokens=room)) == 1
    assert len(packs.split(items, sharing="none", pack_tokens=room)) > 1


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("chunk", [1, 50, 10_000])
def test_the_loss_is_the_same_in_chunks(smoothing: float, chunk: int) -> None:
    torch.manual_seed(0)
    logits = torch.randn(23, 17, requires_grad=True)
    labels = torch.randint(0, 17, (23,))
    labels[4] = IGNORED
    expected = functional.cross_entropy(logits, labels, reduction="sum", label_smoothing=smoothing)
    wanted = torch.autograd.grad(expected, logits)[0]
    total, count = packs.summed(logits, labels, smoothing=smoothing, chunk=chunk)
    assert count == 22
    assert total.item() == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(torch.autograd.grad(total, logits)[0], wanted, rtol=0, atol=1e-7)


def test_half_precision_logits_are_summed_in_fp32() -> None:
    logits, labels = torch.randn(64, 300).bfloat16(), torch.randint(0, 300, (64,))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total, _ = packs.summed(logits, labels)
    assert total.dtype == torch.float32
    assert total == functional.cross_entropy(logits.float(), labels, reduction="sum")


def test_a_pack_without_rows_has_no_loss_but_a_gradient_of_zero() -> None:
    logits = torch.zeros(0, 9, requires_grad=True)
    total, count = packs.summed(logits, torch.zeros(0, dtype=torch.long))
    total.backward()
    assert total == count == 0
