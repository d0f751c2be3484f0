"""What other seeds would change: the spread of a system's runs, and the hierarchical interval over seeds and documents.

A mean over m seeds lies s / sqrt(m) times a draw of Student's distribution from the mean over all seeds. Each bootstrap replicate of the
documents is moved by such a draw, once up and once down. What seeds and documents change together (another run reads other documents
better) is in both, as in any crossed design (Owen 2007, "The pigeonhole bootstrap"), and counted once: it is taken out of the
replicates. `python benchmarks/calibration_of_tests.py` shows what these intervals cover.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_STREAM = 1  # keeps the draws for seeds apart from those for documents


@dataclass(frozen=True, slots=True)
class Scored:
    """One score of one run, or of several: `values` `(runs,)` and `replicates` `(replicates, runs)`, of groups with a last axis more."""

    values: Floats
    replicates: Floats

    def of(self, runs: slice) -> Scored:
        """Those of some runs."""
        return Scored(self.values[runs], self.replicates[:, runs])


@dataclass(frozen=True, slots=True)
class Spread:
    """How far the seeds move a mean, or a difference of two.

    `se` is the standard error on the documents at hand, with its `degrees` of freedom; `shared` is the variance in it that other
    documents change too. `se` is None where no system has two runs: then nothing is known of seeds.
    """

    se: float | None
    degrees: int
    shared: float

    @staticmethod
    def of(systems: Sequence[Scored], *, pooled: Sequence[Scored]) -> Spread:
        """That of the mean of one system, or of the difference of two.

        The variance of a run is pooled over all systems of `pooled`, with as many degrees of freedom as they have runs less systems:
        with equally many runs each, this holds well where their spreads differ. A system of one run takes the spread of the others.
        """
        degrees = sum(len(system.values) - 1 for system in pooled)
        if not degrees:
            return Spread(None, 0, 0.0)
        means = sum(1 / len(system.values) for system in systems)
        squares = sum(float(np.square(system.values - system.values.mean()).sum()) for system in pooled)
        shared = sum(float((system.replicates - system.replicates.mean(axis=1, keepdims=True)).var(axis=0).sum()) for system in pooled)
        return Spread(math.sqrt(squares / degrees * means), degrees, shared / degrees * means)

    def moved(self, drawn: Floats, value: float, *, seed: int) -> Floats | None:
        """The replicates `drawn` around the actual `value`, without what is shared, each moved up and down alike, `(2 * replicates,)`.

        None where nothing is known of seeds.
        """
        if self.se is None:
            return None
        variance = float(drawn.var())
        left = math.sqrt(max(0.0, 1 - self.shared / variance)) if variance > 0 else 0.0
        step = self.se * np.random.default_rng([seed, _STREAM]).standard_t(self.degrees, size=len(drawn))
        still = value + left * (drawn - value)
        return np.concatenate([still + step, still - step])

    def total(self, examples: float) -> float:
        """The standard error of documents, given, and seeds together; what they share counts once, and it is no less than the former."""
        return examples if self.se is None else math.sqrt(max(0.0, examples**2 - self.shared, examples**2 - self.se**2) + self.se**2)
