"""Predicting many texts: length-sorted batches of about equal token counts, in the order given.

`fintune predict runs/first --text "..."` ends here; so does each validation during training. `measured` also says what it took.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from fintune.heads.base import Head, Scored, device_of
from fintune.models import estimate
from fintune.models.cost import Meter, of_examples, record
from fintune.models.precision import arithmetic
from fintune.models.structure import structure
from fintune.models.watch import watched
from fintune.recipe import Recipe
from fintune.records import Example, Prediction

CHUNK = 4096
"""Texts that are held as tensors at once; memory stays flat however many there are."""


def predict(
    model: Any,
    head: Head,
    examples: Sequence[Example],
    *,
    batch_tokens: int,
    precision: str,
    tick: Callable[[int], None] = lambda done: None,
) -> Iterator[Prediction]:
    """One prediction for each example, in order; arguments as of `scored`."""
    for chunk, items, scores in scored(model, head, examples, batch_tokens=batch_tokens, precision=precision, tick=tick):
        yield from head.decode(model, chunk, items, scores)


def measured(
    model: Any, head: Head, examples: Sequence[Example], *, recipe: Recipe, tick: Callable[[int], None] = lambda done: None
) -> tuple[list[Prediction], dict[str, Any]]:
    """Predictions, and the cost of making them from texts in memory by a model in memory, see `models.cost`.

    Args:
        model: as of `scored`.
        head: as of `scored`.
        examples: as of `scored`.
        recipe: its `predict` and `cost`.
        tick: as of `scored`.
    """
    meter, settings = Meter(device_of(model)), recipe.predict

    def ticked(done: int) -> None:
        meter.sample()
        tick(done)

    with watched(model) as seen:
        found = list(predict(model, head, examples, batch_tokens=settings.batch_tokens, precision=settings.precision, tick=ticked))
    spent, flop = meter.read(), estimate.forward(structure(model), seen.load)
    return found, of_examples(record(spent, tokens=seen.tokens, supervised_tokens=0, flop=flop, cost=recipe.cost), len(examples))


def scored(
    model: Any,
    head: Head,
    examples: Sequence[Example],
    *,
    batch_tokens: int,
    precision: str,
    tick: Callable[[int], None] = lambda done: None,
) -> Iterator[Scored]:
    """What the model says about the examples, before it is decoded: one chunk of them after another, in order.

    Args:
        model: of the head, on its device; in evaluation mode while a chunk is looked at.
        head: encodes, scores and decodes.
        examples: their gold, if any, is not looked at by the model.
        batch_tokens: padded tokens of one forward pass.
        precision: `auto`, `fp32` or `bf16`.
        tick: told how many texts were finished since the last call.
    """
    device = device_of(model)
    dtype = arithmetic(precision, device.type)
    was_training = model.training
    model.eval()
    try:
        for start in range(0, len(examples), CHUNK):
            chunk = examples[start : start + CHUNK]
            items = head.encode(chunk, "predict")
            scores: list[Any] = [None] * len(items)
            for batch in batches([item.length for item in items], batch_tokens=batch_tokens):
                with torch.inference_mode(), torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
                    for i, score in zip(batch, head.scores(model, [items[i] for i in batch]), strict=True):
                        scores[i] = score
                tick(len({items[i].example for i in batch}))
            yield chunk, items, scores
    finally:
        model.train(was_training)


def batches(lengths: Sequence[int], *, batch_tokens: int) -> Iterator[list[int]]:
    """Indices of batches, longest first, each with at most `batch_tokens` after padding (one item at least)."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    start = 0
    while start < len(order):
        size = max(1, batch_tokens // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size
