"""Training on data that give the gold away: refused before a model is read, and with the override named in certificate and page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import small_bases
from fintune import api
from fintune import recipe as recipes
from fintune.data.questions import sentiment_as_asked, sentiment_as_published
from fintune.errors import DataError
from fintune.recipe import Recipe
from fintune.records import Example
from fintune.tasks.base import load_task
from fintune.train import leaks

TASK = load_task("financial-questions")
SENTENCES = [
    Example(str(i), f"Sales {verb} in quarter {i} .", label=label, where=f"rows.jsonl:{i}")
    for i, (verb, label) in enumerate([("rose", "positive"), ("fell", "negative"), ("were flat", "neutral")] * 14, 1)
]
LEAKY = sentiment_as_published(SENTENCES)


def recipe_on(base: str, accept: str = "refuse") -> Recipe:
    return recipes.load("qa-minilm", {"model.base": base, "data.leaks": accept, "train.epochs": 1, "train.precision": "fp32"})


def test_the_published_construction_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        api.train(recipe_on("no-such-base"), data=LEAKY, output=tmp_path / "run")
    message = str(caught.value)
    assert message.startswith("rows.jsonl:1: the text gives the gold away (D601, D603): the rule 'the answer is the first word'")
    assert "right in 100.0% of 42 examples" in message
    assert "--set data.leaks=accept" in message
    assert not (tmp_path / "run").exists()


def test_without_the_leak_nothing_is_refused_or_noted() -> None:
    for data in (sentiment_as_asked(SENTENCES), LEAKY[:20]):
        leaks.refuse(recipe_on("x"), TASK, data)
        assert leaks.notes(recipe_on("x"), TASK, LEAKY) == ()
        assert leaks.notes(recipe_on("x", "accept"), TASK, data) == ()


def test_labels_that_stand_in_their_texts_are_refused_too() -> None:
    rows = [Example(e.id, f"{e.label} : {e.text}", label=e.label) for e in SENTENCES]
    recipe = recipes.load("sentiment-bert")
    with pytest.raises(DataError, match="D602"):
        leaks.refuse(recipe, load_task("sentiment-3"), rows)
    leaks.refuse(recipe, load_task("sentiment-3"), SENTENCES[:20])


def test_the_override_is_printed_in_certificate_and_report(tmp_path: Path) -> None:
    base = small_bases.write(tmp_path / "base", "minilm", [e.text for e in LEAKY])
    run = api.train(recipe_on(str(base), "accept"), data=LEAKY, output=tmp_path / "run")
    kept = json.loads((tmp_path / "run" / "preflight.json").read_text(encoding="utf-8"))
    assert any("data.leaks=accept although the rule 'the answer is the first word'" in note for note in kept["notes"])
    run.evaluate(LEAKY[:6])
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "data.leaks=accept although" in page
    assert "do not trust any score on this data" in page
