"""The examples on which two systems differ most: what a reader looks at to see what a difference of scores is made of.

Of each direction the examples with the largest gap of points come first; among equals those that the winner has altogether right,
then those that the loser was surest of, then short ones. Examples on which they score alike are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fintune.records import Example, Prediction
from fintune.report.comparison_entries import Disagreement

EACH = 5
"""Examples of each direction of a pair."""
PAIRS = 15
"""Pairs of which examples are given."""

Floats = NDArray[np.float64]
Outputs = Mapping[str, Sequence[Sequence[Prediction]]]


def disagreements(
    pairs: Sequence[tuple[str, str]], points: Mapping[str, Floats], outputs: Outputs, examples: Sequence[Example]
) -> list[Disagreement]:
    """The examples of each pair, those that the first wins before those that the second does.

    Args:
        pairs: names of systems; of those beyond `PAIRS` there are none.
        points: of each run of each system `(runs, examples)`.
        outputs: predictions of each run of each system for the examples.
        examples: with gold.
    """
    return [found for first, second in pairs[:PAIRS] for found in _of_pair(first, second, points, outputs, examples)]


def _of_pair(
    first: str, second: str, points: Mapping[str, Floats], outputs: Outputs, examples: Sequence[Example]
) -> Iterator[Disagreement]:
    for winner, loser in ((first, second), (second, first)):
        ahead = points[winner].mean(axis=0) - points[loser].mean(axis=0)
        shown = {
            at: {name: outputs[name][_typical(points[name][:, at], wins=name == winner)][at] for name in (winner, loser)}
            for at in np.flatnonzero(ahead > 1e-9).tolist()
        }
        best = points[winner].max()
        ranks = {
            at: (-float(ahead[at]), bool(points[winner][:, at].mean() < best), -(said[loser].confidence or 0.0), len(examples[at].text), at)
            for at, said in shown.items()
        }
        for at in sorted(shown, key=ranks.__getitem__)[:EACH]:
            said = shown[at]
            yield Disagreement(first, second, winner, float(ahead[at]), examples[at], (said[first], said[second]))


def _typical(points: Floats, *, wins: bool) -> int:
    """The run nearest to the mean of the runs; of two as near, the better one of the winner and the worse one of the loser."""
    distance = np.round(np.abs(points - points.mean()), 9)
    return int(np.lexsort((-points if wins else points, distance))[0])
