"""Divides examples into train, validation and test: as the papers did, or so that nothing is in two splits.

All methods but `paper` keep copies and near duplicates (chains of pairs with a 3-shingle Jaccard index of at least the
threshold) in one split: whole groups are moved. What a method could not honour is told in findings, never hidden.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Literal

from fintune.data.checks.base import SHOWN, Context, Limits, finding, listing, many
from fintune.data.checks.duplicates import exact_across, near_across
from fintune.data.near import THRESHOLD, Index, Joined, normalise
from fintune.errors import DataError, UsageError, did_you_mean
from fintune.records import Example, Finding

Method = Literal["paper", "stratified", "group", "time", "hash"]
Fractions = tuple[float, float, float]
Assignment = list[int]  # split of each example: 0 train, 1 validation, 2 test

FRACTIONS: Fractions = (0.8, 0.1, 0.1)
SEED = 42  # the papers' own; see `_paper`
NAMES = ("train", "validation", "test")
TOLERANCE = 0.02  # fraction of all examples by which the size of a split may differ before it is reported

FINDINGS = {
    "S101": "A group that must stay together is larger than the smallest split.",
    "S102": "The sizes of the splits differ from the fractions asked for.",
    "S103": "A label is missing from a split.",
    "S104": "Copies and near duplicates were kept together.",
    "S105": "Examples stand in a later split than their time, with near duplicates or parts of their document.",
    "S106": "Examples have neither a group nor a document, and were divided one by one.",
    "S107": "A split is empty.",
}


@dataclass(frozen=True, slots=True)
class Split:
    """Examples in three splits, in the order of the data (`paper`: in its shuffled order), and what to know about them."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    findings: tuple[Finding, ...] = ()

    def parts(self) -> dict[str, tuple[Example, ...]]:
        """The splits by name, as `check` takes them."""
        return dict(zip(NAMES, (self.train, self.validation, self.test), strict=True))


def split(
    examples: Sequence[Example],
    *,
    method: Method,
    fractions: Fractions = FRACTIONS,
    seed: int = SEED,
    threshold: float = THRESHOLD,
) -> Split:
    """Divides examples.

    - `paper`: shuffled by `random.Random(seed)` and cut; with seed 42 and 80/10/10 the split of the published NER results.
      Near duplicates are reported, not moved.
    - `stratified`: each label as often as the fractions say, the rarest first (Sechidis et al. 2011); labels of spans, or
      the label, or whether there is an answer.
    - `group`: all examples that share `meta.group` or `meta.document` together.
    - `time`: by `meta.published`, the earliest in train. Equal times stay together, a document stays whole; a group of
      near duplicates counts as its latest member, so that nothing in train is later than the cut. Where any time is
      a mere date, all are compared by day; times without a zone are taken as UTC.
    - `hash`: by sha256 of the seed and the id, or the text where the id was made from file and line. An example goes where
      it goes whatever else is there; a group of near duplicates goes with the member that comes first, so that
      appended examples move none but those that they make near duplicates of earlier ones.

    `stratified`, `group` and `time` do not depend on the order of the examples, and `time` not on the seed.

    Args:
        examples: in the order of their file.
        method: how to divide.
        fractions: of train, validation and test; they add up to 1, and train is above 0.
        seed: of every random choice.
        threshold: Jaccard index from which texts are near duplicates.

    Raises:
        UsageError: an unknown method, or fractions that do not add up.
        DataError: no examples; times or groups that the method needs are missing.
    """
    if method not in METHODS:
        raise UsageError(f"unknown method {method!r}", where="--method", fix=did_you_mean(method, METHODS))
    _check_fractions(fractions)
    if not examples:
        raise DataError("no examples to split", fix="give a file with at least one example")
    if method == "paper":
        return _paper(examples, fractions, seed, threshold)
    joined = _near_groups(examples, threshold)
    kept = [members for members in joined.sets() if len(members) > 1]
    assignment, findings = METHODS[method](_Job(examples, fractions, seed, joined))
    if kept:
        first = [examples[members[0]] for members in kept]
        message = f"{many(sum(map(len, kept)), 'example')} in {many(len(kept), 'group')} of copies and near duplicates kept together"
        findings.append(finding("S104", message, first, count=sum(map(len, kept)), fix="nothing needs to be done"))
    parts = [tuple(example for example, at in zip(examples, assignment, strict=True) if at == part) for part in range(3)]
    findings += _sizes(parts, fractions)
    return Split(*parts, findings=tuple(sorted(findings, key=lambda found: found.code)))


