"""The attention function of packs, registered with transformers under `NAME`; without a layout it is stock `sdpa`.

So one model trains on packs and writes as usual. `require` refuses architectures whose attention is anything but softmax(q k) v
over all earlier tokens of an example: sliding windows shorter than it, sinks, caps, biases, recurrent layers, attention of their own.
`pytest tests/heads/generative/test_attention.py` exercises both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

from fintune.errors import RecipeError
from fintune.heads.generative import layouts
from fintune.heads.generative.layouts import Layout

NAME = "fintune_packs"
"""Give it to `from_pretrained` as `attn_implementation`."""
HEEDED = {"scaling", "dropout", "sliding_window"}
INDIFFERENT = {
    "position_ids",
    "position_embeddings",
    "cache_position",
    "use_cache",
    "output_attentions",
    "output_hidden_states",
    "output_router_logits",
    "return_dict",
}
"""Keywords that architectures hand to attention: those computed with, and those that change nothing. Any other is refused."""
PROBE = ((1, 2, 3, 4), (1, 2, 5, 6))
"""Two texts that `require` tries a model with; they share two tokens."""


def attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, layout: Layout | None = None,
    **options: Any,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """Attention as transformers calls it, with its keywords.

    Args:
        module: the layer.
        query: `(1, heads, N, width)` where there is a layout.
        key: `(1, key heads, N, width)`.
        value: `(1, key heads, N, width)`.
        attention_mask: of stock attention; a pack has none.
        layout: of a pack.
        options: keywords of the architecture.

    Returns:
        Outputs `(1, N, heads, width)`; no weights.

    Raises:
        RecipeError: where the layout did not arrive, or the architecture asks for something else than plain attention.
    """
    if layout is not None:
        return _on_a_pack(module, query, key, value, layout, options), None
    if attention_mask is not None and attention_mask.numel() == 0:
        raise _refused(module, "it does not hand the layout of a pack to its attention")
    return _SDPA(module, query, key, value, attention_mask, **options)  # type: ignore[no-any-return]


@torch.compiler.disable  # a compiled layer calls it as it is: the sizes of a pack are new in each step
def _on_a_pack(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, layout: Layout, options: Mapping[str, Any]) -> Tensor:
    """See `attend`."""
    odd = sorted(name for name, given in options.items() if name not in HEEDED | INDIFFERENT and given is not None)
    if odd:
        raise _refused(module, f"it asks its attention for {', '.join(odd)}")
    window = options.get("sliding_window")
    if window is not None and window < layout.longest:
        raise _windowed(window, layout.longest)
    rows = [x.squeeze(0).transpose(0, 1) for x in (query, key, value)]  # (N, heads, width)
    dtype = arithmetic(value)  # under autocast, rotations leave queries and keys in fp32; stock attention is cast by torch
    rows = [x.to(dtype) for x in rows]
    out = layout.attend(rows[0], rows[1], rows[2], scaling=options.get("scaling"), dropout=options.get("dropout", 0.0))
    return out[None]


def _stock(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, options: Mapping[str, Any]
) -> tuple[Tensor, Tensor | None]:
    """Stock attention; the query heads of a key head become more queries of it, where stock would copy the key head for each."""
    groups = getattr(module, "num_key_value_groups", 1)
    if mask is None or mask.shape[1] != 1 or groups == 1 or query.shape[2] == 1:
        return _SDPA(module, query, key, value, mask, **options)  # type: ignore[no-any-return]
    batch, heads, count, width = query.shape
    folded = query.reshape(batch, heads // groups, groups * count, width)
    out, _ = _SDPA(_WHOLE, folded, key, value, mask.repeat(1, 1, groups, 1), **options)
    return out.transpose(1, 2).reshape(batch, heads, count, -1).transpose(1, 2), None


_WHOLE = nn.Identity()  # a layer without key groups
_SDPA = AttentionInterface()["sdpa"]
AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, AttentionMaskInterface()["sdpa"])


def arithmetic(tensor: Tensor) -> torch.dtype:
    """What attention over such a tensor is computed in: autocast's precision where it is on, else the tensor's."""
    device = tensor.device.type
    on = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if on else tensor.dtype


def no_mask(device: torch.device) -> Tensor:
    """What stands for the mask of a pack: four dimensions, so that transformers makes none; empty, so that none can be used."""
    return torch.empty(1, 1, 0, 0, dtype=torch.bool, device=device)


def require(model: Any, *, longest: int) -> None:
    """Refuse a causal language model that cannot be computed on packs, after trying it on two short texts with a shared prefix.

    Args:
        model: with `NAME` as its attention; or a `PeftModel` of it.
        longest: tokens of the longest example.

    Raises:
        RecipeError: where not every layer uses `attend` as it is, or two texts in a pack score otherwise than alone.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    config = base.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ())
    if kinds - {"full_attention", "sliding_attention"}:
        raise _refused(base, f"it has layers of {', '.join(sorted(kinds - {'full_attention', 'sliding_attention'}))}")
    window = getattr(config, "sliding_window", None)
    if window is not None and window < longest and (not kinds or "sliding_attention" in kinds):
        raise _windowed(window, longest)
    training = model.training
    model.eval()
    try:
        calls, packed, alone = _tried(model, base)
    except _FAILED as error:
        raise _refused(base, f"its attention fails on a pack: {str(error).splitlines()[0]}") from None
    finally:
        model.train(training)
    if calls != config.num_hidden_layers:
        raise _refused(base, f"its {config.num_hidden_layers} layers attend {calls} times")
    if not _alike(packed, alone):
        raise _refused(base, "a text scores otherwise in a pack than alone")


