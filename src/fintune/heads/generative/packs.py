"""Packs: the conversations of a step in one row of tokens, without padding; what their prompts begin with may be computed once.

A pack is a prefix of P tokens, then one branch after another. Each branch sees the prefix and itself (`attention`), positions go
on from the prefix, and only rows whose next token is supervised reach the vocabulary: loss and gradient are those of the
conversations one by one. `python benchmarks/packs.py` says what it saves; `pytest tests/laws/test_exact_packs.py` that it is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from fintune.heads.base import IGNORED
from fintune.heads.generative import attention
from fintune.heads.generative.conversation import Conversation
from fintune.heads.generative.layouts import layout
from fintune.heads.noise import Noise

CHUNK = 1 << 27
"""Logits of which the loss keeps its intermediate values in fp32 (0.5 GB); of more they are computed again, chunk by chunk."""


def shared(conversations: Sequence[Conversation]) -> int:
    """Tokens that all prompts begin with, short of each one's last, from which its target begins; 0 for a single conversation."""
    if len(conversations) < 2:
        return 0
    first, last = min(c.prompt.ids for c in conversations), max(c.prompt.ids for c in conversations)
    limit = min(_unsupervised(c) for c in conversations) - 1
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), limit)
    return max(0, min(same, limit))


def _unsupervised(conversation: Conversation) -> int:
    """Tokens of the prompt before the first supervised one."""
    supervised = (conversation.full or conversation.prompt).supervised[: len(conversation.prompt.ids)]
    return supervised.index(True) if True in supervised else len(supervised)


def pack(conversations: Sequence[Conversation], *, sharing: str) -> dict[str, Tensor]:
    """One pack of N tokens, longest example first: k examples, S supervised tokens, a prefix of P; N = P + sum of the branches.

    Args:
        conversations: at least one; those without a target have no supervised tokens.
        sharing: `prefix` or `none`.

    Returns:
        `tokens` and `positions` `(1, N)`; `rows` `(S,)`, the places whose next tokens are the `labels` `(S,)`; `prefix` `()`, which
        is P; `branches` `(k,)`, the tokens of each branch; `own` `(k,)`, those of each example with the prefix.
    """
    prefix = shared(conversations) if sharing == "prefix" else 0
    conversations = sorted(conversations, key=lambda c: -c.length)  # like lengths are computed together, see `layouts`
    tokens: list[int] = list(conversations[0].prompt.ids[:prefix])
    positions, rows, labels, own = list(range(prefix)), [], [], []
    for conversation in conversations:
        whole = conversation.full or conversation.prompt
        before = len(tokens) - prefix  # the place of this example's token t is before + t
        learnt = [t for t, supervised in enumerate(whole.supervised) if supervised]
        rows += [before + t - 1 for t in learnt]
        labels += [whole.ids[t] for t in learnt]
        tokens += whole.ids[prefix:]
        positions += range(prefix, len(whole.ids))
        own.append(len(whole.ids))
    lists = {"rows": rows, "labels": labels, "branches": [length - prefix for length in own], "own": own}
    return {
        "tokens": torch.tensor([tokens]), "positions": torch.tensor([positions]), "prefix": torch.tensor(prefix),
        **{name: torch.tensor(values, dtype=torch.long) for name, values in lists.items()},
    }  # fmt: skip


def split(items: Sequence[Conversation], *, sharing: str, pack_tokens: int) -> list[list[Conversation]]:
    """A step cut into few packs of at most `pack_tokens` tokens; an item longer than that is a pack of its own.

    First-fit decreasing: never more than 11/9 of the fewest packs, and one (Dósa 2007). Items keep their order within a pack.
    """
    prefix = shared(items) if sharing == "prefix" else 0
    packs: list[list[int]] = []
    room: list[int] = []
    for i in sorted(range(len(items)), key=lambda i: -items[i].length):
        branch = items[i].length - prefix
        place = next((p for p, free in enumerate(room) if branch <= free), len(packs))
        if place == len(packs):
            packs.append([])
            room.append(pack_tokens - prefix)
        packs[place].append(i)
        room[place] -= branch
    return [[items[i] for i in sorted(chosen)] for chosen in packs]


def forward(model: Any, batch: dict[str, Tensor], *, noise: Noise | None = None) -> Tensor:
    """Logits `(S, vocabulary)` of a pack's supervised rows; no other row reaches the projection to the vocabulary.

    Args:
        model: a causal language model that runs with `attention.NAME`, or a `PeftModel` of one.
        batch: of `pack`, on the model's device.
        noise: added to the embeddings while the model is in training.

    Raises:
        RecipeError: where the architecture's attention cannot be computed on packs, see `attention.require`.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    embedded = base.get_input_embeddings()(batch["tokens"])
    if noise is not None and model.training:
        embedded = noise.packed(embedded, branches=batch["branches"], own=batch["own"])
    laid = layout(
        int(batch["prefix"]), batch["branches"].tolist(), device=embedded.device, dtype=attention.arithmetic(embedded),
        dropout=getattr(base.config, "attention_dropout", 0.0) if model.training else 0.0,
    )  # fmt: skip
    logits: Tensor = model(
        inputs_embeds=embedded, position_ids=batch["positions"], attention_mask=attention.no_mask(embedded.device), layout=laid,
        logits_to_keep=batch["rows"], use_cache=False,
    ).logits.squeeze(0)  # fmt: skip
    return logits


def loss(model: Any, batch: dict[str, Tensor], *, noise: Noise | None = None) -> tuple[Tensor, Tensor]:
    """Summed cross-entropy of a pack's supervised tokens, and their number."""
    return summed(forward(model, batch, noise=noise), batch["labels"])


def summed(logits: Tensor, labels: Tensor, *, smoothing: float = 0.0, chunk: int = CHUNK) -> tuple[Tensor, Tensor]:
    """Cross-entropy in fp32 summed over rows, and the number of rows.

    Args:
        logits: `(S, vocabulary)`.
        labels: next tokens `(S,)`, `IGNORED` where there is none.
        smoothing: share of the target probability that is spread over the vocabulary.
        chunk: most logits whose intermediate values are kept for the backward pass.
    """
    count = (labels != IGNORED).sum()
    if logits.numel() <= chunk:
        return _cross_entropy(logits, labels, smoothing), count
    rows = max(1, chunk // logits.shape[-1])
    total = torch.zeros((), device=logits.device)
    for some, gold in zip(logits.split(rows), labels.split(rows), strict=True):
        total = total + checkpoint(_cross_entropy, some, gold, smoothing, use_reentrant=False)
    return total, count


def _cross_entropy(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    with torch.autocast(logits.device.type, enabled=False):
        return functional.cross_entropy(logits.float(), labels, reduction="sum", ignore_index=IGNORED, label_smoothing=smoothing)
