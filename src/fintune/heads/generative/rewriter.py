"""An encoder-decoder under its adapter, as training reads it: prompts in, logits of the targets' tokens out.

`fintune.heads.generative.seq2seq` makes its batches; `pytest tests/heads/generative/test_seq2seq.py` exercises it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fintune.heads.base import IGNORED
from fintune.heads.noise import Noise


class Rewriter(nn.Module):
    """An encoder-decoder under its adapter; `forward` gives the logits of supervised rows alone."""

    def __init__(self, adapted: nn.Module, noise: Noise | None = None) -> None:
        super().__init__()
        self.adapted = adapted
        self.noise = noise

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Logits `(rows, vocabulary)` for the tokens of the targets, one example after another.

        Args:
            batch: of `Seq2SeqHead.collate`, on the model's device.
        """
        base: Any = self.adapted.get_base_model()  # type: ignore[operator]
        embedded = base.get_input_embeddings()(batch["tokens"])
        if self.noise is not None and self.training:
            embedded = self.noise(embedded, batch["mask"])
        targets = batch["targets"]
        start = torch.full_like(targets[:, :1], base.config.decoder_start_token_id)
        # What follows the end of a target is never looked at: each place sees those before it.
        shifted = torch.cat([start, targets[:, :-1].clamp(min=0)], 1)
        logits = self.adapted(
            inputs_embeds=embedded, attention_mask=batch["mask"], decoder_input_ids=shifted, use_cache=False
        ).logits  # (batch, target tokens, vocabulary)
        return logits[targets != IGNORED]  # type: ignore[no-any-return]
