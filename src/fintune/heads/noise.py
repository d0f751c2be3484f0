"""What training adds to the input at random: noise on token embeddings, and tokens hidden behind the mask token.

Noise is scaled by the example's own length, whatever the layout of the batch: padded batches and packs are both served.
`exact` says where packs may share a prefix and still draw as they would without.
`pytest tests/laws/test_noise.py tests/heads/test_noise_in_packs.py` exercises it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Noise:
    """Uniform noise on token embeddings; `alpha` is its magnitude, for `neftune` divided by sqrt(tokens x width) of each example.

    `ratio` is the root mean square of the latest noise over that of the embeddings it was added to, a tensor `()`; None before
    the first call.

    Paper: NEFTune (arXiv 2310.05914) scales by the length of the sequence; implementations take the padded length of the
    batch, here it is the example's own, so that the noise does not depend on what else is in the batch.
    """

    def __init__(self, kind: str, alpha: float) -> None:
        self.kind, self.alpha = kind, alpha
        self.ratio: Tensor | None = None

    def __call__(self, embedded: Tensor, mask: Tensor) -> Tensor:
        """Embeddings `(batch, tokens, width)` with noise where `mask` `(batch, tokens)` is 1."""
        noise = torch.empty_like(embedded).uniform_(-self.alpha, self.alpha) * mask[:, :, None]
        if self.kind == "neftune":
            noise = noise / (mask.sum(1) * embedded.shape[-1]).sqrt()[:, None, None]
        self._measure(noise, embedded.detach() * mask[:, :, None])
        return embedded + noise

    def packed(self, embedded: Tensor, *, branches: Tensor, own: Tensor) -> Tensor:
        """Embeddings `(1, tokens, width)` of a pack with noise on every token.

        Paper: a prefix that examples share is drawn once for all of them, so their noise is no longer independent there; its
        variance is the mean of those that the examples would have had each on its own. `exact` avoids it.

        Args:
            embedded: of the shared prefix, then of one branch after another.
            branches: tokens of each branch `(examples,)`.
            own: tokens of each example with its share of the prefix `(examples,)`.
        """
        noise = torch.empty_like(embedded).uniform_(-self.alpha, self.alpha)
        if self.kind == "neftune":
            variance = 1.0 / (own * embedded.shape[-1])  # in units of alpha^2 / 3
            prefix = embedded.shape[1] - branches.sum()
            counts = torch.cat([prefix[None], branches])
            each = torch.cat([variance.mean()[None], variance]).sqrt().repeat_interleave(counts, output_size=embedded.shape[1])
            noise = noise * each.to(noise.dtype)[None, :, None]
        self._measure(noise, embedded.detach())
        return embedded + noise

    def _measure(self, noise: Tensor, embedded: Tensor) -> None:
        with torch.no_grad():
            self.ratio = torch.linalg.vector_norm(noise, dtype=torch.float32) / torch.linalg.vector_norm(embedded, dtype=torch.float32)


class Masking:
    """Hides a share of the tokens behind the mask token, each token by a draw of its own; ids in `spared` are never hidden.

    Source: token cutoff (arXiv 2009.13818) leaves such tokens' embeddings zero; the mask token is what an encoder met in pretraining.
    """

    def __init__(self, share: float, *, mask: int, spared: Sequence[int]) -> None:
        self.share, self.mask, self.spared = share, mask, torch.tensor(spared)

    def __call__(self, tokens: Tensor) -> Tensor:
        """Ids `(batch, tokens)`, some of them replaced."""
        drawn = torch.rand(tokens.shape, device=tokens.device) < self.share
        return tokens.masked_fill(drawn & ~torch.isin(tokens, self.spared.to(tokens.device)), self.mask)


def exact(sharing: str, *, noise: Noise | None, dropout: float) -> str:
    """What `exact` sharing comes to: `prefix` where nothing is drawn at random for the tokens of a prefix, else `none`.

    Args:
        sharing: as in the recipe; `prefix` and `none` stay what they are.
        noise: on embeddings, or None.
        dropout: highest probability of any dropout, of the base model or the adapter.
    """
    if sharing != "exact":
        return sharing
    return "prefix" if noise is None and dropout == 0 else "none"
