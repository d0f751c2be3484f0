"""The data of a study: read once, kept in its folder as JSONL, from where every process of a cell takes them.

A part is known by the fingerprint of its examples. What was skipped or has no place in its text is counted and told.
`pytest tests/study/test_cells.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fintune import run as folders
from fintune.data.formats.base import ReadOptions
from fintune.data.formats.jsonl import dump
from fintune.data.load import fingerprint, load_for
from fintune.errors import UsageError
from fintune.records import Example
from fintune.study.spec import Data
from fintune.study.subsets import subset
from fintune.tasks.base import Task

FOLDER = "data"
SHOWN = 8
"""Characters of a fingerprint in a file name."""


@dataclass(frozen=True, slots=True)
class Part:
    """One data set: where it came from, what to give as data to read it again, and its examples."""

    source: str
    again: str
    examples: tuple[Example, ...]
    fingerprint: str
    rejected: int = 0
    unaligned: int = 0

    def record(self) -> dict[str, Any]:
        """What a manifest says of it."""
        return {
            "source": self.source, "fingerprint": self.fingerprint, "examples": len(self.examples), "rejected": self.rejected,
            "unaligned": self.unaligned,
        }  # fmt: skip

    def write(self, place: Path) -> None:
        """Keep the examples as JSONL."""
        folders.write_file(place, "".join(dump(example) + "\n" for example in self.examples))


@dataclass(frozen=True, slots=True)
class Sources:
    """All data of a study."""

    train: Part
    validation: Part | None
    test: Part | None
    slices: Mapping[str, Part]

    @property
    def scored(self) -> Part:
        """What cells are scored on."""
        part = self.test or self.validation
        assert part is not None  # the study was validated
        return part

    def parts(self) -> dict[str, Part]:
        """Every part by the name of its file."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in named.items() if part is not None} | {f"slice-{k}": part for k, part in self.slices.items()}

    def record(self) -> dict[str, Any]:
        """The data as the table of a study has them."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        kept = {name: part.record() for name, part in named.items() if part is not None}
        return {**kept, "slices": {name: part.record() for name, part in self.slices.items()}}


def read(task: Task, data: Data, options: ReadOptions, folder: Path, tell: Callable[[str], None]) -> Sources:
    """Read all data of a study, which stands in `folder`; a source that is given twice is read once.

    Raises:
        DataError: as `fintune train` would.
        UsageError: where a slice has a name that is no file name.
    """
    known: dict[str, Part] = {}

    def part(name: str, source: str) -> Part:
        if source not in known:
            loaded = load_for(task, source, options)
            for error in loaded.rejected:
                tell(f"skipped {error}")
            if loaded.unaligned:
                tell(f"{source}: listed surfaces that occur nowhere in their texts: {loaded.unaligned}; 'fintune check' names them")
            again = source if options == ReadOptions() else str(folder / FOLDER / f"{name}.jsonl")
            known[source] = Part(source, again, loaded.examples, loaded.fingerprint, len(loaded.rejected), loaded.unaligned)
        return known[source]

    for name in data.slices:
        if not name.replace("-", "").replace("_", "").isalnum():
            raise UsageError(f"slice name {name!r}", where="data.slices", fix="use letters, digits, - and _")
    return Sources(
        train=part("train", data.train),
        validation=part("validation", data.validation) if data.validation is not None else None,
        test=part("test", data.test) if data.test is not None else None,
        slices={name: part(f"slice-{name}", source) for name, source in data.slices.items()},
    )


def smaller(whole: Part, size: int, *, seed: int, folder: Path) -> Part:
    """So many examples of a training part; the whole where it has no more. Its source is the file it is kept in."""
    if size == len(whole.examples):
        return whole
    chosen = tuple(subset(whole.examples, size, seed=seed))
    digest = fingerprint(chosen)
    place = str(folder / FOLDER / f"train-{size}-{digest[:SHOWN]}.jsonl")
    return Part(place, place, chosen, digest, unaligned=sum(len(example.unaligned) for example in chosen))
