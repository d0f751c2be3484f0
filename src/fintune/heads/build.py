"""From a recipe to a model ready to train, and from a run's adapter folder back to one ready to predict."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from peft import get_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForTokenClassification, AutoTokenizer
from transformers.utils import logging as transformers_logging

from fintune.errors import ArtifactError, RecipeError, SafetyError
from fintune.heads.tags import Tagset
from fintune.heads.token import Noise, Tagger, TokenHead
from fintune.models.adapter import OUTPUT_LAYERS, Matched, attach
from fintune.models.catalog import Base, locate, weights_hash
from fintune.recipe import Recipe

WEIGHTS, EXTRAS = "adapter_model.safetensors", "extras.safetensors"
"""Weights that stock PEFT knows nothing of: the word-shape embedding and the learned transitions."""

# Settings under which the families keep their dropout probabilities.
_BODY_DROPOUT = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "dropout",
    "attention_dropout",
    "hidden_dropout",
    "embedding_dropout",
)
_HEAD_DROPOUT = ("classifier_dropout", "seq_classif_dropout")

# What transformers raises at a configuration, tokenizer or weights that it cannot make sense of.
_UNREADABLE = (OSError, ValueError, KeyError, StrictDataclassError)


@dataclass(frozen=True, slots=True)
class Built:
    """A model with everything that belongs to it."""

    model: Tagger
    head: TokenHead
    base: Base
    base_sha256: str
    matched: Matched


def build(recipe: Recipe, labels: tuple[str, ...]) -> Built:
    """A freshly loaded base with a new adapter and head, initialised from the recipe's seed.

    Raises:
        ArtifactError, RecipeError, SafetyError: where the base cannot be had or the adapter does not fit it.
    """
    base = locate(recipe.model.base, revision=recipe.model.revision)
    tagset = Tagset(labels, recipe.head.scheme)
    torch.manual_seed(recipe.seed)  # before any weight is drawn: the output layer's, then the adapter's
    encoder = _encoder(base, tagset, recipe)
    head = _head(recipe, tagset, base.folder, _positions(encoder))
    peft_model, matched = attach(encoder, recipe.adapter, task_type="TOKEN_CLS")
    model = Tagger(peft_model, tags=len(tagset.tags), surface=recipe.head.surface, transitions=recipe.head.transitions)
    if recipe.train.noise != "none":
        model.noise = Noise(recipe.train.noise, recipe.train.noise_alpha)
    return Built(model, head, base, weights_hash(base.folder), matched)


def _encoder(base: Base, tagset: Tagset, recipe: Recipe) -> Any:
    transformers_logging.set_verbosity_error()  # its load report is judged below
    transformers_logging.disable_progress_bar()
    # Eager attention: at sentence length the fused kernel's backward pass is slower on CPUs (benchmarks/attention.py).
    attention = "sdpa" if torch.cuda.is_available() else "eager"
    try:
        # An output layer of another label set may be there: it is drawn anew.
        model, told = AutoModelForTokenClassification.from_pretrained(
            base.folder, config=_config(base, tagset, recipe), use_safetensors=True, dtype=torch.float32, attn_implementation=attention,
            trust_remote_code=False, ignore_mismatched_sizes=True, output_loading_info=True,
        )  # fmt: skip
    except (*_UNREADABLE, SafetensorError) as error:
        raise ArtifactError(
            "the base model cannot be loaded", where=str(base.folder), why=_opening(error),
            fix="a token head needs a token-classification architecture and intact safetensors",
        ) from None  # fmt: skip
    odd = {*told["missing_keys"], *(name for name, *_ in told["mismatched_keys"])}
    lacking = sorted(name for name in odd if not OUTPUT_LAYERS & set(name.split(".")))
    if lacking:  # transformers would draw these at random
        raise ArtifactError(
            f"{len(lacking)} tensors of the base model are missing or have another shape, such as {lacking[0]!r}", where=str(base.folder),
            why="the weights do not fit config.json", fix="check which model the files are of",
        )  # fmt: skip
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model


def _config(base: Base, tagset: Tagset, recipe: Recipe) -> Any:
    """The base's configuration for these tags and dropout probabilities.

    Raises:
        SafetyError: where it asks for code of its own.
    """
    document = json.loads((base.folder / "config.json").read_text(encoding="utf-8"))
    if isinstance(document, dict) and "auto_map" in document and document.get("model_type") not in CONFIG_MAPPING:
        raise SafetyError(
            "the base model asks to run code of its own", where=str(base.folder / "config.json"), why="'auto_map' names Python files",
            fix="choose a model of an architecture that transformers has",
        )  # fmt: skip
    config = AutoConfig.from_pretrained(base.folder, trust_remote_code=False)
    config.num_labels = len(tagset.tags)
    config.id2label = dict(enumerate(tagset.tags))
    config.label2id = dict(tagset.ids)
    for names, value in ((_BODY_DROPOUT, recipe.model.dropout), (_HEAD_DROPOUT, recipe.head.dropout)):
        for name in names:
            if value is not None and hasattr(config, name):
                setattr(config, name, value)
    return config


def _opening(error: Exception) -> str:
    """The first two lines of a library's message; what follows is advice to programmers."""
    return " ".join(str(error).splitlines()[:2])


def _positions(encoder: nn.Module) -> int | None:
    """Tokens that the base model has positions for; families of RoBERTa keep the first few for padding."""
    for name, module in encoder.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            return module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
    return getattr(encoder.config, "max_position_embeddings", None)


