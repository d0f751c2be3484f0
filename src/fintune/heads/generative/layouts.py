"""Layouts of packs: attention of a shared prefix to itself and of each branch to the prefix and itself, for two kinds of kernel.

`layout` chooses: FlashAttention for ragged batches on a GPU in half precision, else batches of stock fused attention, padded for
this one operation. Both are causal and exact. `pytest tests/heads/generative/test_attention.py` holds them to attention written out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from itertools import accumulate
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from fintune.errors import RecipeError
from fintune.heads.generative.gather import Rows

ALIKE = 0.85
"""Branches at least this share of their group's longest are computed with it, padded; a third less attention than with one group."""
VARLEN = "torch.nn.attention.varlen"


class Layout(Protocol):
    """How one pack is laid out: what the attention of all layers needs, made once for a forward pass."""

    @property
    def longest(self) -> int:
        """Tokens of the longest example, its prefix included."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor, *, scaling: float | None, dropout: float) -> Tensor:
        """Outputs `(N, heads, width)` of queries `(N, heads, width)` over keys and values `(N, key heads, width)`."""


def layout(prefix: int, branches: Sequence[int], *, device: torch.device, dtype: torch.dtype, dropout: float) -> Layout:
    """The layout of a pack of `prefix` tokens and `branches`, for the fastest kernel that can compute it."""
    if choose(device, dtype, dropout) == "varlen":
        return varlen(prefix, branches, device=device, kernel=import_module(VARLEN).varlen_attn)
    return padded(prefix, branches, device=device)


def choose(device: torch.device, dtype: torch.dtype, dropout: float) -> Literal["varlen", "padded"]:
    """`varlen` on GPUs with FlashAttention, in half precision and without dropout, which it does not know; else `padded`."""
    able = device.type == "cuda" and dtype in (torch.bfloat16, torch.float16) and dropout == 0
    return "varlen" if able and torch.cuda.get_device_capability(device) >= (8, 0) and _has_varlen() else "padded"


@cache
def _has_varlen() -> bool:
    """Whether this torch has the kernel, with causal windows: from 2.11 on."""
    return find_spec(VARLEN) is not None and "window_size" in inspect.signature(import_module(VARLEN).varlen_attn).parameters


@dataclass(frozen=True, eq=False, slots=True)
class Varlen:
    """A ragged batch: the prefix with itself, then each branch with prefix and branch as its keys. Queries are the pack as it is.

    `keys` are the rows of the pack that keys come from, None where that is the pack as it is; `bounds` the cumulative lengths of
    queries and of keys, `most` the longest of each; `grouped` is whether the kernel takes fewer key heads than query heads.
    """

    longest: int
    kernel: Callable[..., Tensor]
    grouped: bool
    keys: Rows | None
    bounds: tuple[Tensor, Tensor]
    most: tuple[int, int]

    def attend(self, query: Tensor, key: Tensor, value: Tensor, *, scaling: float | None, dropout: float) -> Tensor:
        """See `Layout`. The last query of a sequence stands at its last key, as FlashAttention aligns them."""
        if dropout:
            raise RecipeError("FlashAttention has no dropout", where="model.dropout", fix="set it to 0")
        if self.keys is not None:
            key, value = self.keys.gather(key), self.keys.gather(value)
        options: dict[str, Any] = {}
        if query.shape[1] != key.shape[1]:
            if self.grouped:
                options["enable_gqa"] = True
            else:
                key, value = (x.repeat_interleave(query.shape[1] // x.shape[1], 1) for x in (key, value))
        return self.kernel(query, key, value, *self.bounds, *self.most, scale=scaling, window_size=(-1, 0), **options)


def varlen(prefix: int, branches: Sequence[int], *, device: torch.device, kernel: Callable[..., Tensor]) -> Varlen:
    """A layout for `kernel`, which has the signature of `torch.nn.attention.varlen.varlen_attn`."""
    shared = [prefix] if prefix else []
    queries, keys = [*shared, *branches], [*shared, *(prefix + branch for branch in branches)]
    ends = [torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=device) for lengths in (queries, keys)]
    rows = None
    if prefix:
        of = torch.arange(len(branches)).repeat_interleave(torch.tensor(branches))  # the branch of each row after the prefix
        own = torch.arange(len(of)) + prefix * (2 + of)  # after the prefix itself and a copy of it for each branch so far
        copies = torch.tensor(keys).cumsum(0)[:, None] - torch.tensor(keys)[:, None] + torch.arange(prefix)
        rows = Rows.of(sum(keys), own, copies, device)
    grouped = "enable_gqa" in inspect.signature(kernel).parameters
    return Varlen(max(keys), kernel, grouped, rows, (ends[0], ends[1]), (max(queries), max(keys)))


@dataclass(frozen=True, eq=False, slots=True)
class Padded:
    """A few batches: the prefix, and groups of neighbouring branches of like lengths."""

    longest: int
    prefix: int
    groups: tuple[Group, ...]

    def attend(self, query: Tensor, key: Tensor, value: Tensor, *, scaling: float | None, dropout: float) -> Tensor:
        """See `Layout`."""
        sizes = [self.prefix, *(group.total for group in self.groups)]
        (q, *queries), (k, *keys), (v, *values) = (x.split(sizes) for x in (query, key, value))
        done = [self._fused(q[None], k[None], v[None], None, scaling, dropout).squeeze(0)] if self.prefix else []
        for group, own_q, own_k, own_v in zip(self.groups, queries, keys, values, strict=True):
            cells = (group.spread(own_q), group.before(k, own_k), group.before(v, own_v))
            done.append(group.collect(self._fused(*cells, group.mask, scaling, dropout)))
        return torch.cat(done)

    def _fused(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float | None, dropout: float) -> Tensor:
        """Attention of a batch `(k, tokens, heads, width)`; plain causality where there is no mask."""
        query, key, value = (x.transpose(1, 2) for x in (query, key, value))
        out = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=mask is None, scale=scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )  # fmt: skip
        return out.transpose(1, 2)


def padded(prefix: int, branches: Sequence[int], *, device: torch.device) -> Padded:
    """A layout for stock attention."""
    runs: list[list[int]] = []
    for branch in branches:
        if not runs or min(*runs[-1], branch) < ALIKE * max(*runs[-1], branch):
            runs.append([])
        runs[-1].append(branch)
    longest = prefix + max(branches, default=0)
    return Padded(longest, prefix, tuple(_group(prefix, run, device) for run in runs))


@dataclass(frozen=True, eq=False, slots=True)
class Group:
    """k branches of `total` tokens, padded to the U of the longest: `size` is (k, U), `rows` None where all have U.

    `mask` `(U, P + U)` is what a query sees. Padding comes after all queries of its branch, so that one mask does for all.
    """

    size: tuple[int, int]
    total: int
    rows: Rows | None
    mask: Tensor | None

    def spread(self, branches: Tensor) -> Tensor:
        """Rows `(total, heads, width)` in their cells `(k, U, heads, width)`."""
        cells = branches if self.rows is None else self.rows.gather(branches)
        return cells.view(*self.size, *branches.shape[1:])

    def before(self, prefix: Tensor, branches: Tensor) -> Tensor:
        """Rows `(total, heads, width)` in their cells, each branch after the prefix: `(k, P + U, heads, width)`."""
        cells = self.spread(branches)
        return torch.cat([prefix.expand(len(cells), *prefix.shape), cells], 1) if len(prefix) else cells

    def collect(self, cells: Tensor) -> Tensor:
        """What stands in the cells `(k, U, heads, width)` of real tokens, as rows `(total, heads, width)`."""
        return cells.flatten(0, 1) if self.rows is None else self.rows.take(cells.flatten(0, 1))


def _group(prefix: int, branches: Sequence[int], device: torch.device) -> Group:
    width, total = max(branches), sum(branches)
    rows = None
    if total < width * len(branches):
        lengths = torch.tensor(branches)
        before = lengths.cumsum(0) - lengths
        own = torch.arange(total) + (torch.arange(len(branches)) * width - before).repeat_interleave(lengths)
        rows = Rows.of(width * len(branches), own, torch.empty(0, 0, dtype=torch.long), device)
    mask = torch.ones(width, prefix + width, dtype=torch.bool, device=device).tril(prefix) if prefix else None
    return Group((len(branches), width), total, rows, mask)
