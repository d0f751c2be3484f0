"""Base models without their weights: the published architecture settings, for counting parameters and estimating memory.

`config("qwen3-8b")` gives the transformers configuration, `skeleton` the network on the meta device, where tensors have shapes
and no data, and `adapted` a recipe's network with its adapter. A name without settings in `shapes/` is refused. Exercised by
`python -m pytest tests/models/test_shapes.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)
from transformers.utils import logging as transformers_logging

from fintune.errors import RecipeError, did_you_mean
from fintune.models.adapter import Matched, attach
from fintune.recipe import Recipe

_FOLDER = Path(__file__).parent / "shapes"

# Names in the catalog whose settings differ from another's in nothing that a tensor's shape depends on.
_SAME = {
    "distilbert-squad": "distilbert",
    "llama2-7b-chat": "llama2-7b",
    "llama3-8b-instruct": "llama3-8b",
    "deepseek-r1-distill-llama-8b": "llama3.1-8b-instruct",
}

# Of each head, the class of transformers that has its output layer, and peft's name for what it does.
_CLASSES: dict[str, tuple[Any, str]] = {
    "token": (AutoModelForTokenClassification, "TOKEN_CLS"),
    "sequence": (AutoModelForSequenceClassification, "SEQ_CLS"),
    "span": (AutoModelForQuestionAnswering, "QUESTION_ANS"),
    "generative": (AutoModelForCausalLM, "CAUSAL_LM"),
}


def available() -> tuple[str, ...]:
    """Catalog names that have a shape, sorted."""
    return tuple(sorted({path.stem for path in _FOLDER.glob("*.json")} | _SAME.keys()))


def config(name: str) -> Any:
    """The transformers configuration of a base model, by its name in the catalog.

    Raises:
        RecipeError: where its settings are not kept here.
    """
    if name not in available():
        raise RecipeError(f"no architecture settings for {name!r}", where="model.base", fix=did_you_mean(name, available()))
    settings = json.loads((_FOLDER / f"{_SAME.get(name, name)}.json").read_text(encoding="utf-8"))
    return AutoConfig.for_model(settings.pop("model_type"), **settings)


def skeleton(auto: Any, config: Any) -> nn.Module:
    """The network of a configuration on the meta device, by a class of transformers such as `AutoModelForCausalLM`."""
    transformers_logging.set_verbosity_error()  # it tells of every generation setting that it derives
    with torch.device("meta"):
        model: nn.Module = auto.from_config(config)
    return model


def adapted(recipe: Recipe, *, outputs: int = 2) -> tuple[PeftModel, Matched]:
    """The recipe's network under its adapter on the meta device, with what the adapter sits on and how many parameters train.

    Parameters of fintune's own that stand beside the stock model (word shapes, learned transitions) are not in it.

    Args:
        recipe: its base has a shape.
        outputs: scores of a token or sequence head; a generative head has none.

    Raises:
        RecipeError: where the base has no shape, or a target matches nothing.
    """
    settings = config(recipe.model.base)
    auto, task_type = _CLASSES[recipe.head.type]
    if recipe.head.pooling == "mean":
        auto, task_type = _CLASSES["token"]  # label scores are the mean of token scores
    if recipe.head.type != "generative":
        settings.num_labels = outputs
    elif settings.is_encoder_decoder:
        auto, task_type = AutoModelForSeq2SeqLM, "SEQ_2_SEQ_LM"
    base = skeleton(auto, settings)
    with torch.device("meta"):
        return attach(base, recipe.adapter, task_type=task_type)
