"""Law: only the same run goes on in a folder, and however often it was stopped it ends with the same bytes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import jobs
import tiny
from fintune import run
from fintune.errors import ArtifactError
from fintune.tasks.base import load_task
from fintune.train import claim
from fintune.train.run import train

NOTHING: Mapping[str, Any] = {}


class Crash(BaseException):
    """Ends a run in the midst of it."""


def crash_at(name: str, step: int):
    """A listener that ends the run when an event happens."""

    def listen(event: Mapping[str, Any]) -> None:
        if (event["event"], event.get("step")) == (name, step):
            raise Crash

    return listen


def go(base: Path, output: Path, settings: Mapping[str, Any], listen=lambda event: None) -> Path:
    return jobs.run_training(base, output, settings, listen)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


CHANGED: dict[str, Any] = {
    "seed": 1,
    "model.dropout": 0.2,
    "adapter.method": "dora",
    "adapter.rank": 8,
    "adapter.alpha": 16,
    "adapter.scale": "rank-stabilised",
    "adapter.dropout": 0.2,
    "adapter.targets": "attention",
    "head.scheme": "BIOES",
    "head.transitions": "fixed",
    "head.surface": "none",
    "head.dropout": 0.2,
    "data.max_tokens": 48,
    "data.words": "fine",
    "train.epochs": 3,
    "train.batch_size": 16,
    "train.accumulate": 2,
    "train.learning_rate": 1e-3,
    "train.head_learning_rate": 1e-3,
    "train.schedule": "cosine",
    "train.warmup": 0.2,
    "train.weight_decay": 0.1,
    "train.clip": None,
    "train.noise": "uniform",
    "train.noise_alpha": 1.0,
    "train.keep": "last",
    "train.metric": "macro_f1",
    "train.patience": 1,
}


@pytest.mark.parametrize("key", CHANGED)
def test_a_changed_setting_is_refused_by_name(reference, unfinished, tmp_path, key):
    folder = unfinished(tmp_path / "run")
    before = contents(folder)
    with pytest.raises(ArtifactError) as caught:
        go(reference.base, folder, {**reference.settings, key: CHANGED[key]})
    assert caught.value.what == "this folder holds an unfinished run of another kind"
    assert f"settings.{key}: " in caught.value.why
    assert f"-> {CHANGED[key]}" in caught.value.why
    assert contents(folder) == before, "a refusal must not change anything"


def test_changed_data_is_refused_by_name(reference, unfinished, tmp_path):
    folder = unfinished(tmp_path / "run")
    before = contents(folder)
    examples = tiny.examples()
    examples[3] = replace(examples[3], text=examples[3].text + " Indeed .")
    recipe = tiny.recipe(reference.base, reference.settings)
    with pytest.raises(ArtifactError, match=r"another kind \(data\.train\.fingerprint: [0-9a-f.]+ -> [0-9a-f.]+\)"):
        train(recipe, load_task(recipe.task), examples[:48], examples[48:], folder, data=jobs.described(examples))
    assert contents(folder) == before


def test_changed_base_weights_are_refused(reference, tmp_path):
    base, folder = tmp_path / "base", tmp_path / "run"
    shutil.copytree(reference.base, base)
    with pytest.raises(Crash):
        go(base, folder, reference.settings, crash_at("checkpoint", 1))
    tiny.write_bert(base, seed=8)
    with pytest.raises(ArtifactError, match=r"\(base_sha256: [0-9a-f.]+ -> [0-9a-f.]+\)"):
        go(base, folder, reference.settings)


def test_a_changed_label_set_is_refused(reference, tmp_path):
    task, folder = tmp_path / "seven.toml", tmp_path / "run"
    bundled = Path(claim.__file__).parents[1] / "tasks" / "labels" / "finance-ner-7.toml"
    task.write_bytes(bundled.read_bytes())
    settings = {**reference.settings, "task": str(task)}
    with pytest.raises(Crash):
        go(reference.base, folder, settings, crash_at("checkpoint", 1))
    with task.open("a", encoding="utf-8") as file:
        file.write('Rating = "A credit rating"\n')
    with pytest.raises(ArtifactError, match=r"another kind \(task\.labels: "):
        go(reference.base, folder, settings)


def test_another_library_version_is_refused(reference, unfinished, tmp_path, monkeypatch):
    versions = claim.versions()
    monkeypatch.setattr(claim, "versions", lambda: {**versions, "torch": "0.4.1"})
    with pytest.raises(ArtifactError, match=re.escape(f"(versions.torch: {versions['torch']} -> 0.4.1)")):
        go(reference.base, unfinished(tmp_path / "run"), reference.settings)


def test_what_does_not_decide_the_weights_may_change(reference, unfinished, tmp_path):
    folder = unfinished(tmp_path / "run")
    changed = {"name": "renamed", "description": "the same run", "predict.batch_tokens": 256}
    go(reference.base, folder, {**reference.settings, **changed})
    outcome = jobs.outcome(folder)  # also verifies that the manifest goes with the recipe that is kept
    assert {k: v for k, v in outcome["adapter"].items() if k != "README.md"} == {
        k: v for k, v in reference.outcome["adapter"].items() if k != "README.md"  # the card has the name
    }  # fmt: skip
    assert outcome["log"] == reference.outcome["log"]
    kept = (folder / run.RECIPE).read_text(encoding="utf-8")
    assert kept.startswith("name: renamed\n")
    assert "batch_tokens: 256" in kept


@pytest.mark.parametrize("content", [None, b"", b"name: [torn"])
def test_a_lost_recipe_is_written_again(reference, unfinished, tmp_path, content):
    folder = unfinished(tmp_path / "run")
    (folder / run.RECIPE).unlink()
    if content is not None:
        (folder / run.RECIPE).write_bytes(content)
    go(reference.base, folder, reference.settings)
    assert jobs.outcome(folder) == reference.outcome


def test_what_a_killed_writer_left_is_cleared_away(reference, unfinished, tmp_path):
    folder = unfinished(tmp_path / "run")
    for name in (".log.jsonl.123.tmp", ".manifest.json.7.tmp"):
        (folder / name).write_bytes(b"{")
    go(reference.base, folder, reference.settings)
    assert jobs.left_over(folder) == []


def test_a_finished_run_is_refused_and_stays(reference, tmp_path):
    folder = tmp_path / "run"
    go(reference.base, folder, reference.settings)
    before = contents(folder)
    with pytest.raises(ArtifactError, match="this folder holds a finished run"):
        go(reference.base, folder, reference.settings)
    assert contents(folder) == before


@pytest.mark.parametrize("name", ["notes.txt", "recipe.yaml", "log.jsonl", ".hidden", "adapter"])
def test_a_folder_of_somebody_else_is_refused_and_stays(reference, tmp_path, name):
    (tmp_path / name).write_text("mine", encoding="utf-8")
    with pytest.raises(ArtifactError) as caught:
        go(reference.base, tmp_path, reference.settings)
    assert (caught.value.what, caught.value.why) == ("the output folder is not empty", f"it holds {name!r}")
    assert contents(tmp_path) == {name: b"mine"}


def stopped_each(base: Path, folder: Path, settings: Mapping[str, Any], places: list[tuple[str, int]]) -> dict[str, Any]:
    """The outcome of a run that crashed at each of the places in turn."""
    for place in places:
        with pytest.raises(Crash):
            go(base, folder, settings, crash_at(*place))
    go(base, folder, settings)
    return jobs.outcome(folder)


STANDSTILL = {"train.learning_rate": 1e-7, "train.epochs": 4}
"""So small a rate that no validation is better than the first, though the weights change."""


@pytest.mark.parametrize("every", [1, 5, None])
def test_a_run_that_stops_early_does_so_wherever_it_was_interrupted(reference, tmp_path, every):
    settings = {**STANDSTILL, "train.patience": 1, "train.checkpoint_every": every}
    go(reference.base, tmp_path / "straight", settings)
    expected = jobs.outcome(tmp_path / "straight")
    assert expected["manifest"]["steps"] == 12, "the second epoch of six steps is not better than the first"
    places = [("step", 1), ("validation", 6), ("step", 7), ("step", 11), ("validation", 12), ("step", 12)]
    if every != 5:
        places.append(("checkpoint", 12))  # has stopped already; nothing but the end is left to do
        places = [p for p in places if p != ("step", 12)] if every is None else places
    assert stopped_each(reference.base, tmp_path / "often", settings, places) == expected


def test_the_best_weights_survive_interruptions(reference, tmp_path):
    settings = {**STANDSTILL, "train.checkpoint_every": 5}
    outcomes = {}
    for keep in ("best", "last"):
        go(reference.base, tmp_path / keep, {**settings, "train.keep": keep})
        outcomes[keep] = jobs.outcome(tmp_path / keep)
    assert outcomes["best"]["manifest"]["kept_epoch"] == 0
    assert outcomes["best"]["adapter"]["adapter_model.safetensors"] != outcomes["last"]["adapter"]["adapter_model.safetensors"]
    places = [("step", 4), ("step", 9), ("validation", 12), ("step", 16), ("step", 24)]
    assert stopped_each(reference.base, tmp_path / "often", {**settings, "train.keep": "best"}, places) == outcomes["best"]


def test_an_interruption_after_every_single_step(reference, tmp_path):
    places = [("step", step) for step in range(1, 13)]
    # The step that is interrupted has no checkpoint yet, so each place is reached again; every process dies one step further.
    assert stopped_each(reference.base, tmp_path / "run", reference.settings, places) == reference.outcome


def test_resuming_is_told(unfinished, goes_on, tmp_path):
    ended = goes_on(unfinished(tmp_path / "run"))
    assert [(e["step"], e["steps"]) for e in ended.result["events"] if e["event"] == "resume"] == [(7, 12)]


def test_the_diff_shows_where_long_values_part():
    before = {"data": {"source": "/a/long/path/to/the/data/train.csv", "same": 1}}
    now = json.loads(json.dumps(before).replace("train", "other"))
    assert list(claim.differences(before, now)) == ["data.source: ...he/data/train.csv -> ...he/data/other.csv"]
    assert list(claim.differences({"a": 1}, {"b": 2})) == ["a: 1 -> None", "b: None -> 2"]
    assert list(claim.differences({"a": "x" * 60}, {"a": "y" * 60})) == [f"a: {'x' * 24}... -> {'y' * 24}..."]
    assert list(claim.differences({"recipe_fingerprint": 1, "a": 1}, {"recipe_fingerprint": 2, "a": 1})) == []
