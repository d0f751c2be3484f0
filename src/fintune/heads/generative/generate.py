"""Greedy writing for a batch of prompts: the common beginning once, no work for finished rows, grammars where there are some.

What a grammar forces is fed together with the token before it, so that keys and quotes cost no step of their own. Nothing is
drawn at random, and there are no beams. `tests/heads/generative/test_generate.py` holds it to transformers' `generate`,
`benchmarks/generation.py` measures it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fintune.heads.generative.constrain import Constraint, allowed
from fintune.heads.generative.rows import Rows

# Tokens for which a forward pass takes the time that it takes for one, since all weights have to be read.
_FIXED, _FIXED_ELSEWHERE = {"cpu": 64}, 256


@dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote after one prompt.

    `ids` are without the stop token. `logprobs` are natural logarithms of the probability that the model gave each of them among
    its whole vocabulary, whatever a grammar allowed; 0.0 for tokens that the grammar left no choice about. `finished` is False
    where the budget ran out. `text` is set under a constraint: what was written, completed where it was not finished.
    """

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finished: bool
    text: str | None = None


@dataclass(slots=True)
class _Row:
    """One text in the making; `queue` is what the cache does not have yet."""

    budget: int
    constraint: Constraint | None
    queue: list[int]
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finished: bool = False

    @property
    def live(self) -> bool:
        """Whether it goes on."""
        return not self.finished and len(self.ids) < self.budget

    def fed(self, width: int) -> list[int]:
        """The next tokens of the queue, which leave it."""
        block, self.queue = self.queue[:width], self.queue[width:]
        return block

    def take(self, token: int, logprob: float, stop: frozenset[int]) -> None:
        """The model's choice and all that follows from it."""
        if token in stop:
            self.finished = True
            return
        self.ids.append(token)
        self.logprobs.append(logprob)
        self.queue = [token]
        if self.constraint is not None:
            self.constraint.take([token])
            self.follow(self.constraint)

    def follow(self, constraint: Constraint) -> None:
        """Writes what the grammar forces, within the budget."""
        forced = constraint.forced()[: self.budget - len(self.ids)]
        constraint.take(forced)
        self.ids += forced
        self.logprobs += [0.0] * len(forced)
        self.queue += forced
        self.finished = constraint.complete

    def written(self) -> Written:
        """The result."""
        text = None if self.constraint is None else self.constraint.close(self.ids)
        return Written(tuple(self.ids), tuple(self.logprobs), self.finished, text)


@torch.inference_mode()
def generate(
    model: Any, prompts: Sequence[Sequence[int]], *, stop: frozenset[int], budgets: Sequence[int],
    constraints: Sequence[Constraint | None], padding: int,
) -> list[Written]:  # fmt: skip
    """The likeliest next token, again and again, for all prompts together.

    Args:
        model: a causal language model of transformers, or one under peft, in evaluation mode.
        prompts: token ids, at least one a prompt; prompts of like length waste least.
        stop: ids that end a text.
        budgets: most new tokens of each.
        constraints: a fresh constraint for each text, or None where anything may be written.
        padding: id for padded columns.

    Returns:
        One result a prompt, in order; as if each had been written alone.

    Raises:
        RecipeError: as `Rows`.
    """
    if not prompts:
        return []
    cache = Rows(model, prompts, padding=padding)
    rows = [_Row(*given) for given in zip(budgets, constraints, cache.pending, strict=True)]
    for row in rows:
        if row.constraint is not None:
            row.follow(row.constraint)
    live = _narrow(cache, rows)
    while live:
        width = _width([len(row.queue) for row in live], _FIXED.get(cache.device.type, _FIXED_ELSEWHERE))
        logits = cache.feed([row.fed(width) for row in live])
        ready = [number for number, row in enumerate(live) if not row.queue]
        if ready:
            tokens, logprobs = _choose(logits[ready], [live[number].constraint for number in ready])
            for number, token, logprob in zip(ready, tokens, logprobs, strict=True):
                live[number].take(token, logprob, stop)
        live = _narrow(cache, live)
    return [row.written() for row in rows]


def _narrow(cache: Rows, rows: list[_Row]) -> list[_Row]:
    """The rows that go on, alone in the cache."""
    going = [number for number, row in enumerate(rows) if row.live]
    if going and len(going) < len(rows):
        going = cache.keep(going)
    return [rows[number] for number in going]


def _width(lengths: Sequence[int], fixed: int) -> int:
    """How many tokens of each queue to feed: most tokens for the time, which padded columns take like others."""
    return max(range(1, max(lengths) + 1), key=lambda width: sum(min(n, width) for n in lengths) / (fixed + len(lengths) * width))


def _choose(logits: Tensor, constraints: Sequence[Constraint | None]) -> tuple[list[int], list[float]]:
    """The likeliest allowed token of each row, and its log-probability among all tokens."""
    total = logits.logsumexp(1)
    if any(constraint is not None for constraint in constraints):
        bits = torch.from_numpy(packed(constraints, logits.shape[1])).to(logits.device)
        chosen = logits.masked_fill(~unpacked(bits, logits.shape[1]), -torch.inf).argmax(1)
    else:
        chosen = logits.argmax(1)
    logprobs = logits.gather(1, chosen[:, None])[:, 0] - total
    return chosen.tolist(), logprobs.tolist()


def packed(constraints: Sequence[Constraint | None], vocabulary: int) -> np.ndarray[Any, np.dtype[np.int32]]:
    """What may come next, 32 tokens a word `(rows, words)`, the lowest bit first; everything where there is no constraint."""
    bits = np.full((len(constraints), -(-vocabulary // 32)), -1, dtype=np.int32)
    bound = [row for row, constraint in enumerate(constraints) if constraint is not None]
    for row, found in zip(bound, allowed([c for c in constraints if c is not None]), strict=True):
        bits[row] = 0
        bits[row, : len(found)] = found[: bits.shape[1]]
    return bits


def unpacked(bits: Tensor, vocabulary: int) -> Tensor:
    """`packed` as booleans `(rows, vocabulary)`, on the device of `bits`."""
    places = torch.arange(32, dtype=torch.int32, device=bits.device)
    return ((bits[:, :, None] >> places) & 1).bool().flatten(1)[:, :vocabulary]
