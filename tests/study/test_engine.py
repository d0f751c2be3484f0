"""The engine: a cell is the run that `fintune train` makes; what is finished is kept, whatever kills what and when.

Processes are forked from one that has imported everything (`forks.py`), the preparing process among them.
"""

import importlib.util
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from study_jobs import write

import small_bases
import tiny
from fintune import run as folders
from fintune.data.formats.jsonl import dump
from fintune.errors import ArtifactError
from fintune.study import machine, search
from fintune.study.ablate import Request, outline, run
from fintune.study.engine import Engine, Plan
from fintune.study.launch import Event
from fintune.study.table import Table
from forks import Ended, Forks

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    with Forks(tmp_path_factory.mktemp("studies"), modules=[str(HERE)]) as helper:
        yield helper


def job(studies: Forks, study: Path, output: Path, *, kill_after: float | None = None, **more: Any) -> Ended:
    return studies.run("study_jobs:run", {"study": str(study), "output": str(output), **more}, kill_after=kill_after)


def adapters(output: Path) -> dict[str, dict[str, str]]:
    return {cell.name: folders.hash_files(cell / folders.ADAPTER) for cell in sorted((output / "cells").iterdir())}


@pytest.fixture(scope="module")
def whole(studies: Forks, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    """A study that nothing disturbed: its file, its folder, and what it told."""
    folder = tmp_path_factory.mktemp("whole")
    study = write(folder, tiny_base)
    ended = job(studies, study, folder / "out")
    assert ended.status == 0, ended.result
    assert ended.result["failed"] == []
    return study, folder / "out", ended.result


# ---------------------------------------------------------------- what a study is


def test_a_cell_is_the_run_that_training_by_itself_makes(
    studies: Forks, tiny_base: Path, whole: tuple[Path, Path, dict[str, Any]], tmp_path: Path
) -> None:
    study, output, told = whole
    row = told["rows"][2]
    made = studies.run("study_jobs:train", {
        "base": str(tiny_base), "row": row, "data": str(study.parent / "train.jsonl"),
        "validation": str(study.parent / "validation.jsonl"), "output": str(tmp_path / "alone"),
    })  # fmt: skip
    assert made.result == adapters(output)[row["id"]]
    cell, alone = output / row["folder"], tmp_path / "alone"
    assert (cell / "recipe.yaml").read_bytes() == (alone / "recipe.yaml").read_bytes()
    assert folders.manifest(cell)["data"] == folders.manifest(alone)["data"]
    assert len({json.dumps(files) for files in adapters(output).values()}) == 4  # cells differ


def test_forked_cells_have_the_bytes_of_spawned_ones(studies: Forks, whole: tuple[Path, Path, dict[str, Any]], tmp_path: Path) -> None:
    study, output, _ = whole
    ended = job(studies, study, tmp_path / "out", spawn=True)
    assert ended.status == 0, ended.result
    assert adapters(tmp_path / "out") == adapters(output)


def test_the_table_says_what_the_cells_own_files_say(whole: tuple[Path, Path, dict[str, Any]]) -> None:
    _, output, told = whole
    table = told["table"]
    assert table["metric"] == "surface_micro_f1"
    assert [axis["role"] for axis in table["axes"]] == ["factor", "seed"]
    assert table["baselines"].keys() == {"empty", "gazetteer"}
    assert [row["labels"] for row in table["cells"]] == [{"rank": r, "seed": s} for r in ("2", "4") for s in ("0", "1")]
    for row in table["cells"]:
        report = folders.read_json(output / row["folder"] / folders.REPORT_JSON)
        assert (row["status"], row["metrics"], row["per_label"]) == ("finished", report["metrics"], report["per_label"])
        assert (row["examples"], row["training_examples"], row["attempts"], row["threads"]) == (8, 24, 1, 1)
        assert report["data"]["fingerprint"] == table["data"]["test"]["fingerprint"]
    assert {"report.html", "report.md", "cells.csv", "effects.csv", "study.yaml"} <= {path.name for path in output.iterdir()}


def test_what_cells_have_alike_is_encoded_once(whole: tuple[Path, Path, dict[str, Any]]) -> None:
    """A preparation tells the bytes that it found the cell to need; a cell that finds everything there tells none."""
    events = [event for event in whole[2]["events"] if event["event"] == "prepared"]
    assert len(events) == 4
    assert [event["bytes"] for event in events] == [None] * 4  # the first one's was told before it started
    assert len([event for event in whole[2]["events"] if event["event"] == "needs"]) == 4


def test_an_unmodified_base_is_scored_once_without_and_with_solved_examples(studies: Forks, tmp_path: Path) -> None:
    texts = [example.text for example in tiny.examples()]
    base = small_bases.write(tmp_path / "base", "qwen3-0.6b", texts)
    settings = {
        "model.base": str(base), "data.max_tokens": 2048, "predict.max_new_tokens": 8, "train.epochs": 1, "train.precision": "fp32",
        "predict.precision": "fp32",
    }  # fmt: skip
    study = write(tmp_path, base, recipe="ner-qwen3-0.6b", set=settings, axes={"seed": {"key": "seed", "values": [0, 1]}}, baselines=[0, 2])
    ended = job(studies, study, tmp_path / "out")
    assert ended.status == 0, ended.result
    assert ended.result["failed"] == []
    found = ended.result["table"]["baselines"]
    assert found.keys() == {"empty", "gazetteer", "zero-shot", "few-shot (2)"}
    (report,) = (tmp_path / "out" / "baselines").glob("*/report.json")  # one base, whatever the number of cells
    assert {name: folders.read_json(report)["baselines"][name] for name in ("zero-shot", "few-shot (2)")} == {
        name: found[name] for name in ("zero-shot", "few-shot (2)")
    }
    again = job(studies, study, tmp_path / "out")
    assert {event["event"] for event in again.result["events"]} == {"study"}


# ---------------------------------------------------------------- called again


def test_a_finished_study_starts_nothing(studies: Forks, whole: tuple[Path, Path, dict[str, Any]]) -> None:
    study, output, _ = whole
    before = {path: path.stat().st_mtime_ns for path in (output / "cells").rglob("*")}
    ended = job(studies, study, output)
    assert ended.status == 0
    assert {event["event"] for event in ended.result["events"]} == {"study"}
    assert before == {path: path.stat().st_mtime_ns for path in (output / "cells").rglob("*")}


def test_another_value_runs_alone_and_other_test_data_are_scored_without_training(studies: Forks, tiny_base: Path, tmp_path: Path) -> None:
    study = write(tmp_path, tiny_base, axes={"rank": {"key": "adapter.rank", "values": [2]}})
    assert job(studies, study, tmp_path / "out").status == 0
    (first,) = folders.read_json(tmp_path / "out" / "study.json")["cells"]
    study = write(
        tmp_path, tiny_base, axes={"rank": {"key": "adapter.rank", "values": [2, 4]}},
        data={
            "train": str(tmp_path / "train.jsonl"), "validation": str(tmp_path / "validation.jsonl"),
            "slices": {"old": str(tmp_path / "test.jsonl")},
        },
    )  # fmt: skip
    made = (tmp_path / "out" / first["folder"] / "manifest.json").stat().st_mtime_ns
    ended = job(studies, study, tmp_path / "out")
    assert ended.status == 0, ended.result
    rows = ended.result["rows"]
    assert (rows[0]["id"], rows[0]["attempts"]) == (first["id"], 2)
    assert (tmp_path / "out" / first["folder"] / "manifest.json").stat().st_mtime_ns == made
    assert rows[0]["slices"]["old"] == first["metrics"]
    assert rows[0]["metrics"] != first["metrics"]


def test_a_cell_that_fails_stops_no_other_and_is_tried_again(studies: Forks, tiny_base: Path, tmp_path: Path) -> None:
    axes = {"tokens": {"key": "data.max_tokens", "values": [64, 4000]}}
    settings = {key: value for key, value in tiny.NOISY.items() if key != "data.max_tokens"} | {
        "model.base": str(tiny_base),
        "train.epochs": 1,
    }
    study = write(tmp_path, tiny_base, axes=axes, set=settings, limits={"parallel": 1, "threads": 1, "attempts": 2})
    ended = job(studies, study, tmp_path / "out")
    assert ended.status == 0
    good, bad = ended.result["rows"]
    assert (good["status"], bad["status"], bad["attempts"]) == ("finished", "failed", 2)
    assert "windows of 4000 tokens are more than the 128 of this base" in bad["error"]
    assert len(ended.result["failed"]) == 1
    again = job(studies, study, tmp_path / "out").result["rows"]
    assert [row["attempts"] for row in again] == [1, 4]
    assert again[1]["status"] == "failed"


def test_a_study_is_held_by_one_process_and_a_foreign_folder_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    study = write(tmp_path, tiny_base)
    with folders.lock(tmp_path / "out"), pytest.raises(ArtifactError, match=f"process {os.getpid()}"):
        run(Request(study, output=tmp_path / "out"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").touch()
    with pytest.raises(ArtifactError, match=r"diary\.txt"):
        run(Request(study, output=tmp_path / "mine"))


# ---------------------------------------------------------------- killed and stopped


def test_killed_at_any_moment_it_goes_on_and_loses_no_finished_cell(
    studies: Forks, tiny_base: Path, whole: tuple[Path, Path, dict[str, Any]], tmp_path: Path
) -> None:
    _, undisturbed, _ = whole
    study, output, draws = whole[0], tmp_path / "out", random.Random(6)
    finished: dict[str, int] = {}
    for attempt in range(8):
        ended = job(studies, study, output, kill_after=draws.uniform(0.3, 2.0) if attempt < 3 else None)
        wait_for_silence(output)
        for manifest in output.glob("cells/*/manifest.json"):
            assert finished.setdefault(manifest.parent.name, manifest.stat().st_mtime_ns) == manifest.stat().st_mtime_ns
        if ended.status == 0:
            break
    assert ended.status == 0
    assert adapters(output) == adapters(undisturbed)


def wait_for_silence(output: Path) -> None:
    """No process of a killed study works on: its cells' locks can be had."""
    until = time.monotonic() + 10
    for cell in output.glob("cells/*"):
        while True:
            try:
                with folders.lock(cell):
                    break
            except ArtifactError:
                assert time.monotonic() < until, "a cell runs on unseen"
                time.sleep(0.02)


def test_on_a_signal_cells_save_their_state_and_the_next_call_goes_on(studies: Forks, tiny_base: Path, tmp_path: Path) -> None:
    settings = {**tiny.NOISY, "model.base": str(tiny_base), "train.epochs": 400}
    study = write(tmp_path, tiny_base, set=settings, axes={"seed": {"key": "seed", "values": [0, 1]}})
    ended = job(studies, study, tmp_path / "out", acts={"step": [3, int(signal.SIGTERM)]})
    assert ended.status == 143
    assert {row["status"] for row in ended.result["rows"]} == {"waiting"}
    wait_for_silence(tmp_path / "out")
    begun = [cell for cell in (tmp_path / "out" / "cells").iterdir() if list(cell.glob("checkpoints/*"))]
    assert begun
    resumed = job(studies, study, tmp_path / "out", acts={"resume": [1, int(signal.SIGINT)]})
    assert resumed.status == 130
    assert any(event["event"] == "resume" and event["step"] > 0 for event in resumed.result["events"])


# ---------------------------------------------------------------- how many at once


class Place:
    """A launcher that runs nothing: jobs end when asked for events, after writing what a finished cell leaves."""

    def __init__(self, needs: int, memory: int, cores: int, *, devices: int = 0) -> None:
        self.told = {"bytes": needs, "memory": memory, "slots": devices or cores, "cores": cores, "devices": devices}
        self.jobs: list[dict[str, Any]] = []
        self.most, self.threads = 0, set[int]()
        self.together: list[list[int | None]] = []

    def prepare(self, job: Any) -> Event:
        return self.told

    def start(self, job: Any) -> None:
        self.jobs.append(job)
        self.most = max(self.most, len(self.jobs))
        self.threads.add(job["threads"])
        self.together.append([running["device"] for running in self.jobs])

    def events(self, timeout: float) -> list[Event]:
        job = self.jobs.pop(0)
        folder = Path(job["folder"])
        folder.mkdir(parents=True)
        rate, seed = job["recipe"]["train"]["learning_rate"], job["recipe"]["seed"]
        for scored in job["evaluations"]:
            value = rate + seed if scored["name"] == "validation" else 0.0
            report = {"metrics": {"m": {"value": value}}, "examples": 1, "data": {"fingerprint": scored["fingerprint"]}}
            Path(scored["output"]).mkdir(parents=True, exist_ok=True)
            folders.write_json(Path(scored["output"]) / folders.REPORT_JSON, report)
        folders.write_json(folder / folders.MANIFEST, {})
        return [{"event": "ended", "cell": job["cell"], "status": 0}]

    def stop(self, number: int) -> None:
        raise AssertionError

    def close(self) -> None:
        assert not self.jobs


GIB = 1 << 30


@pytest.mark.parametrize(
    ("needs", "memory", "cores", "limits", "most", "threads"),
    [
        (GIB, 100 * GIB, 2, {}, 2, 1),
        (GIB, 100 * GIB, 8, {}, 6, 1),  # six cells in all
        (GIB, 4 * GIB, 8, {}, 2, 4),
        (5 * GIB, 4 * GIB, 8, {}, 1, 8),  # one runs whatever it needs
        (GIB, 100 * GIB, 8, {"parallel": 3}, 3, 2),
        (GIB, 100 * GIB, 8, {"parallel": 3, "threads": 5}, 3, 5),
        (GIB, 100 * GIB, 8, {"memory": 4 * GIB}, 2, 4),
    ],
)  # fmt: skip
def test_as_many_run_at_once_as_memory_and_cores_allow(
    tmp_path: Path, needs: int, memory: int, cores: int, limits: dict[str, int], most: int, threads: int
) -> None:
    place = Place(needs, memory, cores)
    six_seeds(tmp_path, place, limits)
    assert (place.most, place.threads) == (most, {threads})


def test_cells_at_once_have_a_gpu_each(tmp_path: Path) -> None:
    place = Place(GIB, 100 * GIB, 16, devices=3)
    six_seeds(tmp_path, place, {})
    assert max(map(len, place.together)) == 3
    assert all(sorted(used) == sorted({*used} & {0, 1, 2}) for used in place.together)


@pytest.mark.parametrize(("visible", "names"), [(None, ["0", "1"]), ("2,3", ["2", "3"]), ("GPU-8f, GPU-1c", ["GPU-8f", "GPU-1c"])])
def test_a_cell_gets_one_of_the_gpus_that_the_study_may_use(monkeypatch: pytest.MonkeyPatch, visible: str | None, names: list[str]) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [machine.gpu(number) for number in range(2)] == names


def six_seeds(folder: Path, place: Place, limits: dict[str, int]) -> None:
    """A study of six cells, run at a place."""
    examples = "".join(dump(example) + "\n" for example in tiny.examples(8))
    (folder / "a.jsonl").write_text(examples, encoding="utf-8")
    study = folder / "x.study.yaml"
    study.write_text(json.dumps({
        "question": "?", "recipe": "ner-minilm", "data": {"train": str(folder / "a.jsonl"), "test": str(folder / "a.jsonl")},
        "axes": {"seed": {"key": "seed", "values": [0, 1, 2, 3, 4, 5]}}, "limits": limits, "floors": "none",
    }))  # fmt: skip
    made = outline(Request(study, output=folder / "out"))
    made.folder.mkdir()
    table = Table(made.folder, made.spec, made.maker.data, task={"name": "t", "kind": "spans", "metric": "m"}, command="")
    Engine(Plan(made.folder, made.maker, table, made.points), lambda: place, lambda event: None).run()
    assert {row["status"] for row in table.rows.values()} == {"finished"}


@pytest.mark.skipif(importlib.util.find_spec("optuna") is None, reason="optuna is not installed")
def test_a_search_goes_by_the_mean_over_seeds_on_validation_data(tmp_path: Path) -> None:
    for name, part in (("a", tiny.examples(8)), ("b", tiny.examples(9)[1:]), ("c", tiny.examples(10)[2:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(dump(example) + "\n" for example in part), encoding="utf-8")
    study = tmp_path / "x.study.yaml"

    def call(trials: int) -> tuple[list[dict[str, Any]], search.Proposals, Place]:
        study.write_text(json.dumps({
            "question": "?", "recipe": "ner-minilm", "search": {"method": "optuna", "trials": trials}, "floors": "none",
            "data": {name: str(tmp_path / f"{file}.jsonl") for name, file in (("train", "a"), ("validation", "b"), ("test", "c"))},
            "axes": {
                "rate": {"key": "train.learning_rate", "values": {"low": 0.1, "high": 0.9}},
                "seed": {"key": "seed", "values": [0, 4]},
            },
        }))  # fmt: skip
        made = outline(Request(study, output=tmp_path / "out"))
        assert made.trials == 2 * trials
        made.folder.mkdir(exist_ok=True)
        table = Table(made.folder, made.spec, made.maker.data, task={"name": "t", "kind": "spans", "metric": "m"}, command="")
        proposals, place = search.Proposals(made.spec, made.folder, metric="m", data="d"), Place(GIB, 100 * GIB, 2)
        Engine(Plan(made.folder, made.maker, table, made.points, proposals), lambda: place, lambda event: None).run()
        assert {row["status"] for row in table.rows.values()} == {"finished"}
        return list(table.rows.values()), proposals, place

    first, _, _ = call(3)
    assert len(first) == 6
    again, proposals, place = call(5)
    assert [row["id"] for row in again[:6]] == [row["id"] for row in first]  # what was proposed stays
    assert (len(again), place.most) == (10, 2)
    for trial, rows in zip(proposals.study.trials, zip(again[::2], again[1::2], strict=True), strict=True):
        rates = [row["overrides"]["train.learning_rate"] for row in rows]
        assert rates[0] == rates[1]
        assert trial.value == pytest.approx(rates[0] + 2)  # seeds 0 and 4
