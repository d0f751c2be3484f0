"""Runs with any number of labels a text, from data to report: learnt to exact sets by a classifier and by a model that writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import tiny
from fintune import api, cli
from fintune import recipe as recipes
from fintune.data import predictions as seam
from fintune.data.formats.jsonl import dump
from fintune.data.load import load_for
from fintune.errors import RecipeError
from fintune.records import Example
from fintune.run import read_json
from fintune.tasks.base import load_task

VERBS = {"deal": "paid", "people": "named", "results": "earned"}
LABELS = tuple(VERBS)


def news(first: int, count: int) -> list[Example]:
    """Headlines whose words tell the labels; every set in turn, the empty one too."""
    made = []
    for n in range(first, first + count):
        own = tuple(label for place, label in enumerate(LABELS) if n % 8 >> place & 1)
        said = " and ".join(VERBS[label] for label in own) or "fell"
        text = f"{tiny.SLOTS['Company'][n % 6]} {said} in {tiny.SLOTS['Location'][n // 3 % 4]} on {n}"
        made.append(Example(f"n{n}", text, labels=own))
    return made


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inferred from data, as a user would have it."""
    folder = tmp_path_factory.mktemp("task")
    data = folder / "news.jsonl"
    data.write_text("".join(dump(e) + "\n" for e in news(0, 32)), encoding="utf-8")
    assert fintune("infer-labels", str(data), "-o", str(folder / "events.toml")) == 0
    return folder / "events.toml"


