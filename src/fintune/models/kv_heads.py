"""How many key and value heads a causal language model needs: regrouping them, and measuring cache, latency and score.

Fewer heads are means of the given ones (`pool`: Ainslie et al. 2023, arXiv 2305.13245, section 2.1), more heads are copies (`expand`),
which compute exactly the same function with a larger cache: what full attention would cost. Paper: pooling is followed by training on
5 % of the pretraining tokens; without it, as here, scores fall. Refused: counts that do not divide, projections that are not plain
linear layers (quantised, fused, under an adapter). `python benchmarks/kv_heads.py` runs the study.
"""

from __future__ import annotations

import copy
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fintune.errors import UsageError

Score = Callable[[Any], float]
_WHERE = "KV heads"


@dataclass(frozen=True, slots=True)
class Row:
    """What one number of KV heads costs and gives.

    `cache_bytes` are those of one token by the formula, `measured_bytes` those that the cache of a real forward pass holds per token;
    `prefill` is seconds of reading the prompts, `decode` seconds of one new token for all of them, both medians.
    """

    heads: int
    cache_bytes: int
    measured_bytes: float
    prefill: float
    decode: float
    score: float | None


def pool(model: Any, heads: int) -> Any:
    """The model with `heads` KV heads, each the mean of as many neighbouring ones; norms of queries and keys stay as they are.

    The result shares all weights with `model` that it does not change: train neither of them without a copy.

    Raises:
        UsageError: where `heads` does not divide the model's number, or its projections are not plain linear layers.
    """
    given = _given(model)
    if heads < 1 or given % heads:
        raise UsageError(f"{given} KV heads cannot be pooled to {heads}", where=_WHERE, fix=f"choose one of {_listed(_divisors(given))}")
    return _changed(model, heads, lambda rows: rows.reshape(heads, given // heads, *rows.shape[1:]).mean(dim=1))


def expand(model: Any, heads: int) -> Any:
    """The model with `heads` KV heads, neighbours being copies of one: the same function. Shares weights as `pool` does.

    Raises:
        UsageError: where `heads` is no multiple of the model's number, does not divide its query heads, or as `pool`.
    """
    given, queries = _given(model), model.config.num_attention_heads
    if heads < given or heads % given or queries % heads:
        known = [count for count in _divisors(queries) if count % given == 0]
        raise UsageError(f"{given} KV heads cannot be expanded to {heads}", where=_WHERE, fix=f"choose one of {_listed(known)}")
    return _changed(model, heads, lambda rows: rows.repeat_interleave(heads // given, dim=0))


def cache_bytes(config: Any, dtype: torch.dtype) -> int:
    """Bytes of the cache for one token: a key and a value of each KV head in each layer. Sliding windows are not looked at."""
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * int(config.num_hidden_layers) * int(config.num_key_value_heads) * int(size) * dtype.itemsize


def kv_study(
    model: Any, prompts: Sequence[Sequence[int]], counts: Sequence[int], score: Score | None, *, new_tokens: int = 16, rounds: int = 3
) -> list[Row]:
    """Measures each of `counts`, in their order, below the model's own number by `pool` and from it on by `expand`.

    Args:
        model: a causal language model of transformers; it is not changed, and set to evaluation.
        prompts: token ids, read as one batch without padding: all are cut to the length of the shortest.
        counts: numbers of KV heads.
        score: what a variant is worth, such as `perplexity` of held-out text or the metric of a task; None measures cost alone.
        new_tokens: tokens to write greedily after the prompts.
        rounds: timings of each variant after one that does not count; variants take turns.

    Raises:
        UsageError: as `pool` and `expand`, or without a token to read.
    """
    shortest = min(map(len, prompts), default=0)
    if not shortest:
        raise UsageError("a prompt without tokens", where=_WHERE, fix="give prompts of at least one token")
    tokens = torch.tensor([list(prompt[:shortest]) for prompt in prompts], device=model.device)
    variants = {heads: (pool if heads < _given(model) else expand)(model, heads).eval() for heads in counts}
    timings: dict[int, list[tuple[float, float, float]]] = {heads: [] for heads in variants}
    for number in range(rounds + 1):
        for heads in list(variants)[number % len(variants) :] + list(variants)[: number % len(variants)]:
            timings[heads].append(_timed(variants[heads], tokens, new_tokens))
    rows = []
    for heads, variant in variants.items():
        prefill, decode, held = (statistics.median(column) for column in zip(*timings[heads][1:], strict=True))
        value = None if score is None else score(variant)
        rows.append(Row(heads, cache_bytes(variant.config, variant.dtype), held, prefill, decode, value))
    return rows


@torch.inference_mode()
def perplexity(model: Any, sequences: Sequence[Sequence[int]]) -> float:
    """The exponential of the mean negative log-likelihood (nats) of all tokens but the first of each sequence."""
    total, count = 0.0, 0
    for sequence in sequences:
        tokens = torch.tensor([list(sequence)], device=model.device)
        logits = model(input_ids=tokens).logits[0, :-1].float()
        total += float(nn.functional.cross_entropy(logits, tokens[0, 1:], reduction="sum"))
        count += len(sequence) - 1
    return math.exp(total / count)


def table(rows: Sequence[Row], *, score: str) -> str:
    """The rows as text for people; `score` is the name of the last column."""
    lines = [f"{'KV heads':>8}{'cache B/token':>15}{'measured':>12}{'prefill ms':>12}{'decode ms':>11}{score:>14}"]
    for row in rows:
        value = "" if row.score is None else f"{row.score:.4g}"
        times = f"{1e3 * row.prefill:12.1f}{1e3 * row.decode:11.2f}"
        lines.append(f"{row.heads:8}{row.cache_bytes:15,}{row.measured_bytes:12,.0f}{times}{value:>14}")
    return "\n".join(lines)


def _attentions(model: Any) -> Iterator[Any]:
    return (module for module in model.modules() if hasattr(module, "num_key_value_groups"))


def _given(model: Any) -> int:
    """The model's number of KV heads.

    Raises:
        UsageError: where its keys and values do not come from plain linear layers of that many heads in every layer.
    """
    given = getattr(model.config, "num_key_value_heads", None)
    found = list(_attentions(model))
    for attention in found:
        for name in ("k_proj", "v_proj"):
            layer = getattr(attention, name, None)
            if type(layer) is not nn.Linear or given is None or layer.out_features != given * attention.head_dim:
                raise UsageError(f"{name} of this model is no plain linear layer of {given} heads", where=_WHERE,
                                 fix="give an unquantised model, with its adapter merged")  # fmt: skip
    if given is None or len(found) != model.config.num_hidden_layers:
        raise UsageError("this model has no grouped-query attention in every layer", where=_WHERE, fix="give a Llama-like model")
    return int(given)


def _changed(model: Any, heads: int, change: Callable[[Tensor], Tensor]) -> Any:
    """A copy that shares tensors, its keys and values projected by `change` of `(KV heads, head size, ...)`."""
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    result = copy.deepcopy(model, shared)
    for attention in _attentions(result):
        for name in ("k_proj", "v_proj"):
            setattr(attention, name, _projection(getattr(attention, name), attention.head_dim, heads, change))
        attention.num_key_value_groups = result.config.num_attention_heads // heads
        attention.config.num_key_value_heads = heads
    result.config.num_key_value_heads = heads
    return result


@torch.no_grad()
def _projection(layer: nn.Linear, size: int, heads: int, change: Callable[[Tensor], Tensor]) -> nn.Linear:
    """A linear layer for `heads` heads of `size` with changed weights, and a bias where there was one."""
    result = nn.Linear(layer.in_features, heads * size, bias=layer.bias is not None, device="meta", dtype=layer.weight.dtype)
    for name, tensor in layer.named_parameters():
        rows = change(tensor.reshape(-1, size, *tensor.shape[1:])).flatten(0, 1)
        setattr(result, name, nn.Parameter(rows.contiguous(), requires_grad=tensor.requires_grad))
    return result


@torch.inference_mode()
def _timed(model: Any, tokens: Tensor, new_tokens: int) -> tuple[float, float, float]:
    """Seconds of the prompts and of one new token, and bytes that the cache holds for each token of the prompts."""
    began = _now(model)
    output = model(input_ids=tokens, use_cache=True, logits_to_keep=1)
    read = _now(model)
    held = sum(tensor.nbytes for layer in output.past_key_values.layers for tensor in (layer.keys, layer.values)) / tokens.numel()
    start = _now(model)
    for _ in range(new_tokens):
        following = output.logits[:, -1:].argmax(dim=-1)
        output = model(input_ids=following, past_key_values=output.past_key_values, use_cache=True, logits_to_keep=1)
    return read - began, (_now(model) - start) / new_tokens, held


def _now(model: Any) -> float:
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return time.perf_counter()


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
