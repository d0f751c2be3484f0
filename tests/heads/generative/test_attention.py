"""Attention over packs against attention written out, the two kernels against each other, and the architectures refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import packed
from fintune.errors import RecipeError
from fintune.heads.generative import attention, layouts, packs
from fintune.heads.generative.gather import Rows

CPU = torch.device("cpu")
branches_of = st.lists(st.integers(1, 24), min_size=1, max_size=7)
heads_of = st.sampled_from([(4, 4), (4, 2), (3, 1)])


def written_out(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Causal attention of one sequence; the last query stands at the last key. Shapes `(tokens, heads, width)`."""
    key, value = (x.repeat_interleave(query.shape[1] // x.shape[1], 1) for x in (key, value))
    scores = torch.einsum("qhd,khd->hqk", query, key) * scale
    ahead = len(key) - len(query)
    seen = torch.arange(len(key))[None] <= torch.arange(len(query))[:, None] + ahead
    return torch.einsum("hqk,khd->qhd", scores.masked_fill(~seen, -torch.inf).softmax(-1), value)


def varlen_attn(
    query: Tensor, key: Tensor, value: Tensor, cu_seq_q: Tensor, cu_seq_k: Tensor, max_q: int, max_k: int, *, return_aux: None = None,
    scale: float | None = None, window_size: tuple[int, int] = (-1, -1), enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    """What `torch.nn.attention.varlen.varlen_attn` of torch 2.13 computes on a GPU, sequence by sequence, with its demands."""
    assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
    assert window_size == (-1, 0)
    assert scale is not None
    assert enable_gqa or query.shape[1] == key.shape[1]
    assert (int(cu_seq_q[-1]), int(cu_seq_k[-1])) == (len(query), len(key)) == (len(query), len(value))
    assert (int(cu_seq_q.diff().max()), int(cu_seq_k.diff().max())) == (max_q, max_k)
    pieces = zip(
        query.split(cu_seq_q.diff().tolist()), key.split(cu_seq_k.diff().tolist()), value.split(cu_seq_k.diff().tolist()), strict=True
    )
    return torch.cat([written_out(q, k, v, scale) for q, k, v in pieces])


def ungrouped_varlen_attn(
    query: Tensor, key: Tensor, value: Tensor, cu_seq_q: Tensor, cu_seq_k: Tensor, max_q: int, max_k: int, *, return_aux: None = None,
    scale: float | None = None, window_size: tuple[int, int] = (-1, -1),
) -> Tensor:  # fmt: skip
    """The same of torch 2.11, which knows no grouped queries."""
    return varlen_attn(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, scale=scale, window_size=window_size)


LAYOUTS: dict[str, Callable[[int, list[int]], layouts.Layout]] = {
    "padded": lambda prefix, branches: layouts.padded(prefix, branches, device=CPU),
    "varlen": lambda prefix, branches: layouts.varlen(prefix, branches, device=CPU, kernel=varlen_attn),
    "varlen of torch 2.11": lambda prefix, branches: layouts.varlen(prefix, branches, device=CPU, kernel=ungrouped_varlen_attn),
}


@pytest.mark.parametrize("kind", LAYOUTS)
@settings(max_examples=30, deadline=None)
@given(prefix=st.integers(0, 9), branches=branches_of, heads=heads_of)
def test_outputs_and_gradients_are_those_of_each_example_on_its_own(
    kind: str, prefix: int, branches: list[int], heads: tuple[int, int]
) -> None:
    torch.manual_seed(prefix)
    total = prefix + sum(branches)
    inputs = [torch.randn(total, h, 8, dtype=torch.float64, requires_grad=True) for h in (heads[0], heads[1], heads[1])]
    laid = LAYOUTS[kind](prefix, branches)
    assert laid.longest == prefix + max(branches)
    expected = [written_out(*(x[:prefix] for x in inputs), 0.3)] if prefix else []
    start = prefix
    for branch in branches:
        rows = torch.tensor([*range(prefix), *range(start, start + branch)])
        expected.append(written_out(inputs[0][start : start + branch], inputs[1][rows], inputs[2][rows], 0.3))
        start += branch
    found, wanted = laid.attend(*inputs, scaling=0.3, dropout=0.0), torch.cat(expected)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
    weights = torch.randn_like(wanted)
    for mine, theirs in zip(
        torch.autograd.grad((found * weights).sum(), inputs), torch.autograd.grad((wanted * weights).sum(), inputs), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)


def test_branches_of_like_lengths_are_computed_together() -> None:
    groups = layouts.padded(5, [40, 39, 36, 20, 19, 4], device=CPU).groups
    assert [group.size for group in groups] == [(3, 40), (2, 20), (1, 4)]
    assert [group.total for group in groups] == [115, 39, 4]


def test_a_gather_repeats_the_prefix_and_keeps_padding_out_of_the_gradient() -> None:
    rows = torch.arange(6.0).reshape(3, 2).requires_grad_()
    gather = Rows.of(8, torch.tensor([4, 7]), torch.tensor([[0], [3]]), CPU)
    places = gather.gather(rows)
    assert places[:, 0].tolist() == [0, 0, 0, 0, 2, 0, 0, 4]
    weights = torch.tensor([1.0, 10, 100, 1000, 1e4, 1e5, 1e6, 1e7])
    gradient = torch.autograd.grad((places * weights[:, None]).sum(), rows)[0]
    assert gradient[:, 0].tolist() == [1001, 1e4, 1e7], "places 1, 2, 5 and 6 are padding"


def test_processors_get_the_padded_layout() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        assert layouts.choose(CPU, dtype, 0.0) == "padded"
        assert isinstance(layouts.layout(2, [3], device=CPU, dtype=dtype, dropout=0.0), layouts.Padded)
    assert layouts.choose(torch.device("cuda"), torch.float32, 0.0) == "padded"
    assert layouts.choose(torch.device("cuda"), torch.bfloat16, 0.1) == "padded"


def test_the_kernel_of_this_torch_takes_what_the_layout_gives() -> None:
    """The stand-in above has the real signature, so that a call which it accepts is one."""
    from inspect import signature

    from torch.nn.attention import varlen

    assert layouts._has_varlen()
    real, stand_in = (list(signature(function).parameters.values()) for function in (varlen.varlen_attn, varlen_attn))
    assert [(p.name, p.kind) for p in real[: len(stand_in)]] == [(p.name, p.kind) for p in stand_in]


def test_dropout_is_refused_where_the_kernel_has_none() -> None:
    laid = layouts.varlen(0, [2], device=CPU, kernel=varlen_attn)
    with pytest.raises(RecipeError, match="no dropout"):
        laid.attend(*(torch.zeros(2, 1, 4) for _ in range(3)), scaling=1.0, dropout=0.1)


def test_attention_dropout_reaches_packs_in_training_only() -> None:
    model = packed.base("llama", attention_dropout=0.5)
    batch = packs.pack(packed.conversations(3, shared=4), sharing="prefix")
    with torch.no_grad():
        model.train()
        assert not torch.equal(packs.forward(model, batch), packs.forward(model, batch))
        model.eval()
        assert torch.equal(packs.forward(model, batch), packs.forward(model, batch))


@pytest.mark.parametrize("family", packed.FAMILIES)
def test_without_a_layout_it_is_stock_attention(family: str) -> None:
    """The same model writes: padded batches, cached decoding and single texts are those of `sdpa`."""
    model = packed.base(family).eval()
    ids = torch.randint(3, packed.VOCABULARY, (2, 7), generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[0, 0, 1, 1, 1, 1, 1], [1] * 7])
    outcomes = []
    for implementation in (attention.NAME, "sdpa"):
        model.set_attn_implementation(implementation)
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=mask).logits
            outcomes.append((logits[mask == 1], model.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=6)))
    assert torch.equal(outcomes[0][0], outcomes[1][0])
    assert torch.equal(outcomes[0][1], outcomes[1][1])


