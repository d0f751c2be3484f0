"""The network of the sequence head: a stock model under its adapter, the pooling of its tokens, and the losses over labels.

`first` reads the stock model's own pooling of the first token, `mean` averages the scores of all tokens, `last` takes that of
the last one, on the right of which nothing may be padded. `pytest tests/heads/test_pooling.py` exercises it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from fintune.heads.base import IGNORED
from fintune.heads.noise import Masking, Noise

Pooling = Literal["first", "mean", "last"]


class Classifier(nn.Module):
    """A stock model under its adapter; `forward` gives scores `(batch, labels)`."""

    def __init__(
        self, adapted: nn.Module, noise: Noise | None = None, pooling: Pooling = "first", masking: Masking | None = None
    ) -> None:  # fmt: skip
        super().__init__()
        self.adapted = adapted
        self.noise = noise
        self.masking = masking
        self.pooling = pooling

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Scores of the labels, before they become probabilities.

        Args:
            tokens: ids `(batch, tokens)`; with `last` padded on the left, else on the right.
            mask: 1 where there is a token, `(batch, tokens)`.
        """
        if self.masking is not None and self.training:
            tokens = self.masking(tokens)
        embedded = self.adapted.get_base_model().get_input_embeddings()(tokens)  # type: ignore[operator, union-attr]
        if self.noise is not None and self.training:
            embedded = self.noise(embedded, mask)
        if self.pooling == "last":
            positions = (mask.cumsum(1) - 1).clamp(min=0)  # as if nothing stood before the text
            logits: Tensor = self.adapted(inputs_embeds=embedded, attention_mask=mask, position_ids=positions).logits
            return logits.float()
        logits = self.adapted(inputs_embeds=embedded, attention_mask=mask).logits.float()
        if self.pooling == "first":
            return logits
        # The output layer is linear: the mean of the tokens' scores is the score of their mean state.
        return (logits * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)


def losses(scores: Tensor, labels: Tensor, *, gamma: float, smoothing: float) -> Tensor:
    """The loss `(batch,)` of each row of scores `(batch, labels)`, in nats; 0 where its label is `IGNORED`.

    Cross-entropy with the share `smoothing` of the target spread over all labels; with `gamma` above 0 focal loss,
    (1 - p) ** gamma times as much, p being the probability of the gold label (Lin et al. 2017, equation 4).
    """
    each = functional.cross_entropy(scores, labels, reduction="none", ignore_index=IGNORED, label_smoothing=smoothing)
    return each if gamma == 0 else each * (-torch.expm1(-each)).clamp(min=1e-12) ** gamma  # no infinite slope at 0


def balanced_weights(labels: Sequence[str | None]) -> dict[str, float]:
    """The weight of each label so that all weigh the same together: examples / (labels x its examples), 1 on average."""
    counts = Counter(label for label in labels if label is not None)
    return {label: counts.total() / (len(counts) * count) for label, count in counts.items()}
