"""What a network computes while it predicts: token positions, attended pairs and output rows, as its modules are called.

`with watched(model) as seen:` counts whatever the head does, batches, shared prompts and single tokens after a cache alike;
`estimate.forward` makes operations of it. Training counts its own passes. `pytest tests/train/test_cost.py` exercises it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from fintune.models.adapter import OUTPUT_LAYERS
from fintune.models.estimate import Load
from fintune.models.structure import is_linear


class Seen:
    """What has passed so far. `load` is all that was computed, padding included; `tokens` the real ones among it."""

    def __init__(self) -> None:
        self.load = Load(0, 0, 0)
        self._real: Tensor | int = 0  # stays on the device until it is asked for

    @property
    def tokens(self) -> int:
        """Real tokens: of padded batches those under the mask."""
        return int(self._real)

    def stack(self, module: nn.Module, arguments: tuple[Any, ...], given: dict[str, Any]) -> None:
        """A stack of layers is about to be called."""
        inputs: Any = next((given[key] for key in ("input_ids", "inputs_embeds") if given.get(key) is not None), None)
        if inputs is None:
            inputs = arguments[0]
        rows, width = inputs.shape[:2]
        past, mask = given.get("past_key_values"), given.get("attention_mask")
        before = int(past.get_seq_length()) if past is not None else 0
        self.load += Load(rows * width, rows * width * (width + before), 0)
        flat = isinstance(mask, Tensor) and mask.ndim == 2
        self._real = self._real + (mask[:, -width:].sum() if flat else rows * width)

    def output(self, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        """An output layer is about to be called."""
        self.load += Load(0, 0, arguments[0].shape[:-1].numel())


@contextmanager
def watched(model: Any) -> Iterator[Seen]:
    """Count what goes through a network.

    Args:
        model: of a head, its network under `adapted`.
    """
    seen = Seen()
    network = model.adapted.get_base_model()
    stacks = (network.get_encoder(), network.get_decoder()) if network.config.is_encoder_decoder else (network.base_model,)
    outputs = [m for name, m in network.named_modules() if is_linear(name, m) and OUTPUT_LAYERS & set(name.split("."))]
    hooks = [stack.register_forward_pre_hook(seen.stack, with_kwargs=True) for stack in stacks]
    hooks += [layer.register_forward_pre_hook(seen.output) for layer in outputs]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