@pytest.mark.parametrize("family", packed.FAMILIES)
def test_under_autocast_packs_are_computed_in_half_precision(family: str) -> None:
    model = packed.base(family).eval()
    items = packed.conversations(4, shared=6)
    batch = packs.pack(items, sharing="prefix")
    with torch.no_grad():
        exact = packs.forward(model, batch)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = packs.forward(model, batch)
    assert half.dtype == torch.bfloat16
    assert 0 < (half - exact).abs().max() < 0.05 * exact.abs().max()


@pytest.mark.parametrize("family", [*packed.FAMILIES, "phi3", "granite", "gpt2"])
def test_plain_attention_is_accepted_and_the_model_left_as_it_was(family: str) -> None:
    model = packed.base(family)
    for training in (True, False):
        model.train(training)
        attention.require(model, longest=64)
        assert model.training is training
        assert all(p.grad is None for p in model.parameters())
    attention.require(packed.adapted(model), longest=64)


REFUSED = {
    "gemma2": ({}, "softcap"),
    "mamba": ({}, "linear_attention"),
    "qwen3_next": ({}, "linear_attention"),
    "stablelm": ({}, "does not hand the layout"),
    "diffllama": ({}, "2 layers attend 4 times"),
    "bloom": ({}, "fails on a pack"),
    "mistral": ({"sliding_window": 63}, "sees 63 tokens back"),
}


