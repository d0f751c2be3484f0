"""The head of several labels: its loss is torch's, its scores are stock PEFT's, the margin decides, and it can learn by heart."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from torch.nn import functional
from transformers import AutoModelForSequenceClassification

import tiny
from fintune.errors import ArtifactError, GateError, RecipeError
from fintune.heads.base import IGNORED, Fitted
from fintune.heads.build import Built, build, load, save
from fintune.heads.calibrated import Calibration
from fintune.heads.several import DECISIONS, SeveralHead, losses
from fintune.models.adapter import trainable_state
from fintune.predict.run import predict, scored
from fintune.recipe import Adapter, Data, Head, Model, Recipe, Train
from fintune.records import Example
from fintune.tasks.base import Task, load_task
from fintune.train.loop import optimizer_for

TOML = 'name = "events"\nkind = "label"\nmultiple = true\ndescription = "d"\n[labels]\ndeal = ""\npeople = ""\nresults = ""\n'


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("task") / "events.toml"
    path.write_text(TOML, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def task(file: Path) -> Task:
    return load_task(file)


@pytest.fixture(scope="module")
def made(file: Path, tiny_base: Path) -> Callable[..., Recipe]:
    def recipe(**train: Any) -> Recipe:
        return Recipe(
            name="tiny", task=str(file), model=Model(base=str(tiny_base), dropout=0.0), adapter=Adapter(rank=4, alpha=8),
            head=Head(type="sequence", dropout=0.0, pooling="mean"), data=Data(max_tokens=32, overlap_tokens=8), train=Train(**train),
        )  # fmt: skip

    return recipe


def examples(count: int, task: Task) -> list[Example]:
    """Different sentences with every set of labels in turn; every fifth is longer than a window."""
    different = list({e.text: e for e in tiny.examples(3 * count)}.values())[:count]
    sets = [tuple(label for place, label in enumerate(task.labels) if n >> place & 1) for n in range(8)]
    return [
        replace(e, spans=None, labels=sets[i % 8], text=" ".join([e.text] * 4) if i % 5 == 0 else e.text) for i, e in enumerate(different)
    ]


def spread(built: Built) -> Built:
    """Every trainable weight another than it began with, so that scores differ."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in trainable_state(built.model).values():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw))
    built.model.eval()
    return built


def told(built: Built, texts: list[Example]) -> list[Any]:
    return list(predict(built.model, built.head, texts, batch_tokens=512, precision="fp32"))


def test_gold_of_every_window_is_that_of_the_text(task: Task, made: Callable[..., Recipe]) -> None:
    head, texts = build(made(), task).head, examples(6, task)
    items = head.encode(texts, "train")
    assert isinstance(head, Fitted)
    assert len(items) > 6
    for item in items:
        assert item.labels == tuple(label in (texts[item.example].labels or ()) for label in task.labels)
    assert head.collate(items)["labels"].shape == (len(items), 3)
    assert "labels" not in head.collate(head.encode(texts, "predict"))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_that_of_torch(task: Task, made: Callable[..., Recipe], smoothing: float) -> None:
    built = spread(build(made(label_smoothing=smoothing), task))
    batch = built.head.collate(built.head.encode(examples(9, task), "train"))
    summed, count = built.head.loss(built.model, batch)
    logits = built.model(batch["tokens"], batch["mask"])
    target = batch["labels"] * (1 - smoothing) + smoothing / 2
    assert summed.item() / int(count) == pytest.approx(functional.binary_cross_entropy_with_logits(logits, target).item(), rel=1e-5)
    blank = {**batch, "labels": torch.full_like(batch["labels"], IGNORED)}
    assert [part.item() for part in built.head.loss(built.model, blank)] == [0.0, 0.0]


def test_focal_loss_is_its_definition() -> None:
    scores, gold = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([[1.0, 0.0, 1.0]] * 5)
    right = torch.where(gold > 0, torch.sigmoid(scores), 1 - torch.sigmoid(scores))
    assert torch.allclose(losses(scores, gold, gamma=2.0, smoothing=0.0), -((1 - right) ** 2) * right.log(), atol=1e-6)


def test_weights_let_each_outcome_of_a_label_count_alike(task: Task, made: Callable[..., Recipe]) -> None:
    head, texts = build(made(balance="weights"), task).head, examples(16, task)[:11]
    short = [replace(e, text="Shares fell .") for e in texts]  # one window each
    batch = head.collate(head.encode(short, "train"))
    for units, labels in zip(batch["units"].T, batch["labels"].T, strict=True):
        assert float(units[labels > 0].sum()) == pytest.approx(float(units[labels == 0].sum()))
        assert float(units.mean()) == pytest.approx(1.0)


def test_the_gradient_does_not_depend_on_the_cut(task: Task, made: Callable[..., Recipe]) -> None:
    built = spread(build(made(balance="weights"), task))
    items = built.head.encode(examples(9, task), "train")
    found = []
    for parts in ([items], [items[:1], items[1:4], items[4:]]):
        built.model.zero_grad()
        for part in parts:
            built.head.loss(built.model, built.head.collate(part))[0].backward()
        found.append({name: p.grad.clone() for name, p in trainable_state(built.model).items() if p.grad is not None})
    for name, value in found[0].items():
        assert float((value - found[1][name]).norm()) <= 1e-5 * float(value.norm()) + 1e-7, name


