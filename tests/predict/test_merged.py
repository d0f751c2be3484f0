"""A merged adapter predicts what it predicts beside the base, its files stay as they are, and it is refused where merging is coarse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny
from fintune import recipe as recipes
from fintune.errors import RecipeError
from fintune.heads.build import Built, build, load, save
from fintune.predict.run import scored
from fintune.recipe import Recipe
from fintune.records import Example
from fintune.tasks.base import load_task

WAYS: list[dict[str, Any]] = [
    {},
    {"adapter.scale": "rank-stabilised"},
    {"adapter.method": "dora"},
    {"head.pooling": "mean"},
    {"head.type": "token", "task": "finance-ner-7"},
]


def made(base: Path, settings: dict[str, Any]) -> Recipe:
    recipe = {
        "model.base": str(base), "head.type": "sequence", "task": "sentiment-3", "data.max_tokens": 32, "data.overlap_tokens": 8,
        "adapter.rank": 4, "adapter.alpha": 8,
    }  # fmt: skip
    return recipes.load("ner-minilm", recipe | settings)


def kept(recipe: Recipe, folder: Path) -> Path:
    """The folder of an adapter that changes what the base says."""
    built = build(recipe, load_task(recipe.task))
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in built.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.3, generator=draw)
    save(built, folder, recipe)
    return folder


def said(built: Built, examples: list[Example]) -> np.ndarray:
    """All scores, one after another."""
    found = scored(built.model, built.head, examples, batch_tokens=64, precision="fp32")
    rows = [row for _, _, scores in found for row in scores]
    return np.concatenate([np.ravel(getattr(row, "emissions", row)) for row in rows])


@pytest.mark.parametrize("settings", WAYS, ids=lambda s: "-".join(map(str, s.values())) or "plain")
def test_merged_predicts_as_beside(tiny_base: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    beside, merged = (made(tiny_base, settings | {"predict.adapter": way}) for way in ("beside", "merged"))
    task, folder, examples = load_task(beside.task), kept(beside, tmp_path / "adapter"), tiny.examples(20)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    apart, one = load(beside, task, folder), load(merged, task, folder)
    flags = [[module.merged for module in built.model.modules() if hasattr(module, "lora_A")] for built in (apart, one)]
    assert flags[0]
    assert not any(flags[0])
    assert all(flags[1])
    with apart.model.adapted.disable_adapter():
        bare = said(apart, examples)
    reference = said(apart, examples)
    error = np.abs(said(one, examples) - reference).max()
    assert error < 1e-5
    assert np.abs(reference - bare).max() > 100 * error, "the adapter does something"
    save(one, tmp_path / "again", merged)
    for name in ("adapter_model.safetensors", "head.json"):
        assert (tmp_path / "again" / name).read_bytes() == before[name]


def test_training_does_not_depend_on_how_predictions_will_be_made(tiny_base: Path) -> None:
    beside, merged = (made(tiny_base, {"predict.adapter": way}) for way in ("beside", "merged"))
    assert beside.fingerprint() == merged.fingerprint()
    built = build(merged, load_task(merged.task))
    assert not any(module.merged for module in built.model.modules() if hasattr(module, "lora_A"))


@pytest.mark.parametrize("settings", [{"head.type": "generative"}, {"model.dtype": "bf16"}, {"model.quantisation": "4bit"}])
def test_merging_is_refused_where_it_would_change_more_than_roundings(tiny_base: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="cannot be merged"):
        made(tiny_base, settings | {"predict.adapter": "merged"})
