"""The network of the token head: a stock token-classification model under its adapter, and two optional parts beside it.

An embedding of word shapes is added to the token embeddings; learned transitions score tag sequences (a linear-chain CRF).
Neither is part of the stock model: decision 0004 says where their weights are kept.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fintune.heads.base import IGNORED
from fintune.heads.noise import Noise
from fintune.text.shape import LENGTHS, SHAPES


class Tagger(nn.Module):
    """A token-classification model with the optional parts; `forward` gives emissions `(batch, words, tags)`."""

    def __init__(self, adapted: nn.Module, *, tags: int, surface: str, transitions: str) -> None:
        super().__init__()
        self.adapted = adapted
        embeddings = self.token_embeddings()
        width = embeddings.weight.shape[1]  # type: ignore[union-attr]
        self.shape = nn.Embedding(SHAPES, width) if surface == "shape" else None
        self.word_length = nn.Embedding(LENGTHS, width) if surface == "shape" else None
        for table in (self.shape, self.word_length):
            if table is not None:
                nn.init.zeros_(table.weight)  # the model starts as the pretrained one
        self.transitions = Transitions(tags) if transitions == "learned" else None
        self.noise: Noise | None = None

    def token_embeddings(self) -> nn.Module:
        """The base model's embedding of token ids."""
        return self.adapted.get_base_model().get_input_embeddings()  # type: ignore[operator, no-any-return, union-attr]

    def forward(self, tokens: Tensor, mask: Tensor, shapes: Tensor, lengths: Tensor, heads: Tensor) -> Tensor:
        """Emissions at the first token of each word.

        Args:
            tokens: ids `(batch, tokens)`; `mask` is 1 where there is one.
            mask: `(batch, tokens)`.
            shapes: shape ids `(batch, tokens)`; `lengths` length ids.
            lengths: `(batch, tokens)`.
            heads: position of each word's first token `(batch, words)`, 0 where there is no word.
        """
        embedded = self.token_embeddings()(tokens)  # (batch, tokens, width)
        if self.shape is not None and self.word_length is not None:
            embedded = embedded + self.shape(shapes) + self.word_length(lengths)
        if self.noise is not None and self.training:
            embedded = self.noise(embedded, mask)
        logits = self.adapted(inputs_embeds=embedded, attention_mask=mask).logits  # (batch, tokens, tags)
        return logits.float().gather(1, heads[:, :, None].expand(-1, -1, logits.shape[-1]))


class Transitions(nn.Module):
    """Learned transition scores between tags, with the likelihood of a tag sequence (Lafferty et al. 2001)."""

    def __init__(self, tags: int) -> None:
        super().__init__()
        self.moves = nn.Parameter(torch.zeros(tags, tags))
        self.start = nn.Parameter(torch.zeros(tags))
        self.end = nn.Parameter(torch.zeros(tags))

    def forward(self, emissions: Tensor, tags: Tensor) -> Tensor:
        """Summed negative log-likelihood of `tags` `(batch, words)` (padding: `IGNORED`) under emissions `(batch, words, tags)`."""
        mask = tags != IGNORED
        gold = tags.clamp(min=0)
        last = mask.sum(1).clamp(min=1) - 1
        path = (emissions.gather(2, gold[:, :, None])[:, :, 0] * mask).sum(1) + self.start[gold[:, 0]] * mask[:, 0]
        path = path + (self.moves[gold[:, :-1], gold[:, 1:]] * mask[:, 1:]).sum(1)
        path = path + self.end[gold.gather(1, last[:, None])[:, 0]] * mask[:, 0]
        alpha = emissions[:, 0] + self.start  # (batch, tags)
        for t in range(1, emissions.shape[1]):
            step = torch.logsumexp(alpha[:, :, None] + self.moves, 1) + emissions[:, t]
            alpha = torch.where(mask[:, t, None], step, alpha)
        total = torch.logsumexp(alpha + self.end, 1) * mask[:, 0]  # an empty row has one path, of score 0
        return (total - path).sum()