def test_labels_are_given_above_the_margin_and_the_temperature_changes_none(task: Task, made: Callable[..., Recipe]) -> None:
    built, texts = spread(build(made(), task)), examples(12, task)
    plain = told(built, texts)
    for prediction in plain:
        assert prediction.labels == tuple(label for label, p in zip(task.labels, prediction.probabilities, strict=True) if p > 0.5)
        assert prediction.confidence == pytest.approx(min(max(p, 1 - p) for p in prediction.probabilities))
    built.head.calibration = Calibration(3.0)
    soft = told(built, texts)
    assert [p.labels for p in soft] == [p.labels for p in plain]
    before = np.array([p.probabilities for p in plain])
    logits = np.log(before / (1 - before))
    assert np.array([p.probabilities for p in soft]) == pytest.approx(1 / (1 + np.exp(-logits / 3)), abs=1e-6)
    built.head.margin = float(np.median(logits))
    assert sum(len(p.labels) for p in told(built, texts)) == np.sum(logits > np.median(logits))


def test_fitting_gives_the_best_f1_on_these_examples(task: Task, made: Callable[..., Recipe]) -> None:
    built, texts = spread(build(made(), task)), examples(12, task)

    def f1() -> float:
        report = task.score(list(zip(texts, told(built, texts), strict=True)), documents=[e.id for e in texts])
        return float(report["metrics"]["micro_f1"]["value"])

    scores = [f1()]
    for margin in (-2.0, -1.0, -0.3, 0.3, 1.0):
        built.head.margin = margin
        scores.append(f1())
    built.head.fit(list(scored(built.model, built.head, texts, batch_tokens=512, precision="fp32")))
    assert f1() >= max(scores)


def test_stock_peft_gives_our_logits_and_a_kept_model_predicts_what_it_did(
    task: Task, made: Callable[..., Recipe], tmp_path: Path, tiny_base: Path
) -> None:
    recipe = made().model_copy(update={"head": Head(type="sequence", dropout=0.0, pooling="first")})
    built, texts = spread(build(recipe, task)), examples(8, task)
    built.head.margin, built.head.calibration = 0.25, Calibration(1.5, 0.6)
    save(built, tmp_path, recipe)
    again = load(recipe, task, tmp_path)
    assert told(again, texts) == told(built, texts)
    assert (again.head.margin, again.head.calibration) == (0.25, Calibration(1.5, 0.6))
    batch = built.head.collate(built.head.encode(texts, "predict"))
    stock: Any = AutoModelForSequenceClassification.from_pretrained(tiny_base, num_labels=3, dtype=torch.float32)
    stock = PeftModel.from_pretrained(stock, tmp_path).eval()
    with torch.no_grad():
        theirs = stock(input_ids=batch["tokens"], attention_mask=batch["mask"]).logits
        assert torch.allclose(built.model(batch["tokens"], batch["mask"]), theirs, atol=1e-5)
    assert "a label is given above 0.25" in (tmp_path / "README.md").read_text(encoding="utf-8")
    assert built.model.adapted.config.problem_type == "multi_label_classification"


@pytest.mark.parametrize("text", ["{}", '{"schema_version": 1, "margin": NaN}', '{"schema_version": 2, "margin": 1}', "nothing"])
def test_a_damaged_margin_is_refused(task: Task, made: Callable[..., Recipe], tmp_path: Path, text: str) -> None:
    (tmp_path / DECISIONS).write_text(text, encoding="utf-8")
    with pytest.raises(ArtifactError):
        build(made(), task, kept=tmp_path)


def test_what_has_no_meaning_is_refused(task: Task, made: Callable[..., Recipe]) -> None:
    with pytest.raises(RecipeError, match=r"train\.balance=sampling with several labels"):
        build(made(balance="sampling"), task)
    with pytest.raises(RecipeError, match="a token head cannot predict labels"):
        build(made().model_copy(update={"head": Head(type="token")}), task)
    built = build(made(), task)
    items = built.head.encode([Example("7", "a")], "predict")
    with pytest.raises(GateError, match="example 7"):
        built.head.decode(None, [Example("7", "a")], items, [np.full(3, np.nan, np.float32)])
    assert built.head.decode(None, [], [], []) == []


def test_sixteen_examples_are_learnt_by_heart(task: Task, made: Callable[..., Recipe]) -> None:
    built, texts = build(made(), task), examples(16, task)
    assert isinstance(built.head, SeveralHead)
    built.model.train()
    batch = built.head.collate(built.head.encode(texts, "train"))
    optimizer = optimizer_for(built.model, rate=2e-2, head_rate=None, decay=0.0)
    for _ in range(400):
        summed, count = built.head.loss(built.model, batch)
        (summed / count).backward()
        torch.nn.utils.clip_grad_norm_(built.model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if summed < 0.02 * count:
            break
    assert [p.labels for p in told(built, texts)] == [e.labels for e in texts]
    assert json.loads(json.dumps(built.head.describe()))["several"] is True
