"""A classifier of ours is an ordinary sequence-classification model with a PEFT adapter, its gradient does not depend on how a step is
cut, and it can learn by heart.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    DistilBertModel,
    RobertaConfig,
    RobertaModel,
)

import tiny
from fintune.heads.build import Built, build, load, save
from fintune.heads.calibrated import Calibration
from fintune.models.adapter import attach, trainable_state
from fintune.predict.run import predict
from fintune.recipe import Adapter, Data, Head, Model, Recipe
from fintune.records import Example
from fintune.tasks.base import load_task
from fintune.train.loop import optimizer_for

TASK = load_task("sentiment-3")
FAMILIES = ("bert", "distilbert", "roberta")


SPREAD = 0.1  # of initial weights: with the usual 0.02, untrained networks hardly tell texts apart, and learn by luck


@pytest.fixture(scope="module")
def bases(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A two-layer encoder of each family, with one vocabulary."""
    torch.manual_seed(3)
    shape: dict[str, Any] = {
        "vocab_size": tiny.VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
        "max_position_embeddings": 130, "pad_token_id": 0, "initializer_range": SPREAD,
    }  # fmt: skip
    networks = {
        "bert": BertModel(BertConfig(**shape)),
        "roberta": RobertaModel(RobertaConfig(**shape)),
        "distilbert": DistilBertModel(DistilBertConfig(
            vocab_size=tiny.VOCABULARY, dim=32, n_layers=2, n_heads=2, hidden_dim=64, max_position_embeddings=130, initializer_range=SPREAD,
        )),
    }  # fmt: skip
    folders = {family: tmp_path_factory.mktemp(family) for family in networks}
    for family, network in networks.items():
        network.save_pretrained(folders[family])
        for path in tiny_base.glob("*token*"):
            shutil.copy(path, folders[family])
    return folders


def recipe_on(base: Path, *, dropout: float = 0.0) -> Recipe:
    return Recipe(
        name="tiny", task="sentiment-3", model=Model(base=str(base), dropout=dropout), adapter=Adapter(rank=4, alpha=8),
        head=Head(type="sequence", dropout=dropout), data=Data(max_tokens=32, overlap_tokens=8),
    )  # fmt: skip


def moved_away(base: Path) -> Built:
    """A model whose every trainable weight is another than it began with."""
    built = build(recipe_on(base), TASK)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in trainable_state(built.model).values():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))
    built.model.eval()
    return built


def distinct(count: int) -> list[Example]:
    """Different sentences with labels in turns."""
    different = list({e.text: e for e in tiny.examples(3 * count)}.values())[:count]
    return [replace(e, spans=None, label=TASK.labels[i % 3]) for i, e in enumerate(different)]


def news(count: int) -> list[Example]:
    """Different sentences, of which every fifth is longer than a window."""
    return [replace(e, text=" ".join([e.text] * 4)) if i % 5 == 0 else e for i, e in enumerate(distinct(count))]


@pytest.mark.parametrize("family", FAMILIES)
def test_stock_peft_gives_our_logits(family: str, bases: dict[str, Path], tmp_path: Path) -> None:
    built = moved_away(bases[family])
    (tmp_path / "adapter").mkdir()
    save(built, tmp_path / "adapter", recipe_on(bases[family]))
    batch = built.head.collate(built.head.encode(news(8), "train"))
    assert len(set(batch["mask"].sum(1).tolist())) > 1, "some rows have to be padded"
    stock: Any = AutoModelForSequenceClassification.from_pretrained(bases[family], num_labels=3, dtype=torch.float32)
    stock = PeftModel.from_pretrained(stock, tmp_path / "adapter").eval()
    with torch.no_grad():
        ours = built.model(batch["tokens"], batch["mask"])
        theirs = stock(input_ids=batch["tokens"], attention_mask=batch["mask"]).logits
        with stock.disable_adapter():
            without = stock(input_ids=batch["tokens"], attention_mask=batch["mask"]).logits
    assert float((ours - theirs).abs().max()) <= 1e-5
    assert float((without - theirs).abs().max()) > 1e-2, "the adapter has to make a difference"


def test_a_kept_model_predicts_what_it_did(bases: dict[str, Path], tmp_path: Path) -> None:
    built, folder = moved_away(bases["distilbert"]), tmp_path / "adapter"
    built.head.calibration = Calibration(1.5)
    folder.mkdir()
    save(built, folder, recipe_on(bases["distilbert"]))
    again = load(recipe_on(bases["distilbert"]), TASK, folder)
    before, after = (list(predict(b.model, b.head, news(12), batch_tokens=64, precision="fp32")) for b in (built, again))
    assert after == before
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "AutoModelForSequenceClassification" in card
    assert "num_labels=3" in card
    assert '["negative", "neutral", "positive"]' in card


