"""Gathers in which a prefix is repeated, with gradients that add up in a fixed order and leave padding out.

Stock `index_select` gives the same values; its gradient adds atomically on a GPU, slowly and in another order each time.
`pytest tests/heads/generative/test_attention.py -k gather` exercises it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False, slots=True)
class Rows:
    """Which row stands where after a gather in which a prefix is repeated and the rest stands once.

    `index` has the row of each place; `own` `(B,)` the place of each row after the prefix; `copies` `(copies, P)` the places of
    the prefix's rows. Places in neither are padding: they hold any row, and no gradient comes from them.
    """

    index: Tensor
    own: Tensor
    copies: Tensor

    @classmethod
    def of(cls, places: int, own: Tensor, copies: Tensor, device: torch.device) -> Rows:
        """From the places of all rows."""
        prefix = copies.shape[1]
        index = torch.zeros(places, dtype=torch.long)
        index[copies] = torch.arange(prefix)
        index[own] = torch.arange(prefix, prefix + len(own))
        return cls(index.to(device), own.to(device), copies.to(device))

    def gather(self, rows: Tensor) -> Tensor:
        """The rows in their places; its gradient is a sum over copies in a fixed order, without atomic additions."""
        return _Gathered.apply(rows, self.index, self.own, self.copies)  # type: ignore[no-any-return, no-untyped-call]

    def take(self, places: Tensor) -> Tensor:
        """What stands in the places of the rows after the prefix."""
        return _Taken.apply(places, self.own)  # type: ignore[no-any-return, no-untyped-call]


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, index: Tensor, own: Tensor, copies: Tensor) -> Tensor:
        ctx.save_for_backward(own, copies)
        return rows.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        own, copies = ctx.saved_tensors
        rows = gradient.index_select(0, own)
        if copies.numel():
            prefix = gradient.index_select(0, copies.flatten()).view(*copies.shape, *gradient.shape[1:]).sum(0)
            rows = torch.cat([prefix, rows])
        return rows, None, None, None


class _Taken(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, cells: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.cells = len(cells)
        return cells.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        return gradient.new_zeros(ctx.cells, *gradient.shape[1:]).index_copy_(0, places, gradient), None
