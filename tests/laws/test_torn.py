"""Law: a damaged checkpoint is found out, put aside and told of, and the run ends with the same bytes from an older one."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from forks import Ended, Forks

FILES = ("weights.safetensors", "optimizer.safetensors", "random.safetensors", "best.safetensors", "progress.json", "MANIFEST.json")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    bit = random.Random(path.name).randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "flipped": flip,
}


def notes(ended: Ended) -> list[str]:
    return [event["message"] for event in ended.result["events"] if event["event"] == "note"]


def began(ended: Ended) -> int:
    return next(event["step"] for event in ended.result["events"] if event["event"] == "start")


def test_every_file_of_a_checkpoint_is_covered(unfinished, tmp_path):
    place = unfinished(tmp_path / "run") / "checkpoints" / "step-7"
    assert {path.name for path in place.iterdir()} == set(FILES)


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_older_checkpoint_takes_over(forks: Forks, reference, unfinished, identical, tmp_path, damage):
    folders = {name: unfinished(tmp_path / name) for name in FILES}
    for name, folder in folders.items():
        DAMAGES[damage](folder / "checkpoints" / "step-7" / name)
    for folder, ended in zip(
        folders.values(), forks.run_all("jobs:train", [reference.arguments(f) for f in folders.values()]), strict=True
    ):
        identical(ended, folder)
        (note,) = notes(ended)
        assert note.startswith("checkpoint of step 7 is not usable (")
        assert note.endswith(f"; moved to {folder / 'checkpoints' / 'quarantine' / 'step-7'}")
        assert began(ended) == 6


def test_without_a_good_checkpoint_the_run_begins_anew(unfinished, goes_on, tmp_path):
    folder = unfinished(tmp_path / "run")
    flip(folder / "checkpoints" / "step-7" / "weights.safetensors")
    DAMAGES["half"](folder / "checkpoints" / "step-6" / "optimizer.safetensors")
    ended = goes_on(folder)
    assert [note.split(" is ")[0] for note in notes(ended)] == ["checkpoint of step 7", "checkpoint of step 6"]
    assert began(ended) == 0


def test_a_half_written_checkpoint_is_ignored(unfinished, goes_on, tmp_path):
    folder = unfinished(tmp_path / "run")
    checkpoints = folder / "checkpoints"
    shutil.copytree(checkpoints / "step-7", checkpoints / ".writing-8")
    (checkpoints / ".writing-8" / "MANIFEST.json").unlink()
    ended = goes_on(folder)
    assert notes(ended) == []
    assert began(ended) == 7


def test_a_damaged_log_is_mended_and_told_of(unfinished, forks: Forks, reference, tmp_path):
    folder = unfinished(tmp_path / "run")
    lines = (folder / "log.jsonl").read_bytes().split(b"\n")
    (folder / "log.jsonl").write_bytes(b"\n".join([*lines[:2], b"\0" * len(lines[2]), *lines[3:-1], b'{"event": "st']))
    ended = forks.run("jobs:train", reference.arguments(folder))
    assert ended.status == 0
    assert notes(ended) == [f"1 damaged lines of {folder / 'log.jsonl'} were dropped"]
