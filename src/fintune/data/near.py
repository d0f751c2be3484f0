"""Near-duplicate texts, found exactly: pairs whose sets of 3-word shingles have a Jaccard index of at least a threshold.

Words are lower-case runs of letters and digits, single characters in Chinese, Japanese and Korean; a text of one or two
words is one shingle, a text without words has none and no duplicates. Nothing is hashed or sampled: prefix and
positional filters (Bayardo et al. 2007, Xiao et al. 2008) leave out only pairs that cannot reach the threshold.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fintune.errors import UsageError

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

THRESHOLD = 0.7
"""Jaccard index, a fraction, from which two texts are near duplicates, wherever nothing else is asked for."""

WIDTH = 3  # words of a shingle
_PENDING = 1 << 16  # candidates that are verified together; small, so that joined groups soon spare further ones
_PROBES = 1 << 21  # shingles looked up together, which bounds memory
_SCATTER = 2654435761  # Knuth's multiplier for hashing by multiplication
_SLACK = 1e-9  # makes filters looser than rounding errors of the threshold

UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f"
_WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+")
_ASCII_WORD = re.compile(r"\w+", re.ASCII)


def normalise(text: str) -> str:
    """The text by which exact duplicates are told: composed characters, runs of blanks as one, none at the ends."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return " ".join(text.split())


def words(text: str) -> list[str]:
    """The words that shingles are made of."""
    return (_ASCII_WORD if text.isascii() else _WORD).findall(text.lower())


class Pair(NamedTuple):
    """Two places in a sequence of texts, `first` < `second`, and the Jaccard index of their shingles."""

    first: int
    second: int
    similarity: float


