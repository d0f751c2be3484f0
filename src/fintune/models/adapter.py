"""LoRA on a base model, through peft: which modules, what scale, and the guards that peft leaves to its caller.

Every requested module name must match a linear layer, and a base may be adapted once only: build it anew for each run.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from fintune.errors import RecipeError, did_you_mean
from fintune.recipe import Adapter

# Layers that turn hidden states into predictions: trained in full or not at all, never adapted.
OUTPUT_LAYERS = frozenset({"classifier", "score", "lm_head", "qa_outputs", "pre_classifier"})


@dataclass(frozen=True, slots=True)
class Matched:
    """What an adapter sits on: full module paths, the names that select exactly them, and parameter counts."""

    modules: tuple[str, ...]
    names: tuple[str, ...]
    trainable: int
    total: int


def attach(base: nn.Module, adapter: Adapter, *, task_type: str | None = None) -> tuple[PeftModel, Matched]:
    """Put a LoRA adapter on `base`, freezing everything else but the output layer that peft trains for the task type.

    Raises:
        RecipeError: where a requested module name matches nothing, with the nearest name.
        ValueError: where `base` is adapted already.
    """
    if isinstance(base, PeftModel) or any("lora_" in name for name, _ in base.named_parameters()):
        raise ValueError("this base carries an adapter already; build the base model anew")
    modules = select(base, adapter.targets)
    names = shortest_names(modules, [name for name, module in base.named_modules() if isinstance(module, nn.Linear)])
    config = LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=list(names),
        use_rslora=adapter.scale == "rank-stabilised",
        use_dora=adapter.method == "dora",
        init_lora_weights={"default": True, "pissa": "pissa", "olora": "olora"}[adapter.initialisation],  # type: ignore[arg-type]
        task_type=task_type,
    )
    model = get_peft_model(base, config)  # type: ignore[arg-type]
    adapted = sorted(name.removeprefix("base_model.model.") for name, module in model.named_modules() if hasattr(module, "lora_A"))
    if adapted != sorted(modules):
        raise RecipeError(f"peft adapted {len(adapted)} modules, not the {len(modules)} requested", where="adapter.targets")
    trainable, total = count_parameters(model)
    return model, Matched(tuple(adapted), names, trainable, total)


def linear_layers(base: nn.Module) -> list[str]:
    """Paths of the layers an adapter may sit on, in model order."""
    return [name for name, module in base.named_modules() if isinstance(module, nn.Linear) and not OUTPUT_LAYERS & set(name.split("."))]


def select(base: nn.Module, targets: str | list[str]) -> list[str]:
    """Paths of the linear layers that `targets` means.

    `attention` is every linear layer below a module named like attention; a list holds module names or path endings.

    Raises:
        RecipeError: where a name, or the group as a whole, matches nothing.
    """
    linear = linear_layers(base)
    if targets == "all-linear":
        chosen = linear
    elif targets == "attention":
        chosen = [path for path in linear if any("attn" in part or "attention" in part for part in path.split("."))]
    else:
        for name in targets:
            if not any(path == name or path.endswith("." + name) for path in linear):
                leaves = Counter(path.rsplit(".", 1)[-1] for path in linear)
                raise RecipeError(
                    f"target module {name!r} matches no linear layer", where="adapter.targets", fix=did_you_mean(name, leaves)
                )
        chosen = [path for path in linear if any(path == name or path.endswith("." + name) for name in targets)]
    if not chosen:
        raise RecipeError(
            f"targets {targets!r} match no linear layer of this base", where="adapter.targets",
            fix=f"name some of {sorted({path.rsplit('.', 1)[-1] for path in linear})}",
        )  # fmt: skip
    return chosen


def shortest_names(chosen: list[str], linear: list[str]) -> tuple[str, ...]:
    """The shortest path endings that select `chosen` and no other linear layer; they go into `adapter_config.json`."""
    wanted, names = set(chosen), []
    for path in chosen:
        parts = path.split(".")
        for length in range(1, len(parts) + 1):
            ending = ".".join(part for part in parts[-length:])
            if not ending.split(".")[0].isdigit() and {p for p in linear if p == ending or p.endswith("." + ending)} <= wanted:
                names.append(ending)
                break
        else:
            names.append(path)
    return tuple(dict.fromkeys(names))


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """Trainable and total parameters, as peft counts them (a trained copy of an output layer counts beside the original)."""
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return trainable, sum(p.numel() for p in model.parameters())


def trainable_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """The trainable parameters by name; the tensors are the model's own."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
