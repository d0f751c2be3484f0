"""Solved examples to show before a question: the most similar ones (retrieval-augmented instruction tuning), or the same few.

Similarity is the cosine of TF-IDF over runs of one and two words. A guard keeps the answer out of the prompt, in training as
in prediction: never the example itself, a near duplicate of it, or an example of its document or group. Nor are two near
duplicates shown together. Pools without gold, or with fewer examples than are asked for, are refused.
`tests/data/test_demonstrations.py` exercises it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintune.data.formats.base import ReadOptions
from fintune.data.formats.jsonl import dump, example_of
from fintune.data.formats.strict_json import parse_line
from fintune.data.near import WIDTH, normalise, words
from fintune.errors import DataError
from fintune.records import Example

Choice = Literal["similar", "fixed"]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NEAR = 0.5
"""Jaccard index of 3-word shingles from which two texts are too much alike; stricter than where data are checked."""

_DIGITS = 12  # of a cosine; what differs later is a tie, which ids decide
_Terms = tuple[tuple[str, int], ...]


class Demonstrations:
    """A pool of solved examples, and the rule by which some are chosen for each text.

    The choice does not depend on the order of the pool. With `fixed`, examples are chosen that cover most labels not covered
    yet, short ones first; an example for which one of them is barred gets the next in its place.

    Args:
        examples: the pool, with gold.
        count: how many to choose.
        choose: `similar` or `fixed`.

    Raises:
        DataError: for an example without gold, or fewer examples than `count`.
    """

    def __init__(self, examples: Sequence[Example], *, count: int, choose: Choice) -> None:
        if len(examples) < count:
            fix = "give more examples, or lower prompt.demonstrations"
            raise DataError(f"{count} demonstrations from {len(examples)} examples", where="prompt.demonstrations", fix=fix)
        self.count, self.choose = count, choose
        self.examples = tuple(sorted(examples, key=lambda example: (example.id, example.text, dump(example))))
        self._marks = [_marks(example) for example in self.examples]
        self._index = _Index(self.examples)
        self._short = np.array(sorted(range(len(self.examples)), key=lambda at: len(self.examples[at].text)), np.int64)
        self._covers = _coverage([self._marks[at] for at in self._short])

    def of(self, example: Example) -> list[Example]:
        """The demonstrations for an example, the most similar last; fewer than `count` only where the guard leaves fewer."""
        ranked = self._similar(example) if self.choose == "similar" else self._covering(example)
        chosen = [self.examples[at] for at in ranked]
        return chosen[::-1] if self.choose == "similar" else chosen

    def dump(self) -> str:
        """The pool as JSONL; `load` gives back demonstrations that choose alike."""
        return "".join(f"{dump(example)}\n" for example in self.examples)

    @classmethod
    def load(cls, text: str, *, count: int, choose: Choice, where: str) -> Demonstrations:
        """Demonstrations of a pool that `dump` wrote; `where` names the file in errors.

        Raises:
            DataError: a line that is no example, or as the constructor.
        """
        pool = []
        for number, line in enumerate(text.split("\n"), 1):
            if line:
                place = f"{where}:{number}"
                pool.append(example_of(parse_line(line, where=place), where=place, fallback_id=place, options=ReadOptions()))
        return cls(pool, count=count, choose=choose)

    def _similar(self, example: Example) -> list[int]:
        """Places in the pool, most similar first."""
        guard, chosen = _Guard(example), list[int]()
        for at in _ranked(np.round(self._index.cosines(example), _DIGITS), 4 * self.count):
            if len(chosen) == self.count:
                break
            if guard.takes(self.examples[at]):
                chosen.append(at)
        return chosen

    def _covering(self, example: Example) -> list[int]:
        """Places in the pool, by greedy cover; once all labels are covered, the cover begins anew."""
        guard, chosen = _Guard(example), list[int]()
        free, wanted = np.ones(len(self.examples), np.bool_), np.ones(self._covers.shape[1], np.int64)
        while len(chosen) < self.count and free.any():
            gains = np.where(free, self._covers @ wanted, -1)
            best = int(np.argmax(gains))
            if gains[best] == 0 and not wanted.all():
                wanted[:] = 1
                continue
            free[best] = False
            at = int(self._short[best])
            if guard.takes(self.examples[at]):
                chosen.append(at)
                wanted[self._covers[best] > 0] = 0
        return chosen


class _Guard:
    """What may be shown to one example, beside what is shown already."""

    def __init__(self, example: Example) -> None:
        self._own = example.meta
        self._barred = [_Text.of(example.text)]

    def takes(self, shown: Example) -> bool:
        """Whether `shown` cannot give away the example's gold and says something new; it is shown then."""
        meta, text = shown.meta, _Text.of(shown.text)
        if meta.document is not None and meta.document == self._own.document:
            return False
        if meta.group is not None and meta.group == self._own.group:
            return False
        if any(text.is_near(barred) for barred in self._barred):
            return False
        self._barred.append(text)
        return True


