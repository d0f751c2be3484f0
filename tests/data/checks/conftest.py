"""Clean data of each kind, in which nothing is to be found, and a way to plant one defect in it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from fintune.data.check import check
from fintune.records import Answer, Example, Finding, Kind, Span

LABELS = ("Alpha", "Beta", "Gamma")
FLOOR = "D404"  # said about every data set of labels

Checked = Callable[..., dict[str, Finding]]


def _sentences(count: int) -> list[str]:
    """Sentences of twelve invented words each, no two alike."""
    rng = random.Random(7)
    syllables = ["ba", "do", "ki", "lu", "mer", "nos", "pat", "rin", "sol", "tev", "vu", "zan"]
    vocabulary = ["".join(rng.choices(syllables, k=3)) for _ in range(300)]
    return [" ".join(rng.choices(vocabulary, k=12)).capitalize() + "." for _ in range(count)]


def _place(at: int) -> str:
    return f"data.jsonl:{at + 1}"


@pytest.fixture(scope="session")
def spans() -> list[Example]:
    """Ninety examples of three spans each."""
    rng = random.Random(1)
    examples = []
    for at, text in enumerate(_sentences(90)):
        words = rng.sample(list(re.finditer(r"\w+", text)), 3)
        marked = tuple(Span(*word.span(), label, word.group()) for word, label in zip(words, LABELS, strict=True))
        examples.append(Example(f"s{at}", text, spans=tuple(sorted(marked)), where=_place(at)))
    return examples


@pytest.fixture(scope="session")
def labelled() -> list[Example]:
    """Ninety examples, thirty of each label."""
    return [Example(f"l{at}", text, label=LABELS[at % 3], where=_place(at)) for at, text in enumerate(_sentences(90))]


@pytest.fixture(scope="session")
def answered() -> list[Example]:
    """Ninety questions, each answered by a word somewhere in its text, and every tenth not answered."""
    rng = random.Random(2)
    examples = []
    for at, text in enumerate(_sentences(90)):
        word = rng.choice(list(re.finditer(r"\w+", text)))
        answer = Answer(word.start(), word.group()) if at % 10 else None
        examples.append(Example(f"a{at}", text, question=f"Which word is {at}th?", answer=answer, where=_place(at)))
    return examples


@pytest.fixture(scope="session")
def checked() -> Checked:
    """Checks examples, a list or several splits by name, and gives the findings by code, without the floor."""

    def run(examples: Sequence[Example] | Mapping[str, Sequence[Example]], kind: Kind, **options: Any) -> dict[str, Finding]:
        splits = examples if isinstance(examples, Mapping) else {"train": examples}
        options.setdefault("labels", LABELS)
        found = check(splits, kind=kind, **options)
        by_code = {finding.code: finding for finding in found if finding.code != FLOOR}
        assert len(by_code) == len([finding for finding in found if finding.code != FLOOR]), "a code twice"
        return by_code

    return run
