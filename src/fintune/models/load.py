"""Reading a base model's tokenizer and weights with stock transformers: safetensors only, no code of the model's own.

`pretrained` gives the frozen network for a head to adapt, and refuses weights that do not fit their configuration, which
transformers would fill up at random. Nothing is downloaded here: `models.catalog.locate` has found the folder.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import nn
from transformers import CONFIG_MAPPING, AutoConfig, AutoTokenizer, BitsAndBytesConfig
from transformers.utils import logging as transformers_logging

from fintune.errors import ArtifactError, RecipeError, ResourceError, SafetyError
from fintune.models.adapter import OUTPUT_LAYERS
from fintune.models.catalog import Base
from fintune.recipe import Model

# What transformers raises at a configuration, tokenizer or weights that it cannot make sense of.
_UNREADABLE = (OSError, ValueError, KeyError, StrictDataclassError)

# Settings under which the families keep the dropout probabilities of the network's body.
_BODY_DROPOUT = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "dropout",
    "dropout_rate",
    "attention_dropout",
    "hidden_dropout",
    "embedding_dropout",
)


def configuration(base: Base, settings: Model, changes: Mapping[str, Any] | None = None) -> Any:
    """The base's transformers configuration with the recipe's dropout and the `changes` that exist in it.

    Raises:
        ArtifactError: where it cannot be read.
        SafetyError: where it asks for code of its own.
    """
    place = base.folder / "config.json"
    try:
        document = json.loads(place.read_text(encoding="utf-8"))
        if isinstance(document, dict) and "auto_map" in document and document.get("model_type") not in CONFIG_MAPPING:
            raise SafetyError(
                "the base model asks to run code of its own", where=str(place), why="'auto_map' names Python files",
                fix="choose a model of an architecture that transformers has",
            )  # fmt: skip
        config = AutoConfig.from_pretrained(base.folder, trust_remote_code=False)
    except _UNREADABLE as error:
        raise ArtifactError(
            "the base model cannot be loaded", where=str(place), why=opening(error), fix="check its configuration"
        ) from None
    dropout = {} if settings.dropout is None else dict.fromkeys(_BODY_DROPOUT, settings.dropout)
    for name, value in {**dropout, **(changes or {})}.items():
        if hasattr(config, name):
            setattr(config, name, value)
    return config


def dropout(config: Any) -> float:
    """The highest dropout probability of the network's body, which may differ from that of its configuration's defaults."""
    return max(
        (float(getattr(config, name)) for name in _BODY_DROPOUT if isinstance(getattr(config, name, None), int | float)), default=0.0
    )


def pretrained(auto: Any, base: Base, settings: Model, *, config: Any, attention: str, dtype: torch.dtype, needs: str) -> Any:
    """The network with its pretrained weights, frozen.

    Args:
        auto: class of transformers, such as `AutoModelForCausalLM`.
        base: where its files are.
        settings: of the recipe.
        config: of `configuration`.
        attention: name of the attention function.
        dtype: how weights are held.
        needs: what a person should look for where the weights do not load, such as "a causal language model".

    Raises:
        ArtifactError: where weights cannot be read, or do not fit their configuration.
        ResourceError: where quantised weights are asked for without the GPU or the library for them.
    """
    transformers_logging.set_verbosity_error()  # its load report is judged below
    transformers_logging.disable_progress_bar()
    quantised = _quantised(settings)
    try:
        # An output layer of another label set may be there: it is drawn anew.
        model, told = auto.from_pretrained(
            base.folder, config=config, use_safetensors=True, dtype=dtype, attn_implementation=attention, trust_remote_code=False,
            ignore_mismatched_sizes=True, output_loading_info=True, **quantised,
        )  # fmt: skip
    except (*_UNREADABLE, SafetensorError) as error:
        raise ArtifactError(
            "the base model cannot be loaded", where=str(base.folder), why=opening(error), fix=f"it needs {needs} and intact safetensors"
        ) from None
    odd = {*told["missing_keys"], *(name for name, *_ in told["mismatched_keys"])}
    drawn = OUTPUT_LAYERS - {"lm_head"}
    lacking = sorted(name for name in odd if not drawn & set(name.split(".")))
    if lacking:  # transformers would draw these at random
        raise ArtifactError(
            f"{len(lacking)} tensors of the base model are missing or have another shape, such as {lacking[0]!r}", where=str(base.folder),
            why="the weights do not fit config.json", fix="check which model the files are of",
        )  # fmt: skip
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model


def _quantised(settings: Model) -> dict[str, Any]:
    """Arguments of `from_pretrained` for weights in few bits: none without quantisation."""
    if settings.quantisation == "none":
        return {}
    if not torch.cuda.is_available():
        raise ResourceError(f"{settings.quantisation} weights need a GPU", where="model.quantisation", fix="set model.quantisation=none")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ResourceError("bitsandbytes is not installed", where="model.quantisation", fix="run: pip install 'fintune[gpu]'")
    if settings.quantisation == "8bit":
        return {"quantization_config": BitsAndBytesConfig(load_in_8bit=True), "device_map": {"": torch.cuda.current_device()}}
    four = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.bfloat16
    )
    return {"quantization_config": four, "device_map": {"": torch.cuda.current_device()}}


def tokenizer(base: Base) -> Any:
    """The base's fast tokenizer.

    Raises:
        ArtifactError: where there is none, or it has no vocabulary.
    """
    fix = "use a model with tokenizer.json"
    try:
        found = AutoTokenizer.from_pretrained(base.folder, trust_remote_code=False)
    except Exception as error:
        # The tokenizers library raises no class of its own.
        if type(error) is not Exception and not isinstance(error, _UNREADABLE):
            raise
        raise ArtifactError("the tokenizer cannot be loaded", where=str(base.folder), why=opening(error), fix=fix) from None
    if len(found) <= len(found.all_special_ids):
        raise ArtifactError("the tokenizer has no vocabulary", where=str(base.folder), fix=fix)
    if not found.is_fast:
        raise ArtifactError("the base model has no fast tokenizer", where=str(base.folder), fix=fix)
    return found


def weights_dtype(settings: Model, usual: str) -> torch.dtype:
    """How frozen weights are held: what the recipe says, or what is `usual` for the head (`fp32` or `bf16`)."""
    return torch.bfloat16 if (usual if settings.dtype == "auto" else settings.dtype) == "bf16" else torch.float32


def positions(model: nn.Module) -> int | None:
    """Tokens that the base model has positions for; families of RoBERTa keep the first few for padding."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            return module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
    return getattr(model.config, "max_position_embeddings", None)


def require_room(model: nn.Module, tokens: int) -> None:
    """Refuse windows or conversations longer than the base has positions for.

    Raises:
        RecipeError: where `tokens` is more.
    """
    limit = positions(model)
    if limit is not None and tokens > limit:
        raise RecipeError(
            f"windows of {tokens} tokens are more than the {limit} of this base", where="data.max_tokens",
            fix=f"set data.max_tokens={limit} or less",
        )  # fmt: skip


def opening(error: Exception) -> str:
    """The first two lines of a library's message; what follows is advice to programmers."""
    return " ".join(str(error).splitlines()[:2])
