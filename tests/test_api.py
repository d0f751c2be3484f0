"""fintune from Python: the five lines, what a run refuses to be opened with, and what it says about itself."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import fintune as ft
import tiny
from fintune import api, cli
from fintune.data import predictions as seam
from fintune.data.formats.base import ReadOptions
from fintune.data.formats.jsonl import dump
from fintune.data.load import load as load_data
from fintune.errors import ArtifactError, DataError, RecipeError, ResourceError, UsageError
from fintune.metrics import floors
from fintune.recipe import Recipe
from fintune.records import Example
from fintune.run import read_json
from fintune.tasks.base import load_task


def write(path: Path, examples: list[Example]) -> Path:
    path.write_text("".join(dump(example) + "\n" for example in examples), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `train.jsonl` and `held.jsonl`."""
    folder = tmp_path_factory.mktemp("data")
    write(folder / "train.jsonl", tiny.examples(48))
    write(folder / "held.jsonl", tiny.examples(60)[48:])
    return folder


@pytest.fixture(scope="module")
def finished(data: Path, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; read only."""
    recipe = tiny.recipe(tiny_base, {"train.epochs": 1})
    folder = tmp_path_factory.mktemp("run") / "first run"
    api.train(recipe, data=data / "train.jsonl", validation=data / "held.jsonl", output=folder)
    return folder


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to do harm to."""
    return shutil.copytree(finished, tmp_path / "run")


def test_five_lines(data: Path, recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = ft.train(recipe(), data=data / "train.jsonl", validation=data / "held.jsonl")
    report = run.evaluate(data / "held.jsonl")
    found = run.predict(["Norvane Bank paid $ 4.2 million .", "Nothing was decided ."])
    assert 0 <= report["metrics"]["surface_micro_f1"]["value"] <= 1
    assert [prediction.id for prediction in found] == ["1", "2"]
    assert ft.load("runs/ner-minilm").predict(["Nothing was decided ."]) == run.predict(["Nothing was decided ."])


def test_evaluate_writes_what_it_returns(copied: Path, data: Path) -> None:
    run = ft.load(copied)
    report = run.evaluate(data / "held.jsonl")
    assert read_json(copied / "report.json") == json.loads(json.dumps(report))
    assert (copied / "report.html").read_text(encoding="utf-8").startswith("<!")
    found = seam.read(copied / "predictions.jsonl")
    loaded = load_data(data / "held.jsonl", kind="spans")
    learnt = {"gazetteer": floors.learn(load_data(data / "train.jsonl", kind="spans").examples)}
    again = api.score(load_task("finance-ner-7"), loaded, found, floors=learnt, source=str(data / "held.jsonl"))
    assert again == {key: value for key, value in report.items() if key != "cost"}


def test_evaluate_elsewhere_leaves_the_run_as_it_is(copied: Path, data: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
    ft.load(copied).evaluate(data / "held.jsonl", output=tmp_path / "new" / "place")
    assert {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in (tmp_path / "new" / "place").iterdir()) == ["predictions.jsonl", "report.html", "report.json"]
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ResourceError):
        ft.load(copied).evaluate(data / "held.jsonl", output=tmp_path / "file" / "below")


def test_validation_in_training_is_what_evaluate_finds(finished: Path, data: Path, tmp_path: Path) -> None:
    report = ft.load(finished).evaluate(data / "held.jsonl", output=tmp_path)
    told = ft.load(finished).manifest["validation"]
    assert told == {name: entry["value"] for name, entry in report["metrics"].items()}


def test_predict_takes_texts_files_and_examples(finished: Path, tmp_path: Path) -> None:
    run = ft.load(finished)
    examples = tiny.examples(5)
    texts = [example.text for example in examples]
    plain = tmp_path / "texts.txt"
    plain.write_text("\n".join(texts) + "\n", encoding="utf-8")

    def spans(data: Any) -> list[object]:
        return [prediction.spans for prediction in run.predict(data)]

    assert spans(texts) == spans(examples) == spans(plain) == spans(str(plain)) == spans(write(tmp_path / "x.jsonl", examples))
    assert [prediction.id for prediction in run.predict(examples)] == [example.id for example in examples]
    assert run.predict([]) == []
    with pytest.raises(DataError, match="no such file"):
        run.predict("Norvane Bank paid .txt")


@pytest.mark.parametrize("name", ["adapter/adapter_model.safetensors", "adapter/extras.safetensors", "recipe.yaml", "floors.json"])
@pytest.mark.parametrize("harm", ["changed", "missing"])
def test_a_run_whose_files_are_not_its_own_is_refused(copied: Path, name: str, harm: str) -> None:
    path = copied / name
    if harm == "missing":
        path.unlink()
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    with pytest.raises(ArtifactError, match=path.name) as caught:
        ft.load(copied)
    assert caught.value.exit_status == 5


def test_what_is_no_run_is_refused(copied: Path, tmp_path: Path) -> None:
    for place in (tmp_path / "none", tmp_path):
        with pytest.raises(ArtifactError):
            ft.load(place)
    (copied / "manifest.json").unlink()
    with pytest.raises(ArtifactError, match="unfinished"):
        ft.load(copied)
    (copied / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(ArtifactError, match="cannot be read"):
        ft.load(copied)


def test_another_base_model_is_refused(data: Path, tiny_base: Path, tmp_path: Path) -> None:
    base = shutil.copytree(tiny_base, tmp_path / "base")
    run = api.train(tiny.recipe(base, {"train.epochs": 1}), data=data / "held.jsonl", output=tmp_path / "run")
    tiny.write_bert(base, seed=8)
    with pytest.raises(ArtifactError, match="other weights") as caught:
        ft.load(run.folder).predict(["Nothing was decided ."])
    assert caught.value.exit_status == 5


def test_a_changed_task_is_refused(data: Path, tiny_base: Path, tmp_path: Path) -> None:
    task = tmp_path / "mine.toml"
    labels = "\n".join(f'{label} = "a {label}"' for label in tiny.SLOTS)
    task.write_text(f'name = "mine"\nkind = "spans"\ndescription = "d"\ninstruction = "i"\n[labels]\n{labels}\n', encoding="utf-8")
    run = api.train(tiny.recipe(tiny_base, {"train.epochs": 1, "task": str(task)}), data=data / "held.jsonl", output=tmp_path / "run")
    assert ft.load(run.folder).task.labels == tuple(tiny.SLOTS)
    task.write_text(task.read_text(encoding="utf-8").replace("a Date", "another Date"), encoding="utf-8")
    with pytest.raises(ArtifactError, match="changed: labels"):
        ft.load(run.folder)


def test_default_folders_are_named_after_the_recipe(
    data: Path, recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    short = recipe({"train.epochs": 1})
    assert [str(api.train(short, data=data / "held.jsonl").folder) for _ in range(3)] == [
        os.path.join("runs", name) for name in ("ner-minilm", "ner-minilm-2", "ner-minilm-3")
    ]
    Path("runs/ner-minilm-2/manifest.json").unlink()
    with pytest.raises(ArtifactError, match=r"unfinished run of another kind.*train\.epochs: 1 -> 2"):
        api.train(recipe({"train.epochs": 2}), data=data / "held.jsonl")
    assert str(api.train(short, data=data / "held.jsonl").folder) == os.path.join("runs", "ner-minilm-2")


def test_a_split_holds_validation_out(data: Path, recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    events: list[Mapping[str, Any]] = []
    run = api.train(recipe({"train.epochs": 1}), data=data / "train.jsonl", split="paper", output=tmp_path / "run", listen=events.append)
    assert run.manifest["data"]["split"] == "paper"
    assert run.manifest["data"]["train"]["examples"] == 38  # 80 % of 48
    assert run.manifest["validation"].keys() >= {"micro_f1", "surface_micro_f1"}
    told = [event["event"] for event in events if event["event"] not in ("step", "checkpoint")]
    assert told == ["preflight", "start", "validation", "end"]


def test_what_was_left_out_of_training_is_told_and_kept(data: Path, recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text((data / "held.jsonl").read_text(encoding="utf-8") + "{}\n", encoding="utf-8")
    csv = tmp_path / "held.csv"
    csv.write_text("text,ground_truth\nAcme rose,\"{'Company': ['Acme', 'Nowhere']}\"\n", encoding="utf-8")
    events: list[Mapping[str, Any]] = []
    run = api.train(
        recipe({"train.epochs": 1}),
        data=path,
        validation=csv,
        output=tmp_path / "run",
        options=ReadOptions(on_bad="skip"),
        listen=events.append,
    )
    notes = [event["message"] for event in events if event["event"] == "note"]
    assert notes[0].startswith(f"skipped {path}:13: ")
    assert notes[1].endswith("in their texts: 1; 'fintune check' names them")
    assert (run.manifest["data"]["train"]["rejected"], run.manifest["data"]["validation"]["unaligned"]) == (1, 1)


def test_the_commands_of_the_report_are_commands(finished: Path, data: Path) -> None:
    tree: Any = get_command(cli.app)
    run = ft.load(finished)
    for line, folder in zip(run.commands(str(data / "held.jsonl")), ("train", "evaluate"), strict=True):
        program, command, *arguments = shlex.split(line)
        assert (program, command) == ("fintune", folder)
        given = tree.commands[command].make_context(command, arguments).params
        assert f"{finished}-again" in {str(value) for value in given.values()}
        assert str(data / "held.jsonl") in {str(value) for value in given.values()}


def test_arguments_that_do_not_go_together_are_refused(recipe: Callable[..., Recipe], data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="overrides"):
        api.train(recipe(), data=data / "held.jsonl", overrides=["train.epochs=1"])
    with pytest.raises(UsageError, match="--split and --validation"):
        api.train(recipe(), data=data / "held.jsonl", validation=data / "held.jsonl", split="paper")
    for overrides in ({"train.keep": "best"}, {"train.patience": 1}):
        with pytest.raises(RecipeError, match="validation"):
            api.train(recipe(overrides), data=data / "held.jsonl", output=tmp_path / "run")
    with pytest.raises(DataError, match="no training example has a span"):
        api.train(recipe(), data=[Example("1", "Nothing was decided .", spans=())], output=tmp_path / "run")
    with pytest.raises(AttributeError, match="trian"):
        ft.trian  # noqa: B018


def test_the_function_is_not_covered_by_the_room_of_its_name() -> None:
    program = "import fintune.train.run, fintune.train.loop; import fintune as ft; from fintune import api; assert ft.train is api.train"
    subprocess.run([sys.executable, "-c", program], check=True)
