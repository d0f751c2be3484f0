"""Architectures at full size without weights: totals against the catalog, what adapters train against formulas of our own.

Everything is built on the meta device, so that eight billion parameters take no memory.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
)

from fintune import recipe as recipes
from fintune.errors import RecipeError
from fintune.models import shapes
from fintune.models.adapter import Matched, linear_layers
from fintune.models.catalog import catalog
from fintune.recipe import Adapter, Recipe

PAGES = Path(__file__).parents[2] / "docs" / "reproductions"

# Scores of the output layer: BIO tags of seven types, three sentiments, twenty topics.
OUTPUTS = {"finance-ner-7": 15, "sentiment-3": 3, "topic-20": 20, "financial-reasoning": 0, "financial-questions": 2}

# What each recipe trains, without the word shapes and transitions of ner-minilm.
TRAINED = {
    "ner-minilm": 669_327,
    "ner-bert-base": 1_338_639,
    "ner-t5-base": 3_244_032,
    "ner-llama3-8b": 20_971_520,
    "ner-deepseek-r1-8b": 21_823_488,
    "ner-qwen3-8b": 21_823_488,
    "ner-baichuan2-7b": 19_988_480,
    "ner-qwen3-0.6b": 10_092_544,
    "sentiment-qwen3-0.6b": 10_092_544,
    "reasoning-fino1-8b": 20_971_520,
    **{f"{task}-qwen3-8b": 21_823_488 for task in ("sentiment", "topic")},
    **{f"{task}-{base}-7b": 19_988_480 for task in ("sentiment", "topic") for base in ("llama", "llama2", "baichuan2")},
    "sentiment-bert": 1_341_699,
    "topic-bert": 1_354_772,
    "sentiment-roberta": 1_920_003,
    "topic-roberta": 1_933_076,
    "sentiment-roberta-large": 4_591_619,
    "topic-roberta-large": 4_609_044,
    "sentiment-minilm": 664_707,
    "topic-minilm": 671_252,
    "qa-minilm": 664_322,
    "qa-distilbert": 148_994,
}


def counting(name: str) -> Any:
    """The class whose parameters the catalog counts: encoders bare, all else with what it is published for."""
    family = catalog()[name].family
    if name == "distilbert-squad":
        return AutoModelForQuestionAnswering
    return {"t5": AutoModelForSeq2SeqLM}.get(family, AutoModel if "bert" in family else AutoModelForCausalLM)


def test_every_entry_of_the_catalog_has_a_shape_and_none_besides() -> None:
    assert set(shapes.available()) == catalog().keys()


@pytest.mark.parametrize("name", sorted(catalog()))
def test_the_catalog_has_the_figures_of_the_architecture(name: str) -> None:
    entry, config = catalog()[name], shapes.config(name)
    model = shapes.skeleton(counting(name), config)
    assert all(p.is_meta for p in model.parameters())
    assert sum(p.numel() for p in model.parameters()) == entry.parameters
    assert (config.num_hidden_layers, config.hidden_size, config.model_type) == (entry.layers, entry.width, entry.family)
    leaves = {path.rsplit(".", 1)[-1] for path in linear_layers(model) if "pooler" not in path}
    assert set(entry.targets) == leaves or (name == "distilbert-squad" and set(entry.targets) < leaves)


@pytest.mark.parametrize("name", sorted(path.stem for path in Path(shapes.__file__).with_name("shapes").glob("*.json")))
def test_settings_survive_writing_and_reading(name: str, tmp_path: Path) -> None:
    """What stands in a shape is what a config.json of the hub would mean; no setting is lost or misread."""
    config = shapes.config(name)
    config.save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path).to_diff_dict() == config.to_diff_dict()


def test_a_base_without_a_shape_is_refused_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"model.base: no architecture settings for 'qwen3-80b'; did you mean 'qwen3-8b'\?"):
        shapes.config("qwen3-80b")
    with pytest.raises(RecipeError, match="no architecture settings"):
        shapes.config("../catalog")


# ---------------------------------------------------------------- what adapters train


@cache
def _structure(base: str, head: str, adapter: str, outputs: int, pooling: str = "auto") -> Matched:
    settings = {"name": "x", "task": "finance-ner-7", "model": {"base": base}, "head": {"type": head, "pooling": pooling}}
    recipe = recipes.from_settings({**settings, "adapter": Adapter.model_validate_json(adapter).model_dump()}, "test")
    return shapes.adapted(recipe, outputs=outputs)[1]


def structure(recipe: Recipe) -> Matched:
    """Recipes that differ in nothing that matters here share one network."""
    adapter = recipe.adapter.model_dump_json()
    return _structure(recipe.model.base, recipe.head.type, adapter, OUTPUTS[recipe.task], recipe.head.pooling)


def low_rank(base: str, rank: int) -> int:
    """Parameters of B A on every linear layer of the body: rank x (inputs + outputs), from the sizes alone; of DistilBERT on two."""
    kept: Any = shapes.config(base)
    width, layers = kept.hidden_size, kept.num_hidden_layers
    if kept.model_type == "distilbert":
        return rank * layers * 2 * 2 * width
    if kept.model_type == "t5":
        heads = kept.num_heads * kept.d_kv
        encoder, decoder = 4 * (width + heads) + 2 * (width + kept.d_ff), 8 * (width + heads) + 2 * (width + kept.d_ff)
        return rank * (kept.num_layers * encoder + kept.num_decoder_layers * decoder)
    if "bert" in kept.model_type:
        return rank * layers * (4 * 2 * width + 2 * (width + kept.intermediate_size))
    head = getattr(kept, "head_dim", None) or width // kept.num_attention_heads
    queries, pairs = kept.num_attention_heads * head, kept.num_key_value_heads * head
    return rank * layers * (2 * (width + queries) + 2 * (width + pairs) + 3 * (width + kept.intermediate_size))


def output_layer(recipe: Recipe) -> int:
    """Parameters that train beside the adapter: the output layer, and BERT's pooler under its adapter."""
    width, outputs = shapes.config(recipe.model.base).hidden_size, OUTPUTS[recipe.task]
    last = outputs * (width + 1)
    if recipe.head.type == "generative":
        return 0
    if recipe.head.type in ("token", "span") or recipe.head.pooling == "mean":
        return last
    if catalog()[recipe.model.base].family == "roberta":
        return last + width * (width + 1)
    return last + recipe.adapter.rank * 2 * width


