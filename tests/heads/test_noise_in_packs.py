"""Noise on packs: the same for an example whatever it is packed with, one draw for a shared prefix, and its measured size."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import packed
from fintune.heads.generative import packs
from fintune.heads.noise import Noise, exact

WIDTH = 4096
branches_of = st.lists(st.integers(1, 12), min_size=1, max_size=5)


def drawn(kind: str, alpha: float, prefix: int, branches: list[int]) -> Tensor:
    """Noise `(tokens, width)` on embeddings of zero."""
    torch.manual_seed(0)
    lengths = torch.tensor(branches)
    embedded = torch.zeros(1, prefix + sum(branches), WIDTH)
    return Noise(kind, alpha).packed(embedded, branches=lengths, own=lengths + prefix)[0]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 6), branches_of, st.sampled_from([0.5, 5.0, 15.0]))
def test_neftune_varies_with_the_tokens_of_each_example_on_its_own(prefix: int, branches: list[int], alpha: float) -> None:
    """Var = alpha^2 / (3 L d), uniform within alpha / sqrt(L d); a shared prefix has the mean of its examples' variances."""
    noise = drawn("neftune", alpha, prefix, branches)
    variances = [alpha**2 / (3 * (prefix + branch) * WIDTH) for branch in branches]
    expected = [sum(variances) / len(variances)] * prefix
    for variance, branch in zip(variances, branches, strict=True):
        expected += [variance] * branch
    for token, variance in zip(noise, expected, strict=True):
        assert token.var().item() == pytest.approx(variance, rel=0.1)
        assert token.abs().max().item() == pytest.approx(math.sqrt(3 * variance), rel=0.01)


@given(st.integers(0, 6), branches_of)
@settings(max_examples=15, deadline=None)
def test_uniform_noise_has_one_size_for_all(prefix: int, branches: list[int]) -> None:
    noise = drawn("uniform", 0.3, prefix, branches)
    assert noise.var(1).numpy() == pytest.approx(0.03, rel=0.1)


def test_an_example_alone_in_a_pack_has_the_noise_of_a_padded_batch() -> None:
    """The same numbers, drawn in the same order."""
    noise = Noise("neftune", 5.0)
    embedded = torch.randn(1, 9, 32)
    torch.manual_seed(3)
    one = noise.packed(embedded, branches=torch.tensor([9]), own=torch.tensor([9]))
    torch.manual_seed(3)
    torch.testing.assert_close(one, noise(embedded, torch.ones(1, 9, dtype=torch.long)))


@pytest.mark.parametrize("sharing", ["none", "prefix"])
def test_packs_hand_over_the_lengths_of_whole_examples(sharing: str) -> None:
    items = packed.conversations(4, shared=5)
    batch = packs.pack(items, sharing=sharing)
    assert sorted(batch["own"].tolist()) == sorted(c.length for c in items)
    assert batch["branches"].sum() + batch["prefix"] == batch["tokens"].numel()


@pytest.mark.parametrize("kind", ["neftune", "uniform"])
def test_the_ratio_is_that_of_the_latest_call_over_real_tokens(kind: str) -> None:
    noise = Noise(kind, 2.0)
    assert noise.ratio is None
    embedded = torch.randn(2, 6, 512, requires_grad=True)
    mask = torch.tensor([[1] * 6, [1, 1, 0, 0, 0, 0]])
    change = (noise(embedded, mask) - embedded)[mask == 1]
    assert noise.ratio is not None
    assert not noise.ratio.requires_grad
    assert noise.ratio.item() == pytest.approx((change.pow(2).mean() / embedded[mask == 1].pow(2).mean()).sqrt().item(), rel=1e-4)
    lengths = torch.tensor([2, 3])
    change = noise.packed(embedded[:1], branches=lengths, own=lengths + 1) - embedded[:1]
    assert noise.ratio.item() == pytest.approx((change.pow(2).mean() / embedded[0].pow(2).mean()).sqrt().item(), rel=1e-4)


def test_noise_keeps_the_precision_of_the_embeddings() -> None:
    embedded = torch.randn(1, 5, 64).bfloat16()
    lengths = torch.tensor([2, 3])
    noise = Noise("neftune", 5.0)
    assert noise.packed(embedded, branches=lengths, own=lengths).dtype == torch.bfloat16
    assert noise.ratio is not None
    assert noise.ratio.dtype == torch.float32


def test_exact_sharing_is_for_steps_that_draw_nothing() -> None:
    noise = Noise("neftune", 5.0)
    assert exact("exact", noise=None, dropout=0.0) == "prefix"
    assert exact("exact", noise=noise, dropout=0.0) == "none"
    assert exact("exact", noise=None, dropout=0.05) == "none"
    for sharing in ("prefix", "none"):
        assert exact(sharing, noise=noise, dropout=0.1) == sharing
