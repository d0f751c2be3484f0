"""The network of the span head: a stock question-answering model under its adapter, called with segments and optional noise.

Exercised by `pytest tests/heads/test_span.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fintune.heads.noise import Noise


class Reader(nn.Module):
    """A question-answering model under its adapter; `forward` gives start and end scores `(batch, 2, tokens)`."""

    def __init__(self, adapted: nn.Module, *, typed: bool, noise: Noise | None = None) -> None:
        super().__init__()
        self.adapted, self.typed, self.noise = adapted, typed, noise

    def forward(self, tokens: Tensor, types: Tensor, mask: Tensor, open_: Tensor) -> Tensor:
        """Scores, minus infinity where no answer can begin or end.

        Args:
            tokens: ids `(batch, tokens)`.
            types: segments `(batch, tokens)`: 0 of the question, 1 of the text.
            mask: 1 where there is a token, `(batch, tokens)`.
            open_: 1 at the null position and the tokens of the text, `(batch, tokens)`.
        """
        embedded = self.adapted.get_base_model().get_input_embeddings()(tokens)  # type: ignore[operator, union-attr]
        if self.noise is not None and self.training:
            embedded = self.noise(embedded, mask)
        # Past peft's own class for question answering, which loses the segments (peft 0.21).
        known = {"token_type_ids": types} if self.typed else {}  # DistilBERT has no segments
        out = self.adapted.base_model(inputs_embeds=embedded, attention_mask=mask, **known)  # type: ignore[operator]
        scores = torch.stack([out.start_logits, out.end_logits], dim=1).float()
        return scores.masked_fill(~open_.bool()[:, None], -torch.inf)
