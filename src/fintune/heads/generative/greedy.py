"""The greedy choice of every row of a batch as a logits processor of transformers: under constraints, with a budget for each row.

A row that has ended, by its end token, its constraint or its budget, is given the end token, so that `generate` takes it no further.
Nothing is drawn at random. `pytest tests/heads/generative/test_seq2seq.py` holds it to plain `generate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import LogitsProcessor

from fintune.heads.generative.constrain import Constraint
from fintune.heads.generative.generate import Written, packed, unpacked


@dataclass(slots=True)
class _Row:
    """One text in the making."""

    constraint: Constraint | None
    budget: int
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finished: bool = False

    @property
    def live(self) -> bool:
        """Whether it goes on."""
        return not self.finished and len(self.ids) < self.budget

    def take(self, token: int, logprob: float, end: int) -> None:
        """The choice, and whether it is the last."""
        if token == end:
            self.finished = True
            return
        self.ids.append(token)
        self.logprobs.append(logprob)
        if self.constraint is not None:
            self.constraint.take([token])
            self.finished = self.constraint.complete


class Greedy(LogitsProcessor):
    """Decides every token itself; `written` has the texts afterwards.

    Args:
        constraints: a fresh one for each row, or None where anything may be written.
        budgets: most tokens of each row.
        end: the token that ends a text.
    """

    def __init__(self, constraints: Sequence[Constraint | None], budgets: Sequence[int], *, end: int) -> None:
        self._end = end
        self._rows = [_Row(constraint, budget) for constraint, budget in zip(constraints, budgets, strict=True)]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores `(batch, vocabulary)` that leave one token to each row; `scores` are the logits of the model."""
        del input_ids  # what was chosen is known
        live = [row.live for row in self._rows]
        constraints = [row.constraint if row.live else None for row in self._rows]
        allowed = scores
        if any(constraint is not None for constraint in constraints):
            bits = torch.from_numpy(packed(constraints, scores.shape[1])).to(scores.device)
            allowed = scores.masked_fill(~unpacked(bits, scores.shape[1]), -torch.inf)
        chosen = allowed.argmax(1)
        logprobs = (scores.gather(1, chosen[:, None])[:, 0] - scores.logsumexp(1)).tolist()
        for row, goes_on, token, logprob in zip(self._rows, live, chosen.tolist(), logprobs, strict=True):
            if goes_on:
                row.take(token, logprob, self._end)
        chosen = torch.where(torch.tensor(live, device=chosen.device), chosen, self._end)
        return torch.full_like(scores, -torch.inf).scatter_(1, chosen[:, None], 0.0)

    def written(self) -> list[Written]:
        """One result a row."""
        return [
            Written(tuple(row.ids), tuple(row.logprobs), row.finished, None if row.constraint is None else row.constraint.close(row.ids))
            for row in self._rows
        ]
