"""Law: what a chat model has learnt by heart comes back without a fault through the whole path.

Template, packs with a shared prefix, steps, adapter folder, constrained writing, reading and score: one fault in any of them and a
tiny model no longer reaches an F1 of 1.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

import fintune as ft
import tiny
from fintune.data.load import load
from fintune.records import Example

COUNT = 32
RECIPES = {"llama": "ner-llama3-8b", "qwen3": "ner-qwen3-8b"}


def fire() -> Sequence[Example]:
    folder = os.environ.get("FINTUNE_DATA")
    if not folder:
        pytest.skip("FINTUNE_DATA is not set: the public FIRE sentences are not at hand")
    return load(Path(folder) / "ner" / "fire7_train.csv", kind="spans").examples


def bundled() -> Sequence[Example]:
    return load("bundled:train", kind="spans").examples


@pytest.mark.slow
@pytest.mark.parametrize("family", RECIPES)
@pytest.mark.parametrize("data", [fire, bundled])
def test_what_is_learnt_by_heart_comes_back(tmp_path: Path, family: str, data) -> None:
    examples = [example for example in data() if not example.unaligned][:COUNT]
    assert len(examples) == COUNT
    assert sum(len(example.spans or ()) for example in examples) > COUNT
    base = tiny.write_chat_model(tmp_path / "base", family, width=64, vocabulary=2000, texts=[example.text for example in examples])
    recipe = tiny.chat_recipe(base, name=RECIPES[family])
    assert (recipe.train.sharing, recipe.prompt.target, recipe.predict.decoding) == ("prefix", "literal", "auto")
    report = ft.train(recipe, data=examples, output=tmp_path / "run").evaluate(examples)
    assert report["malformed"]["count"] == 0
    assert report["metrics"]["micro_f1"]["value"] == 1.0, "character spans"
    assert report["metrics"]["surface_micro_f1"]["value"] == 1.0, "surfaces, as the papers count"
