"""Whether the tests of `fintune compare` err as often as they say: made-up pairs of systems whose true difference is known.

Documents of one to four sentences, some harder than others, and two systems that agree on most of them. Under the null both draw from
one distribution, so that every claim is a false positive; with an effect the second is worse by a known amount. Of each pair: whether
the 95 % interval holds the truth, and whether each test rejects at 5 %. Beside them stand what the tests are not: intervals that take
the sentences of a document as independent, and seeds drawn anew (`pigeonhole`) or left out.

    python benchmarks/calibration_of_tests.py [--pairs 6000] [--documents 150] [--replicates 999]
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import common
from fintune.metrics.comparable import of_labels, of_spans
from fintune.metrics.intervals import Bootstrap, percentiles
from fintune.metrics.paired import difference, score_runs
from fintune.metrics.significance import mcnemar, randomisation

LABELS = ("common", "frequent", "rare")
SHARES = (0.6, 0.3, 0.1)
AGREEMENT = 0.5
"""Share of the documents on which the second system says what the first does."""
LUCK = 0.2
"""How far a system's share of what it finds in a document differs from that in others as hard (standard deviation)."""
LOSS = 0.1
"""What the second system misses more, where there is an effect, in the documents it does not copy."""
SEEDS, SEED_SPREADS = 3, (0.02, 0.06)
"""Runs of a system, and how far a seed moves what it finds (standard deviation of a share): less or more than the documents do."""
SPANS, TEXTS = of_spans(LABELS), of_labels(LABELS)


@dataclass(frozen=True, slots=True)
class Corpus:
    """Sentences with the number of their document, how hard each is, and its gold: spans of each label, or one label."""

    member: NDArray[np.int64]
    hard: NDArray[np.float64]
    spans: NDArray[np.int64]
    label: NDArray[np.int64]

    @property
    def documents(self) -> list[str]:
        """The name of each sentence's document."""
        return [str(number) for number in self.member]

    def ease(self, random: np.random.Generator, skill: float) -> NDArray[np.float64]:
        """The share that a system finds in each sentence."""
        luck = random.normal(0, LUCK, size=self.member[-1] + 1)[self.member]
        return np.clip(0.95 - self.hard + skill + luck, 0, 1)


def corpus(random: np.random.Generator, documents: int) -> Corpus:
    """Made-up documents."""
    sizes = random.integers(1, 5, size=documents)
    member = np.repeat(np.arange(documents), sizes)
    hard = np.clip(random.beta(2, 5, size=documents)[member] + random.normal(0, 0.05, size=len(member)), 0, 0.9)
    spans = random.poisson(2 * np.array(SHARES), size=(len(member), len(LABELS)))
    return Corpus(member, hard, spans, random.choice(len(LABELS), size=len(member), p=SHARES))


def marked(random: np.random.Generator, of: Corpus, *, skill: float) -> NDArray[Any]:
    """Counts of spans `(sentences, 2, labels, 3)` of a system that finds what is not too hard for it."""
    ease = of.ease(random, skill)[:, None]
    found, spurious = random.binomial(of.spans, ease), random.poisson(0.6 * (1 - ease) * np.array(SHARES))
    counts = np.stack([found, spurious, of.spans - found], axis=-1)
    return np.stack([counts, counts], axis=1)


def named(random: np.random.Generator, of: Corpus, *, skill: float) -> NDArray[Any]:
    """Counts of labels `(sentences, labels, 3)`."""
    right = random.random(len(of.hard)) < of.ease(random, skill)
    other = (of.label + random.integers(1, len(LABELS), size=len(of.label))) % len(LABELS)
    given, rows = np.where(right, of.label, other), np.arange(len(right))
    counts = np.zeros((len(right), len(LABELS), 3), dtype=np.int64)
    counts[rows, of.label, 0], counts[rows, of.label, 2], counts[rows, given, 1] = right, ~right, ~right
    return counts


MADE = {"spans": (marked, SPANS, ("micro_f1", "macro_f1")), "label": (named, TEXTS, ("accuracy", "macro_f1"))}