@pytest.mark.parametrize("family", FAMILIES)
def test_what_else_is_in_a_batch_changes_no_prediction(family: str, bases: dict[str, Path]) -> None:
    built, examples = moved_away(bases[family]), news(15)
    together = list(predict(built.model, built.head, examples, batch_tokens=4096, precision="fp32"))
    alone = [next(predict(built.model, built.head, [example], batch_tokens=64, precision="fp32")) for example in examples]
    assert [p.id for p in together] == [e.id for e in examples]
    for one, other in zip(together, alone, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)
        assert one.label == other.label
    assert len({p.probabilities for p in together}) == len(examples), "the model has to tell texts apart"


CUTS: dict[str, Callable[[list[Any]], list[list[Any]]]] = {
    "one by one": lambda items: [[item] for item in items],
    "uneven": lambda items: [items[:1], items[1:4], items[4:]],
    "by length": lambda items: [sorted(items, key=lambda item: item.length)],
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS.keys())
@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_does_not_depend_on_the_cut(family: str, cut: Callable[[list[Any]], list[list[Any]]], bases: dict[str, Path]) -> None:
    built = moved_away(bases[family])
    items = built.head.encode(news(11), "train")
    assert len(items) > 11
    whole, total, units = gradient(built, [items])
    parts, sum_of_parts, units_of_parts = gradient(built, cut(items))
    assert units == units_of_parts == len(items)
    assert sum_of_parts == pytest.approx(total, rel=1e-6)
    assert whole.keys() == parts.keys() == trainable_state(built.model).keys()
    for name, value in whole.items():
        assert float((value - parts[name]).norm()) <= 1e-5 * float(value.norm()) + 1e-7, name


def gradient(built: Built, batches: list[list[Any]]) -> tuple[dict[str, Tensor], float, int]:
    """Gradient, sum of the loss and count over batches that are summed."""
    built.model.train()
    built.model.zero_grad()
    total, units = 0.0, 0
    for batch in batches:
        summed, count = built.head.loss(built.model, built.head.collate(batch))
        summed.backward()
        total, units = total + summed.item(), units + int(count)
    return {name: p.grad.clone() for name, p in trainable_state(built.model).items() if p.grad is not None}, total, units


@pytest.mark.parametrize("family", FAMILIES)
def test_sixteen_examples_are_learnt_by_heart(family: str, bases: dict[str, Path]) -> None:
    examples = [e if i else replace(e, text=f"{e.text} {e.text}") for i, e in enumerate(distinct(16))]  # one is longer than a window
    built = build(recipe_on(bases[family]), TASK)
    built.model.train()
    items = built.head.encode(examples, "train")
    assert len(items) > 16
    batch = built.head.collate(items)
    optimizer = optimizer_for(built.model, rate=5e-3, head_rate=None, decay=0.0)
    for _ in range(200):
        summed, count = built.head.loss(built.model, batch)
        (summed / count).backward()
        torch.nn.utils.clip_grad_norm_(built.model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if summed < 0.02 * count:
            break
    found = list(predict(built.model, built.head, examples, batch_tokens=512, precision="fp32"))
    assert [p.label for p in found] == [e.label for e in examples]
    assert TASK.score(list(zip(examples, found, strict=True)), documents=[e.id for e in examples])["metrics"]["accuracy"]["value"] == 1.0


def test_the_layers_that_are_drawn_anew_are_trained_and_kept() -> None:
    """DistilBERT at full size: LoRA on queries and values, and both layers after the encoder, which no pretrained file has."""
    with torch.device("meta"):
        network = DistilBertForSequenceClassification(DistilBertConfig(num_labels=3))
    adapted, matched = attach(network, Adapter(rank=8, alpha=16, targets=["q_lin", "v_lin"]), task_type="SEQ_CLS")
    lora, before, last = 6 * 2 * (768 * 8 * 2), 768 * 768 + 768, 768 * 3 + 3
    assert matched.trainable == lora + before + last == 740_355
    trained = {name.split(".modules_to_save")[0].rsplit(".", 1)[-1] for name in trainable_state(adapted) if "lora" not in name}
    assert trained == {"pre_classifier", "classifier"}
