"""The figures of a pre-flight certificate: what is learnt of each example, what a step computes, how loud the noise is.

Nothing here refuses anything; `fintune.train.preflight` puts the figures together, `pytest tests/train/test_preflight.py`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Any

import torch
from torch import nn

from fintune.heads.base import IGNORED
from fintune.heads.generative import packs
from fintune.heads.generative.conversation import Conversation, Rendered
from fintune.models.estimate import Load, packed, padded
from fintune.recipe import Recipe
from fintune.records import Example
from fintune.tasks.base import Task
from fintune.train import order

NEGLIGIBLE = 0.01
"""Noise below this share of the embeddings changes next to nothing."""
_EDGE = 320


@dataclass(frozen=True, slots=True)
class Spread:
    """How many of something the examples have."""

    min: int
    median: int
    max: int
    total: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a conversation's text that is learnt or not; `skipped` characters before it are left out."""

    text: str
    supervised: bool
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Mask:
    """One example as it will be learnt."""

    id: str
    tokens: int
    supervised: int
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Loudness:
    """Root mean squares of the noise on an embedding, of the embeddings themselves, and the first as a share of the second."""

    kind: str
    alpha: float
    noise: float
    embeddings: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Epoch:
    """What the passes of the first epoch compute. `tokens` are those of the items, before sharing and padding."""

    steps: int
    tokens: int
    load: Load
    largest: Load
    prefix: int


def spread(values: Sequence[int]) -> Spread:
    """Least, middle, most and sum; zeros of nothing. Of an even number the upper middle."""
    ranked = sorted(values) or [0]
    return Spread(ranked[0], ranked[len(ranked) // 2], ranked[-1], sum(ranked))


def learnt(item: Any) -> int:
    """Units of an item that the loss sums over: supervised tokens, tagged words, ends of an answer, the label, or all labels."""
    if isinstance(item, Conversation):
        return sum(item.full.supervised) if item.full is not None else 0
    if hasattr(item, "gold"):
        return sum(place != IGNORED for place in item.gold or ())
    if hasattr(item, "labels"):
        return len(item.labels or ())
    tags = getattr(item, "tags", None)
    return len(tags) if tags is not None else int(getattr(item, "label", None) is not None)


def unit(items: Sequence[Any]) -> str:
    """What `learnt` counts."""
    if not items or isinstance(items[0], Conversation):
        return "tokens"
    if hasattr(items[0], "labels"):
        return "decisions"
    return "answer ends" if hasattr(items[0], "gold") else "words" if hasattr(items[0], "tags") else "labels"


def masks(items: Sequence[Conversation]) -> tuple[Mask, ...]:
    """The shortest, the middle and the longest conversation."""
    ranked = sorted((item for item in items if item.full is not None), key=lambda item: (item.length, item.example))
    places = dict.fromkeys((0, len(ranked) // 2, len(ranked) - 1)) if ranked else {}
    chosen = [ranked[place] for place in places]
    return tuple(Mask(c.source.id, c.length, learnt(c), segments(c.full)) for c in chosen if c.full is not None)


def segments(rendered: Rendered) -> tuple[Segment, ...]:
    """The text in stretches of equal supervision, long ones without their middle; what is kept and skipped adds up to it."""
    flags = [False] * len(rendered.text)
    for (start, end), supervised in zip(rendered.offsets, rendered.supervised, strict=True):
        flags[start:end] = [supervised or flag for flag in flags[start:end]]
    found, at = list[Segment](), 0
    for supervised, run in groupby(flags):
        size = len(list(run))
        text, at = rendered.text[at : at + size], at + size
        if size <= 2 * _EDGE:
            found.append(Segment(text, supervised))
        else:
            found += [Segment(text[:_EDGE], supervised), Segment(text[-_EDGE:], supervised, size - 2 * _EDGE)]
    return tuple(found)


def labels(task: Task, examples: Sequence[Example]) -> Counter[str]:
    """How often each label of the task is gold; labels that are not gold anywhere count 0."""
    spans = (span.label for example in examples for span in example.spans or ())
    unaligned = (label for example in examples for label, _ in example.unaligned)
    several = (label for example in examples for label in example.labels or ())
    seen = Counter(chain(spans, unaligned, several, (example.label for example in examples if example.label is not None)))
    return Counter({label: seen[label] for label in task.labels})


def epoch(recipe: Recipe, head: Any, items: Sequence[Any]) -> Epoch:
    """The first epoch as the run will cut it: its steps, and the passes of each."""
    settings, lengths = recipe.train, [item.length for item in items]
    batches = order.batches(lengths, batch_size=settings.batch_size, seed=recipe.seed, epoch=0, group=head.group)
    loads = [load for batch in batches for load in passes([items[i] for i in batch], head, settings.accumulate)]
    none = Load(0, 0, 0)
    return Epoch(
        steps=len(batches),
        tokens=sum(lengths),
        load=sum(loads, none),
        largest=max(loads, key=lambda load: load.tokens, default=none),
        prefix=packs.shared(items) if _shares(head) and items else 0,
    )


def _shares(head: Any) -> bool:
    return getattr(head, "sharing", "none") == "prefix"


def passes(step: Sequence[Any], head: Any, accumulate: int) -> Iterator[Load]:
    """The forward passes of one step, or of one process's share of it."""
    for share in order.share(range(len(step)), parts=accumulate):
        for part in head.cut([step[i] for i in share]) if share else ():
            if not hasattr(head, "sharing"):
                rows = len(part) * max(map(learnt, part)) if isinstance(part[0], Conversation) else None
                yield padded([item.length for item in part], rows=rows)
                continue
            prefix = packs.shared(part) if _shares(head) else 0
            yield packed(prefix, [item.length - prefix for item in part], sum(map(learnt, part)))


def loudness(recipe: Recipe, model: nn.Module, items: Sequence[Any]) -> Loudness | None:
    """How loud the recipe's noise is on an example of middle length; None without noise.

    U(-1, 1) has a root mean square of 1 / sqrt(3); NEFTune (arXiv 2310.05914) scales it by alpha / sqrt(tokens x width).
    """
    settings = recipe.train
    if settings.noise == "none" or not items:
        return None
    weight = model.adapted.get_base_model().get_input_embeddings().weight  # type: ignore[union-attr,operator]
    counts = Counter(token for item in items for token in _ids(item))
    ids, times = (torch.tensor(list(values), device=weight.device) for values in (counts.keys(), counts.values()))
    squares = weight[ids].detach().float().square().mean(1)
    embeddings = max(math.sqrt(float((squares * times).sum() / times.sum())), torch.finfo(torch.float32).tiny)
    area = 1.0 if settings.noise == "uniform" else spread([item.length for item in items]).median * weight.shape[1]
    noise = settings.noise_alpha / math.sqrt(3 * area)
    return Loudness(settings.noise, settings.noise_alpha, noise, embeddings, noise / embeddings)


def _ids(item: Any) -> Sequence[int]:
    if isinstance(item, Conversation):
        return (item.full or item.prompt).ids
    return item.tokens  # type: ignore[no-any-return]
