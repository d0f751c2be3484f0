"""Law: a signal ends a training within a step, with its state saved and its exit status; the second signal ends it at once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import jobs
import tiny
from fintune import run
from fintune.data.formats.jsonl import dump
from fintune.train import checkpoint
from forks import Forks

SIGNALS = [signal.SIGINT, signal.SIGTERM]
STEPS = 12
SPARSE = {"train.checkpoint_every": 5, "train.keep": "best"}
"""Checkpoints after steps 5 and 10 only: those of other steps are the signal's own."""


def moments(number: int) -> list[tuple[str, int]]:
    """Random moments of a run; always its beginning, the end of an epoch, a checkpoint that was due, and the last step."""
    draw = random.Random(number)
    return [("start", 0), ("validation", 6), ("checkpoint", 5), ("step", STEPS), *(("step", draw.randint(2, STEPS - 1)) for _ in range(5))]


@pytest.fixture(scope="module")
def sparse(forks: Forks, reference, tmp_path_factory):
    """The uninterrupted run with fewer checkpoints."""
    folder = tmp_path_factory.mktemp("sparse") / "run"
    assert forks.run("jobs:train", {**reference.arguments(folder), "settings": SPARSE}).status == 0
    return replace(reference, settings=SPARSE, outcome=jobs.outcome(folder))


@pytest.mark.parametrize("number", SIGNALS)
def test_state_is_saved_and_the_run_goes_on(forks: Forks, sparse, tmp_path, number):
    folders = {tmp_path / f"run-{i}": moment for i, moment in enumerate(moments(number))}
    stopped = forks.run_all("jobs:train", [sparse.arguments(folder, acts=[(*moment, number)]) for folder, moment in folders.items()])
    for (folder, (_, step)), ended in zip(folders.items(), stopped, strict=True):
        assert ended.status == 128 + number
        assert ended.result["message"] == signal.Signals(number).name
        assert checkpoint.steps(folder / "checkpoints")[0] == max(step, 1)
    for folder, again in zip(folders, forks.run_all("jobs:train", [sparse.arguments(f) for f in folders]), strict=True):
        assert again.status == 0
        assert jobs.outcome(folder) == sparse.outcome
        assert [e["step"] for e in again.result["events"] if e["event"] == "resume"] == [max(folders[folder][1], 1)]


@pytest.mark.parametrize("first", SIGNALS)
@pytest.mark.parametrize("second", SIGNALS)
def test_the_second_signal_ends_it_at_once(forks: Forks, reference, identical, tmp_path, first, second):
    output = tmp_path / "run"
    # Both come while step 4 is recorded; a process that survived the second would still write its checkpoint.
    ended = forks.run("jobs:train", reference.arguments(output, acts=[("step", 4, first), ("step", 4, second)]))
    assert ended.status == 128 + second
    assert ended.result is None, "it should not have come to its end"
    assert checkpoint.steps(output / "checkpoints")[0] == 3
    identical(forks.run("jobs:train", reference.arguments(output)), output)


def test_a_signal_at_any_time_spoils_nothing(forks: Forks, reference, identical, tmp_path):
    """Also before the run can take it, and while it ends."""
    draw = random.Random(5)
    for i in range(8):
        output = tmp_path / f"run-{i}"
        number = draw.choice(SIGNALS)
        child = forks.start("jobs:train", reference.arguments(output))
        ended = forks.wait(child, after=draw.uniform(0, reference.seconds), number=number)
        if ended.status != 0:
            assert ended.status in (128 + number, 1)  # 1: Python's own KeyboardInterrupt, before or after the run
            if run.finished(output):  # it came when all was written
                assert jobs.outcome(output) == reference.outcome
                continue
            ended = forks.run("jobs:train", reference.arguments(output))
        identical(ended, output)


@pytest.mark.parametrize("number", SIGNALS)
def test_the_command_line_says_so_in_one_line(tiny_base, tmp_path, number):
    examples = tiny.examples()
    (tmp_path / "train.jsonl").write_text("".join(dump(e) + "\n" for e in examples), encoding="utf-8")
    endless = tiny.recipe(tiny_base, {"train.epochs": 10_000})
    (tmp_path / "endless.yaml").write_text(yaml.safe_dump(endless.model_dump(mode="json")), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "fintune.cli", "train", "endless.yaml", "--data", "train.jsonl", "--output", "run"],
        cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"CI": "1"}, preexec_fn=_hear_signals,
    )  # fmt: skip
    assert process.stderr is not None
    said = next(line for line in process.stderr if " steps; " in line)  # it has begun
    assert "60 examples" in said
    process.send_signal(number)
    out, rest = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert rest.splitlines()[-1] == (
        f"fintune: stopped by {signal.Signals(number).name}; the state is saved, the same command goes on from it"
    )
    assert "Traceback" not in rest
    assert out == ""
    state, messages = checkpoint.newest(tmp_path / "run" / "checkpoints")
    assert state is not None
    assert messages == []
    assert state.progress["step"] == logged(tmp_path / "run")


def _hear_signals() -> None:
    """A shell starts background processes with SIGINT ignored, and so would be our child."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def logged(folder: Path) -> int:
    return json.loads((folder / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])["step"]
