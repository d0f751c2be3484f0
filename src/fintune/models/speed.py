"""What makes training of a language model faster or smaller without changing its gradient: recomputation, fused kernels, compiling.

`apply` follows the recipe and says nothing where a device has no use for it; what is asked for by name and cannot be had is refused.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import torch

from fintune.errors import ResourceError
from fintune.recipe import Train

_ROOM = 0.9
"""Share of the free memory of a GPU that an estimate may take before activations are computed again instead of kept."""


def apply(model: Any, settings: Train, *, device: torch.device, needed: int) -> None:
    """Prepare `model.adapted` in place.

    Args:
        model: of a head, its network under `adapted`.
        settings: of the recipe.
        device: where it will train.
        needed: estimated bytes of training without recomputation.

    Raises:
        ResourceError: where Liger kernels are asked for and cannot be had.
    """
    network = model.adapted.get_base_model()
    if recomputes(settings, device=device, needed=needed):
        network.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if fused(settings, device=device):
        from liger_kernel.transformers import _apply_liger_kernel_to_instance  # its one way to change a model that is there

        # Rows without supervision never reach the vocabulary here: their fused loss would project them all.
        _apply_liger_kernel_to_instance(model=network, cross_entropy=False, fused_linear_cross_entropy=False)
    if settings.compile == "block":
        for layer in blocks(network):
            layer.compile(dynamic=True)


def recomputes(settings: Train, *, device: torch.device, needed: int) -> bool:
    """Whether activations are computed again in the backward pass."""
    if settings.recompute != "auto":
        return settings.recompute == "always"
    return device.type == "cuda" and needed > _ROOM * torch.cuda.mem_get_info(device)[0]


def fused(settings: Train, *, device: torch.device) -> bool:
    """Whether Liger kernels are used.

    Raises:
        ResourceError: where they are asked for by name without a GPU or the library.
    """
    able = device.type == "cuda" and importlib.util.find_spec("liger_kernel") is not None
    if settings.kernels == "liger" and not able:
        raise ResourceError("Liger kernels need a GPU and liger-kernel", where="train.kernels", fix="set train.kernels=auto")
    return able and settings.kernels != "none"


def blocks(network: torch.nn.Module) -> list[torch.nn.Module]:
    """The layers of the longest stack of equal modules: a transformer's blocks."""
    stacks = [list(m) for m in network.modules() if isinstance(m, torch.nn.ModuleList) and len(m) > 0]
    same = [stack for stack in stacks if len({type(layer) for layer in stack}) == 1]
    return max(same, key=len, default=[])
