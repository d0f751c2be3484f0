"""What a head is: the part that turns examples into tensors and tensors into predictions.

`loss` returns a sum and a count, not a mean, so that gradient accumulation is exact for every head and one loop serves all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from fintune.models.adapter import Matched
from fintune.records import Example, Prediction, Purpose

IGNORED = -100
"""Gold id of what is not supervised, as in `torch.nn.CrossEntropyLoss`."""


class Item(Protocol):
    """One unit of a batch: an example, or a window of a long one."""

    @property
    def example(self) -> int:
        """Index of the example it comes from."""
        ...

    @property
    def length(self) -> int:
        """Tokens, which batches are grouped by."""
        ...


class Head(Protocol):
    """See `fintune.heads.token` for the one to read first.

    `labels` is the label set; `group` how many batches are drawn together and sorted by length, 1 where nothing is padded.
    """

    labels: tuple[str, ...]
    group: int

    def encode(self, examples: Sequence[Example], purpose: Purpose) -> list[Any]:
        """Items of the examples, in order; gold annotation is encoded where there is some."""

    def cut(self, items: Sequence[Any]) -> list[list[Any]]:
        """Items of one forward pass, as pieces that fit into one."""

    def collate(self, items: Sequence[Any]) -> dict[str, torch.Tensor]:
        """One training batch."""

    def loss(self, model: nn.Module, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Summed loss and the count of supervised units it sums over."""

    def scores(self, model: nn.Module, items: Sequence[Any]) -> list[Any]:
        """What the model, in evaluation mode, says about each item; off the device."""

    def decode(self, model: nn.Module, examples: Sequence[Example], items: Sequence[Any], scores: Sequence[Any]) -> list[Prediction]:
        """One prediction for each example, from the scores of all its items."""

    def describe(self) -> dict[str, Any]:
        """What prediction must share with training besides recipe and task, as plain JSON: template, tokenizer, and the like."""

    def keep(self) -> Mapping[str, str]:
        """Files of the head's own that an adapter folder carries, by name."""


Scored = tuple[Sequence[Example], Sequence[Any], Sequence[Any]]
"""Examples with their items and the items' scores."""


@runtime_checkable
class Fitted(Head, Protocol):
    """A head that decides by a margin, which validation examples set."""

    margin: float

    def fit(self, parts: Sequence[Scored]) -> None:
        """Set `margin` to what serves these examples best."""


@runtime_checkable
class Learning(Head, Protocol):
    """A head with a part of its own that is learnt from the training examples before the network is trained."""

    def learn(self, examples: Sequence[Example]) -> None:
        """Learn it."""


def ready(head: Head, examples: Sequence[Example]) -> list[Any]:
    """The items of the training examples, of a head that has learnt what it learns by itself."""
    if isinstance(head, Learning):
        head.learn(examples)
    return head.encode(examples, "train")


@dataclass(frozen=True, slots=True)
class Assembled:
    """A model ready to train, its head, and what the adapter sits on. `model.adapted` is the network under its adapter."""

    model: Any
    head: Any
    matched: Matched


def device_of(model: nn.Module) -> torch.device:
    """Where a model's parameters are."""
    return next(model.parameters()).device


def moved(batch: Mapping[str, torch.Tensor], model: nn.Module) -> dict[str, torch.Tensor]:
    """A batch on the model's device."""
    device = device_of(model)
    return {name: tensor.to(device) for name, tensor in batch.items()}
