"""`fintune ablate`: what is printed where, the exit status, and one document with `--json`, also when cells fail."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from study_jobs import write

from fintune.cli import main
from fintune.data.formats.base import ReadOptions
from fintune.study import spec
from fintune.study.ablate import flags
from fintune.study_console import Watch, line, table


class Ended(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def fintune(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Gives a command in an empty folder, in this process."""
    monkeypatch.chdir(tmp_path)

    def give(*words: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["fintune", *words])
        with pytest.raises(SystemExit) as left:
            main()
        told = capfd.readouterr()
        return Ended(int(left.value.code or 0), told.out, told.err)

    return give


def test_without_a_name_the_bundled_studies_are_listed(fintune: Callable[..., Ended]) -> None:
    told = json.loads(fintune("ablate", "--json").stdout)
    assert [study["name"] for study in told["studies"]] == spec.available()


def test_a_dry_run_shows_the_cells_and_writes_nothing(fintune: Callable[..., Ended], tiny_base: Path, tmp_path: Path) -> None:
    study = write(tmp_path, tiny_base)
    told = json.loads(fintune("ablate", str(study), "--dry-run", "--json", "--set", "train.epochs=3").stdout)
    assert [cell["labels"] for cell in told["cells"]] == [{"rank": r, "seed": s} for r in ("2", "4") for s in ("0", "1")]
    assert [cell["steps"] for cell in told["cells"]] == [9] * 4
    assert told["estimate"]["memory_bytes"] > 0
    assert not (tmp_path / "runs").exists()


def test_failed_cells_are_told_after_all_have_run(fintune: Callable[..., Ended], tiny_base: Path, tmp_path: Path) -> None:
    study = write(tmp_path, tiny_base, axes={"tokens": {"key": "train.loss", "values": ["cross-entropy", "focal"]}})
    ended = fintune("ablate", str(study), "--json")
    document = json.loads(ended.stdout)
    assert ended.returncode == 7
    assert document["error"] == "E-GATE"
    assert document["what"] == "1 of 2 cells failed"
    lines = ended.stderr.strip().splitlines()
    assert len(lines) == 2  # one for the cell, and the error
    assert "tokens=focal" in lines[0]
    assert "sequence head alone" in lines[0]
    rows = json.loads((tmp_path / "runs" / "x" / "study.json").read_text())["cells"]
    assert [row["status"] for row in rows] == ["finished", "failed"]


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["nothing-such"], 4, "no study 'nothing-such'"),
        (["ner-minilm-rank", "--set", "adapter.rank=3"], 4, "adapter.rank is set by axis 'rank' and by 'set'"),
        (["ner-minilm-rank", "--set", "train.epoch=3"], 4, "12 of 12 cells cannot be"),
        (["ner-minilm-rank", "--set", "epochs"], 4, "is not key=value"),
        (["ner-minilm-rank", "--data", "missing.csv"], 3, "missing.csv"),
    ],
    ids=str,
)
def test_what_cannot_run_ends_in_one_line(fintune: Callable[..., Ended], tmp_path: Path, words: list[str], status: int, told: str) -> None:
    ended = fintune("ablate", *words)
    assert ended.returncode == status
    assert told in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    assert ended.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_reading_options_are_given_again_as_they_were() -> None:
    options = ReadOptions(text_column="news", on_bad="skip", limit=5, rename={"LOC": "Location"})
    assert flags(options) == ["--text-column", "news", "--skip-bad", "--limit", "5", "--rename", "LOC=Location"]
    assert flags(ReadOptions()) == []


ROW: dict[str, Any] = {
    "id": "ab12", "labels": {"rank": "[bold]4"}, "status": "finished", "error": None, "threads": 1, "started": "2026-11-21T10:00:00Z",
    "ended": "2026-11-21T10:01:05Z", "metrics": {"micro_f1": {"value": 0.5, "low": 0.4, "high": 0.6}}, "cost": {"wall_seconds": 65.0},
}  # fmt: skip


def test_what_people_see_of_a_row() -> None:
    assert line(ROW, "micro_f1") == "ab12 rank=[bold]4: finished, micro_f1 0.5000"
    assert line({**ROW, "status": "failed", "error": "no"}, "micro_f1") == "ab12 rank=[bold]4: failed, no"
    from rich.console import Console

    console = Console(width=120)
    with console.capture() as caught:
        console.print(table({"axes": [{"name": "rank"}], "metric": "micro_f1", "question": "Why [red]not?", "cells": [ROW]}))
        watch = Watch("bars")
        watch.rows, watch.metric = {"ab12": ROW, "cd34": {**ROW, "id": "cd34", "status": "running", "ended": None}}, "micro_f1"
        watch.doing["cd34"] = "epoch 1"
        console.print(watch._table())
    shown = caught.get()
    for part in ("Why [red]not?", "[bold]4", "0.5000", "0.4000 to 0.6000", "65", "epoch 1", "1 running · 1 finished"):
        assert part in shown
