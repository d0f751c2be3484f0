"""What the base model can do without training, beside the run; and what training would learn, before it is begun."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import fintune as ft
import tiny
from fintune import cli, run
from fintune.data.demonstrations import Demonstrations
from fintune.data.formats.base import ReadOptions
from fintune.data.formats.jsonl import dump
from fintune.data.load import load_for
from fintune.data.split import split
from fintune.errors import ArtifactError, DataError, UsageError
from fintune.heads.build import build
from fintune.predict.run import predict
from fintune.records import Example
from fintune.run import read_json
from fintune.tasks.base import documents_of, load_task

LEARNT, HELD = 12, 5


class Result(NamedTuple):
    status: int
    out: str
    err: str


class Place(NamedTuple):
    base: Path
    train: Path
    held: Path
    run: Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A base model, data, and a run that has learnt something; read only."""
    folder = tmp_path_factory.mktemp("place")
    examples = tiny.examples(LEARNT + HELD)
    base = tiny.write_chat_model(folder / "base", "llama", width=64, vocabulary=1000)
    train, held = write(folder / "train.jsonl", examples[:LEARNT]), write(folder / "held.jsonl", examples[LEARNT:])
    recipe = tiny.chat_recipe(base, {"train.epochs": 25})
    return Place(base, train, held, ft.train(recipe, data=train, output=folder / "run").folder)