_FAILED = (RuntimeError, ValueError, TypeError, AttributeError, IndexError, KeyError)
"""What the code of an architecture that knows nothing of packs may raise."""


@torch.no_grad()
def _tried(model: Any, base: Any) -> tuple[int, Tensor, Tensor]:
    """Calls of `attend`, and logits `(2, tokens, vocabulary)` of two texts in a pack, and of each alone."""
    weights = base.get_input_embeddings().weight
    place = weights.device
    probe = _Counted(layouts.layout(2, [2, 2], device=place, dtype=arithmetic(weights), dropout=0.0))
    packed = model(
        input_ids=torch.tensor([[*PROBE[0], *PROBE[1][2:]]], device=place), position_ids=torch.tensor([[0, 1, 2, 3, 2, 3]], device=place),
        layout=probe, attention_mask=no_mask(place), logits_to_keep=torch.arange(6, device=place), use_cache=False,
    ).logits  # fmt: skip
    alone = model(input_ids=torch.tensor(PROBE, device=place), use_cache=False).logits
    return probe.calls, packed[0, torch.tensor([[0, 1, 2, 3], [0, 1, 4, 5]], device=place)], alone


@dataclass(slots=True)
class _Counted:
    """A layout that counts the layers that use it."""

    inner: Layout
    calls: int = 0

    @property
    def longest(self) -> int:
        return self.inner.longest

    def attend(self, query: Tensor, key: Tensor, value: Tensor, *, scaling: float | None, dropout: float) -> Tensor:
        self.calls += 1
        return self.inner.attend(query, key, value, scaling=scaling, dropout=dropout)


def _alike(logits: Tensor, others: Tensor) -> bool:
    """Equal but for rounding."""
    share = 1e-3 if logits.dtype == torch.float32 else 5e-2
    return bool((logits - others).abs().max() <= share * others.abs().max())


def _refused(model: nn.Module, why: str) -> RecipeError:
    return RecipeError(f"{type(model).__name__} cannot be trained on packs", where="model.base", why=why, fix="choose another base model")


def _windowed(window: int, longest: int) -> RecipeError:
    return RecipeError(
        f"this base model sees {window} tokens back, fewer than the {longest} of an example", where="data.max_tokens",
        fix=f"set data.max_tokens={window} or less",
    )  # fmt: skip
