"""Conversations of made-up tokens and tiny models to pack them for, and the reference that packs are held to: one example at a time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM

from fintune.heads.generative.attention import NAME
from fintune.heads.generative.conversation import Conversation, Rendered
from fintune.records import Example

VOCABULARY = 150
FAMILIES = ("llama", "qwen2", "qwen3", "mistral")


def conversation(prompt: Sequence[int], target: Sequence[int], *, index: int = 0) -> Conversation:
    """One example of these tokens; those of the target are supervised."""

    def rendered(ids: tuple[int, ...]) -> Rendered:
        places = range(len(ids))
        return Rendered(ids, tuple((t, t + 1) for t in places), "x" * len(ids), tuple(t >= len(prompt) for t in places))

    whole = rendered((*prompt, *target)) if target else None
    return Conversation(index, Example(str(index), "x"), rendered(tuple(prompt)), whole)


def conversations(count: int, *, shared: int, seed: int = 0, longest: int = 20) -> list[Conversation]:
    """Examples of many lengths whose prompts begin with the same `shared` tokens, and with no more of them."""
    draw = random.Random(seed)

    def tokens(number: int) -> list[int]:
        return [draw.randrange(count + 3, VOCABULARY) for _ in range(number)]

    prefix = tokens(shared)
    return [
        conversation([*prefix, 3 + i, *tokens(draw.randint(0, longest))], tokens(draw.randint(1, longest)), index=i) for i in range(count)
    ]


def base(family: str, **settings: Any) -> Any:
    """A causal language model of two layers with random weights, of which two queries share a key."""
    sizes = {
        "vocab_size": VOCABULARY, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "intermediate_size": 96, "max_position_embeddings": 512, "initializer_range": 0.1, "bos_token_id": 1, "eos_token_id": 2,
        "pad_token_id": 0,
    }  # fmt: skip
    if family in ("qwen3", "gemma2"):
        sizes["head_dim"] = 16
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **{**sizes, **settings}), attn_implementation=NAME)


def adapted(model: Any, *, dropout: float = 0.0) -> Any:
    """The model under an adapter of rank 8 on all linear layers that has been trained: B is not zero. In training mode."""
    config = LoraConfig(r=8, lora_alpha=16, lora_dropout=dropout, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(model, config)
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    return model.train()


def gradient(model: Any, loss: Tensor) -> Tensor:
    """The gradient of all trainable parameters as one vector; the model is left without."""
    loss.backward()
    trainable = [p for p in model.parameters() if p.requires_grad]
    found = torch.cat([p.grad.flatten().clone() for p in trainable])
    model.zero_grad(set_to_none=True)
    return found


def alone(model: Any, items: Sequence[Conversation]) -> tuple[float, Tensor]:
    """Summed loss and its gradient, one example after another through stock attention."""
    base = model.get_base_model()
    base.set_attn_implementation("sdpa")
    total, summed = 0.0, torch.zeros(())
    for item in items:
        assert item.full is not None
        logits = model(input_ids=torch.tensor([item.full.ids]), use_cache=False).logits[0]
        rows = [t - 1 for t, supervised in enumerate(item.full.supervised) if supervised]
        gold = torch.tensor([item.full.ids[row + 1] for row in rows])
        loss = functional.cross_entropy(logits[rows], gold, reduction="sum")
        total += loss.item()
        summed = summed + gradient(model, loss)
    base.set_attn_implementation(NAME)
    return total, summed


def error(found: Tensor, expected: Tensor) -> float:
    """Norm of the difference over the norm of what is expected."""
    return float((found - expected).norm() / expected.norm())
