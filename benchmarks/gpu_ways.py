"""The rows of `gpu_training.py`: how a step's conversations become batches, what computes them, and what is done to the network.

T0 to T2 and T4 are stock transformers, which projects every token to the vocabulary, T3 is TRL's SFTTrainer; T5 on are fintune's
packs, T5 with every row projected as a stock model would have it. Exercised by `gpu_training.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fintune.heads.base import IGNORED
from fintune.heads.generative import attention, layouts, packs
from fintune.heads.generative.conversation import Conversation, Rendered
from fintune.heads.generative.head import Writer
from fintune.recipe import Train
from fintune.train.loop import Batch
from gpu_common import whole

MICRO = 4
"""Conversations of a padded batch, of which a step has six."""
LEFT_OUT = (
    "left out: T9, fused LoRA, which fintune has not (peft's layers are used as they are); T11, FP8, which has another gradient;\n"
    "T12, several adapters at once, which fintune does not train"
)


class Stock(nn.Module):
    """A model of transformers as it comes; `forward` gives the summed loss, for which it projects every token."""

    def __init__(self, adapted: Any) -> None:
        super().__init__()
        self.adapted = adapted

    def forward(self, batch: Batch) -> Tensor:
        """The loss of padded batches, or of packs that are known by their positions."""
        loss: Tensor = self.adapted(
            input_ids=batch["tokens"], attention_mask=batch.get("mask"), position_ids=batch.get("positions"), labels=batch["labels"],
            num_items_in_batch=1, use_cache=False,
        ).loss  # fmt: skip
        return loss


class Rectangles(nn.Module):
    """Our packs on the layout of stock attention, which `packs.forward` takes where there is no varlen kernel."""

    def __init__(self, adapted: Any) -> None:
        super().__init__()
        self.adapted = adapted

    def forward(self, batch: Batch) -> Tensor:
        """Logits of the supervised rows."""
        embedded = self.adapted.get_base_model().get_input_embeddings()(batch["tokens"])
        laid = layouts.padded(int(batch["prefix"]), batch["branches"].tolist(), device=embedded.device)
        logits: Tensor = self.adapted(
            inputs_embeds=embedded, position_ids=batch["positions"], attention_mask=attention.no_mask(embedded.device), layout=laid,
            logits_to_keep=batch["rows"], use_cache=False,
        ).logits.squeeze(0)  # fmt: skip
        return logits


def padded(items: Sequence[Conversation], width: int | None) -> list[Batch]:
    """Batches of four, padded to `width` or to their longest."""
    batches = []
    for some in (items[i : i + MICRO] for i in range(0, len(items), MICRO)):
        across = width or max(c.length for c in some)
        tokens, mask = torch.zeros(len(some), across, dtype=torch.long), torch.zeros(len(some), across, dtype=torch.long)
        labels = torch.full_like(tokens, IGNORED)
        for row, each in enumerate(whole(c) for c in some):
            tokens[row, : len(each.ids)], mask[row, : len(each.ids)] = torch.tensor(each.ids), 1
            labels[row, : len(each.ids)] = learnt(each)
        batches.append({"tokens": tokens, "mask": mask, "labels": labels})
    return batches


def learnt(each: Rendered) -> Tensor:
    """Ids that are supervised, others ignored."""
    return torch.tensor([i if supervised else IGNORED for i, supervised in zip(each.ids, each.supervised, strict=True)])


def by_positions(items: Sequence[Conversation]) -> list[Batch]:
    """One row without padding, whose positions begin anew with every conversation."""
    wholes = [whole(c) for c in items]
    return [{
        "tokens": torch.cat([torch.tensor(w.ids) for w in wholes])[None],
        "positions": torch.cat([torch.arange(len(w.ids)) for w in wholes])[None],
        "labels": torch.cat([learnt(w) for w in wholes])[None],
    }]  # fmt: skip


def packed(items: Sequence[Conversation], sharing: str, every_row: bool) -> list[Batch]:
    """Our pack; with every row projected, whether it is supervised or not."""
    batch = packs.pack(items, sharing=sharing)
    if every_row:
        labels = torch.full((batch["tokens"].shape[1],), IGNORED)
        labels[batch["rows"]] = batch["labels"]
        batch = {**batch, "rows": torch.arange(len(labels)), "labels": labels}
    return [batch]


writer = partial(Writer, noise=None)


@dataclass(frozen=True, slots=True)
class Way:
    """A row in fintune's loop: the batches of a step, what computes them, attention, speed settings, and whether a CPU has it."""

    title: str
    batches: Callable[[Sequence[Conversation]], list[Batch]]
    module: Callable[[Any], nn.Module]
    attention: str = attention.NAME
    settings: Train = field(default=Train(recompute="never", kernels="none"))
    gpu_alone: str = ""


@dataclass(frozen=True, slots=True)
class TRL:
    """A row of SFTTrainer, with Liger kernels where they are; batches grouped by length, or packed without padding."""

    title: str
    padding_free: bool
    attention: str
    gpu_alone: str = ""


def ways(width: int) -> dict[str, Way | TRL]:
    """All rows; `width` is what T0 and T1 pad to."""
    never, fixed, dynamic = Train(recompute="never", kernels="none"), partial(padded, width=width), partial(padded, width=None)
    every, ours, shared = (partial(packed, sharing=s, every_row=e) for s, e in (("none", True), ("none", False), ("prefix", False)))
    liger, compiled = never.model_copy(update={"kernels": "liger"}), never.model_copy(update={"compile": "block"})
    return {
        "T0": Way(f"padded to {width}, 4 x 6, recomputing", fixed, Stock, "sdpa", never.model_copy(update={"recompute": "always"})),
        "T1": Way(f"padded to {width}, 4 x 6", fixed, Stock, "sdpa"),
        "T2": Way("padded to the longest, 4 x 6", dynamic, Stock, "sdpa"),
        "T3": TRL("TRL, grouped by length", False, "sdpa"),
        "T3b": TRL("TRL, padding-free, flex attention", True, "flex_attention", "flex attention has no gradient there"),
        "T4": Way("packed by positions, SDPA", by_positions, Stock, "sdpa"),
        "T5": Way("packs, every row projected", every, writer),
        "T6": Way("packs, supervised rows", ours, writer),
        "T7": Way("T6 with Liger", ours, writer, settings=liger),
        "T8": Way("shared prefix", shared, writer),
        "T8b": Way("shared prefix, padded SDPA layout", shared, Rectangles, gpu_alone="T8 takes this layout there"),
        "T8L": Way("shared prefix with Liger", shared, writer, settings=liger),
        "T10": Way("shared prefix, blocks compiled", shared, writer, settings=compiled, gpu_alone="compiling takes minutes there"),
    }  # fmt: skip


def fintunes(way: Way | TRL) -> bool:
    """Whether a row is fintune's own path, not a stock one in its loop."""
    return isinstance(way, Way) and way.module is not Stock