def fintune(*arguments: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["fintune", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
    return int(left.value.code or 0)


def settings(base: Path, task: Path, **parts: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": "events", "task": str(task), "model": {"base": str(base), "dropout": 0.0}, "adapter": {"rank": 8, "alpha": 16},
        "head": {"type": "sequence", "pooling": "mean", "dropout": 0.0}, "data": {"max_tokens": 64, "overlap_tokens": 16},
        "train": {
            "epochs": 30, "batch_size": 16, "learning_rate": 0.01, "head_learning_rate": 0.1, "schedule": "constant", "warmup": 0.0,
            "precision": "fp32", "keep": "best", "metric": "accuracy",
            "checkpoint_every": 1000,
        },
        "predict": {"precision": "fp32", "wanted_precision": 0.9},
    }  # fmt: skip
    return made | {name: {**made.get(name, {}), **part} for name, part in parts.items()}


@pytest.fixture(scope="module")
def finished(tiny_base: Path, task: Path, tmp_path_factory: pytest.TempPathFactory) -> api.Run:
    made = recipes.from_settings(settings(tiny_base, task), "test")
    return api.train(made, data=news(0, 16), validation=news(0, 16), output=tmp_path_factory.mktemp("several") / "run")


def test_a_classifier_learns_exact_sets_and_reports_them(finished: api.Run, tmp_path: Path) -> None:
    report = finished.evaluate(news(0, 16), output=tmp_path)
    values = {name: entry["value"] for name, entry in report["metrics"].items()}
    assert values["accuracy"] == values["micro_f1"] == 1.0
    assert values["hamming_loss"] == 0.0
    assert set(report["floors"]) == {"majority", "words"}
    assert report["floors"]["majority"]["accuracy"]["value"] == 0.125
    assert report["kind"] == "labels"
    assert "get exactly their labels" in (tmp_path / "report.html").read_text(encoding="utf-8")
    (first,) = finished.predict([news(3, 1)[0].text])
    assert first.labels == ("deal", "people")
    assert read_json(finished.folder / "manifest.json")["task"]["kind"] == "labels"
    assert finished.manifest["validation"].keys() >= {"micro_f1", "ece", "ranking_precision"}


def test_predictions_score_alike_without_a_model(finished: api.Run, tmp_path: Path, task: Path) -> None:
    held = news(200, 24)
    report = finished.evaluate(held, output=tmp_path)
    (tmp_path / "held.jsonl").write_text("".join(dump(e) + "\n" for e in held), encoding="utf-8")
    of, found = load_task(task), seam.read(tmp_path / "predictions.jsonl")
    again = api.score(of, load_for(of, tmp_path / "held.jsonl"), found, floors={}, source="x")
    assert again["metrics"] == report["metrics"]


def test_what_is_uncertain_waits_for_a_person(finished: api.Run, tmp_path: Path) -> None:
    odd = [*news(64, 16), Example("odd", "Something else was said", labels=("deal",))]
    report = finished.evaluate(odd, output=tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "review.jsonl").read_text(encoding="utf-8").splitlines()]
    assert (report["abstention"]["stand"], report["abstention"]["review"]) == (17 - len(rows), len(rows))
    assert all(isinstance(row["labels"], list) and row["confidence"] < finished.threshold for row in rows)


def test_the_command_line_takes_lists(finished: api.Run, tmp_path: Path, task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "held.csv"
    rows = [f'"{e.text}",{"|".join(e.labels or ()) or "[]"}\n' for e in news(300, 16)]
    data.write_text("text,labels\n" + "".join(rows), encoding="utf-8")
    assert fintune("check", str(data), "--task", str(task), "--label-delimiter", "|", "--ignore", "D2", "--ignore", "D402") == 0
    assert fintune("check", str(data), "--task", str(task), "--select", "D401") == 3, "with the usual delimiter these are other labels"
    capsys.readouterr()
    assert fintune("evaluate", str(finished.folder), "--data", str(data), "--label-delimiter", "|", "--quiet", "-o", str(tmp_path)) == 0
    assert "Whole sets" in capsys.readouterr().out
    assert fintune("predict", str(finished.folder), "--text", news(4, 1)[0].text, "--quiet") == 0
    assert "[results " in capsys.readouterr().out
    assert fintune("split", str(data), "--task", str(task), "--label-delimiter", "|", "-o", str(tmp_path / "parts")) == 0
    assert '"labels": [' in (tmp_path / "parts" / "train.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize("change", [{"balance": "weights"}, {"loss": "focal"}, {"label_smoothing": 0.1}])
def test_each_loss_trains(tiny_base: Path, task: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    made = settings(tiny_base, task, train={"epochs": 1, "keep": "last", **change})
    run = api.train(recipes.from_settings(made, "test"), data=news(0, 24), output=tmp_path / "run")
    steps = [json.loads(line) for line in (run.folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert sum(step["units"] for step in steps if step["event"] == "step") == pytest.approx(24 * 3, rel=1e-5), "decisions, 1 on average"
    assert read_json(run.folder / "preflight.json")["supervised"] == {"unit": "decisions", "min": 3, "median": 3, "max": 3, "total": 72}


CHATS = {
    "prompt.labels": "none", "prompt.thinking": "none", "data.max_tokens": 600, "adapter.rank": 32, "adapter.alpha": 64,
    "adapter.dropout": 0.0, "train.batch_size": 8, "train.epochs": 30, "train.learning_rate": 0.01, "train.schedule": "constant",
    "train.warmup": 0.0, "train.precision": "fp32", "predict.precision": "fp32", "train.checkpoint_every": 1000,
}  # fmt: skip


def test_a_writer_learns_exact_sets(tmp_path: Path, task: Path) -> None:
    base = tiny.write_chat_model(tmp_path / "base", "llama")
    recipe = recipes.load("sentiment-qwen3-0.6b", {**CHATS, "model.base": str(base), "task": str(task)})
    run = api.train(recipe, data=news(0, 8), output=tmp_path / "run")
    report = run.evaluate(news(0, 8))
    assert report["metrics"]["accuracy"]["value"] == 1.0
    assert report["malformed"]["count"] == 0
    assert all(p.labels is not None for p in run.predict(["Utterly unlike anything", "帮助"])), "a set, whatever is read"
    run.model.head.decoding = "free"
    assert [p.labels for p in run.predict(news(0, 8))] == [e.labels for e in news(0, 8)], "it has learnt the form too"


def test_choices_are_refused(tmp_path: Path, task: Path) -> None:
    base = tiny.write_chat_model(tmp_path / "base", "llama")
    recipe = recipes.load("sentiment-qwen3-0.6b", {**CHATS, "model.base": str(base), "task": str(task), "predict.decoding": "choices"})
    with pytest.raises(RecipeError, match=r"labels cannot be decoded as 'choices'.*constrained or free"):
        api.train(recipe, data=news(0, 8), output=tmp_path / "run")
