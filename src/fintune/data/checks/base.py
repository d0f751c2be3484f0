"""What every check shares: the examples it looks at, the limits it goes by, and how a finding is written.

A check is `check(context)`, a generator of findings. It changes nothing and raises nothing about the data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from fintune.data import near
from fintune.data.checks import SEVERITIES
from fintune.records import Example, Finding, Kind

SHOWN = 5  # example ids of a finding, and names in a message


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """From where on something is found."""

    near: float = near.THRESHOLD
    """Jaccard index of 3-word shingles, a fraction, from which texts are near duplicates."""
    max_tokens: int = 512
    """Tokens of text and question from above which an example is long; 512 is the window of BERT and its kin."""
    tokens_per_word: float = 1.4
    """Tokens of a word between blanks, where no tokenizer counts them."""
    support: int = 10
    """Mentions (spans) or examples (label) in the training split below which a label is rare."""
    visible: float = 0.6
    """Fraction of examples from which a place or a rule that gives the gold away is a leak."""
    above_chance: float = 0.5
    """How far such a fraction must lie from chance (0) towards certainty (1), as Cohen's kappa measures it."""
    window: int = 8
    """Characters within which answers count as standing at the same place."""
    reach: int = 5
    """Words from either end of the text at which label words are looked for."""
    enough: int = 30
    """Examples below which nothing is said about leaks."""
    unlike: float = 0.2
    """Share of labels that would have to be others, from which data are unlike the task's usual ones."""
    alike: float = 0.08
    """The same after two labels are exchanged, up to which they are taken to be exchanged."""


@dataclass(frozen=True)
class Context:
    """What the checks look at. Splits stand in the order training, validation, test; a leak is out of an earlier one."""

    splits: Mapping[str, tuple[Example, ...]]
    kind: Kind
    labels: tuple[str, ...] | None = None
    limits: Limits = field(default_factory=Limits)
    tokens: Callable[[str], int] | None = None
    shares: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def examples(self) -> tuple[Example, ...]:
        """All examples, split after split."""
        return tuple(example for examples in self.splits.values() for example in examples)

    @cached_property
    def training(self) -> tuple[Example, ...]:
        """The examples of the split named `train`, or of the first where none is named so."""
        return self.splits.get("train") or next(iter(self.splits.values()), ())

    @cached_property
    def texts(self) -> dict[str, dict[str, Example]]:
        """For each split its distinct texts, normalised, with the first example of each; empty ones are left out."""
        distinct: dict[str, dict[str, Example]] = {}
        for name, examples in self.splits.items():
            first = distinct.setdefault(name, {})
            for example in examples:
                if text := near.normalise(example.text):
                    first.setdefault(text, example)
        return distinct

    @cached_property
    def places(self) -> list[tuple[int, Example]]:
        """Number of the split and first example of each of `texts`, numbered as in `index`."""
        return [(number, example) for number, first in enumerate(self.texts.values()) for example in first.values()]

    @cached_property
    def index(self) -> near.Index:
        """The shingles of `texts`."""
        return near.Index.of(text for first in self.texts.values() for text in first)


def finding(code: str, message: str, examples: Sequence[Example], *, fix: str, count: int | None = None) -> Finding:
    """A finding about these examples, in the order to name them; `count` where not all of them are given."""
    return Finding(
        code=code, severity=SEVERITIES[code], message=message, count=len(examples) if count is None else count,
        examples=tuple(example.id for example in examples[:SHOWN]), where=examples[0].where if examples else "", fix=fix,
    )  # fmt: skip


def many(number: int, noun: str) -> str:
    """A number and its noun: `1 example`, `1,693 examples`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def quoted(text: str) -> str:
    """A piece of data in a message: in quotes, escaped, at most 40 characters."""
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def listing(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def place(example: Example) -> str:
    """Where to find an example: file and line, or its id where it came from no file."""
    return example.where or example.id
