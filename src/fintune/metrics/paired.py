"""How sure a difference between systems is that were scored on the same examples, each by one run or by several seeds.

Documents are drawn anew, the same for all runs (`intervals.resample`), and every score is computed from the sums of each draw. Where
systems have several runs, a replicate also moves by what their spread says about further seeds (`seeds`). Numpy only.
Exercised by `pytest tests/metrics/test_paired.py` and `python benchmarks/calibration_of_tests.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fintune.errors import DataError
from fintune.metrics.comparable import Yardstick
from fintune.metrics.intervals import Bootstrap, percentiles, resample
from fintune.metrics.seeds import Scored, Spread

Floats = NDArray[np.float64]

REPLICATES = 10_000
"""Replicates of a comparison: they make p values as small as 0.0002 and their second digit steady."""
POWER = 0.80
"""Power by which `minimum_detectable` goes."""
# Bytes of totals held at one time; bounds memory and does not change the result.
_BYTES = 1 << 28


@dataclass(frozen=True, slots=True)
class Effect:
    """A score or a difference of scores with its interval.

    `se` is the standard error, made of `se_examples`, what other documents would change for these runs, and `se_seeds`, what other seeds
    would on these documents; the latter is None where nothing is known of it. What the two share counts once, so `se` may be less than
    the root of their squares. `p_value` is two-sided, in (0, 1], and inverts the interval.
    """

    value: float
    low: float
    high: float
    se: float
    se_examples: float
    se_seeds: float | None
    p_value: float


def score_runs(
    runs: Sequence[NDArray[Any]], yardstick: Yardstick, names: Sequence[str], *, clusters: Sequence[str], plan: Bootstrap
) -> tuple[dict[str, Scored], Scored]:
    """The scores of each name, and the groups' scores, of runs given as counts `(examples, ...)` of the same examples.

    Raises:
        DataError: where the runs do not cover the same number of examples.
    """
    if len({counts.shape for counts in runs}) != 1:
        raise DataError(f"counts of {len({c.shape for c in runs})} shapes", why="a paired comparison needs the same examples and labels")
    together = max(1, _BYTES // (8 * plan.replicates * math.prod(runs[0].shape[1:])))
    blocks = [_block(runs[at : at + together], yardstick, names, clusters, plan) for at in range(0, len(runs), together)]
    values, replicates = (np.concatenate([block[part] for block in blocks], axis=-2) for part in (0, 1))
    scored = {name: Scored(values[:, at], replicates[..., at]) for at, name in enumerate(names)}
    return scored, Scored(values[:, len(names) :], replicates[..., len(names) :])


def _block(
    runs: Sequence[NDArray[Any]], yardstick: Yardstick, names: Sequence[str], clusters: Sequence[str], plan: Bootstrap
) -> tuple[Floats, Floats]:
    """Scores and then groups `(runs, columns)`, actual ones and those of each replicate."""
    counts = np.stack(runs, axis=1)
    actual, drawn = counts.sum(axis=0), resample(counts, clusters, plan=plan)
    return _columns(actual, yardstick, names), _columns(drawn, yardstick, names)


def _columns(totals: NDArray[Any], yardstick: Yardstick, names: Sequence[str]) -> Floats:
    scores = [yardstick.scores[name].statistic(totals) for name in names]
    return np.concatenate([np.stack(scores, axis=-1), yardstick.groups(totals)], axis=-1)


def level_of(scored: Scored, *, pooled: Sequence[Scored], plan: Bootstrap) -> Effect:
    """The mean score of a system's runs, with the interval over documents and, where a system of `pooled` has two runs, seeds."""
    spread = Spread.of([scored], pooled=pooled)
    return _effect(scored.values.mean(), scored.replicates.mean(axis=1), spread, plan)


def difference(first: Scored, second: Scored, *, plan: Bootstrap) -> Effect:
    """First system minus second, of their mean scores."""
    drawn = first.replicates.mean(axis=1) - second.replicates.mean(axis=1)
    spread = Spread.of([first, second], pooled=[first, second])
    return _effect(first.values.mean() - second.values.mean(), drawn, spread, plan)


def _effect(value: Any, drawn: Floats, spread: Spread, plan: Bootstrap) -> Effect:
    """With several seeds the wider of two intervals: few runs may agree by chance, and never make documents certain."""
    moved = spread.moved(drawn, float(value), seed=plan.seed)
    samples = [drawn] if moved is None else [drawn, moved]
    ends = [percentiles(sample, level=plan.level) for sample in samples]
    examples = float(drawn.std(ddof=1)) if len(drawn) > 1 else 0.0
    return Effect(
        value=float(value),
        low=float(min(low for low, _ in ends)),
        high=float(max(high for _, high in ends)),
        se=spread.total(examples),
        se_examples=examples,
        se_seeds=spread.se,
        p_value=max(_inverted(sample) for sample in samples),
    )


def _inverted(sample: Floats) -> float:
    """Twice the smaller share of replicates that are not positive or not negative, with one added to both counts; at most 1."""
    against = min(int((sample <= 0).sum()), int((sample >= 0).sum()))
    return min(1.0, 2 * (against + 1) / (len(sample) + 1))


def group_differences(first: Scored, second: Scored, *, plan: Bootstrap) -> list[Effect]:
    """`difference` for each group, of scores with one axis more."""
    pairs = zip(np.moveaxis(first.values, -1, 0), np.moveaxis(second.values, -1, 0), strict=True)
    return [
        difference(Scored(one, first.replicates[..., at]), Scored(two, second.replicates[..., at]), plan=plan)
        for at, (one, two) in enumerate(pairs)
    ]


def minimum_detectable(effect: Effect, *, power: float = POWER) -> float:
    """The true difference that is shown with this power on as many examples: half the interval and z(power) standard errors.

    At 95 % and 80 % that is (1.96 + 0.84) SE = 2.80 SE (Bloom 1995, "Minimum detectable effects"), and more where few seeds make the
    interval wider than normal.
    """
    return (effect.high - effect.low) / 2 + NormalDist().inv_cdf(power) * effect.se


def wins(first: Floats, second: Floats) -> tuple[int, int, int]:
    """On how many examples the first has more points, the second has, and neither; points within 1e-9 are equal."""
    gap = first - second
    ahead, behind = int((gap > 1e-9).sum()), int((gap < -1e-9).sum())
    return ahead, behind, len(gap) - ahead - behind
