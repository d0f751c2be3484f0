"""How `fintune.data.split` divides: a method is a function from a job to the split of each example, and findings.

Units, which are sets of examples that stay together, are moved whole; a method may join them further, never cut them.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import PurePath

from fintune.data.checks.base import finding, listing, many, place
from fintune.data.near import Joined, normalise
from fintune.errors import DataError
from fintune.records import Example, Finding

Fractions = tuple[float, float, float]
Assignment = list[int]  # split of each example, as in NAMES
Units = list[list[int]]

NAMES = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be divided; `joined` holds what must stay together."""

    examples: Sequence[Example]
    fractions: Fractions
    seed: int
    joined: Joined

    def units(self) -> Units:
        """The units in an order that depends on the seed and on what is in them, but not on the order of the data."""
        digests = [_digest(self.seed, example.id, example.text) for example in self.examples]

        def order(members: list[int]) -> bytes:  # not the smallest digest: large units would mostly come first
            return hashlib.sha256(b"".join(sorted(digests[member] for member in members))).digest()

        return sorted(self.joined.sets(), key=order)

    def shares(self) -> list[float]:
        """Examples that each split should get; less than any number for a split that is to stay empty."""
        return [fraction * len(self.examples) if fraction else -math.inf for fraction in self.fractions]

    def spread(self, units: Units, parts: Sequence[int]) -> Assignment:
        """The assignment of examples, from that of units."""
        assignment = [0] * len(self.examples)
        for members, part in zip(units, parts, strict=True):
            for member in members:
                assignment[member] = part
        return assignment

    def too_large(self, units: Units, what: str) -> Iterator[Finding]:
        """S101 about the largest unit, if it is larger than the smallest split."""
        largest = max(units, key=len)
        share, name = min((share, name) for share, name in zip(self.shares(), NAMES, strict=True) if share > 0)
        if len(largest) > max(1.0, share):
            message = f"the largest {what} has {many(len(largest), 'example')}, more than {name} should have ({share:.0f})"
            concerned = [self.examples[member] for member in largest]
            yield finding("S101", message, concerned, fix=f"take another method, or give {name} a larger fraction")


def _digest(seed: int, *parts: str) -> bytes:
    return hashlib.sha256("\0".join([str(seed), *parts]).encode("utf-8", "surrogatepass")).digest()


def _stratified(job: Job) -> tuple[Assignment, list[Finding]]:
    """Iterative stratification: of the rarest label left, each unit goes where most of that label is still wanted."""
    units = job.units()
    counts = [Counter(label for member in members for label in strata(job.examples[member])) for members in units]
    left: Counter[str] = Counter()
    for count in counts:
        left.update(count)
    room, parts = job.shares(), [-1] * len(units)
    wanted = {label: [fraction * left[label] if fraction else -math.inf for fraction in job.fractions] for label in left}
    while sum(left.values()):
        label = min((name for name in left if left[name]), key=lambda name: (left[name], name))
        chosen = [unit for unit, count in enumerate(counts) if parts[unit] < 0 and count[label]]
        for unit in sorted(chosen, key=lambda unit: -counts[unit][label]):
            part = max(range(3), key=lambda part: (wanted[label][part], room[part]))
            parts[unit] = part
            room[part] -= len(units[unit])
            for name, number in counts[unit].items():
                wanted[name][part] -= number
                left[name] -= number
    _fill(units, parts, room)
    assignment = job.spread(units, parts)
    return assignment, [*job.too_large(units, "group of near duplicates"), *_absent(job, assignment)]


def strata(example: Example) -> set[str]:
    """What a stratified split balances: the label or labels, the labels of spans, or whether there is an answer."""
    if example.label is not None:
        return {example.label}
    if example.labels is not None:
        return set(example.labels) or {"no label"}
    if example.spans is not None:
        return {span.label for span in example.spans} | {label for label, _ in example.unaligned}
    if example.question is not None:
        return {"unanswerable" if example.answer is None else "answerable"}
    return set()


def _fill(units: Units, parts: list[int], room: list[float]) -> None:
    """Puts each unit that has no split yet where most room is left."""
    for unit, members in enumerate(units):
        if parts[unit] < 0:
            parts[unit] = max(range(3), key=lambda part: room[part])
            room[parts[unit]] -= len(members)


def _absent(job: Job, assignment: Assignment) -> Iterator[Finding]:
    homes: defaultdict[str, set[int]] = defaultdict(set)
    for example, part in zip(job.examples, assignment, strict=True):
        for label in strata(example):
            homes[label].add(part)
    for part, (name, fraction) in enumerate(zip(NAMES, job.fractions, strict=True)):
        missing = sorted(label for label, found in homes.items() if part not in found)
        if fraction and missing:
            concerned = [example for example in job.examples if not strata(example).isdisjoint(missing)]
            message = f"{name} has no example of {many(len(missing), 'label')}: {listing(missing)}"
            yield finding("S103", message, concerned, fix="annotate more examples with them, or leave them out of the scores")


