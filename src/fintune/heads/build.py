"""From a recipe to a model ready to train, and from a run's adapter folder back to one ready to predict."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from fintune.errors import ArtifactError, RecipeError
from fintune.heads.base import Assembled
from fintune.models.adapter import Matched
from fintune.models.catalog import Base, locate, weights_hash
from fintune.recipe import Recipe
from fintune.run import read_json
from fintune.tasks.base import Task

HEADS = {
    "token": "fintune.heads.token:assemble",
    "sequence": "fintune.heads.sequence:assemble",
    "span": "fintune.heads.span:assemble",
    "generative": "fintune.heads.generative.head:assemble",
}
"""How each type of head is assembled from recipe, task and base."""
SEVERAL = "fintune.heads.several:assemble"
"""The same of a sequence head for a task with several labels a text."""
KINDS = {
    "token": ("spans",), "sequence": ("label", "labels"), "span": ("answer",), "generative": ("spans", "label", "labels", "answer"),
}  # fmt: skip
"""The kinds of prediction each type of head can make."""

WEIGHTS, EXTRAS, HEAD = "adapter_model.safetensors", "extras.safetensors", "head.json"
"""Files of an adapter folder: stock PEFT's; weights it knows nothing of; and what prediction has to share with training."""


@dataclass(frozen=True, slots=True)
class Built:
    """A model with everything that belongs to it."""

    model: Any
    head: Any
    base: Base
    base_sha256: str
    matched: Matched


def build(recipe: Recipe, task: Task, *, kept: Path | None = None) -> Built:
    """A freshly loaded base with a new adapter and head, initialised from the recipe's seed.

    Args:
        recipe: which base, adapter and head.
        task: its task.
        kept: folder of files that the head of a finished run left, see `Head.keep`.

    Raises:
        ArtifactError, RecipeError, SafetyError: where the base cannot be had or the adapter does not fit it.
    """
    if task.kind not in KINDS[recipe.head.type]:
        able = [name for name, kinds in KINDS.items() if task.kind in kinds]
        raise RecipeError(
            f"a {recipe.head.type} head cannot predict {task.kind}", where="head.type", why=f"task {task.name!r} is of that kind",
            fix=f"set head.type={' or '.join(able)}",
        )  # fmt: skip
    _require_labels(recipe)
    base = locate(recipe.model.base, revision=recipe.model.revision)
    parts = assembled(recipe, task, base, kept)
    return Built(parts.model, parts.head, base, weights_hash(base.folder), parts.matched)


def assembled(recipe: Recipe, task: Task, base: Base, kept: Path | None = None) -> Assembled:
    """Model and head of a recipe on a base that was found, drawn from the recipe's seed; errors as of `build`."""
    many = recipe.head.type == "sequence" and task.kind == "labels"
    module, _, function = (SEVERAL if many else HEADS[recipe.head.type]).partition(":")
    assemble: Callable[..., Assembled] = getattr(import_module(module), function)
    torch.manual_seed(recipe.seed)  # before any weight is drawn: the output layer's, then the adapter's
    return assemble(recipe, task, base, kept)


def _require_labels(recipe: Recipe) -> None:
    """Refuses settings of the sequence head elsewhere, where they would do nothing, and smoothing with focal loss."""
    settings = {
        "head.pooling": recipe.head.pooling != "auto", "head.words_weight": recipe.head.words_weight > 0,
        "train.loss": recipe.train.loss != "cross-entropy", "train.masking": recipe.train.masking > 0,
        "train.balance": recipe.train.balance != "none",
    }  # fmt: skip
    for key, given in settings.items():
        if given and recipe.head.type != "sequence":
            raise RecipeError(
                f"{key} with a {recipe.head.type} head", where=key, why="it is of the sequence head alone",
                fix=f"take {key} out, or set head.type=sequence",
            )  # fmt: skip
    if recipe.train.loss == "focal" and recipe.train.label_smoothing:
        raise RecipeError(
            "focal loss with label_smoothing", where="train.loss", why="focal loss is defined for one gold label",
            fix="set train.label_smoothing=0 or train.loss=cross-entropy",
        )  # fmt: skip


def save(built: Built, folder: Path, recipe: Recipe) -> None:
    """Write the adapter as stock PEFT files, the tokenizer beside it, and what stock PEFT does not know in files of their own."""
    peft_model: Any = built.model.adapted
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
    (folder / HEAD).write_text(json.dumps(built.head.describe(), ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    for name, text in built.head.keep().items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "README.md").write_text(_card(built, recipe, sorted(extras)), encoding="utf-8")


def load(recipe: Recipe, task: Task, folder: Path) -> Built:
    """The model of a finished run, in evaluation mode; its adapter merged where the recipe has predictions made so.

    Raises:
        ArtifactError: where a tensor is missing, superfluous, of another shape or not finite, or where prompts would be rendered
            in another way than in training.
    """
    built = build(recipe, task, kept=folder)
    # The state's tensors share memory with the parameters, under the names that peft writes.
    _fill(get_peft_model_state_dict(built.model.adapted, save_embedding_layers=False), folder / WEIGHTS)
    extras = _extras(built.model)
    if extras or (folder / EXTRAS).exists():
        _fill(extras, folder / EXTRAS)
    before, now = read_json(folder / HEAD), json.loads(json.dumps(built.head.describe()))
    if before != now:
        changed = ", ".join(sorted(key for key in {*before, *now} if before.get(key) != now.get(key)))
        raise ArtifactError(
            "texts would be read in another way than in training", where=str(folder / HEAD), why=f"changed: {changed}",
            fix="restore the base model's tokenizer and template as they were, or train again",
        )  # fmt: skip
    if recipe.predict.adapter == "merged":
        built.model.adapted.merge_adapter()
    return Built(built.model.eval(), built.head, built.base, built.base_sha256, built.matched)


def _extras(model: Any) -> dict[str, torch.Tensor]:
    return {name: p for name, p in model.named_parameters() if not name.startswith("adapted.")}


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
    base, head = built.base, built.head
    public = "/" in base.id  # a local folder goes by its name, which is nobody's but this machine's
    needs = (
        f"`{EXTRAS}` holds {', '.join(f'`{name}`' for name in extras)}: weights that stock PEFT does not load. With stock PEFT this "
        "adapter is an ordinary token-classification LoRA without word shapes and tag transitions, and scores lower. "
        "`fintune.load(run)` uses all of it."
        if extras
        else f"The network is in stock PEFT files. {head.stock_note}"
    )
    commit = f", revision={_commit(built)!r}" if _commit(built) else ""
    classes = "" if recipe.head.type == "generative" else f", num_labels={len(head.outputs)}"
    outputs = f"{head.outputs_note}\n\n" if head.outputs_note else ""
    return (
        "---\n" + (f"base_model: {base.id}\nbase_model_relation: adapter\n" if public else "")
        + f"library_name: peft\npipeline_tag: {head.pipeline}\n---\n\n# {recipe.name}\n\n"
        f"LoRA adapter for {'' if public else 'the local model '}`{base.id}`{f' at `{base.revision}`' if base.revision else ''}, "
        f"task `{recipe.task}`, made with fintune. sha256 over the base model's weights: `{built.base_sha256}`.\n\n"
        f"{outputs}## What it needs\n\n{needs}\n\n```python\n"
        f"base = {head.auto}.from_pretrained({base.id!r}{classes}{commit})\n"
        "model = PeftModel.from_pretrained(base, folder)\n```\n\n"
        f"## Licence of the base model\n\n{base.licence}. {base.obligations}\n"
    )  # fmt: skip