class _Text(NamedTuple):
    normalised: str
    shingles: set[tuple[str, ...]]  # as `data.near` has them: a text of one or two words is one shingle

    @classmethod
    def of(cls, text: str) -> _Text:
        own = words(text)
        short = 0 < len(own) < WIDTH
        return cls(normalise(text), {tuple(own)} if short else set(zip(*(own[ahead:] for ahead in range(WIDTH)), strict=False)))

    def is_near(self, other: _Text) -> bool:
        common = len(self.shingles & other.shingles)
        either = len(self.shingles) + len(other.shingles) - common
        return self.normalised == other.normalised or (common > 0 and common >= NEAR * either)


class _Index:
    """TF-IDF of a pool as postings: for each term the examples that have it, and its weight there."""

    def __init__(self, examples: Sequence[Example]) -> None:
        counts = [Counter(_terms(example)) for example in examples]
        frequency = Counter(term for own in counts for term in own)
        self._rarity = {term: math.log((1 + len(counts)) / (1 + times)) + 1 for term, times in frequency.items()}
        places: defaultdict[str, list[int]] = defaultdict(list)
        weights: defaultdict[str, list[float]] = defaultdict(list)
        for at, own in enumerate(counts):
            values = {term: times * self._rarity[term] for term, times in own.items()}
            length = math.sqrt(math.fsum(value * value for value in values.values()))
            for term, value in values.items():
                places[term].append(at)
                weights[term].append(value / length)
        self._size = len(counts)
        self._places = {term: np.array(found, np.int64) for term, found in places.items()}
        self._weights = {term: np.array(found) for term, found in weights.items()}

    def cosines(self, example: Example) -> Floats:
        """`(pool,)` the cosine of the example with each of the pool, over the terms that the pool knows."""
        own = {term: times * self._rarity[term] for term, times in Counter(_terms(example)).items() if term in self._rarity}
        if not own:
            return np.zeros(self._size)
        length = math.sqrt(math.fsum(value * value for value in own.values()))
        places = np.concatenate([self._places[term] for term in own])
        weights = np.concatenate([self._weights[term] * (value / length) for term, value in own.items()])
        return np.bincount(places, weights, minlength=self._size).astype(np.float64)


def _ranked(similarity: Floats, first: int) -> Iterator[int]:
    """Places by falling similarity, ties in order; those after about the `first` are sorted only if they are asked for."""
    if 0 < first < similarity.size:
        least = np.partition(similarity, -first)[-first]
        parts = [np.flatnonzero(similarity >= least), np.flatnonzero(similarity < least)]
    else:
        parts = [np.arange(similarity.size)]
    for part in parts:
        yield from part[np.argsort(-similarity[part], kind="stable")].tolist()


def _terms(example: Example) -> Iterator[str]:
    """Words and pairs of neighbouring words, of the question too where there is one."""
    for part in (example.question or "", example.text):
        own = words(part)
        yield from own
        yield from map(" ".join, pairwise(own))


def _marks(example: Example) -> frozenset[str]:
    """What an example shows: its labels, or that there is nothing to find."""
    if example.spans is not None:
        return frozenset([span.label for span in example.spans] + [label for label, _ in example.unaligned]) or frozenset([""])
    if example.label is not None:
        return frozenset([example.label])
    if example.labels is not None:
        return frozenset(example.labels) or frozenset([""])
    if example.question is not None:
        return frozenset(["no answer" if example.answer is None else "answer"])
    raise DataError(f"example {example.id!r} has no gold", where=example.where, why="a demonstration shows a solution",
                    fix="take demonstrations from annotated data")  # fmt: skip


def _coverage(marks: Sequence[frozenset[str]]) -> Ints:
    """`(pool, marks)` one where an example has a mark."""
    column = {mark: at for at, mark in enumerate(sorted(frozenset[str]().union(*marks)))}
    covers = np.zeros((len(marks), len(column)), np.int64)
    for row, own in enumerate(marks):
        covers[row, [column[mark] for mark in own]] = 1
    return covers
