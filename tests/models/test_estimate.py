"""Parameters, gradients and moments are those of real tensors; operations and activations those that torch counts; all on tiny networks."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    AutoModelForCausalLM,
    AutoModelForTokenClassification,
    BertConfig,
    DistilBertConfig,
    LlamaConfig,
    Qwen3Config,
)

from fintune.models import estimate
from fintune.models.adapter import attach
from fintune.models.estimate import Load, flops, memory, packed, padded, rate, seconds
from fintune.models.structure import structure
from fintune.recipe import Adapter

TOKENS = 96
SHAPE = {"vocab_size": 300, "hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 5, "num_attention_heads": 4}
FAMILIES = {
    "llama": lambda: LlamaConfig(**SHAPE, num_key_value_heads=2),
    "llama, tied": lambda: LlamaConfig(**SHAPE, num_key_value_heads=4, tie_word_embeddings=True),
    "qwen3": lambda: Qwen3Config(**SHAPE, num_key_value_heads=2, head_dim=16),
    "bert": lambda: BertConfig(**SHAPE, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, num_labels=15),
    "distilbert": lambda: DistilBertConfig(
        vocab_size=300, dim=64, hidden_dim=176, n_layers=5, n_heads=4, dropout=0.0, attention_dropout=0.0, num_labels=15
    ),
}
CAUSAL = ("llama", "llama, tied", "qwen3")
every_family = pytest.mark.parametrize("family", FAMILIES)


def network(family: str, *, attention: str = "sdpa", adapter: Adapter = Adapter(rank=4), held: torch.dtype = torch.float32) -> nn.Module:
    """A tiny adapted network of a family, trained part in fp32."""
    auto = AutoModelForCausalLM if family in CAUSAL else AutoModelForTokenClassification
    torch.manual_seed(1)
    base = auto.from_config(FAMILIES[family](), attn_implementation=attention).to(held).requires_grad_(False)
    model, _ = attach(base, adapter, task_type="CAUSAL_LM" if family in CAUSAL else "TOKEN_CLS")
    return model.train()


def forward(model: nn.Module, family: str, tokens: int = TOKENS) -> torch.Tensor:
    """Logits of one row of tokens, as training asks for them."""
    extra = {"use_cache": False} if family in CAUSAL else {}
    return model(input_ids=torch.arange(tokens)[None] % 300, **extra).logits.float()


@every_family
@pytest.mark.parametrize("held", [torch.float32, torch.bfloat16])
def test_weights_gradients_and_moments_are_those_of_the_tensors(family, held):
    model = network(family, held=held)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    forward(model, family).sum().backward()
    optimizer.step()
    found = memory(model, Load(0, 0, 0), device="cpu", held=held, computed=torch.float32, quantisation="none", recompute="never")
    trained = [p for p in model.parameters() if p.requires_grad]
    assert found.weights == sum(p.nbytes for p in model.parameters() if not p.requires_grad)
    assert found.adapter == sum(p.nbytes for p in trained)
    assert found.gradients == sum(p.grad.nbytes for p in trained)
    assert found.optimizer == sum(t.nbytes for state in optimizer.state.values() for t in state.values())


@every_family
@pytest.mark.parametrize("recompute", ["never", "always"])
def test_operations_are_those_that_torch_counts(family, recompute):
    model = network(family, attention="eager")
    if recompute == "always":
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable({"use_reentrant": False})
    with FlopCounterMode(display=False) as counter:
        forward(model, family).sum().backward()
    load = Load(TOKENS, TOKENS * TOKENS, TOKENS)  # eager attention computes every pair
    assert flops(structure(model), load, recompute=recompute) == pytest.approx(counter.get_total_flops(), rel=0.05)


def kept(model: nn.Module, family: str, tokens: int, computed: torch.dtype) -> int:
    """Bytes of the storages that autograd keeps, parameters aside."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    found: dict[int, tuple[int, torch.Tensor]] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), torch.autocast("cpu", computed, computed != torch.float32):
        forward(model, family, tokens)
    return sum(size for size, _ in found.values())