class Joined:
    """Disjoint sets of 0 to `size` - 1; each set is named by its smallest member."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def first(self, item: int) -> int:
        """The smallest member of the set of `item`."""
        parent = self._parent
        while parent[item] != item:
            parent[item] = item = parent[parent[item]]
        return item

    def join(self, one: int, other: int) -> None:
        """Makes one set of the two that hold these items."""
        low, high = sorted((self.first(one), self.first(other)))
        self._parent[high] = low

    def join_equal(self, keys: Iterable[object]) -> None:
        """Joins all items of the same key; items are numbered as the keys come, and a key of None joins nothing."""
        seen: dict[object, int] = {}
        for item, key in enumerate(keys):
            if key is not None:
                self.join(seen.setdefault(key, item), item)

    def firsts(self) -> list[int]:
        """The smallest member of the set of each item."""
        return [self.first(item) for item in range(len(self._parent))]

    def sets(self) -> list[list[int]]:
        """All sets, members ascending, by first member."""
        members: dict[int, list[int]] = {}
        for item, first in enumerate(self.firsts()):
            members.setdefault(first, []).append(item)
        return list(members.values())


class _Sink(Protocol):
    """What takes verified pairs, and says which candidates it still has a use for."""

    def wants(self, one: Ints, other: Ints) -> Mask:
        """Whether each pair of texts is still of use."""
        ...

    def live(self, starts: Ints, texts: Ints) -> Mask:
        """Whether each list of texts, which begin at `starts`, may still hold a pair of use."""
        ...

    def take(self, one: Ints, other: Ints, similarity: NDArray[np.float64]) -> None:
        """Pairs at or above the threshold, `one` < `other`; the same pair may come again."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """The shingle sets of texts. Shingles are ranked from rare to frequent; those of a single text are only counted."""

    sizes: Ints  # (texts,) shingles of a text
    ranks: int  # distinct shingles of all texts
    keys: Ints  # (shared,) text * ranks + rank of every shingle that two or more texts share, ascending
    texts: Ints  # (shared,) text of each key
    places: Ints  # (shared,) how many shingles of that text are rarer
    counts: Ints  # (texts,) shared shingles of a text
    starts: Ints  # (texts,) where they begin in `keys`

    @classmethod
    def of(cls, texts: Iterable[str]) -> Index:
        """Indexes texts; they are numbered in the order given."""
        owner, shingle, total = _shingles(texts)
        ranks = int(shingle.max()) + 1 if shingle.size else 1
        distinct = np.unique(owner * ranks + shingle)
        owner, shingle = distinct // ranks, distinct % ranks
        frequency = np.bincount(shingle, minlength=ranks)
        rank = np.empty(ranks, np.int64)
        rank[np.argsort(frequency, kind="stable")] = np.arange(ranks)
        shared = frequency[shingle] > 1
        keys = np.sort(owner[shared] * ranks + rank[shingle[shared]])
        owners = keys // ranks
        sizes, counts = (np.bincount(of, minlength=total).astype(np.int64) for of in (owner, owners))
        starts = np.cumsum(counts) - counts
        # Shingles of a single text are the rarest, so that they come before all shared ones.
        places = np.arange(keys.size) - starts[owners] + (sizes - counts)[owners]
        return cls(sizes, ranks, keys, owners, places, counts, starts)

    def pairs(self, *, threshold: float = THRESHOLD, sets: Sequence[int] | None = None) -> list[Pair]:
        """All near-duplicate pairs in ascending order; with `sets`, one number a text, those between different sets."""
        sink = _Pairs(None if sets is None else np.asarray(sets, np.int64))
        self._search(threshold, np.zeros_like(self.sizes), sink)
        return sorted(sink.found)

    def groups(self, *, threshold: float = THRESHOLD, sets: Sequence[int] | None = None) -> Joined:
        """Texts joined by chains of near-duplicate pairs; with `sets`, only by pairs inside a set."""
        within = np.zeros_like(self.sizes) if sets is None else np.asarray(sets, np.int64)
        sink = _Groups(Joined(self.sizes.size), np.arange(self.sizes.size))
        self._search(threshold, within, sink)
        return sink.joined

    def elsewhere(self, sets: Sequence[int], *, threshold: float = THRESHOLD) -> dict[int, int]:
        """Each text with a near duplicate in a set of lower number, and one such duplicate, by text."""
        sink = _Elsewhere(np.asarray(sets, np.int64), np.full(self.sizes.size, -1))
        self._search(threshold, np.zeros_like(self.sizes), sink)
        return {int(text): int(sink.twin[text]) for text in np.flatnonzero(sink.twin >= 0)}

    def _search(self, threshold: float, within: Ints, sink: _Sink) -> None:
        """Gives `sink` every pair at or above the threshold whose texts have the same number in `within`."""
        if not 0 < threshold <= 1:
            raise UsageError(f"near-duplicate threshold {threshold:g}", why="a Jaccard index lies above 0 and up to 1",
                             fix=f"give a fraction such as {THRESHOLD}")  # fmt: skip
        pending: list[Ints] = []
        held = 0
        walk = _walk(self, threshold, within, sink)
        for one, other in walk:
            pending.append(np.minimum(one, other) * self.sizes.size + np.maximum(one, other))
            held += one.size
            if held >= _PENDING:
                self._flush(pending, threshold, sink)
                pending, held = [], 0
        self._flush(pending, threshold, sink)

    def _flush(self, pending: list[Ints], threshold: float, sink: _Sink) -> None:
        if not pending:
            return
        one, other = np.divmod(np.unique(np.concatenate(pending)), self.sizes.size)
        work = np.cumsum(np.minimum(self.counts[one], self.counts[other]))
        for part in np.split(np.arange(one.size), np.flatnonzero(np.diff(work // _PROBES)) + 1):
            similarity = self._similarity(one[part], other[part])
            near = similarity >= threshold
            sink.take(one[part][near], other[part][near], similarity[near])

    def _similarity(self, one: Ints, other: Ints) -> NDArray[np.float64]:
        """Jaccard index of each pair, by looking up the shingles of the text with fewer shared ones in the other."""
        swap = self.counts[one] > self.counts[other]
        few, many = np.where(swap, other, one), np.where(swap, one, other)
        each = self.counts[few]
        ends = np.cumsum(each)
        at = np.arange(int(ends[-1]) if ends.size else 0) + np.repeat(self.starts[few] - (ends - each), each)
        probes = np.repeat((many - few) * self.ranks, each) + self.keys[at]
        places = np.minimum(np.searchsorted(self.keys, probes), max(self.keys.size - 1, 0))
        hits = np.concatenate([[0], np.cumsum(self.keys[places] == probes)])
        common = hits[ends] - hits[ends - each]
        similarity: NDArray[np.float64] = common / (self.sizes[one] + self.sizes[other] - common)
        return similarity


def _shingles(texts: Iterable[str]) -> tuple[Ints, Ints, int]:
    """Text and number of every shingle, and how many texts there are; equal shingles have equal numbers."""
    split = [words(text) for text in texts]
    # A text of one or two words is filled up with a word that no text has, so that it is one shingle.
    split = [own if len(own) >= WIDTH or not own else [*own, "", ""][:WIDTH] for own in split]
    numbers: defaultdict[str, int] = defaultdict(count().__next__)
    lengths = np.fromiter(map(len, split), np.int64, len(split))
    flat = np.fromiter(map(numbers.__getitem__, chain.from_iterable(split)), np.int64, int(lengths.sum()))
    owner = np.repeat(np.arange(lengths.size), lengths)
    ends = np.cumsum(lengths)
    begin = np.flatnonzero(np.arange(flat.size) + WIDTH <= ends[owner])
    shingle = flat[begin]
    for ahead in range(1, WIDTH):  # renumbered after each word: products of vocabularies would not fit 64 bits
        shingle = np.unique(shingle * len(numbers) + flat[begin + ahead], return_inverse=True)[1].reshape(-1).astype(np.int64)
    return owner[begin], shingle, lengths.size


def _walk(index: Index, threshold: float, within: Ints, sink: _Sink) -> Iterator[tuple[Ints, Ints]]:
    """Candidates: two texts that share a shingle among their rarest, where two near duplicates must share one.

    Of s shingles, the s - ceil(threshold * s) + 1 rarest are looked at. The texts of each such shingle stand in a list
    by size, and all lists are walked at once: neighbours first, then those two apart, and so on.
    """
    prefix = index.sizes - np.ceil(threshold * index.sizes - _SLACK) + 1
    rare = np.flatnonzero(index.places < prefix[index.texts])
    texts, places = index.texts[rare], index.places[rare]
    lists = (index.keys[rare] % index.ranks) * (int(within.max(initial=0)) + 1) + within[texts]
    scattered = texts * _SCATTER % 2**32  # among equals no order, so that a text soon meets one of another set
    order = np.lexsort((scattered, index.sizes[texts], lists))
    texts, places, lists = texts[order], places[order], lists[order]
    sizes = index.sizes[texts]
    starts = np.flatnonzero(np.diff(lists, prepend=-1))
    number = np.cumsum(np.diff(lists, prepend=-1) != 0) - 1
    left, apart, live_at = np.arange(texts.size), 0, 1
    while left.size:
        apart += 1
        left = left[left + apart < texts.size]
        right = left + apart
        left = left[(number[left] == number[right]) & (sizes[left] >= threshold * sizes[right] - _SLACK)]
        right = left + apart
        overlap = np.minimum(sizes[left] - places[left], sizes[right] - places[right])  # at most, if this is the first shared one
        possible = overlap >= threshold / (1 + threshold) * (sizes[left] + sizes[right]) - _SLACK
        one, other = texts[left[possible]], texts[right[possible]]
        wanted = sink.wants(one, other)
        yield one[wanted], other[wanted]
        if apart == live_at and left.size:  # doubling distances: cheap, and joined lists end soon
            left, live_at = left[sink.live(starts, texts)[number[left]]], 2 * live_at


def like_any(texts: Sequence[str], known: Sequence[str], *, threshold: float = THRESHOLD) -> list[bool]:
    """Whether each text is a copy or a near duplicate of any of the `known` ones."""
    copies = {normalise(text) for text in known}
    twins = Index.of([*known, *texts]).elsewhere([0] * len(known) + [1] * len(texts), threshold=threshold)
    return [normalise(text) in copies or len(known) + number in twins for number, text in enumerate(texts)]


@dataclass(slots=True)
class _Pairs:
    sets: Ints | None
    found: set[Pair] = field(default_factory=set)

    def wants(self, one: Ints, other: Ints) -> Mask:
        return np.ones(one.size, np.bool_) if self.sets is None else np.not_equal(self.sets[one], self.sets[other])

    def live(self, starts: Ints, texts: Ints) -> Mask:
        return np.ones(starts.size, np.bool_)

    def take(self, one: Ints, other: Ints, similarity: NDArray[np.float64]) -> None:
        self.found.update(map(Pair, one.tolist(), other.tolist(), similarity.tolist()))


@dataclass(slots=True)
class _Groups:
    joined: Joined
    firsts: Ints

    def wants(self, one: Ints, other: Ints) -> Mask:
        return np.not_equal(self.firsts[one], self.firsts[other])

    def live(self, starts: Ints, texts: Ints) -> Mask:
        firsts = self.firsts[texts]
        return np.not_equal(np.minimum.reduceat(firsts, starts), np.maximum.reduceat(firsts, starts))

    def take(self, one: Ints, other: Ints, similarity: NDArray[np.float64]) -> None:
        for pair in zip(one.tolist(), other.tolist(), strict=True):
            self.joined.join(*pair)
        if one.size:
            self.firsts = np.array(self.joined.firsts())


@dataclass(slots=True)
class _Elsewhere:
    sets: Ints
    twin: Ints

    def wants(self, one: Ints, other: Ints) -> Mask:
        later = np.where(self.sets[one] > self.sets[other], one, other)
        return np.not_equal(self.sets[one], self.sets[other]) & (self.twin[later] < 0)

    def live(self, starts: Ints, texts: Ints) -> Mask:
        sets = self.sets[texts]
        lowest = np.minimum.reduceat(sets, starts)
        open_ = (self.twin[texts] < 0) & (sets > np.repeat(lowest, np.diff(starts, append=texts.size)))
        live: Mask = np.logical_or.reduceat(open_, starts)
        return live

    def take(self, one: Ints, other: Ints, similarity: NDArray[np.float64]) -> None:
        swap = self.sets[one] > self.sets[other]
        early, late = np.where(swap, other, one), np.where(swap, one, other)
        self.twin[late[::-1]] = early[::-1]  # the first of several, as the last writing wins
