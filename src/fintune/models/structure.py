"""What of a network decides its work and its memory, read from its modules; they may stand on the meta device.

Linear layers under any adapter, quantised or not, count with the size they stand for. `pytest tests/models/test_estimate.py` holds
the figures to what torch counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from fintune.models.adapter import OUTPUT_LAYERS

_ATTENTION = re.compile("attn|attention", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Structure:
    """What of a network decides its work and its activations.

    `body` and `output` are weights that a token is multiplied with: of all layers, and of the output layer with its `outputs`
    rows. `adapter` are those of the low-rank factors. The rest are elements that each token leaves for the backward pass in all
    `layers`: inputs of norms, inputs of adapters (`inputs`, or `shared` where neighbours read one tensor), queries, keys, values
    and results of attention (`attended`, of which `queries` wide), inputs of activation functions and products (`inner`), and
    elements under a dropout mask (`masked`).
    """

    layers: int
    width: int
    body: int
    output: int
    outputs: int
    adapter: int
    queries: int
    norms: int
    inputs: int
    shared: int
    attended: int
    inner: int
    masked: int


def structure(model: nn.Module) -> Structure:
    """The structure of a network, adapted or not, whatever device it stands on.

    Args:
        model: a transformers model, or a module that holds one as `adapted`.
    """
    config: Any = _config(model)
    linear = {name: module for name, module in model.named_modules() if is_linear(name, module)}
    outputs = {name: module for name, module in linear.items() if OUTPUT_LAYERS & set(name.split("."))}
    inside = {name: module for name, module in linear.items() if name not in outputs}
    adapted = {name: module for name, module in inside.items() if hasattr(module, "lora_A")}
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or getattr(config, "d_kv", None) or config.hidden_size // heads
    keys = getattr(config, "num_key_value_heads", None) or heads
    blocks = sum(1 for module in model.modules() if _is_attention(module)) or config.num_hidden_layers
    return Structure(
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        # A token of an encoder-decoder passes through one of its two halves.
        body=sum(m.in_features * m.out_features for m in inside.values()) // (2 if config.is_encoder_decoder else 1),
        output=sum(m.in_features * m.out_features for m in outputs.values()),
        outputs=max((m.out_features for m in outputs.values()), default=0),
        adapter=sum(p.numel() for name, p in model.named_parameters() if ".lora_" in name),
        queries=blocks * heads * size,
        norms=sum(_normed(name, module, heads * size, keys * size) for name, module in model.named_modules()),
        inputs=sum(m.in_features for m in adapted.values()),
        shared=sum(width for _, width in {(name.rsplit(".", 1)[0], m.in_features) for name, m in adapted.items()}),
        attended=2 * blocks * (heads + keys) * size,
        inner=_inner(inside),
        masked=sum(m.in_features for m in adapted.values() if _drops(m)),
    )


def _config(model: nn.Module) -> Any:
    found = getattr(model, "config", None)
    return found if found is not None and hasattr(found, "num_attention_heads") else model.adapted.get_base_model().config  # type: ignore[union-attr,operator]


def is_linear(name: str, module: nn.Module) -> bool:
    """A linear layer of the network itself: neither a low-rank factor nor the original that a trained copy stands for."""
    parts = set(name.split("."))
    if parts & {"base_layer", "original_module"} or any(part.startswith("lora_") for part in parts):
        return False
    return isinstance(module, nn.Linear) or hasattr(module, "lora_A")


def _is_attention(module: nn.Module) -> bool:
    """A module that holds the query projection of one attention block."""
    return any(name in ("q_proj", "query", "q_lin", "q") for name, _ in module.named_children())


def _normed(name: str, module: nn.Module, queries: int, keys: int) -> int:
    """Elements of a token that a norm keeps; one over a single head is applied to all heads."""
    if "norm" not in type(module).__name__.lower() or not isinstance(getattr(module, "weight", None), Tensor):
        return 0
    widths = {"q_norm": queries, "k_norm": keys}
    return widths.get(name.rsplit(".", 1)[-1], module.weight.numel())  # type: ignore[operator,union-attr]


def _inner(linear: dict[str, Any]) -> int:
    """Elements that feed-forward layers keep: what enters the activation, and of a gated one both factors of the product."""
    total, wide = 0, [name for name, module in linear.items() if module.out_features > module.in_features and not _ATTENTION.search(name)]
    for parent in {name.rsplit(".", 1)[0] for name in wide}:
        ups = [linear[name].out_features for name in wide if name.rsplit(".", 1)[0] == parent]
        total += sum(ups) if len(ups) == 1 else sum(ups) + ups[0]
    return total


def _drops(module: Any) -> bool:
    return any(isinstance(child, nn.Dropout) and child.p > 0 for child in module.lora_dropout.values())