@every_family
@pytest.mark.parametrize(("held", "computed"), [(torch.float32, torch.float32), (torch.bfloat16, torch.bfloat16)], ids=["fp32", "bf16"])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_activations_of_a_token_are_what_autograd_keeps(family, held, computed, dropout):
    model = network(family, held=held, adapter=Adapter(rank=4, dropout=dropout))
    counted = (kept(model, family, 2 * TOKENS, computed) - kept(model, family, TOKENS, computed)) / TOKENS
    one, two = (
        memory(model, Load(tokens, 0, 0), device="cpu", held=held, computed=computed, quantisation="none", recompute="never").activations
        for tokens in (TOKENS, 2 * TOKENS)
    )
    assert (two - one) / TOKENS == pytest.approx(counted, rel=0.12)


def test_recomputation_keeps_less_and_works_more():
    model = network("llama")
    load = packed(20, [30, 40], 50)
    options = {"device": "cpu", "held": torch.float32, "computed": torch.float32, "quantisation": "none"}
    without, with_it = (memory(model, load, recompute=way, **options) for way in ("never", "always"))
    assert with_it.activations < without.activations / 2
    assert dataclasses.replace(with_it, activations=without.activations) == without
    of = structure(model)
    assert 1.4 < flops(of, load, recompute="always") / flops(of, load, recompute="never") < 1.5


def test_quantised_weights_leave_embeddings_norms_and_the_output_layer_whole():
    model = network("llama", held=torch.bfloat16)
    few = [m.base_layer.weight for m in model.modules() if hasattr(m, "lora_A")]
    inside = sum(w.numel() for w in few)
    whole = sum(p.nbytes for p in model.parameters() if not p.requires_grad) - 2 * inside
    options = {"device": "cpu", "held": torch.bfloat16, "computed": torch.bfloat16, "recompute": "never"}
    assert memory(model, Load(0, 0, 0), quantisation="8bit", **options).weights == whole + inside
    four = memory(model, Load(0, 0, 0), quantisation="4bit", **options).weights - whole
    assert four / inside == pytest.approx(4.127 / 8, rel=1e-3)  # bits a weight, Dettmers et al. 2023, section 3


def test_a_published_size_on_the_meta_device():
    config = LlamaConfig(
        vocab_size=128_256, hidden_size=4096, intermediate_size=14_336, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8
    )
    with torch.device("meta"):
        base = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).requires_grad_(False)
        model = get_peft_model(base, LoraConfig(r=8, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"]))
    of = structure(model)
    assert (of.body, of.output, of.adapter) == (6_979_321_856, 525_336_576, 6_815_744)
    found = memory(
        model, packed(0, [2500], 1500), device="cuda", held=torch.bfloat16, computed=torch.bfloat16, quantisation="none", recompute="never"
    )
    assert found.weights == 2 * 8_030_261_248
    assert 4e6 < found.activations / 2500 < 8e6  # bytes a token
    # The floor of 24 unshared conversations of 197 tokens, 61 of them learnt, at 790 TFLOP/s: 36.5 s for 212 steps of them.
    load = packed(0, [197] * 24, 61 * 24)
    assert 212 * flops(of, load, recompute="never") / 790e12 == pytest.approx(36.5, rel=0.02)


LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=6)


@given(st.integers(0, 7), LENGTHS, st.integers(0, 20))
def test_a_pack_is_the_pairs_that_its_mask_allows(prefix, branches, rows):
    owners = [-1] * prefix + [owner for owner, length in enumerate(branches) for _ in range(length)]
    pairs = sum(1 for query, own in enumerate(owners) for key, other in enumerate(owners) if key <= query and other in (-1, own))
    assert packed(prefix, branches, rows) == Load(len(owners), pairs, rows)


@given(LENGTHS)
def test_a_padded_batch_is_a_full_square_for_each_row(lengths):
    size, longest = len(lengths), max(lengths)
    assert padded(lengths) == Load(size * longest, size * longest**2, size * longest)
    assert padded(lengths) + padded(lengths) == Load(*(2 * n for n in dataclasses.astuple(padded(lengths))))


def test_time_is_operations_over_the_attained_rate(monkeypatch):
    monkeypatch.setitem(estimate._PROBE, "cpu", 64)
    assert rate(torch.device("cpu"), torch.float32) > 0
    assert seconds(1e12, 1e12) == pytest.approx(1 / estimate.ATTAINED)
    assert estimate.room(torch.device("cpu")) > 1e8
