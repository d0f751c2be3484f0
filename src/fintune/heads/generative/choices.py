"""The probability of each label, without writing any: what sampling under a grammar of the label set would draw.

Labels are token sequences that end in the end token. Where they part, the model's probabilities are renormalised over the tokens
that some label goes on with; the product along a label is its probability, and those of all labels sum to one. Only the output
rows of these tokens are computed. Refused are labels that no token tells apart. `tests/heads/generative/test_choices.py` exercises it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fintune.errors import RecipeError
from fintune.heads.generative.rows import Rows

Tree = Mapping[tuple[int, ...], Sequence[int]]
"""Where labels part: what they have written until there, and the tokens that they go on with."""


@torch.inference_mode()
def choose(model: Any, prompts: Sequence[Sequence[int]], labels: Sequence[Sequence[int]], *, padding: int) -> Tensor:
    """Log-probabilities of the labels after each prompt: one forward pass for the prompts, and a short one for each inner parting.

    Args:
        model: a causal language model of transformers, or one under peft, in evaluation mode.
        prompts: token ids, at least one a prompt.
        labels: token ids of each label with the end token, as the model would write it.
        padding: id for padded columns.

    Returns:
        fp32 `(prompts, labels)` in natural logarithms; each row's probabilities sum to one.

    Raises:
        RecipeError: where two labels are the same tokens or one begins another; and as `Rows`.
    """
    tree = partings(labels)
    rows = Rows(model, prompts, padding=padding)
    scores = torch.zeros(len(prompts), len(labels), device=rows.device)
    stem = next(iter(tree))  # what all labels begin with
    for written, following in tree.items():
        branch = written[len(stem) :]
        blocks = [branch] * len(prompts) if branch else [[*pending, *stem] for pending in rows.pending]
        found = rows.feed(blocks, among=following).log_softmax(1)  # (prompts, following)
        if branch:
            rows.forget(branch)
        for column, label in enumerate(labels):
            if tuple(label[: len(written)]) == written:
                scores[:, column] += found[:, following.index(label[len(written)])]
    return scores


def partings(labels: Sequence[Sequence[int]]) -> Tree:
    """Where the labels part, shortest first.

    Raises:
        RecipeError: where two labels are the same tokens, or one begins another.
    """
    tree: dict[tuple[int, ...], list[int]] = {}
    for label in labels:
        for at, token in enumerate(label):
            following = tree.setdefault(tuple(label[:at]), [])
            if token not in following:
                following.append(token)
    if len({tuple(label) for label in labels}) < len(labels) or any(tuple(label) in tree for label in labels):
        raise RecipeError("two labels are not told apart by their tokens", where="task", fix="give every label a name of its own")
    parting = {written: following for written, following in tree.items() if len(following) > 1}
    return dict(sorted(parting.items(), key=lambda item: len(item[0]))) or {tuple(labels[0][:-1]): labels[0][-1:]}
