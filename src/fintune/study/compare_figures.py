"""The figures of a comparison: scores of systems, differences of pairs, their tests, and the correction for their number.

Every number is a function of counts, so that it can be had again by `fintune compare` with the same files. Which test a p value is of
is said with it. `pytest tests/study/test_compare_figures.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fintune.metrics.comparable import Counts, Yardstick
from fintune.metrics.intervals import Bootstrap
from fintune.metrics.paired import Effect, difference, group_differences, level_of, minimum_detectable, score_runs, wins
from fintune.metrics.seeds import Scored
from fintune.metrics.significance import Randomised, holm, mcnemar, randomisation

Floats = NDArray[np.float64]
BETTER = ("first better", "second better")
NONE, NOT_CORRECTED = "no difference shown", "no difference shown after correction"
"""What is said of a difference: of an interval that spans zero, and of one that does not while the adjusted p value is too large."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything drawn once for a comparison.

    `counts` are those of each system's runs, `scored` and `groups` the scores of all runs, `places` the runs of each system therein.
    """

    yardstick: Yardstick
    names: tuple[str, ...]
    counts: Mapping[str, Sequence[Counts]]
    scored: Mapping[str, Scored]
    groups: Scored
    places: Mapping[str, slice]
    clusters: Sequence[str]
    plan: Bootstrap

    def points(self, system: str, name: str) -> Floats:
        """Points of each run of a system `(runs, examples)`."""
        return np.stack([self.yardstick.scores[name].points(counts) for counts in self.counts[system]])


def measure(
    counts: Mapping[str, Sequence[Counts]], yardstick: Yardstick, names: tuple[str, ...], *, clusters: Sequence[str], plan: Bootstrap
) -> Measured:
    """Scores all runs, in the data and in each replicate."""
    runs = [one for several in counts.values() for one in several]
    scored, groups = score_runs(runs, yardstick, names, clusters=clusters, plan=plan)
    places, begin = {}, 0
    for system, several in counts.items():
        places[system] = slice(begin, begin := begin + len(several))
    return Measured(yardstick, names, counts, scored, groups, places, clusters, plan)


def system_figures(of: Measured, system: str) -> dict[str, dict[str, Any]]:
    """Each score of a system: its mean over runs with interval and standard errors, and `runs`, the score of each.

    What seeds change is pooled over all systems of the comparison; an interval ends where the score does.
    """
    found = {}
    for name in of.names:
        every = {other: of.scored[name].of(place) for other, place in of.places.items()}
        level = asdict(level_of(every[system], pooled=list(every.values()), plan=of.plan))
        del level["p_value"]  # that a score is not zero is no finding
        ends = {"low": max(of.yardstick.scores[name].least, level["low"]), "high": min(1.0, level["high"])}
        found[name] = {**level, **ends, "runs": every[system].values.tolist()}
    return found


def pair_figures(of: Measured, *, against: str | None) -> list[dict[str, Any]]:
    """Each pair of systems, or each with one of them, in order, with p values adjusted for all pairs and scores together."""
    pairs = combinations(of.counts, 2) if against is None else ((name, against) for name in of.counts if name != against)
    found = [_pair(of, first, second) for first, second in pairs]
    entries = [entry for pair in found for entry in pair["metrics"].values()]
    for entry, adjusted in zip(entries, holm([entry["p_value"] for entry in entries]), strict=True):
        entry["p_holm"] = adjusted
        entry["verdict"] = _verdict(entry, alpha=1 - of.plan.level)
    return found


def _verdict(entry: Mapping[str, Any], *, alpha: float) -> str:
    if entry["low"] <= 0 <= entry["high"]:
        return NONE
    if entry["p_holm"] > alpha:
        return NOT_CORRECTED
    return BETTER[entry["value"] < 0]


def _pair(of: Measured, first: str, second: str) -> dict[str, Any]:
    one, two = of.places[first], of.places[second]
    single = len(of.counts[first]) == len(of.counts[second]) == 1
    swapped = _swapped(of, first, second) if single else None
    metrics = {}
    for name in of.names:
        effect = difference(of.scored[name].of(one), of.scored[name].of(two), plan=of.plan)
        ahead, behind, level = wins(of.points(first, name).mean(axis=0), of.points(second, name).mean(axis=0))
        metrics[name] = {
            **asdict(effect),
            **_test(of, name, effect, swapped, only=(ahead, behind)),
            "minimum_detectable": minimum_detectable(effect),
            "wins": ahead, "losses": behind, "ties": level,
        }  # fmt: skip
    return {"first": first, "second": second, "metrics": metrics, "per_label": _groups(of, one, two)}


def _swapped(of: Measured, first: str, second: str) -> Randomised:
    statistics = {name: of.yardstick.scores[name].statistic for name in of.names}
    return randomisation(of.counts[first][0], of.counts[second][0], statistics, clusters=of.clusters, plan=of.plan)


def _test(of: Measured, name: str, effect: Effect, swapped: Randomised | None, *, only: tuple[int, int]) -> dict[str, Any]:
    """The p value that counts, the test it is of, and those of the other tests that apply.

    McNemar's for shares of independent examples, randomisation for other scores of single runs; with several seeds the
    hierarchical bootstrap, as neither of these knows of seeds.
    """
    found: dict[str, Any] = {"p_bootstrap": effect.p_value, "p_randomisation": None, "p_mcnemar": None, "exact": False}
    if swapped is None:
        return {**found, "test": "hierarchical bootstrap", "p_value": effect.p_value}
    found |= {"p_randomisation": swapped.p_values[name], "exact": swapped.exact}
    if of.yardstick.scores[name].shares and len(set(of.clusters)) == len(of.clusters):
        found["p_mcnemar"] = mcnemar(*only)
        return {**found, "test": "McNemar", "p_value": found["p_mcnemar"], "exact": True}
    return {**found, "test": "randomisation", "p_value": found["p_randomisation"]}


def _groups(of: Measured, one: slice, two: slice) -> dict[str, dict[str, Any]]:
    """The difference for each label or form that the gold has, with both scores; these intervals are not adjusted for their number."""
    first, second = of.groups.of(one), of.groups.of(two)
    support = of.yardstick.support(next(iter(of.counts.values()))[0].sum(axis=0))
    found = {}
    for at, (name, effect) in enumerate(zip(of.yardstick.names, group_differences(first, second, plan=of.plan), strict=True)):
        if support[at]:
            ends = {"value": effect.value, "low": effect.low, "high": effect.high}
            means = {"first": float(first.values[:, at].mean()), "second": float(second.values[:, at].mean())}
            found[name] = {**ends, **means, "support": int(support[at])}
    return found
