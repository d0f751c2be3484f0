"""Keys and values of a batch in place: written where they stay, rows that end make room for the last ones, latest columns come off.

The growing cache of transformers copies itself at every token; this one when it is full. It holds what attention over all earlier
tokens needs and nothing else. `tests/heads/generative/test_generate.py` exercises it through `rows`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from transformers.cache_utils import CacheLayerMixin

_SLACK = 32  # columns that a buffer grows by at least; a quarter of its columns where that is more


class Slots(CacheLayerMixin):
    """One layer: `keys` and `values` are `(rows, heads, columns, width)`, of which the first `rows` and `columns` are in use."""

    is_sliding = False

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.columns = 0, 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Empty buffers like the first states."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self.rows = key_states.shape[0]
        self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Appends the states of new columns; returns all that are in use."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        first, self.columns = self.columns, self.columns + key_states.shape[2]
        if self.columns > self.keys.shape[2] or self.rows > self.keys.shape[0]:
            self.keys, self.values = self._grown(self.keys, first), self._grown(self.values, first)
        for buffer, states in ((self.keys, key_states), (self.values, value_states)):
            buffer[: self.rows, :, first : self.columns] = states
        return self.keys[: self.rows, :, : self.columns], self.values[: self.rows, :, : self.columns]

    def spread(self, rows: int) -> None:
        """Gives what is the only row to many; it is copied when they go on."""
        self.rows = rows

    def move(self, rows: Tensor, places: Tensor, left: int) -> None:
        """Copies some rows over others and leaves the first `left`."""
        if self.keys.shape[0] > 1:  # else all are still the same
            for buffer in (self.keys, self.values):
                buffer[places] = buffer[rows]
        self.rows = left

    def crop(self, tokens_to_remove: int) -> None:
        """Takes the latest columns off."""
        self.columns -= abs(tokens_to_remove)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Columns with those of a query, and the first of them."""
        return self.columns + query_length, 0

    def get_seq_length(self) -> int:
        """Columns in use."""
        return self.columns

    def get_max_length(self) -> int:
        """None is set."""
        return -1

    def _grown(self, buffer: Tensor, used: int) -> Tensor:
        room = self.columns + max(_SLACK, self.columns // 4)
        grown = buffer.new_empty(self.rows, buffer.shape[1], room, buffer.shape[3])
        grown[:, :, :used] = buffer[: self.rows, :, :used]
        return grown


def rearranged(rows: Sequence[int]) -> list[int]:
    """The row at each of the first places once those in `rows` have moved up: as few as can be change their place."""
    late = [row for row in rows if row >= len(rows)]
    here = set(rows)
    return [place if place in here else late.pop() for place in range(len(rows))]