def pair(random: np.random.Generator, of: Corpus, kind: str, *, loss: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Two systems; the second copies most of the first and is otherwise worse by `loss`."""
    make = MADE[kind][0]
    first, other = make(random, of, skill=0.0), make(random, of, skill=-loss)
    copied = (random.random(of.member[-1] + 1) < AGREEMENT)[of.member]
    return first, np.where(copied.reshape(-1, *[1] * (first.ndim - 1)), first, other)


def truth(kind: str, *, loss: float, documents: int = 200_000) -> dict[str, float]:
    """The difference over all documents of this sort, from very many of them."""
    if not loss:
        return dict.fromkeys(MADE[kind][2], 0.0)
    random = np.random.default_rng([77])
    _, yardstick, names = MADE[kind]
    first, second = (counts.sum(axis=0) for counts in pair(random, corpus(random, documents), kind, loss=loss))
    return {name: float(yardstick.scores[name].statistic(first) - yardstick.scores[name].statistic(second)) for name in names}


def claims(
    random: np.random.Generator, kind: str, *, loss: float, true: dict[str, float], documents: int, plan: Bootstrap
) -> Iterator[str]:
    """What is said of one pair: the names of intervals that hold the truth, and of tests that reject."""
    of = corpus(random, documents)
    _, yardstick, names = MADE[kind]
    runs = pair(random, of, kind, loss=loss)
    alone = [str(number) for number in range(len(of.hard))]
    for clusters, words in ((of.documents, ""), (alone, ", sentences as if independent")):
        scored, _ = score_runs(runs, yardstick, names, clusters=clusters, plan=plan)
        p_values = randomisation(*runs, {name: yardstick.scores[name].statistic for name in names}, clusters=clusters, plan=plan).p_values
        for name in names:
            found = difference(scored[name].of(slice(0, 1)), scored[name].of(slice(1, 2)), plan=plan)
            yield from [f"{name}: interval holds the truth{words}"] * (found.low <= true[name] <= found.high)
            yield from [f"{name}: interval excludes zero{words}"] * (found.low > 0 or found.high < 0)
            yield from [f"{name}: randomisation{words}"] * (p_values[name] <= 0.05)
    if kind == "label":
        yield from _coins(random, documents, loss)


def _coins(random: np.random.Generator, documents: int, loss: float) -> Iterator[str]:
    """McNemar's test, on documents of one sentence each, as it asks for."""
    of = corpus(random, documents)
    keep = np.unique(of.member, return_index=True)[1]
    first, second = (counts[keep, :, 0].sum(axis=1) for counts in pair(random, of, "label", loss=loss))
    only = int((first > second).sum()), int((second > first).sum())
    yield from ["accuracy: McNemar"] * (mcnemar(*only) <= 0.05)
    if loss:
        return
    coins = sum(only)  # how often the exact test rejects with so many sentences that one system alone gets right
    size = sum(math.comb(coins, k) for k in range(coins + 1) if mcnemar(k, coins - k) <= 0.05) / 2**coins
    yield from ["accuracy: McNemar, expected"] * (random.random() < size)


def seeds(random: np.random.Generator, *, spread: float, documents: int, plan: Bootstrap) -> Iterator[str]:
    """Two systems of several seeds without a difference: which intervals hold zero."""
    of = corpus(random, documents)
    runs = [marked(random, of, skill=skill) for skill in random.normal(0, spread, size=2 * SEEDS)]
    scored = score_runs(runs, SPANS, ("micro_f1",), clusters=of.documents, plan=plan)[0]["micro_f1"]
    first, second = scored.of(slice(0, SEEDS)), scored.of(slice(SEEDS, None))
    found = difference(first, second, plan=plan)
    yield from ["micro_f1: interval over seeds and documents"] * (found.low <= 0 <= found.high)
    low, high = percentiles(first.replicates.mean(axis=1) - second.replicates.mean(axis=1), level=plan.level)
    yield from ["micro_f1: interval over documents only"] * bool(low <= 0 <= high)
    rows = np.arange(plan.replicates)[:, None]
    drawn = [s.replicates[rows, random.integers(0, SEEDS, size=(plan.replicates, SEEDS))].mean(axis=1) for s in (first, second)]
    low, high = percentiles(drawn[0] - drawn[1], level=plan.level)
    yield from ["micro_f1: interval by drawing seeds anew (pigeonhole)"] * bool(low <= 0 <= high)


def simulate(pairs: int, *, documents: int, replicates: int, seed: int = 1) -> dict[str, Counter[str]]:
    """How many of so many pairs each claim was made of, by situation."""
    found: dict[str, Counter[str]] = {}
    for kind in MADE:
        for words, loss in (("null", 0.0), ("effect", LOSS)):
            true = truth(kind, loss=loss)
            count = found[f"{kind}, {words}"] = Counter()
            for number in range(pairs):
                random = np.random.default_rng([seed, number, 0])
                plan = Bootstrap(replicates, seed=number)
                count.update(claims(random, kind, loss=loss, true=true, documents=documents, plan=plan))
    for spread in SEED_SPREADS:
        count = found[f"spans, null, {SEEDS} seeds each that spread by {spread}"] = Counter()
        for number in range(pairs):
            random, plan = np.random.default_rng([seed, number, 1]), Bootstrap(replicates, seed=number)
            count.update(seeds(random, spread=spread, documents=documents, plan=plan))
    return found


def table(found: dict[str, Counter[str]], pairs: int) -> str:
    """Shares with their standard errors."""
    lines = [f"{'':76}{'of pairs':>10}{'+-':>7}"]
    for situation, count in found.items():
        lines += ["", situation]
        for claim in sorted(count):
            share = count[claim] / pairs
            lines.append(f"  {claim:74}{100 * share:9.2f}%{100 * math.sqrt(share * (1 - share) / pairs):6.2f}%")
    return "\n".join(lines)


def main() -> None:
    given = common.options(__doc__, pairs=6000, documents=150, replicates=999).parse_args()
    report = table(simulate(given.pairs, documents=given.documents, replicates=given.replicates), given.pairs)
    data = f"made up: {given.pairs} pairs of systems on {given.documents} documents of one to four sentences"
    common.publish("calibration-of-tests", "\n".join([report, "", *common.circumstances(data)]), given.output)


if __name__ == "__main__":
    main()