def _head(recipe: Recipe, tagset: Tagset, folder: Path, limit: int | None) -> TokenHead:
    if limit is not None and recipe.data.max_tokens > limit:
        raise RecipeError(
            f"windows of {recipe.data.max_tokens} tokens are more than the {limit} of this base", where="data.max_tokens",
            fix=f"set data.max_tokens={limit} or less",
        )  # fmt: skip
    fix = "use a model with tokenizer.json"
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:
        # The tokenizers library raises no class of its own.
        if type(error) is not Exception and not isinstance(error, _UNREADABLE):
            raise
        raise ArtifactError("the tokenizer cannot be loaded", where=str(folder), why=_opening(error), fix=fix) from None
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise ArtifactError("the tokenizer has no vocabulary", where=str(folder), fix=fix)
    return TokenHead(
        tagset, tokenizer, max_tokens=recipe.data.max_tokens, overlap_tokens=recipe.data.overlap_tokens,
        label_smoothing=recipe.train.label_smoothing,
        grain="coarse" if recipe.data.words == "coarse" else "fine",  # where it is left open: words that any annotation fits
    )  # fmt: skip


def save(built: Built, folder: Path, recipe: Recipe) -> None:
    """Write the adapter as stock PEFT files, the tokenizer beside it, and what stock PEFT does not know in `extras.safetensors`."""
    peft_model: Any = built.model.encoder
    config = peft_model.peft_config["default"]
    config.base_model_name_or_path = built.base.id  # never the path on this machine
    config.revision = _commit(built)
    config.inference_mode = True
    config.target_modules = sorted(config.target_modules)  # a set, whose order is another in each process
    peft_model.save_pretrained(folder, save_embedding_layers=False)
    built.head.tokenizer.save_pretrained(folder)
    extras = _extras(built.model)
    if extras:
        save_file({name: tensor.detach().contiguous().cpu() for name, tensor in extras.items()}, folder / EXTRAS)
    (folder / "README.md").write_text(_card(built, recipe, sorted(extras)), encoding="utf-8")


def load(recipe: Recipe, labels: tuple[str, ...], folder: Path) -> Built:
    """The model of a finished run, in evaluation mode.

    Raises:
        ArtifactError: where a tensor is missing, superfluous, of another shape or not finite.
    """
    built = build(recipe, labels)
    # The state's tensors share memory with the parameters, under the names that peft writes.
    _fill(get_peft_model_state_dict(built.model.encoder, save_embedding_layers=False), folder / WEIGHTS)  # type: ignore[arg-type]
    extras = _extras(built.model)
    if extras or (folder / EXTRAS).exists():
        _fill(extras, folder / EXTRAS)
    return Built(built.model.eval(), built.head, built.base, built.base_sha256, built.matched)


def _extras(model: Tagger) -> dict[str, torch.Tensor]:
    return {name: p for name, p in model.named_parameters() if not name.startswith("encoder.")}


def _fill(wanted: dict[str, torch.Tensor], path: Path) -> None:
    """Copy a file's tensors into parameters; every tensor has to be there, once, finite, and of the right shape and type."""
    fix = "train again or restore the file"
    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ArtifactError("adapter weights cannot be read", where=str(path), why=str(error), fix=fix) from None
    if found.keys() != wanted.keys():
        odd = sorted(found.keys() ^ wanted.keys())
        raise ArtifactError(f"{len(odd)} tensors are missing or superfluous, such as {odd[0]!r}", where=str(path), fix=fix)
    for name, parameter in wanted.items():
        tensor = found[name]
        if tensor.shape != parameter.shape or tensor.dtype != parameter.dtype or not torch.isfinite(tensor).all():
            raise ArtifactError(f"tensor {name!r} has another shape or type, or is not finite", where=str(path), fix=fix)
        with torch.no_grad():
            parameter.copy_(tensor)


def _commit(built: Built) -> str | None:
    """The commit of a hub model, which is what a revision means to peft; a package's version or a local folder has none."""
    revision = built.base.revision or ""
    return revision if re.fullmatch(r"[0-9a-f]{40}", revision) else None


def _card(built: Built, recipe: Recipe, extras: list[str]) -> str:
    base, tags = built.base, built.head.tagset.tags
    public = "/" in base.id  # a local folder goes by its name, which is nobody's but this machine's
    needs = (
        f"`{EXTRAS}` holds {', '.join(f'`{name}`' for name in extras)}: weights that stock PEFT does not load. With stock PEFT this "
        "adapter is an ordinary token-classification LoRA without word shapes and tag transitions, and scores lower. "
        "`fintune.load(run)` uses all of it."
        if extras
        else "Everything is in stock PEFT files, which give the same tag scores; `fintune.load(run)` takes the best legal path of them."
    )
    commit = f", revision={_commit(built)!r}" if _commit(built) else ""
    return (
        "---\n" + (f"base_model: {base.id}\nbase_model_relation: adapter\n" if public else "")
        + f"library_name: peft\npipeline_tag: token-classification\n---\n\n# {recipe.name}\n\n"
        f"LoRA adapter for {'' if public else 'the local model '}`{base.id}`{f' at `{base.revision}`' if base.revision else ''}, "
        f"task `{recipe.task}`, made with fintune. sha256 over the base model's weights: `{built.base_sha256}`.\n\n"
        f"Tags, in id order: `{json.dumps(list(tags), ensure_ascii=False)}`\n\nA word takes the tag of its first token.\n\n"
        f"## What it needs\n\n{needs}\n\n```python\n"
        f"base = AutoModelForTokenClassification.from_pretrained({base.id!r}, num_labels={len(tags)}{commit})\n"
        "model = PeftModel.from_pretrained(base, folder)\n```\n\n"
        f"## Licence of the base model\n\n{base.licence}. {base.obligations}\n"
    )  # fmt: skip