def _group(job: Job) -> tuple[Assignment, list[Finding]]:
    """Units that are too large for the smallest split first, the others as they come, each where most room is left."""
    metas = [example.meta for example in job.examples]
    alone = [example for example in job.examples if example.meta.group is None and example.meta.document is None]
    if len(alone) == len(job.examples):
        fix = "give meta.group or meta.document, or take another method"
        raise DataError("no example has a group or a document", where=place(alone[0]), fix=fix)
    job.joined.join_equal(meta.group for meta in metas)
    job.joined.join_equal(meta.document for meta in metas)
    room = job.shares()
    smallest = min(share for share in room if share > 0)
    units = sorted(job.units(), key=lambda members: -len(members) if len(members) > smallest else 0)
    parts = [-1] * len(units)
    _fill(units, parts, room)
    findings = list(job.too_large(units, "group"))
    if alone:
        message = f"{many(len(alone), 'example')} with neither a group nor a document, divided one by one"
        findings.append(finding("S106", message, alone, fix="give them meta.group or meta.document"))
    return job.spread(units, parts), findings


def _time(job: Job) -> tuple[Assignment, list[Finding]]:
    """Cuts between two times, as near to the fractions as equal times allow; a unit counts as its latest member."""
    times = _times(job.examples)
    job.joined.join_equal(example.meta.document for example in job.examples)
    blocks: defaultdict[datetime, list[int]] = defaultdict(list)
    for members in job.joined.sets():
        blocks[max(times[member] for member in members)] += members
    ordered = sorted(blocks)
    units = [blocks[latest] for latest in ordered]
    first = _cut(units, job.fractions[0] * len(times), lowest=1)
    second = _cut(units, (job.fractions[0] + job.fractions[1]) * len(times), lowest=first)
    assignment = job.spread(units, [(at >= first) + (at >= second) for at in range(len(units))])
    begins = [None, ordered[first - 1], ordered[second - 1]]
    early = [example for example, at, part in zip(job.examples, times, assignment, strict=True) if (end := begins[part]) and at <= end]
    findings = list(job.too_large(units, "group of one time, document or near duplicates"))
    if early:
        message = f"{many(len(early), 'example')} in a later split than their time, with later near duplicates or parts of their document"
        findings.append(finding("S105", message, early, fix="nothing: the other way round, train would know the future"))
    return assignment, findings


def _cut(units: Units, target: float, *, lowest: int) -> int:
    """How many units, at least `lowest`, come before the cut that leaves nearest to `target` examples before it."""
    before, best = 0, (math.inf, lowest)
    for at, members in enumerate([[], *units]):
        before += len(members)
        if at >= lowest:
            best = min(best, (abs(before - target), at))
    return best[1]


def _times(examples: Sequence[Example]) -> list[datetime]:
    """Publication times in UTC, all at the beginning of their day where one is a mere date."""
    missing = [example for example in examples if example.meta.published is None]
    if missing:
        fix = "give meta.published in ISO 8601, or take another method"
        raise DataError(f"{many(len(missing), 'example')} without a publication time", where=place(missing[0]), why="all need one", fix=fix)
    times = [_moment(example) for example in examples]
    if any(_is_date(example.meta.published or "") for example in examples):
        return [datetime.combine(moment.date(), time(), UTC) for moment in times]
    return times


def _moment(example: Example) -> datetime:
    written = example.meta.published or ""
    try:
        moment = datetime.fromisoformat(written)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise DataError(f"publication time {written!r}", where=place(example), why="not an ISO 8601 time",
                        fix="write it like 2024-03-31 or 2024-03-31T16:05:00Z") from error  # fmt: skip


def _is_date(written: str) -> bool:
    try:
        date.fromisoformat(written)
    except ValueError:
        return False
    return True


def _hash(job: Job) -> tuple[Assignment, list[Finding]]:
    """Each unit by the sha256 of its first member, as a number from 0 to 1."""
    units = job.joined.sets()
    wanted = [part for part in range(3) if job.fractions[part]]
    parts = []
    for members in units:
        number = int.from_bytes(_digest(job.seed, identity(job.examples[members[0]]))[:8]) / 2**64
        reached = (part for part in wanted if number < sum(job.fractions[: part + 1]))
        parts.append(next(reached, wanted[-1]))
    return job.spread(units, parts), list(job.too_large(units, "group of near duplicates"))


def identity(example: Example) -> str:
    """What a hash split goes by: the id, or the text where a reader made the id of file and line, which may change."""
    stem, _, line = example.id.rpartition(":")
    file, _, number = example.where.rpartition(":")
    name = PurePath(file).name
    made = bool(stem) and line == number and stem in (name, name.split(".")[0])
    return f"text\0{normalise(example.text)}" if made else f"id\0{example.id}"


METHODS: dict[str, Callable[[Job], tuple[Assignment, list[Finding]]]] = {
    "stratified": _stratified,
    "group": _group,
    "time": _time,
    "hash": _hash,
}
