"""Pooling and losses against their definitions: stock models on unpadded rows, and sums written out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch.nn import functional
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

from fintune.heads.base import IGNORED
from fintune.heads.build import Built, build, load, save
from fintune.heads.classifier import balanced_weights, losses
from fintune.models.adapter import trainable_state
from fintune.predict.run import predict
from fintune.recipe import Adapter, Data, Head, Model, Recipe, Train
from fintune.records import Example
from fintune.tasks.base import load_task

TASK = load_task("sentiment-3")


def recipe_on(base: Path, pooling: Any, **train: Any) -> Recipe:
    return Recipe(
        name="tiny", task="sentiment-3", model=Model(base=str(base), dropout=0.0), adapter=Adapter(rank=4, alpha=8),
        head=Head(type="sequence", dropout=0.0, pooling=pooling), data=Data(max_tokens=32, overlap_tokens=8), train=Train(**train),
    )  # fmt: skip


def moved_away(recipe: Recipe) -> Built:
    """A model whose every trainable weight is another than it began with."""
    built = build(recipe, TASK)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in trainable_state(built.model).values():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=draw))
    built.model.eval()
    return built


@pytest.fixture
def texts(examples: list[Example]) -> list[Example]:
    return [Example(e.id, e.text, label=TASK.labels[i % 3]) for i, e in enumerate(examples[:9])]


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_stock_peft_gives_our_scores_whatever_is_padded(
    pooling: str, tiny_base: Path, tiny_llama: Path, texts: list[Example], tmp_path: Path
) -> None:
    base = tiny_base if pooling == "mean" else tiny_llama
    built = moved_away(recipe_on(base, pooling))
    save(built, tmp_path, recipe_on(base, pooling))
    items = built.head.encode(texts, "train")
    assert len({item.length for item in items}) > 2, "some rows have to be padded"
    batch = built.head.collate(items)
    auto: Any = AutoModelForTokenClassification if pooling == "mean" else AutoModelForSequenceClassification
    assert auto.__name__ == built.head.auto
    assert auto.__name__ in (tmp_path / "README.md").read_text(encoding="utf-8")
    stock = PeftModel.from_pretrained(auto.from_pretrained(base, num_labels=3, dtype=torch.float32), tmp_path).eval()
    with torch.no_grad():
        ours = built.model(batch["tokens"], batch["mask"])
        for row, item in zip(ours, items, strict=True):
            logits = stock(input_ids=torch.tensor([item.tokens])).logits[0]
            theirs = logits.mean(0) if pooling == "mean" else logits
            assert float((row - theirs).abs().max()) <= 1e-5
    assert float((ours[0] - ours[1]).abs().max()) > 1e-3, "texts have to be told apart"


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_a_kept_model_predicts_what_it_did(pooling: str, tiny_base: Path, tiny_llama: Path, texts: list[Example], tmp_path: Path) -> None:
    recipe = recipe_on(tiny_base if pooling == "mean" else tiny_llama, pooling)
    built = moved_away(recipe)
    save(built, tmp_path, recipe)
    again = load(recipe, TASK, tmp_path)
    before, after = (list(predict(b.model, b.head, texts, batch_tokens=64, precision="fp32")) for b in (built, again))
    assert after == before
    assert not (tmp_path / "extras.safetensors").exists(), "all of it is in stock PEFT files"


def test_mean_pooling_is_the_output_layer_on_the_mean_state(tiny_base: Path, texts: list[Example]) -> None:
    built = moved_away(recipe_on(tiny_base, "mean"))
    network = built.model.adapted.get_base_model()
    batch = built.head.collate(built.head.encode(texts, "train"))
    with torch.no_grad():
        states = network.bert(input_ids=batch["tokens"], attention_mask=batch["mask"]).last_hidden_state
        mean = torch.stack([row[mask.bool()].mean(0) for row, mask in zip(states, batch["mask"], strict=True)])
        assert torch.allclose(network.classifier(mean), built.model(batch["tokens"], batch["mask"]), atol=1e-5)


def test_focal_loss_is_its_formula_and_cross_entropy_at_zero() -> None:
    scores = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)) * 4
    labels = torch.tensor([0, 1, 2, IGNORED, 0, 1])
    p = scores.softmax(1)[torch.arange(6), labels.clamp(min=0)]
    for gamma in (0.5, 2.0):
        want = torch.where(labels == IGNORED, 0.0, -((1 - p) ** gamma) * p.log())
        assert torch.allclose(losses(scores, labels, gamma=gamma, smoothing=0.0), want, atol=1e-6)
    plain = functional.cross_entropy(scores, labels, reduction="none", ignore_index=IGNORED, label_smoothing=0.1)
    assert torch.equal(losses(scores, labels, gamma=0.0, smoothing=0.1), plain)


def test_focal_loss_has_a_finite_gradient_where_a_text_is_certain() -> None:
    scores = torch.tensor([[200.0, 0.0], [0.0, 200.0]], requires_grad=True)
    losses(scores, torch.tensor([0, 0]), gamma=0.5, smoothing=0.0).sum().backward()
    assert scores.grad is not None
    assert torch.isfinite(scores.grad).all()


def test_weights_make_labels_alike_and_average_one() -> None:
    labels = ["a"] * 7 + ["b"] * 2 + ["c"]
    weights = balanced_weights(labels)
    assert {round(weights[label] * labels.count(label), 9) for label in "abc"} == {round(10 / 3, 9)}
    assert sum(weights[label] for label in labels) == pytest.approx(10)
    assert balanced_weights([None]) == {}


def test_weighted_loss_is_that_of_torch(tiny_base: Path, texts: list[Example]) -> None:
    texts = [*texts, Example("x", "Nothing was decided .", label="neutral"), Example("y", "Nothing .", label="neutral")]
    built = moved_away(recipe_on(tiny_base, "mean", balance="weights"))
    batch = built.head.collate(built.head.encode(texts, "train"))
    weights = balanced_weights([e.label for e in texts])
    summed, count = built.head.loss(built.model, batch)
    with torch.no_grad():
        scores = built.model(batch["tokens"], batch["mask"])
    by_label = torch.tensor([weights[label] for label in TASK.labels])
    assert (summed / count).item() == pytest.approx(functional.cross_entropy(scores, batch["labels"], weight=by_label).item(), rel=1e-5)
    halves = [{name: tensor[part] for name, tensor in batch.items()} for part in (slice(0, 4), slice(4, None))]
    parts = [built.head.loss(built.model, half) for half in halves]
    assert sum(part[0].item() for part in parts) == pytest.approx(summed.item(), rel=1e-5)
    assert sum(part[1].item() for part in parts) == pytest.approx(count.item(), rel=1e-6)


def test_a_prediction_has_no_weights(tiny_base: Path, texts: list[Example]) -> None:
    head = build(recipe_on(tiny_base, "mean", balance="weights"), TASK).head
    assert {item.unit for item in head.encode(texts, "predict")} == {1.0}
