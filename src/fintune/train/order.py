"""Which examples make up which optimizer step: length-grouped, shuffled, and a pure function of seed and epoch.

Nothing of it has to be saved: resuming computes the same order again and skips what is done.
"""

from __future__ import annotations

import random
from collections.abc import Sequence


def batches(lengths: Sequence[int], *, batch_size: int, seed: int, epoch: int, group: int) -> list[list[int]]:
    """Indices of each optimizer step of an epoch; every index once, the last batch of a group may be short.

    Args:
        lengths: tokens of each item.
        batch_size: items of a step.
        seed: of the run.
        epoch: counted from 0.
        group: batches that are drawn at random together and then sorted by length; 1 where nothing is padded.
    """
    draw = random.Random(f"{seed}/{epoch}")
    order = list(range(len(lengths)))
    draw.shuffle(order)
    grouped: list[list[int]] = []
    for start in range(0, len(order), batch_size * group):
        drawn = order[start : start + batch_size * group]
        if group > 1:
            drawn.sort(key=lambda i: lengths[i])
        grouped += [drawn[i : i + batch_size] for i in range(0, len(drawn), batch_size)]
    draw.shuffle(grouped)
    return grouped


def steps_per_epoch(items: int, batch_size: int) -> int:
    """Optimizer steps of one epoch."""
    return -(-items // batch_size)


def share(batch: Sequence[int], *, parts: int) -> list[list[int]]:
    """A batch dealt out evenly to `parts` (processes or accumulation), in order; parts beyond its size are empty."""
    size, extra = divmod(len(batch), parts)
    bounds = [i * size + min(i, extra) for i in range(parts + 1)]
    return [list(batch[bounds[i] : bounds[i + 1]]) for i in range(parts)]
