"""Which examples make up which optimizer step: length-grouped, shuffled, and a pure function of seed and epoch.

Nothing of it has to be saved: resuming computes the same order again and skips what is done.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence


def batches(
    lengths: Sequence[int], *, batch_size: int, seed: int, epoch: int, group: int, labels: Sequence[Hashable] | None = None
) -> list[list[int]]:
    """Indices of each optimizer step of an epoch; the last batch of a group may be short.

    Every index comes once, or with `labels` as often as `balanced` has it.

    Args:
        lengths: tokens of each item.
        batch_size: items of a step.
        seed: of the run.
        epoch: counted from 0.
        group: batches that are drawn at random together and then sorted by length; 1 where nothing is padded.
        labels: of each item, where each label is to be drawn alike often.
    """
    draw = random.Random(f"{seed}/{epoch}")
    order = list(range(len(lengths))) if labels is None else balanced(labels, seed=seed, epoch=epoch)
    draw.shuffle(order)
    grouped: list[list[int]] = []
    for start in range(0, len(order), batch_size * group):
        drawn = order[start : start + batch_size * group]
        if group > 1:
            drawn.sort(key=lambda i: lengths[i])
        grouped += [drawn[i : i + batch_size] for i in range(0, len(drawn), batch_size)]
    draw.shuffle(grouped)
    return grouped


def balanced(labels: Sequence[Hashable], *, seed: int, epoch: int) -> list[int]:
    """As many indices as labels, each label alike often but for one; none of a label comes again before all of it have come."""
    draw = random.Random(f"balanced/{seed}/{epoch}")
    members: dict[Hashable, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(label, []).append(index)
    stocks = list(members.values())
    draw.shuffle(stocks)  # which label gets one more
    drawn = []
    for turn, stock in enumerate(stocks):
        wanted = len(labels) // len(stocks) + (turn < len(labels) % len(stocks))
        rounds = [draw.sample(stock, len(stock)) for _ in range(-(-wanted // len(stock)))]
        drawn += [index for part in rounds for index in part][:wanted]
    return drawn


def steps_per_epoch(items: int, batch_size: int) -> int:
    """Optimizer steps of one epoch."""
    return -(-items // batch_size)


def share(batch: Sequence[int], *, parts: int) -> list[list[int]]:
    """A batch dealt out evenly to `parts` (processes or accumulation), in order; parts beyond its size are empty."""
    size, extra = divmod(len(batch), parts)
    bounds = [i * size + min(i, extra) for i in range(parts + 1)]
    return [list(batch[bounds[i] : bounds[i + 1]]) for i in range(parts)]
