"""What the laws of training compare with: an uninterrupted run, and unfinished ones to go on with."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import jobs
from faults import DEAD
from forks import Ended, Forks

SETTINGS = {"train.checkpoint_every": 1, "train.keep": "best"}
"""A checkpoint after each of the twelve steps, validation after the sixth and the last."""


@dataclass(frozen=True)
class Reference:
    """A run nobody interrupted: what came out, and how many seconds its process lived."""

    base: Path
    settings: Mapping[str, Any]
    outcome: dict[str, Any]
    seconds: float

    def arguments(self, output: Path, **more: Any) -> dict[str, Any]:
        """Of `jobs.train`, to do the same in `output`."""
        return {"base": str(self.base), "output": str(output), "settings": self.settings, **more}


@pytest.fixture(scope="session")
def reference(forks: Forks, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("reference")
    for name in ("first", "second"):  # the first child imports what the helper has not
        ended = forks.run("jobs:train", {"base": str(tiny_base), "output": str(folder / name), "settings": SETTINGS})
        assert ended.status == 0, ended
    assert jobs.left_over(folder / "second") == []
    return Reference(tiny_base, SETTINGS, jobs.outcome(folder / "second"), ended.seconds)


@pytest.fixture(scope="session")
def unfinished(forks: Forks, reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Makes a run folder whose process died after step 7: `unfinished(tmp_path / "run")` holds checkpoints of steps 6 and 7."""
    original = tmp_path_factory.mktemp("unfinished") / "run"
    assert forks.run("jobs:train", reference.arguments(original, acts=[("checkpoint", 7, "die")])).status == DEAD

    def make(folder: Path) -> Path:
        shutil.copytree(original, folder)
        return folder

    return make


@pytest.fixture
def goes_on(forks: Forks, reference: Reference) -> Callable[..., Ended]:
    """Runs the same command in a folder, asserts that it ends as the uninterrupted run did, and tells how."""

    def go_on(output: Path) -> Ended:
        ended = forks.run("jobs:train", reference.arguments(output))
        assert_identical(ended, output, reference)
        return ended

    return go_on


@pytest.fixture
def identical(reference: Reference) -> Callable[[Ended, Path], None]:
    """Asserts that a process ended well and its run is the uninterrupted one in every byte that counts."""
    return lambda ended, output: assert_identical(ended, output, reference)


def assert_identical(ended: Ended, output: Path, reference: Reference) -> None:
    assert ended.status == 0, (ended.result or {}).get("message", ended)
    assert jobs.outcome(output) == reference.outcome
    assert jobs.left_over(output) == []
