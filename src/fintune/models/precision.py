"""Which arithmetic a processor is good at. Weights stay fp32; bf16 is for the matrix products of the forward pass."""

from __future__ import annotations

import torch

from fintune.errors import RecipeError


def arithmetic(precision: str, device: str) -> torch.dtype:
    """The dtype of autocast: `auto` is bf16 where there are instructions for it, else fp32.

    Raises:
        RecipeError: where bf16 is asked for on a device that has none.
    """
    able = _has_bf16(device)
    if precision == "bf16" and not able:
        raise RecipeError("this device has no bf16", where="train.precision", fix="set it to auto or fp32")
    return torch.bfloat16 if precision == "bf16" or (precision == "auto" and able) else torch.float32


def _has_bf16(device: str) -> bool:
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device == "cpu":
        # AVX512-BF16 or AMX; elsewhere bf16 is emulated, and slower than fp32.
        probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(getattr(torch.cpu, name)() for name in probes if hasattr(torch.cpu, name))
    return False
