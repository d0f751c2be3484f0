"""Law: one process works in a run folder; others are told which, and a dead one holds nothing."""

from __future__ import annotations

import time

import pytest

from fintune.errors import ArtifactError
from forks import Forks

KILLED = 137


def holding(forks: Forks, reference, output):
    """A process that holds the folder and waits."""
    child = forks.start("jobs:train", reference.arguments(output, acts=[("start", 0, "hold")]))
    while not output.with_suffix(".held").exists():
        time.sleep(0.001)
    return child


def test_the_second_process_is_told_of_the_first(forks: Forks, reference, identical, tmp_path):
    output = tmp_path / "run"
    first = holding(forks, reference, output)
    second = forks.run("jobs:train", reference.arguments(output))
    assert second.status == ArtifactError.exit_status
    assert second.result["message"] == (
        f"{output}: another process is working in this folder (process {first[0]}); wait, or choose another --output"
    )
    output.with_suffix(".release").touch()
    identical(forks.wait(first), output)


def test_a_killed_process_holds_nothing(forks: Forks, reference, identical, tmp_path):
    output = tmp_path / "run"
    assert forks.wait(holding(forks, reference, output), after=0).status == KILLED
    identical(forks.run("jobs:train", reference.arguments(output)), output)


@pytest.mark.parametrize("race", range(3))
def test_of_processes_that_start_together_one_works(forks: Forks, reference, identical, tmp_path, race):
    output = tmp_path / "run"
    ended = [forks.wait(child) for child in [forks.start("jobs:train", reference.arguments(output)) for _ in range(3)]]
    assert sorted(one.status for one in ended) == [0, ArtifactError.exit_status, ArtifactError.exit_status]
    identical(next(one for one in ended if one.status == 0), output)
    for one in ended:
        if one.status:
            # A loser that comes late finds the run finished.
            assert any(part in one.result["message"] for part in ("another process is working", "holds a finished run"))
