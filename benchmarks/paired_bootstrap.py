"""Seconds for an interval of the difference between two systems: 10,000 replicates on 1,693 texts, beside rescoring each replicate.

Both systems are the gold with some spans left out, cut or renamed at random. `fintune` resamples counts for seven labels under two rules
and gives the intervals of three scores and seven labels; `randomisation` is its test of the same; `counting` is what comes once before
both. `rescoring` draws texts and adds up their counts one by one in Python; `scipy` is `scipy.stats.bootstrap` on micro F1 alone. They
run fewer replicates, and the table gives rates.

    python benchmarks/paired_bootstrap.py [--rounds 5] [--replicates 10000]
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import common
from fintune.data.load import load
from fintune.metrics.comparable import count_spans, of_spans
from fintune.metrics.intervals import Bootstrap
from fintune.metrics.paired import Effect, difference, group_differences, score_runs
from fintune.metrics.significance import Randomised, randomisation
from fintune.metrics.spans import SpanPair, f1, micro
from fintune.records import Example, Span
from fintune.tasks.base import documents_of, load_task

SLOW = 100
"""Replicates of what is slow."""


def predicted(examples: Sequence[Example], labels: Sequence[str], *, seed: int) -> list[SpanPair]:
    """The gold of each text with a tenth of the spans left out, a tenth cut short and a tenth under another label."""
    random = np.random.default_rng(seed)
    pairs = []
    for example in examples:
        found = []
        for span, luck in zip(example.spans or (), random.random(len(example.spans or ())), strict=True):
            end = span.end - 1 if luck < 0.2 and span.end - span.start > 1 else span.end
            label = labels[int(random.integers(len(labels)))] if luck > 0.9 else span.label
            found += [Span(span.start, end, label)] * bool(luck >= 0.1)
        pairs.append(SpanPair(example.text, example.spans or (), tuple(found), example.unaligned))
    return pairs


def rescored(first: NDArray[Any], second: NDArray[Any], replicates: int) -> tuple[float, float]:
    """The interval by drawing texts and adding them up one by one."""
    random, gaps = np.random.default_rng(0), []
    for _ in range(replicates):
        totals = np.zeros((2, *first.shape[2:]))
        for row in random.integers(0, len(first), size=len(first)):
            totals += first[row, 0], second[row, 0]
        gaps.append(micro(f1, totals[0]) - micro(f1, totals[1]))
    low, high = np.quantile(gaps, [0.025, 0.975])
    return float(low), float(high)


def by_scipy(first: NDArray[Any], second: NDArray[Any], replicates: int) -> tuple[float, float]:
    """The interval of `scipy.stats.bootstrap`, told to resample rows."""
    from scipy.stats import bootstrap

    one, two = (counts[:, 0].sum(axis=1) for counts in (first, second))

    def gap(rows: NDArray[Any], axis: int = -1) -> Any:
        return f1(one[rows].sum(axis=axis - 1)) - f1(two[rows].sum(axis=axis - 1))

    rows = (np.arange(len(one)),)
    found = bootstrap(rows, gap, n_resamples=replicates, vectorized=True, batch=50, method="percentile", rng=np.random.default_rng(0))
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


class Bench:
    """The counts of two systems on the corpus, and turns of any variant."""

    def __init__(self, data: str, replicates: int) -> None:
        task = load_task("finance-ner-7")
        self.examples = load(data, kind="spans").examples
        pairs = [predicted(self.examples, task.labels, seed=seed) for seed in (0, 1)]
        began = time.perf_counter()
        self.first, self.second = (count_spans(found, labels=task.labels) for found in pairs)
        self.counting = (time.perf_counter() - began) / 2
        self.clusters, self.yardstick, self.plan = documents_of(self.examples), of_spans(task.labels), Bootstrap(replicates)

    def intervals(self) -> list[Effect]:
        """The intervals of the three scores, after those of the labels."""
        names, one, two = self.yardstick.shown, slice(0, 1), slice(1, 2)
        scored, groups = score_runs([self.first, self.second], self.yardstick, names, clusters=self.clusters, plan=self.plan)
        group_differences(groups.of(one), groups.of(two), plan=self.plan)
        return [difference(scored[name].of(one), scored[name].of(two), plan=self.plan) for name in names]

    def randomised(self) -> Randomised:
        """The p values of the three scores."""
        statistics = {name: self.yardstick.scores[name].statistic for name in self.yardstick.shown}
        return randomisation(self.first, self.second, statistics, clusters=self.clusters, plan=self.plan)

    def ends(self, replicates: int) -> list[str]:
        """What each variant says of micro F1."""
        ours = self.intervals()[0]
        ends = {
            "fintune": (ours.low, ours.high),
            "rescoring": rescored(self.first, self.second, 10 * SLOW),
            "scipy": by_scipy(self.first, self.second, replicates),
        }
        return [f"{name}: micro F1 differs by {ours.value:.4f}, interval {low:.4f} to {high:.4f}" for name, (low, high) in ends.items()]


def main() -> None:
    given = common.options(__doc__, rounds=5, replicates=10_000).parse_args()
    data = common.source()
    bench = Bench(data, given.replicates)
    variants: dict[str, tuple[int, Callable[[], Any]]] = {
        "fintune": (given.replicates, bench.intervals),
        "randomisation": (given.replicates, bench.randomised),
        "rescoring": (SLOW, lambda: rescored(bench.first, bench.second, SLOW)),
        "scipy": (10 * SLOW, lambda: by_scipy(bench.first, bench.second, 10 * SLOW)),
    }

    busy: dict[str, list[float]] = {name: [] for name in variants}

    def turn(name: str, replicates: int, work: Callable[[], Any]) -> Callable[[int], common.Timing]:
        def timed(_: int) -> common.Timing:
            began, used = time.perf_counter(), time.process_time()
            work()
            busy[name].append(time.process_time() - used)
            return common.Timing(replicates, time.perf_counter() - began)

        return timed

    bench.intervals()  # caches, once
    found = common.in_turns({name: turn(name, *of) for name, of in variants.items()}, given.rounds)
    lines = [common.table(found, unit="replicates/s", against=["rescoring", "scipy"]), ""]
    for name in ("fintune", "randomisation"):
        seconds = sorted(given.replicates / t.rate for t in found[name])
        took = f"{seconds[len(seconds) // 2]:.2f} s, at most {seconds[-1]:.2f} s (of a processor: {statistics.median(busy[name]):.2f} s)"
        lines.append(f"{name}: {given.replicates:,} replicates on {len(bench.examples):,} texts in {took}")
    lines += [f"counting, once for each system: {bench.counting:.2f} s", *bench.ends(given.replicates)]
    common.publish("paired-bootstrap", "\n".join([*lines, "", *common.circumstances(data)]), given.output)


if __name__ == "__main__":
    main()
