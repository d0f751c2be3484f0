"""Divides examples into train, validation and test: as the papers did, or so that nothing is in two splits.

All methods but `paper` keep copies and near duplicates (chains of pairs with a 3-shingle Jaccard index of at least the
threshold) in one split: whole groups are moved. What a method could not honour is told in findings, never hidden.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fintune.data.checks.base import Context, Limits, finding, many
from fintune.data.checks.duplicates import exact_across, near_across
from fintune.data.methods import METHODS, NAMES, Fractions, Job
from fintune.data.near import THRESHOLD, Index, Joined, normalise
from fintune.errors import DataError, UsageError, did_you_mean
from fintune.records import Example, Finding

FRACTIONS: Fractions = (0.8, 0.1, 0.1)
SEED = 42  # the papers' own; see `_paper`
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
    method: str,
    fractions: Fractions = FRACTIONS,
    seed: int = SEED,
    threshold: float = THRESHOLD,
) -> Split:
    """Divides examples.

    - `paper`: shuffled by `random.Random(seed)` and cut; with seed 42 and 80/10/10 the split of the published NER results.
      Near duplicates are reported, not moved.
    - `stratified`: each label as often as the fractions say, the rarest first (Sechidis et al. 2011); labels of spans, or
      the label or labels, or whether there is an answer.
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
        method: `paper`, `stratified`, `group`, `time` or `hash`.
        fractions: of train, validation and test; they add up to 1, and train is above 0.
        seed: of every random choice.
        threshold: Jaccard index from which texts are near duplicates.

    Raises:
        UsageError: an unknown method, or fractions that do not add up.
        DataError: no examples; times or groups that the method needs are missing.
    """
    if method not in (known := ["paper", *METHODS]):
        raise UsageError(f"unknown split method {method!r}", fix=did_you_mean(method, known))
    _check_fractions(fractions)
    if not examples:
        raise DataError("no examples to split", fix="give a file with at least one example")
    if method == "paper":
        return _paper(examples, fractions, seed, threshold)
    joined = _near_groups(examples, threshold)
    kept = [members for members in joined.sets() if len(members) > 1]
    assignment, findings = METHODS[method](Job(examples, fractions, seed, joined))
    parts = [tuple(example for example, at in zip(examples, assignment, strict=True) if at == part) for part in range(3)]
    findings += [*_kept_together(examples, kept), *_sizes(parts, fractions)]
    return Split(parts[0], parts[1], parts[2], tuple(sorted(findings, key=lambda found: found.code)))


def _check_fractions(fractions: Fractions) -> None:
    shown = f"fractions {' '.join(f'{fraction:g}' for fraction in fractions)}"
    if len(fractions) != 3 or not all(0 <= fraction <= 1 for fraction in fractions) or not math.isclose(sum(fractions), 1, abs_tol=1e-6):
        why = "train, validation and test are three numbers from 0 to 1 that add up to 1"
        raise UsageError(shown, where="fractions", why=why, fix="give for example 0.8 0.1 0.1")
    if not fractions[0]:
        raise UsageError(shown, where="fractions", why="nothing is left to learn from", fix="give train more than 0")


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
    parts = [tuple(rows[:first]), tuple(rows[first:second]), tuple(rows[second:])]
    context = Context(dict(zip(NAMES, parts, strict=True)), "spans", limits=Limits(near=threshold))
    findings = [*exact_across(context), *near_across(context), *_sizes(parts, fractions)]
    return Split(parts[0], parts[1], parts[2], tuple(findings))


def _kept_together(examples: Sequence[Example], groups: list[list[int]]) -> Iterator[Finding]:
    if groups:
        total = sum(map(len, groups))
        message = f"{many(total, 'example')} in {many(len(groups), 'group')} of copies and near duplicates kept together"
        firsts = [examples[members[0]] for members in groups]
        yield finding("S104", message, firsts, count=total, fix="nothing, or delete all but one of each group")


def _sizes(parts: Sequence[tuple[Example, ...]], fractions: Fractions) -> Iterator[Finding]:
    total = sum(map(len, parts))
    off = []
    for name, part, fraction in zip(NAMES, parts, fractions, strict=True):
        if fraction and not part:
            yield finding("S107", f"{name} is empty", [], fix=f"give more examples, or {name} a fraction of 0")
        elif abs(len(part) - fraction * total) > max(1.0, TOLERANCE * total):
            off.append(f"{name} has {len(part) / total:.1%} instead of {fraction:.1%}")
    if off:
        yield finding("S102", "; ".join(off), [], count=total, fix="take other fractions, another method or another seed")
