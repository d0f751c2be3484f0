"""From start and end scores of windows to stretches of a text: every valid one is weighed, and none stands for no answer.

A stretch scores the start of its first token plus the end of its last (Devlin et al. 2019, arXiv 1810.04805); one that several
windows see takes its best score. No answer takes the lowest of the windows' null scores, as the SQuAD v2.0 scripts do (Rajpurkar et
al. 2018, arXiv 1806.03822). `pytest tests/heads/test_extraction.py` holds this to a search through all pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Seen:
    """What one window says: `first` is the index in the text of its first token, `scores` `(2, 1 + tokens)` of start and end.

    Column 0 is the null position, which both point at where the window holds no answer.
    """

    first: int
    scores: Array


@dataclass(frozen=True, slots=True)
class Stretch:
    """Tokens `[first, last]` of a text with their score and their probability among all stretches and no answer."""

    first: int
    last: int
    score: float
    probability: float


@dataclass(frozen=True, slots=True)
class Weighed:
    """The best stretches, likeliest first, and what speaks for no answer; `margin` is the null score less the best stretch's."""

    stretches: tuple[Stretch, ...]
    null: float
    null_probability: float

    @property
    def margin(self) -> float:
        """Above 0 where no answer scores higher than any stretch; infinite where there is no stretch."""
        return self.null - self.stretches[0].score if self.stretches else np.inf


def weigh(windows: Sequence[Seen], *, longest: int, top: int) -> Weighed:
    """Every stretch of at most `longest` tokens that some window holds whole, and the `top` best of them.

    Args:
        windows: of one text, in any order.
        longest: most tokens of a stretch.
        top: how many to give.
    """
    tokens = max((seen.first + seen.scores.shape[1] - 1 for seen in windows), default=0)
    width = max(1, min(longest, max((seen.scores.shape[1] - 1 for seen in windows), default=0)))
    table = np.full((tokens, width), -np.inf)  # by first token and number of tokens after it
    for seen in windows:
        start, end = seen.scores[:, 1:].astype(np.float64)
        rows = slice(seen.first, seen.first + len(start))
        reach = sliding_window_view(np.append(end, np.full(width - 1, -np.inf)), width) if len(end) else np.zeros((0, width))
        np.maximum(table[rows], start[:, None] + reach, out=table[rows])
    null = min((float(seen.scores[0, 0]) + float(seen.scores[1, 0]) for seen in windows), default=0.0)
    total = float(np.logaddexp.reduce(np.append(table.ravel(), null)))
    flat = table.ravel()
    likeliest = np.argpartition(-flat, min(top, len(flat)) - 1)[:top] if len(flat) and top else np.zeros(0, int)
    ranked = sorted((int(i) for i in likeliest if flat[i] > -np.inf), key=lambda i: (-flat[i], i))
    return Weighed(
        tuple(Stretch(i // width, i // width + i % width, float(flat[i]), float(np.exp(flat[i] - total))) for i in ranked),
        null,
        float(np.exp(null - total)),
    )


def best_threshold(margins: Sequence[float], answered: Sequence[float], unanswered: Sequence[float]) -> float:
    """The margin above which saying "no answer" scores best, as the SQuAD v2.0 script looks for it.

    Of several it is the middle between two neighbouring margins that lies nearest to 0; the same score at 0 gives 0.

    Args:
        margins: of each question, null score less that of the best stretch.
        answered: points for its best stretch.
        unanswered: points for no answer.
    """
    order = sorted(range(len(margins)), key=lambda i: margins[i])
    ranked = [margins[i] for i in order]
    finite = [margin for margin in ranked if np.isfinite(margin)]
    edges = [finite[0] - 1.0, *((a + b) / 2 for a, b in pairwise(finite) if b > a), finite[-1] + 1.0] if finite else []
    gains = np.concatenate([[0.0], np.cumsum([answered[i] - unanswered[i] for i in order])])  # by how many are answered
    points = {edge: float(gains[np.searchsorted(ranked, edge, side="right")]) for edge in [0.0, *edges]}
    most = max(points.values())
    return min((edge for edge, value in points.items() if value >= most - 1e-9), key=lambda edge: (abs(edge), edge))