def test_every_recipe_is_counted() -> None:
    assert TRAINED.keys() == set(recipes.available())


@pytest.mark.parametrize("name", recipes.available())
def test_what_a_recipe_trains(name: str) -> None:
    """Peft's count, the formula and the stated figure agree; the total is the base, the adapter and peft's copy of the output layer."""
    recipe = recipes.load(name)
    matched = structure(recipe)
    assert matched.trainable == low_rank(recipe.model.base, recipe.adapter.rank) + output_layer(recipe) == TRAINED[name]
    if recipe.head.type == "generative":
        assert matched.total == catalog()[recipe.model.base].parameters + matched.trainable


@pytest.mark.parametrize("base", ["llama3-8b", "llama3-8b-instruct", "deepseek-r1-distill-llama-8b", "qwen3-8b", "deepseek-r1-8b"])
@pytest.mark.parametrize("targets", ["all-linear", "attention", ("q_proj", "v_proj")], ids=str)
def test_the_readings_of_the_published_targets(base: str, targets: Any) -> None:
    """Rank 8, on everything, on attention, and on queries and values: the papers leave the choice open."""
    expected = {
        "llama": {"all-linear": 20_971_520, "attention": 6_815_744, ("q_proj", "v_proj"): 3_407_872},
        "qwen3": {"all-linear": 21_823_488, "attention": 7_667_712, ("q_proj", "v_proj"): 3_833_856},
    }
    chosen = targets if isinstance(targets, str) else list(targets)
    matched = _structure(base, "generative", Adapter(targets=chosen).model_dump_json(), 0)
    assert matched.trainable == expected[catalog()[base].family][targets]


@pytest.mark.parametrize(("rank", "trainable"), [(4, 75_266), (8, 148_994), (16, 296_450)])
def test_the_published_counts_of_distilbert_for_questions(rank: int, trainable: int) -> None:
    _, matched = shapes.adapted(recipes.load("qa-distilbert", {"adapter.rank": rank}))
    assert matched.trainable == 6 * 2 * (768 * rank * 2) + 1_538 == trainable
    assert rank != 8 or matched.total == 66_513_412


# ---------------------------------------------------------------- what the documents say of it


def test_the_pages_state_these_counts() -> None:
    """The table of the reproductions has every recipe that has a source, with its trained parameters."""
    rows = dict(re.findall(r"^\| `([\w.-]+)` \|.*?\| ([\d,]+) \|$", (PAGES / "README.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert rows == {name: f"{count:,}" for name, count in TRAINED.items() if recipes.load(name).source.title}
