"""A label run from recipe to report: balance, focal loss, calibration with a wanted precision, the review queue, clean scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tiny
from fintune import api, cli
from fintune import recipe as recipes
from fintune.data.near import like_any
from fintune.errors import RecipeError, UsageError
from fintune.heads import calibrated
from fintune.heads.build import build
from fintune.records import Example
from fintune.run import read_json
from fintune.tasks.base import load_task

TONES = {"negative": ("fell", "was sued", "missed"), "neutral": ("met", "moved", "wrote"), "positive": ("rose", "won", "grew")}


def news(first: int, count: int) -> list[Example]:
    """Headlines whose verb tells the label; half of them are neutral."""
    labels = ("neutral", "negative", "neutral", "positive")
    made = []
    for n in range(first, first + count):
        label = labels[n % 4]
        verb = TONES[label][n // 4 % 3]
        made.append(Example(str(n), f"{tiny.SLOTS['Company'][n % 6]} {verb} by {n} in {tiny.SLOTS['Location'][n // 3 % 4]}", label=label))
    return made


def settings(base: Path, **parts: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": "tone", "task": "sentiment-3", "model": {"base": str(base), "dropout": 0.0}, "adapter": {"rank": 8, "alpha": 16},
        "head": {"type": "sequence", "pooling": "mean", "dropout": 0.0}, "data": {"max_tokens": 64, "overlap_tokens": 16},
        "train": {"epochs": 2, "batch_size": 8, "learning_rate": 0.01, "precision": "fp32"},
        "predict": {"precision": "fp32", "wanted_precision": 0.9},
    }  # fmt: skip
    return made | {name: made.get(name, {}) | part for name, part in parts.items()}


@pytest.fixture(scope="module")
def finished(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> api.Run:
    folder = tmp_path_factory.mktemp("labels")
    data = folder / "train.jsonl"
    data.write_text("".join(json.dumps({"id": e.id, "text": e.text, "label": e.label}) + "\n" for e in news(0, 64)), encoding="utf-8")
    recipe = recipes.from_settings(settings(tiny_base), "test")
    return api.train(recipe, data=data, validation=news(64, 32), output=folder / "run")


def test_the_threshold_is_kept_and_what_is_below_it_waits(finished: api.Run, tmp_path: Path) -> None:
    fitted = calibrated.read(finished.folder / "adapter")
    assert fitted.threshold == finished.threshold is not None
    held = news(64, 32)
    report = finished.evaluate(held, output=tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "review.jsonl").read_text(encoding="utf-8").splitlines()]
    told = report["abstention"]
    assert (told["stand"], told["review"], told["wanted_precision"]) == (32 - len(rows), len(rows), 0.9)
    assert told["precision"]["value"] >= 0.9 or told["stand"] == 0, "fitted on these very examples"
    assert all(row["confidence"] < finished.threshold for row in rows)
    assert f"{len(rows)} wait in review.jsonl" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert report["metrics"]["error_at_90"]["value"] <= report["selective"]["error"] + 0.1
    assert "clean" not in report


def test_clean_scores_leave_out_what_is_like_training_data(finished: api.Run, tmp_path: Path) -> None:
    mixed = [*news(0, 8), Example("x", "An unheard of thing happened far away yesterday evening", label="neutral")]
    report = finished.evaluate(mixed, output=tmp_path, clean=True)
    assert (report["clean"]["examples"], report["clean"]["left_out"]) == (1, 8)
    assert report["clean"]["metrics"].keys() == report["metrics"].keys()
    assert set(report["clean"]["floors"]) == set(report["floors"])
    assert "8 texts are near duplicates of training texts" in (tmp_path / "report.html").read_text(encoding="utf-8")
    nothing = finished.evaluate(news(0, 8), output=tmp_path, clean=True)
    assert nothing["clean"] == {"examples": 0, "left_out": 8, "metrics": {}, "floors": {}}


def test_copies_and_near_copies_are_told_from_others() -> None:
    known = ["Shares of Norvane Bank fell by 3 percent on Monday morning in Oslo trading", "!!"]
    texts = [known[0].upper(), f"{known[0]} again", "Shares of Corbrook rose", "!!", "??"]
    assert like_any(texts, known) == [True, True, False, True, False]
    assert like_any(texts, []) == [False] * 5


def test_a_run_without_a_wanted_precision_has_no_queue(tiny_base: Path, tmp_path: Path) -> None:
    made = settings(tiny_base, predict={"wanted_precision": None}, train={"epochs": 1})
    run = api.train(recipes.from_settings(made, "test"), data=news(0, 16), validation=news(64, 8), output=tmp_path / "run")
    assert run.threshold is None
    with pytest.raises(UsageError, match=r"predict\.wanted_precision"):
        run.review([], [])
    run.evaluate(news(64, 8))
    assert not (tmp_path / "run" / "review.jsonl").exists()


@pytest.mark.parametrize("change", [{"balance": "weights"}, {"balance": "sampling"}, {"loss": "focal"}])
def test_each_way_against_imbalance_trains(tiny_base: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    made = settings(tiny_base, train={"epochs": 1, **change})
    uneven = [e for e in news(0, 40) if e.label == "neutral" or int(e.id) % 3 == 0]
    run = api.train(recipes.from_settings(made, "test"), data=uneven, output=tmp_path / "run")
    steps = [json.loads(line) for line in (run.folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    units = sum(step["units"] for step in steps if step["event"] == "step")
    assert units == pytest.approx(len(uneven), rel=1e-5), "weights average one"


def test_settings_of_labels_elsewhere_are_refused(tiny_base: Path) -> None:
    for part, setting in (("head", {"pooling": "mean"}), ("train", {"loss": "focal"}), ("train", {"balance": "weights"})):
        (name,) = setting
        with pytest.raises(RecipeError, match=rf"{part}\.{name} with a token head"):
            build(recipes.from_settings({"name": "x", "task": "finance-ner-7", part: setting}, "test"), load_task("finance-ner-7"))
    with pytest.raises(RecipeError, match="focal loss with label_smoothing"):
        build(recipes.from_settings(settings(tiny_base, train={"loss": "focal", "label_smoothing": 0.1}), "test"), load_task("sentiment-3"))


def test_infer_labels_writes_a_task_that_check_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "".join(json.dumps({"text": e.text, "label": e.label}) + "\n" for e in news(0, 40))
    (tmp_path / "news.jsonl").write_text(rows, encoding="utf-8")

    def fintune(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["fintune", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return int(left.value.code or 0)

    assert fintune("infer-labels", "news.jsonl", "-o", "tone.toml") == 0
    assert fintune("infer-labels", "news.jsonl", "-o", "tone.toml") == 2, "an existing file stays"
    assert fintune("check", "news.jsonl", "--task", "tone.toml", "--select", "D4") == 0
    assert "tone.toml" in capsys.readouterr().out


def test_a_finished_run_says_what_it_fitted(finished: api.Run) -> None:
    record = read_json(finished.folder / "adapter" / "calibration.json")
    assert record.keys() == {"schema_version", "temperature", "threshold"}