@pytest.fixture
def fintune(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Result]:
    """Runs a command in this process, in an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    def command(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["fintune", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return Result(int(left.value.code or 0), *capsys.readouterr())

    return command


def write(path: Path, examples: Sequence[Example]) -> Path:
    path.write_text("".join(dump(example) + "\n" for example in examples), encoding="utf-8")
    return path


def before_training(place: Place, shots: int) -> dict[str, Any]:
    """Scores of a model that was built and never trained, asked as the baseline says it is."""
    recipe = tiny.chat_recipe(place.base, {"prompt.labels": "meanings"})
    task = load_task(recipe.task, recipe.prompt)
    built = build(recipe, task)
    if shots:
        built.head.demonstrations = Demonstrations(load_for(task, place.train).examples, count=shots, choose="fixed")
    held = load_for(task, place.held).examples
    found = list(predict(built.model, built.head, held, batch_tokens=recipe.predict.batch_tokens, precision="fp32"))
    report = task.score(list(zip(held, found, strict=True)), documents=documents_of(held), floors={})
    return {**report["metrics"], "malformed": {"value": report["malformed"]["share"]}}


# Beside the run


def test_the_baselines_are_the_model_before_training(place: Place, tmp_path: Path) -> None:
    model = ft.load(place.run)
    held = load_for(model.task, place.held).examples
    before = model.predict(held)
    report = model.evaluate(place.held, output=tmp_path, baselines=(0, 2))
    assert report["baselines"] == {"zero-shot": before_training(place, 0), "few-shot (2)": before_training(place, 2)}
    assert report["baselines"]["zero-shot"]["surface_micro_f1"]["value"] < report["metrics"]["surface_micro_f1"]["value"]
    assert model.predict(held) == before, "the adapter is back"
    assert read_json(tmp_path / "report.json")["baselines"] == json.loads(json.dumps(report["baselines"]))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "zero-shot" in page
    assert "few-shot (2)" in page
    alone = model.evaluate(place.held, output=tmp_path)
    assert "baselines" not in alone
    assert {**report, "baselines": None, "cost": None} == {**alone, "baselines": None, "cost": None}


def test_the_adapter_is_back_after_a_failure(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ft.load(place.run)
    held = load_for(model.task, place.held).examples
    before = model.predict(held)
    ticks: list[int] = []

    def tick(done: int) -> None:
        ticks.append(done)
        if sum(ticks) > HELD:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.evaluate(place.held, output=tmp_path / "new", baselines=(0,), tick=tick)
    assert model.predict(held) == before
    assert not (tmp_path / "new").exists(), "what was not finished leaves no report"


def test_ticks_count_every_text_of_every_baseline(place: Place, tmp_path: Path) -> None:
    ticks: list[int] = []
    ft.load(place.run).evaluate(place.held, output=tmp_path, baselines=(0, 1), tick=ticks.append)
    assert sum(ticks) == 3 * HELD


def test_a_head_that_cannot_do_without_training_is_refused_before_the_work(
    tiny_base: Path, place: Place, fintune: Callable[..., Result], tmp_path: Path
) -> None:
    tagger = ft.train(tiny.recipe(tiny_base, {"train.epochs": 1}), data=place.held, output=tmp_path / "tags")
    ticks: list[int] = []
    with pytest.raises(UsageError, match="a token head says nothing without training"):
        tagger.evaluate(place.held, baselines=(0, 2), tick=ticks.append)
    assert ticks == []
    result = fintune("evaluate", tagger.folder, "--data", place.held, "--baselines")
    assert (result.status, result.out) == (2, "")
    assert "--baselines: a token head says nothing without training; compare with the floors" in result.err
    assert not (tagger.folder / "report.json").exists()


# Where solved examples come from


def test_changed_training_data_are_refused(place: Place, tmp_path: Path) -> None:
    data = write(tmp_path / "train.jsonl", tiny.examples(4))
    model = ft.train(tiny.chat_recipe(place.base, {"train.epochs": 1}), data=data, output=tmp_path / "run")
    write(data, tiny.examples(5))
    with pytest.raises(ArtifactError, match="the training data have changed since; give --examples") as caught:
        model.evaluate(place.held, baselines=(0, 2))
    assert caught.value.where == str(data)
    assert "zero-shot" in model.evaluate(place.held, baselines=(0,))["baselines"], "nothing is shown, so none are needed"
    report = model.evaluate(place.held, baselines=(2,), examples=place.train)
    assert report["baselines"] == {"few-shot (2)": before_training(place, 2)}


def test_training_data_in_memory_have_to_be_given_again(place: Place, tmp_path: Path) -> None:
    examples = load_for(load_task("finance-ner-7"), place.train).examples
    model = ft.train(tiny.chat_recipe(place.base, {"train.epochs": 1}), data=examples[:4], output=tmp_path / "run")
    with pytest.raises(UsageError, match="in memory only; give --examples"):
        model.evaluate(place.held, baselines=(2,))
    assert model.evaluate(place.held, baselines=(2,), examples=examples)["baselines"] == {"few-shot (2)": before_training(place, 2)}
    with pytest.raises(DataError, match="5 demonstrations from 4 examples"):
        model.evaluate(place.held, baselines=(5,), examples=examples[:4])


def test_examples_that_would_not_be_shown_are_refused(place: Place) -> None:
    for baselines in ((), (0,)):
        with pytest.raises(UsageError, match="give --baselines too"):
            ft.load(place.run).evaluate(place.held, baselines=baselines, examples=place.train)


def test_of_a_split_only_what_was_trained_on_is_shown(place: Place, tmp_path: Path) -> None:
    recipe = tiny.chat_recipe(place.base, {"train.epochs": 1, "predict.max_new_tokens": 8})
    model = ft.train(recipe, data=place.train, split="paper", output=tmp_path / "run")
    parts = split(load_for(model.task, place.train).examples, method="paper")
    pool = model._pool(None, ReadOptions())
    assert [e.id for e in pool] == [e.id for e in parts.train]
    assert len(pool) < LEARNT


# On the command line


def test_one_flag_scores_the_base_model_too(place: Place, fintune: Callable[..., Result], tmp_path: Path) -> None:
    told = fintune("evaluate", place.run, "--data", place.held, "--baselines", "--output", tmp_path / "text")
    assert told.status == 0
    assert "before training: zero-shot" in told.out
    assert "before training: few-shot (5)" in told.out
    result = fintune(
        "evaluate", place.run, "--data", place.held, "--baselines", "--examples", place.train, "--json", "-o", tmp_path / "json"
    )
    assert (result.status, result.err) == (0, "")
    assert result.out.count("\n") == 1
    document = json.loads(result.out)
    assert document["baselines"].keys() == {"zero-shot", "few-shot (5)"}
    assert document["baselines"] == read_json(tmp_path / "text" / "report.json")["baselines"]


# Before it is begun


def tree(*folders: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


def of_training(place: Place, **settings: object) -> list[object]:
    made: Mapping[str, object] = {**tiny.LEARNT_BY_HEART, "model.base": place.base, "train.epochs": 25, **settings}
    overrides = [part for key, value in made.items() for part in ("--set", f"{key}={value}")]
    return ["train", "ner-llama3-8b", "--data", place.train, *overrides]


def test_a_dry_run_shows_what_would_be_learnt_and_writes_nothing(place: Place, fintune: Callable[..., Result], tmp_path: Path) -> None:
    before = tree(tmp_path, place.run.parent)
    shown = fintune(*of_training(place), "--dry-run", "--output", tmp_path / "run")
    assert shown.status == 0
    assert tiny.examples(1)[0].text.split()[0] in shown.out, "the mask of an example, decoded"
    result = fintune(*of_training(place), "--dry-run", "--json")
    assert (result.status, result.err) == (0, "")
    assert result.out.count("\n") == 1
    assert tree(tmp_path, place.run.parent) == before
    certificate, kept = json.loads(result.out)["preflight"], read_json(place.run / run.PREFLIGHT)
    for document in (certificate, kept):
        for estimated in ("time", "memory"):  # from the machine at that moment
            document.pop(estimated)
    assert certificate == kept, "what the run was given"


def test_a_dry_run_refuses_what_training_would(place: Place, fintune: Callable[..., Result], tmp_path: Path) -> None:
    for settings, status in (({"data.max_tokens": 64}, 4), ({"train.keep": "best"}, 4), ({"adapter.targets": "['nothing']"}, 4)):
        told = [fintune(*of_training(place, **settings), *more) for more in (["--dry-run"], ["--output", tmp_path / "run"])]
        assert [result.status for result in told] == [status, status]
        assert told[0].err == told[1].err
