"""A regression on words beside the sequence head: its scores are added to the network's, it is kept with the adapter, and it is refused."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny
from fintune.errors import ArtifactError, RecipeError
from fintune.heads.base import Learning, ready
from fintune.heads.build import Built, build, load, save
from fintune.heads.words import WORDS, Beside
from fintune.metrics.calibration import sigmoid, softmax
from fintune.predict.run import predict
from fintune.recipe import Adapter, Data, Head, Model, Recipe
from fintune.records import Example
from fintune.run import write_json
from fintune.tasks.base import Task, load_task
from fintune.text import regression

SEVERAL = 'name = "events"\nkind = "label"\nmultiple = true\ndescription = "d"\n[labels]\ndeal = ""\npeople = ""\nresults = ""\n'
WEIGHT = 0.7


@pytest.fixture(scope="module", params=["one", "several"])
def task(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Task:
    if request.param == "one":
        return load_task("sentiment-3")
    path = tmp_path_factory.mktemp("task") / "events.toml"
    path.write_text(SEVERAL, encoding="utf-8")
    return load_task(path)


def made(base: Path, task: Task, *, weight: float = WEIGHT) -> Recipe:
    return Recipe(
        name="tiny", task=task.name, model=Model(base=str(base), dropout=0.0), adapter=Adapter(rank=4, alpha=8),
        head=Head(type="sequence", dropout=0.0, pooling="mean", words_weight=weight),
        data=Data(max_tokens=32, overlap_tokens=8, links="drop"),
    )  # fmt: skip


def labelled(task: Task, count: int = 40) -> list[Example]:
    """Different sentences, each with an address; every fifth is longer than a window."""
    different = list({e.text: e for e in tiny.examples(3 * count)}.values())[:count]
    texts = [f"{' '.join([e.text] * (4 if i % 5 == 0 else 1))} https://t.co/{i}" for i, e in enumerate(different)]
    several = task.kind == "labels"
    return [
        Example(str(i), text, labels=task.labels[: i % 3]) if several else Example(str(i), text, label=task.labels[i % 3])
        for i, text in enumerate(texts)
    ]


def built(base: Path, task: Task, examples: list[Example], *, weight: float = WEIGHT) -> Built:
    parts = build(made(base, task, weight=weight), task)
    ready(parts.head, examples)
    return parts


def one(parts: Built) -> Any:
    """The head of one label, which that of several has inside."""
    return getattr(parts.head, "texts", parts.head)


def logits(parts: Built, examples: list[Example], task: Task) -> np.ndarray:
    """Logarithms of the odds or probabilities that are told."""
    found = list(predict(parts.model, parts.head, examples, batch_tokens=512, precision="fp32"))
    told = np.array([p.probabilities for p in found])
    return np.log(told) - (np.log(1 - told) if task.kind == "labels" else 0)


def test_its_scores_are_added_to_those_of_the_network(tiny_base: Path, task: Task) -> None:
    examples = labelled(task)
    with_words, without = built(tiny_base, task, examples), built(tiny_base, task, examples, weight=0)
    texts = [e.text.partition(" https:")[0] for e in examples]
    several = task.kind == "labels"
    gold = np.array([[label in (e.labels or ()) if several else label == e.label for label in task.labels] for e in examples])
    rows = sorted(range(len(texts)), key=lambda i: texts[i])
    words = regression.fit([texts[i] for i in rows], gold[rows], task.labels, link=sigmoid if several else softmax)
    expected = logits(without, examples, task) + WEIGHT * np.array([words.scores(text) for text in texts])
    if not several:
        expected = np.log(softmax(expected))
    assert logits(with_words, examples, task) == pytest.approx(expected, abs=1e-5)
    assert not np.allclose(logits(without, examples, task), expected, atol=0.1)


def test_it_is_kept_with_the_adapter_and_read_back(tiny_base: Path, task: Task, tmp_path: Path) -> None:
    examples, recipe = labelled(task), made(tiny_base, task)
    parts = built(tiny_base, task, examples)
    parts.model.eval()
    save(parts, tmp_path, recipe)
    assert f"{WEIGHT} times those of `{WORDS}`" in (tmp_path / "README.md").read_text(encoding="utf-8")
    again = load(recipe, task, tmp_path)
    assert logits(again, examples, task).tolist() == logits(parts, examples, task).tolist()


def test_it_does_not_depend_on_the_order_of_the_examples(tiny_base: Path, task: Task) -> None:
    examples = labelled(task)
    first = one(built(tiny_base, task, examples)).beside.files()
    random.Random(1).shuffle(examples)
    assert first == one(built(tiny_base, task, examples)).beside.files()
    assert first.keys() == {WORDS}


def test_what_is_not_wanted_is_neither_learnt_nor_kept(tiny_base: Path, task: Task) -> None:
    parts = built(tiny_base, task, labelled(task), weight=0)
    assert isinstance(parts.head, Learning)
    assert one(parts).beside.words is None
    assert WORDS not in parts.head.keep()
    assert "words_weight" not in parts.head.describe()
    assert (one(parts).beside.scores(["a", "b"], labels=3) == np.zeros((2, 3))).all()


def test_predicting_does_not_learn(tiny_base: Path, task: Task) -> None:
    parts = build(made(tiny_base, task), task)
    parts.head.encode(labelled(task), "predict")
    assert one(parts).beside.words is None


@pytest.mark.parametrize("damage", ["gone", "nothing", "other labels"])
def test_a_folder_without_it_or_with_another_is_refused(tiny_base: Path, task: Task, tmp_path: Path, damage: str) -> None:
    examples, recipe = labelled(task), made(tiny_base, task)
    save(built(tiny_base, task, examples), tmp_path, recipe)
    path = tmp_path / WORDS
    if damage == "gone":
        path.unlink()
    elif damage == "nothing":
        path.write_text("{}", encoding="utf-8")
    else:
        record = json.loads(path.read_text(encoding="utf-8"))
        write_json(path, {**record, "labels": record["labels"][::-1]})
    with pytest.raises(ArtifactError, match=WORDS):
        load(recipe, task, tmp_path)


def test_another_weight_than_in_training_is_refused(tiny_base: Path, task: Task, tmp_path: Path) -> None:
    save(built(tiny_base, task, labelled(task)), tmp_path, made(tiny_base, task))
    with pytest.raises(ArtifactError, match="changed: words_weight"):
        load(made(tiny_base, task, weight=0.5), task, tmp_path)


def test_other_heads_have_no_place_for_it(tiny_base: Path) -> None:
    recipe = made(tiny_base, load_task("finance-ner-7"))
    recipe = recipe.model_copy(update={"head": recipe.head.model_copy(update={"type": "token", "pooling": "auto"})})
    with pytest.raises(RecipeError, match=r"head\.words_weight with a token head"):
        build(recipe, load_task("finance-ner-7"))


def test_nothing_is_added_to_no_texts() -> None:
    words = Beside(1.0)
    words.learn(["rose", "fell"] * 2, np.array([[True, False], [False, True]] * 2), ("up", "down"), link=softmax)
    assert words.scores([], labels=2).shape == (0, 2)
    up, down = words.scores(["rose", "fell"], labels=2)
    assert up[0] > up[1]
    assert down[1] > down[0]
    assert replace(words, weight=2.0).scores(["rose"], labels=2).tolist() == (2 * up[None]).tolist()
    assert torch.isfinite(torch.tensor(up)).all()