def _check_fractions(fractions: Fractions) -> None:
    shown = " ".join(f"{fraction:g}" for fraction in fractions)
    if len(fractions) != 3 or not all(0 <= fraction <= 1 for fraction in fractions) or not math.isclose(sum(fractions), 1, abs_tol=1e-6):
        raise UsageError(f"fractions {shown}", where="--fractions", why="three numbers from 0 to 1 that add up to 1", fix="give for example 0.8 0.1 0.1")
    if not fractions[0]:
        raise UsageError(f"fractions {shown}", where="--fractions", why="nothing is left to learn from", fix="give train more than 0")


@dataclass(frozen=True, slots=True)
class _Job:
    """What a method divides: units are sets of examples that stay together."""

    examples: Sequence[Example]
    fractions: Fractions
    seed: int
    joined: Joined

    def units(self) -> list[list[int]]:
        """The units in an order that depends on the seed and on what is in them, but not on the order of the data."""
        digests = [_digest(self.seed, example.id, example.text) for example in self.examples]
        return sorted(self.joined.sets(), key=lambda members: min(digests[member] for member in members))

    def shares(self) -> list[float]:
        """Examples that each split should get; below zero for a split that is to stay empty."""
        return [fraction * len(self.examples) if fraction else -math.inf for fraction in self.fractions]

    def spread(self, units: list[list[int]], parts: list[int]) -> Assignment:
        """The assignment of examples, from that of units."""
        assignment = [0] * len(self.examples)
        for members, part in zip(units, parts, strict=True):
            for member in members:
                assignment[member] = part
        return assignment

    def too_large(self, units: list[list[int]], what: str) -> Iterator[Finding]:
        """S101 about the largest unit, if it is larger than the smallest split."""
        largest = max(units, key=len)
        share, name = min((fraction * len(self.examples), name) for fraction, name in zip(self.fractions, NAMES, strict=True) if fraction)
        if len(largest) > max(1.0, share):
            message = f"the largest {what} has {many(len(largest), 'example')}, more than the {share:.0f} of {name}"
            concerned = [self.examples[member] for member in largest]
            yield finding("S101", message, concerned, fix=f"take another method, or give {name} a larger fraction")


def _digest(seed: int, *parts: str) -> bytes:
    return hashlib.sha256("\0".join([str(seed), *parts]).encode("utf-8", "surrogatepass")).digest()


def _near_groups(examples: Sequence[Example], threshold: float) -> Joined:
    joined = Index.of(example.text for example in examples).groups(threshold=threshold)
    joined.join_equal(normalise(example.text) for example in examples)
    return joined


def _paper(examples: Sequence[Example], fractions: Fractions, seed: int, threshold: float) -> Split:
    """Shuffle and cut: int(f * n) examples for train and for validation, the rest for the last split that is wanted.

    Of the 2,117 rows of the published NER results these are 1,693, 211 and 213.
    """
    rows = list(examples)
    random.Random(seed).shuffle(rows)  # the same permutation as random.seed(seed); random.shuffle(rows)
    train, validation, test = fractions
    first = int(train * len(rows)) if validation or test else len(rows)
    second = first + int(validation * len(rows)) if test else len(rows)
    parts = tuple(rows[:first]), tuple(rows[first:second]), tuple(rows[second:])
    context = Context(dict(zip(NAMES, parts, strict=True)), "spans", limits=Limits(near=threshold))
    return Split(*parts, findings=(*exact_across(context), *near_across(context), *_sizes(parts, fractions)))


def _stratified(job: _Job) -> tuple[Assignment, list[Finding]]:
    units = job.units()
    counts = [Counter(label for member in members for label in _strata(job.examples[member])) for members in units]
    left: Counter[str] = sum(counts, Counter())
    room, parts = job.shares(), [-1] * len(units)
    wanted = {label: [fraction * left[label] if fraction else -math.inf for fraction in job.fractions] for label in left}

    def put(unit: int, part: int) -> None:
        parts[unit] = part
        room[part] -= len(units[unit])
        for label, count in counts[unit].items():
            wanted[label][part] -= count
            left[label] -= count

    while label := min((name for name in left if left[name] > 0), key=lambda name: (left[name], name), default=None):
        open_ = [unit for unit, count in enumerate(counts) if parts[unit] < 0 and count[label]]
        for unit in sorted(open_, key=lambda unit: -counts[unit][label]):
            put(unit, max(range(3), key=lambda part: (wanted[label][part], room[part])))
    for unit in sorted((unit for unit, part in enumerate(parts) if part < 0), key=lambda unit: -len(units[unit])):
        put(unit, max(range(3), key=lambda part: room[part]))
    assignment = job.spread(units, parts)
    return assignment, [*job.too_large(units, "group of near duplicates"), *_absent(job, assignment)]
