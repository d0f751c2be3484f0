"""Law: whichever call to the disk fails, or is the last of its process, the error is one line and the run can go on to the same bytes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import jobs
from faults import DEAD
from fintune import run
from fintune.errors import ResourceError
from forks import Forks

PHASES = {"begin": ["ENOSPC", "die"], "save": ["ENOSPC", "EIO", "EROFS", "die"], "finish": ["ENOSPC", "die"]}
LEAST = {"begin": 10, "save": 30, "finish": 40}
"""Calls there are at least, so that a harness that catches none does not pass for a disk that never fails."""
STEPS = 12
MESSAGE = re.compile(
    r"run(/checkpoints)?: (no space left to write|cannot write) [\w.-]+ \(.*\d+ bytes free\); .+ run the same command again"
)


@pytest.mark.parametrize("phase", PHASES)
def test_every_call_may_fail(forks: Forks, reference, identical, tmp_path, phase):
    ended = forks.run(
        "jobs:train_on_bad_disks",
        {"base": str(reference.base), "folder": str(tmp_path), "settings": reference.settings, "phase": phase, "faults": PHASES[phase]},
    )
    assert ended.status == 0
    undisturbed, *reached = ended.result
    assert undisturbed["status"] == 0
    assert len(reached) >= LEAST[phase] * len(PHASES[phase])
    left: dict[str, Path] = {}
    for case in reached:
        assert_refused_well(case)
        folder = Path(case["place"]) / "run"
        if run.finished(folder):
            assert jobs.outcome(folder) == reference.outcome, case
        else:
            left.setdefault(state(folder), folder)  # what goes on sees nothing but the folder: each state once
    assert left
    for folder, again in zip(left.values(), forks.run_all("jobs:train", [reference.arguments(f) for f in left.values()]), strict=True):
        identical(again, folder)
        assert not [event for event in again.result["events"] if event["event"] == "note"], "a checkpoint was damaged"
        start = next(event for event in again.result["events"] if event["event"] == "start")
        assert start["step"] >= {"begin": 0, "save": STEPS - 1, "finish": STEPS}[phase], "an earlier checkpoint was lost"


def test_the_calls_come_in_the_order_that_a_power_cut_needs(forks: Forks, reference, tmp_path):
    """Each file is on the disk before the name that says so, and each name before what relies on it.

    No test can cut the power; but without one of these calls in its place a cut could tear what the names promise.
    """
    ended = forks.run(
        "jobs:train_on_bad_disks",
        {"base": str(reference.base), "folder": str(tmp_path), "settings": reference.settings, "phase": "save", "faults": []},
    )
    (undisturbed,) = ended.result
    calls = undisturbed["calls"]
    files = ["weights.safetensors", "optimizer.safetensors", "random.safetensors", "progress.json", "best.safetensors", "MANIFEST.json"]
    written = [call for name in files for call in (f"open {name}", f"write {name}", "fsync")]
    saving = [
        "open log.jsonl", "fsync",  # what led to the checkpoint
        "mkdir .writing-12", "open folder run", "fsync",
        *written,
        "open folder .writing-12", "fsync", "rename .writing-12", "open folder checkpoints", "fsync",
        "open folder step-10",  # only now are older ones removed
    ]  # fmt: skip
    start = calls.index("mkdir .writing-12") - 2
    assert calls[start : start + len(saving)] == saving


def assert_refused_well(case: Mapping[str, Any]) -> None:
    """Exit status 6 and a message with the place and the free bytes, except where the failure does no harm."""
    if case["fault"] == "die":
        assert case["status"] == DEAD, case
    elif case["status"] != 0:
        assert case["status"] == ResourceError.exit_status, case
        assert MESSAGE.fullmatch(case["message"]), case
    else:
        harmless = ("mkdir .adapter.tmp", "open folder", "unlink", "rmdir")  # libraries make the folder anew; clearing away
        assert case["call"].startswith(harmless), case


def state(folder: Path) -> str:
    """Hash of all names and bytes below a run folder; temporary names without the process that chose them."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = re.sub(r"\.\d+\.tmp", ".tmp", str(path.relative_to(folder)))
        digest.update(f"{name}:{hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ''}\n".encode())
    return digest.hexdigest()


LIMITS = [100, 500, 1000, 2000, 8000, 10_000, 19_000]
"""Bytes a file may have at most, one limit for every size of file in an adapter folder."""


def test_libraries_that_write_by_themselves_fail_in_one_line_too(forks: Forks, reference, identical, tmp_path):
    """The kernel itself refuses here: what libraries in other languages write is seen by no function of Python."""
    folders = {tmp_path / str(limit) / "run": limit for limit in LIMITS}
    ended = forks.run_all("jobs:train_with_small_files", [reference.arguments(f, limit=limit) for f, limit in folders.items()])
    for folder, refused in zip(folders, ended, strict=True):
        assert refused.status == ResourceError.exit_status, refused
        assert re.fullmatch(rf"{folder}: no space left to write [\w.]+ \(File too large; .*\d+ bytes free\); .+", refused.result["message"])
        assert not run.finished(folder)
    for folder, again in zip(folders, forks.run_all("jobs:train", [reference.arguments(f) for f in folders]), strict=True):
        identical(again, folder)