@pytest.mark.parametrize("family", REFUSED)
def test_other_attention_is_refused(family: str) -> None:
    given, why = REFUSED[family]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = packed.base(family, **given).train()
    with pytest.raises(RecipeError, match=why):
        attention.require(model, longest=64)
    assert model.training


def test_a_window_that_no_example_fills_is_no_window() -> None:
    model = packed.base("mistral", sliding_window=64)
    attention.require(model, longest=64)
    batch = packs.pack([packed.conversation(range(3, 60), range(3, 12))], sharing="none")
    with pytest.raises(RecipeError, match="fewer than the 66 of an example"):
        packs.forward(model, batch)


def test_a_model_that_mixes_positions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe sees what no configuration tells."""
    model = packed.base("llama")
    mixed = model.model.norm.forward
    monkeypatch.setattr(model.model.norm, "forward", lambda x: mixed(x) + 0.1 * x.mean(1, keepdim=True))
    with pytest.raises(RecipeError, match="otherwise in a pack"):
        attention.require(model, longest=64)


def test_a_pack_for_a_model_without_this_attention_fails_loudly() -> None:
    batch = packs.pack(packed.conversations(2, shared=3), sharing="prefix")
    for implementation in ("sdpa", "eager"):
        model: Any = packed.base("llama")
        model.set_attn_implementation(implementation)
        with pytest.raises(RuntimeError):
            packs.forward(model, batch)


def test_compiled_layers_are_not_compiled_again_for_each_pack() -> None:
    torch.compiler.reset()
    model = packed.base("llama", num_hidden_layers=1)
    batches = [packs.pack(packed.conversations(4 + i, shared=5 * i, seed=i), sharing="prefix") for i in range(4)]
    expected = [packs.loss(model, batch)[0] for batch in batches]
    compiled: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> Callable[..., Any]:
        compiled.append(graph)
        return graph.forward

    model.model.layers[0].compile(backend=backend, dynamic=True)
    counts = []
    for batch, loss in zip(batches, expected, strict=True):
        torch.testing.assert_close(packs.loss(model, batch)[0], loss)
        counts.append(len(compiled))
    assert counts[0] > 0
    assert counts[1:] == [counts[1]] * 3, "the first pack without a prefix and the second with one may differ"
    torch.compiler.reset()


def test_a_kernel_that_aligns_otherwise_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some kernels put the first query at the first key: the branches of a pack would not see their prefix."""

    def top_left(query: Tensor, key: Tensor, value: Tensor, cu_seq_q: Tensor, cu_seq_k: Tensor, *_: int, scale: float, **__: Any) -> Tensor:
        pieces = zip(*(x.split(cu.diff().tolist()) for x, cu in ((query, cu_seq_q), (key, cu_seq_k), (value, cu_seq_k))), strict=True)
        return torch.cat([written_out(q, k[: len(q)], v[: len(q)], scale) for q, k, v in pieces])

    def laid(kernel: Callable[..., Tensor]) -> Callable[..., layouts.Layout]:
        return lambda prefix, branches, *, device, dtype, dropout: layouts.varlen(prefix, branches, device=device, kernel=kernel)

    model = packed.base("qwen3")
    monkeypatch.setattr(layouts, "layout", laid(varlen_attn))
    attention.require(model, longest=64)
    monkeypatch.setattr(layouts, "layout", laid(top_left))
    with pytest.raises(RecipeError, match="otherwise in a pack"):
        attention.require(model, longest=64)
