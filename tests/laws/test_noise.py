"""Embedding noise: bounded by the example's own length, in training only, and none on padding."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import tiny
from fintune.heads.build import Built, build
from fintune.heads.noise import Masking, Noise
from fintune.tasks.base import load_task

lengths = st.lists(st.integers(1, 40), min_size=1, max_size=6)
alphas = st.floats(0.125, 20, width=32)


def mask_of(sizes: list[int]) -> Tensor:
    return (torch.arange(max(sizes))[None] < torch.tensor(sizes)[:, None]).long()


def drawn(kind: str, alpha: float, mask: Tensor, *, width: int = 16, seed: int = 0) -> Tensor:
    """The noise alone, on embeddings of zero."""
    torch.manual_seed(seed)
    return Noise(kind, alpha)(torch.zeros(*mask.shape, width), mask)


@given(lengths, alphas, st.integers(1, 33))
def test_neftune_is_bounded_by_the_tokens_of_the_example_itself(sizes: list[int], alpha: float, width: int) -> None:
    """|noise| <= alpha / sqrt(L d), and comes near it (Jain et al. 2023)."""
    noise = drawn("neftune", alpha, mask_of(sizes), width=width)
    for row, length in zip(noise, sizes, strict=True):
        bound = alpha / math.sqrt(length * width)
        assert row.abs().max() <= bound * (1 + 1e-6)
        if length * width >= 64:
            assert row.abs().max() > 0.8 * bound


@given(lengths, alphas)
def test_uniform_noise_is_bounded_by_alpha_whatever_the_length(sizes: list[int], alpha: float) -> None:
    noise = drawn("uniform", alpha, mask_of(sizes), width=64)
    for row in noise:
        assert 0.8 * alpha < row.abs().max() <= alpha * (1 + 1e-6)


@given(lengths, st.sampled_from(["neftune", "uniform"]))
def test_padding_gets_no_noise_and_every_token_some(sizes: list[int], kind: str) -> None:
    mask = mask_of(sizes)
    noise = drawn(kind, 5.0, mask)
    assert (noise[mask == 0] == 0).all()
    assert (noise[mask == 1].abs().sum(-1) > 0).all()


@given(st.integers(1, 20), st.integers(0, 30))
def test_what_else_is_in_the_batch_does_not_change_the_size(length: int, more: int) -> None:
    """Alone or beside a longer example, the expected norm of an example's noise is alpha / sqrt(3)."""
    alone = drawn("neftune", 5.0, mask_of([length]), width=256)[0]
    beside = drawn("neftune", 5.0, mask_of([length, length + more]), width=256)[0]
    for noise in (alone, beside):
        assert noise.norm().item() == pytest.approx(5.0 / math.sqrt(3), rel=0.15)


@pytest.mark.parametrize("kind", ["neftune", "uniform"])
def test_noise_is_centred_and_uniform(kind: str) -> None:
    mask = mask_of([50, 50])
    noise = drawn(kind, 1.0, mask, width=400)
    bound = 1.0 if kind == "uniform" else 1 / math.sqrt(50 * 400)
    assert abs(noise.mean().item()) < 0.02 * bound
    assert noise.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)


def test_a_batch_row_without_a_token_is_left_alone() -> None:
    noise = drawn("uniform", 5.0, torch.tensor([[1, 1], [0, 0]]))
    assert (noise[1] == 0).all()


def built_with(base: Path, noise: str, alpha: float = 5.0) -> Built:
    quiet = {"model.dropout": 0.0, "head.dropout": 0.0, "adapter.dropout": 0.0}
    recipe = tiny.recipe(base, {**quiet, "train.noise": noise, "train.noise_alpha": alpha})
    return build(recipe, load_task(recipe.task))


def forward(built: Built) -> Tensor:
    batch = built.head.collate(built.head.encode(tiny.examples(6)))
    with torch.no_grad():
        return built.model(*(batch[name] for name in ("tokens", "mask", "shapes", "lengths", "heads")))  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", ["neftune", "uniform"])
def test_there_is_noise_in_training_and_none_in_prediction(tiny_base: Path, kind: str) -> None:
    noisy, plain = built_with(tiny_base, kind), built_with(tiny_base, "none")
    for built in (noisy, plain):
        built.model.eval()
    assert torch.equal(forward(noisy), forward(plain))
    for built in (noisy, plain):
        built.model.train()
    assert torch.equal(forward(plain), forward(plain))
    assert not torch.equal(forward(noisy), forward(plain))
    assert not torch.equal(forward(noisy), forward(noisy)), "each pass draws anew"


def test_noise_of_no_size_changes_nothing(tiny_base: Path) -> None:
    silent, plain = built_with(tiny_base, "neftune", 0.0), built_with(tiny_base, "none")
    for built in (silent, plain):
        built.model.train()
    assert torch.equal(forward(silent), forward(plain))


@given(st.floats(0.05, 1.0), st.integers(0, 2**31))
def test_masking_hides_about_its_share_and_never_a_special_token(share: float, seed: int) -> None:
    tokens = torch.arange(5, 2005).reshape(20, 100)
    tokens[:, 0], tokens[:, -1] = 2, 3
    torch.manual_seed(seed)
    hidden = Masking(share, mask=4, spared=[0, 2, 3])(tokens)
    replaced = hidden != tokens
    assert (hidden[replaced] == 4).all()
    assert not replaced[:, 0].any()
    assert not replaced[:, -1].any()
    ordinary = 20 * 98
    assert abs(int(replaced.sum()) - share * ordinary) <= 6 * math.sqrt(ordinary * share * (1 - share)) + 1e-6


def test_masking_draws_anew_each_time_from_the_seed() -> None:
    tokens = torch.arange(5, 405).reshape(4, 100)
    hide = Masking(0.3, mask=4, spared=[])
    torch.manual_seed(1)
    first, second = hide(tokens), hide(tokens)
    torch.manual_seed(1)
    assert torch.equal(hide(tokens), first)
    assert not torch.equal(first, second)
