"""What a head is: the part that turns examples into tensors and tensors into predictions.

`loss` returns a sum and a count, not a mean, so that gradient accumulation is exact for every head and one loop serves all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import nn

from fintune.records import Example, Prediction


class Item(Protocol):
    """One unit of a batch: an example, or a window of a long one."""

    example: int
    """Index of the example it comes from."""
    length: int
    """Tokens, which batches are grouped by."""


class Head(Protocol):
    """See `fintune.heads.token` for the one to read first."""

    labels: tuple[str, ...]

    def encode(self, examples: Sequence[Example]) -> list[Any]:
        """Items of the examples, in order; gold annotation is encoded where there is some."""

    def collate(self, items: Sequence[Any]) -> dict[str, torch.Tensor]:
        """One batch, padded to its own longest item."""

    def loss(self, model: nn.Module, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Summed loss and the count of supervised units it sums over."""

    def scores(self, model: nn.Module, batch: dict[str, torch.Tensor]) -> list[Any]:
        """What the model says about each item, off the device."""

    def decode(self, model: nn.Module, examples: Sequence[Example], items: Sequence[Any], scores: Sequence[Any]) -> list[Prediction]:
        """One prediction for each example, from the scores of all its items."""
