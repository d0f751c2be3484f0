"""What training will need, before it begins: bytes by what holds them, floating-point operations, and seconds.

All of it is calculated from the modules of a network, which may stand on the meta device, and from how many tokens, attended
pairs and output rows go through it; nothing is run but a short matrix product that measures the device. Not counted: what
libraries allocate for themselves, and of an encoder-decoder the cross attention. `fintune train --dry-run` shows it.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from fintune.models.adapter import OUTPUT_LAYERS
from fintune.models.structure import Structure, is_linear, structure

ATTAINED = 0.5
"""Share of a device's matrix-product rate that a training step reaches; public single-GPU LoRA runs report 0.4 to 0.7."""

# Bytes of a weight in few bits with the scales of its block: NF4 with double quantisation (Dettmers et al. 2023, section 3).
_QUANTISED = {"8bit": 1.0, "4bit": 0.5 + 1 / 64 + 4 / (64 * 256)}
_PROBE = {"cuda": 8192, "cpu": 512}
_FP32 = 4


@dataclass(frozen=True, slots=True)
class Load:
    """What passes through the network: token positions, pairs of a query and a key it attends to, and rows of the output layer."""

    tokens: int
    pairs: int
    rows: int

    def __add__(self, other: Load) -> Load:
        """Both, one after the other."""
        return Load(self.tokens + other.tokens, self.pairs + other.pairs, self.rows + other.rows)


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes at the largest forward and backward pass, by what holds them; estimated."""

    weights: int
    adapter: int
    gradients: int
    optimizer: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.weights + self.adapter + self.gradients + self.optimizer + self.activations + self.logits


Recompute = Literal["always", "never"]


def packed(prefix: int, branches: Sequence[int], rows: int) -> Load:
    """One pack: a prefix of tokens that is computed once, and branches that each attend to it and, causally, to themselves."""
    own = sum(length * (length + 1) // 2 for length in branches)
    return Load(prefix + sum(branches), prefix * (prefix + 1) // 2 + prefix * sum(branches) + own, rows)


def padded(lengths: Sequence[int], *, rows: int | None = None) -> Load:
    """One batch padded to its longest item, every position of which attends to all; `rows` reach the output layer, None for all."""
    size, longest = len(lengths), max(lengths, default=0)
    return Load(size * longest, size * longest * longest, size * longest if rows is None else rows)


def memory(
    model: nn.Module, largest: Load, *, device: str, held: torch.dtype, computed: torch.dtype, quantisation: str, recompute: Recompute
) -> Memory:
    """Bytes that training needs at its largest pass.

    Args:
        model: adapted; frozen parameters are the base's, the others are trained by AdamW.
        largest: the largest forward and backward pass.
        device: `cuda` or `cpu`, which keep the masks of dropout in another form.
        held: type of the frozen weights.
        computed: type of the arithmetic, that of autocast.
        quantisation: of the frozen linear layers, `none`, `8bit` or `4bit`.
        recompute: whether activations within a layer are computed again in the backward pass.
    """
    of = structure(model)
    trained = [p for p in model.parameters() if p.requires_grad]
    adapter = sum(p.nbytes for p in trained)
    size = computed.itemsize
    kept = largest.tokens * _kept(of, size, device) + (of.body * size if held.itemsize > size else 0)  # weights are kept as they were cast
    if recompute == "always":
        kept = largest.tokens * of.width * size * of.layers + kept // of.layers
    return Memory(
        weights=_weights(model, held, quantisation),
        adapter=adapter,
        gradients=adapter,
        optimizer=2 * adapter + _FP32 * len(trained),  # two moments, and a count of steps for each tensor
        activations=kept,
        logits=largest.rows * of.outputs * (size + 2 * _FP32),  # as computed, as fp32, and their gradient
    )


def flops(of: Structure, load: Load, *, recompute: Recompute) -> int:
    """Floating-point operations of forward and backward over a load: 4 N a token for frozen weights, 6 for trained ones.

    A frozen weight costs two operations forward and two for the gradient of its input; attention twice as many backward as forward.
    Recomputation adds a forward pass of the body.
    """
    again = forward(of, Load(load.tokens, load.pairs, 0)) if recompute == "always" else 0
    backward = load.tokens * (2 * of.body + 4 * of.adapter) + 8 * load.pairs * of.queries + 2 * load.rows * of.output
    return forward(of, load) + backward + again


def forward(of: Structure, load: Load) -> int:
    """Floating-point operations of a forward pass: two for each weight of a token, four for each attended pair and query width."""
    return 2 * load.tokens * (of.body + of.adapter) + 4 * load.pairs * of.queries + 2 * load.rows * of.output


def rate(device: torch.device, computed: torch.dtype) -> float:
    """Floating-point operations a second of a square matrix product on the device, the best of five; takes a fraction of a second."""
    size = _PROBE.get(device.type, _PROBE["cpu"])
    left, right = (torch.full((size, size), 0.5, device=device, dtype=computed) for _ in range(2))
    best = math.inf
    for _ in range(5):
        begun = time.perf_counter()
        float((left @ right)[0, 0])  # reading a value waits for the device
        best = min(best, time.perf_counter() - begun)
    return 2 * size**3 / best


def seconds(operations: float, speed: float) -> float:
    """Estimated time of so many operations on a device of a `rate`."""
    return operations / (speed * ATTAINED)


def room(device: torch.device) -> int:
    """Bytes of memory that the device has in all."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _kept(of: Structure, size: int, device: str) -> int:
    """Bytes that one token leaves for the backward pass. Norms work in fp32; under autocast each adapter keeps an input of its own."""
    mask = 1 if device == "cuda" else _FP32
    alone = size < _FP32 or of.masked > 0
    return _FP32 * of.norms + size * ((of.inputs if alone else of.shared) + of.attended + of.inner) + mask * of.masked


def _weights(model: nn.Module, held: torch.dtype, quantisation: str) -> int:
    """Bytes of the frozen parameters."""
    few = [module for name, module in model.named_modules() if is_linear(name, module) and not OUTPUT_LAYERS & set(name.split("."))]
    elements = sum(m.in_features * m.out_features for m in few) if quantisation != "none" else 0
    whole = sum(_elements(p) for p in _frozen(model.parameters())) - elements
    return whole * held.itemsize + round(elements * _QUANTISED.get(quantisation, 0.0))


def _frozen(parameters: Iterable[nn.Parameter]) -> Iterable[nn.Parameter]:
    return (p for p in parameters if not p.requires_grad)


def _elements(parameter: nn.Parameter) -> int:
    """Weights in a parameter; four-bit ones are stored two in a byte."""
    state = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else math.prod(state.shape)
