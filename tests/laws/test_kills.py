"""Law: a training that is killed at any time, any number of times, ends with the bytes of one that was not."""

from __future__ import annotations

import random
from pathlib import Path

import jobs
from fintune import run
from forks import Forks

KILLS = 40
KILLED = 137
SEED = 20260611


def logged(output: Path) -> int:
    """The last step the log tells of."""
    return max((record["step"] for record in run.Log(output / run.LOG).records()), default=0)


def test_killed_runs_end_as_if_nothing_had_happened(forks: Forks, reference, identical, tmp_path):
    draw = random.Random(SEED)
    killed = in_a_save = rounds = 0
    while killed < KILLS:
        rounds += 1
        output = tmp_path / f"run-{rounds}"
        for _ in range(draw.randint(1, 3)):  # several in a row, the later ones while resuming
            before = set(output.glob("checkpoints/.writing-*"))
            ended = forks.run("jobs:train", reference.arguments(output), kill_after=draw.uniform(0, reference.seconds))
            killed += ended.status == KILLED
            in_a_save += bool(set(output.glob("checkpoints/.writing-*")) - before)
            if ended.status != KILLED or run.finished(output):
                break
        if run.finished(output):  # before the signal came, or the signal came while checkpoints were cleared away
            assert jobs.outcome(output) == reference.outcome
            continue
        done = logged(output) if output.exists() else 0
        ended = forks.run("jobs:train", reference.arguments(output))
        identical(ended, output)
        start = next(event for event in ended.result["events"] if event["event"] == "start")
        assert start["step"] >= done - 1, "more than one interval between checkpoints was lost"
        assert not [event for event in ended.result["events"] if event["event"] == "note"], "a checkpoint was damaged"
    print(f"{killed} kills in {rounds} runs, {in_a_save} of them during a save")
