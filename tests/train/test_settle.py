from __future__ import annotations

import pytest
import torch

from fintune import recipe as recipes
from fintune import run
from fintune.heads.base import IGNORED
from fintune.heads.build import build, load
from fintune.records import Example, Span
from fintune.tasks.base import load_task
from fintune.train.run import settle, train

TEXT = "Brask's profit rose in Malmö"
WHOLE = Example("1", TEXT, (Span(0, 7, "Company", "Brask's"), Span(23, 28, "Location", "Malmö")))
NAME = Example("1", TEXT, (Span(0, 5, "Company", "Brask"), Span(23, 28, "Location", "Malmö")))


@pytest.mark.parametrize(("example", "grain"), [(WHOLE, "coarse"), (NAME, "fine")])
def test_a_run_keeps_the_words_its_annotation_allows_and_tags_them_alike_afterwards(recipe, tmp_path, example, grain):
    made = recipe({"train.epochs": 1, "data.words": "auto"})
    task = load_task(made.task)
    train(made, task, [example] * 4, [], tmp_path / "run", data={})
    kept = recipes.load(tmp_path / "run" / run.RECIPE)
    assert kept.data.words == grain
    head = load(kept, task, tmp_path / "run" / run.ADAPTER).head
    window = head.encode([example])[0]
    assert head.tagset.tags[window.tags[0]] == "B-Company"
    inside = sum(head.tagset.tags[tag] == "I-Company" for tag in window.tags)
    assert inside == 0  # "Brask's" is one coarse word, "Brask" one fine one
    assert head.grain == grain


def test_a_chosen_grain_stands_whatever_the_annotation(recipe):
    for grain in ("fine", "coarse"):
        assert settle(recipe({"data.words": grain}), load_task("finance-ner-7"), [WHOLE, NAME]).data.words == grain


@pytest.mark.parametrize("transitions", ["fixed", "learned"])
def test_a_share_without_gold_has_no_loss_and_no_gradient(recipe, transitions):
    """What a process without a share of a step passes through the model (train.run), so that the others need not wait."""
    made = recipe({"head.transitions": transitions})
    built = build(made, load_task(made.task))
    batch = built.head.collate(built.head.encode([WHOLE]))
    loss, count = built.head.loss(built.model, {**batch, "labels": torch.full_like(batch["labels"], IGNORED)})
    loss.backward()
    gradients = [p.grad for p in built.model.parameters() if p.grad is not None]
    assert (float(loss.detach()), int(count)) == (0.0, 0)
    assert gradients
    assert all(not g.any() for g in gradients)
