"""Token sequences in a key/value cache: what all prompts begin with is computed once, and finished rows leave.

Rows grow by blocks of unequal length. A block is padded on its left, so that the last column holds each row's newest token;
padded columns are masked and take no position, and every row sees exactly what it would see alone. Models whose state is not
keys and values alone are refused, and texts longer than a sliding window. `tests/heads/generative/test_generate.py` exercises it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.cache_utils import Cache

from fintune.errors import RecipeError
from fintune.heads.generative.cache import Slots, rearranged

_LAYERS = {"full_attention", "sliding_attention"}
_PLAIN = {"llama", "mistral", "qwen2", "qwen3"}  # logits are the output layer's, with nothing after it


class Rows:
    """The sequences of one batch and their cache. `pending` is what each prompt has after the beginning that all share.

    Args:
        model: a causal language model of transformers, or one under peft, in evaluation mode.
        prompts: token ids, at least one a prompt.
        padding: id that fills padded columns; it is never attended to.

    Raises:
        RecipeError: for an architecture whose layers keep more than keys and values.
    """

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]], *, padding: int) -> None:
        self._model, self._padding = model, padding
        self.device = model.get_input_embeddings().weight.device
        self._window = _window(model.config)
        output = model.get_output_embeddings()
        plain = model.config.model_type in _PLAIN and type(output) is nn.Linear and output.bias is None
        self._output = output if plain else None
        self._cache = Cache(layer_class_to_replicate=Slots)
        # Each row keeps a token of its own, whose logits say how it goes on; a row by itself shares nothing.
        common = shared(prompts) if len(prompts) > 1 else 0
        self.pending = [list(prompt[common:]) for prompt in prompts]
        self._lengths = [0]
        self._seen = torch.ones(1, 0, dtype=torch.bool, device=self.device)  # (rows, columns)
        if common:
            self.feed([prompts[0][:common]])
        for layer in self._layers:
            layer.spread(len(prompts))
        self._lengths = [common] * len(prompts)
        self._seen = self._seen.expand(len(prompts), -1)

    def feed(self, blocks: Sequence[Sequence[int]], *, among: Sequence[int] | None = None) -> Tensor:
        """Appends a block of at least one token to each row, in order.

        Args:
            blocks: token ids.
            among: tokens whose logits are wanted; all where None.

        Returns:
            fp32 logits `(rows, vocabulary)`, or `(rows, among)`, of the token after the block.

        Raises:
            RecipeError: where the columns exceed a sliding window.
        """
        width = max(map(len, blocks))
        columns = self._seen.shape[1] + width
        if self._window is not None and columns > self._window:
            raise RecipeError(
                f"{columns} columns of a batch are more than the sliding window of {self._window} tokens", where="model.base",
                why="windows are not cut out of rows of unequal length", fix="shorten the texts, or choose a base without a sliding window",
            )  # fmt: skip
        tokens, positions, seen = [], [], []
        for block, length in zip(blocks, self._lengths, strict=True):
            padded = width - len(block)
            tokens.append([self._padding] * padded + list(block))
            positions.append([0] * padded + list(range(length, length + len(block))))
            seen.append([False] * padded + [True] * len(block))
        self._lengths = [length + len(block) for length, block in zip(self._lengths, blocks, strict=True)]
        self._seen = torch.cat([self._seen, self._tensor(seen, torch.bool)], dim=1)
        inputs = {
            "input_ids": self._tensor(tokens), "attention_mask": self._seen, "position_ids": self._tensor(positions),
            "past_key_values": self._cache, "use_cache": True,
        }  # fmt: skip
        if among is None:
            return self._model(**inputs, logits_to_keep=1).logits[:, -1].float()  # type: ignore[no-any-return]
        chosen = self._tensor(among)
        if self._output is None:
            return self._model(**inputs, logits_to_keep=1).logits[:, -1, chosen].float()  # type: ignore[no-any-return]
        hidden = self._model.get_decoder()(**inputs).last_hidden_state[:, -1]
        return functional.linear(hidden, self._output.weight[chosen]).float()

    def forget(self, block: Sequence[int]) -> None:
        """Takes back the latest `feed`, which gave every row this same block."""
        self._cache.crop(-len(block))
        self._seen = self._seen[:, : -len(block)]
        self._lengths = [length - len(block) for length in self._lengths]

    def keep(self, rows: Sequence[int]) -> list[int]:
        """Leaves only these rows; returns their former numbers in the order in which they now stand."""
        order = rearranged(rows)
        moved = [(row, place) for place, row in enumerate(order) if row != place]
        sources, places = self._tensor([row for row, _ in moved]), self._tensor([place for _, place in moved])
        for layer in self._layers:
            layer.move(sources, places, len(order))
        self._seen = self._seen[self._tensor(order)]
        self._lengths = [self._lengths[row] for row in order]
        return order

    @property
    def _layers(self) -> list[Slots]:
        return self._cache.layers  # type: ignore[return-value]

    def _tensor(self, values: Sequence[Any], dtype: torch.dtype = torch.long) -> Tensor:
        return torch.tensor(values, dtype=dtype, device=self.device)


def shared(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with, short of the last token of the shortest."""
    first, last = min(prompts), max(prompts)  # of sorted sequences these two differ earliest
    limit = min(map(len, prompts)) - 1
    return next((at for at in range(limit) if first[at] != last[at]), limit)


def _window(config: Any) -> int | None:
    """Tokens that a layer sees at most, or None where every layer sees all.

    Raises:
        RecipeError: where a layer is no attention over keys and values.
    """
    kinds = set(getattr(config, "layer_types", None) or ())
    if odd := kinds - _LAYERS:
        raise RecipeError(
            f"layers of kind {sorted(odd)[0]!r} cannot share what prompts begin with", where="model.base",
            fix="choose a base of plain attention layers, such as Llama, Qwen or Mistral",
        )  # fmt: skip
    if kinds and "sliding_attention" not in kinds:
        return None
    return getattr(config, "sliding_window", None)
