"""A constraint to the names of a label set, token by token: what sampling under it draws is what `choices` computes.

It needs no grammar and no library. `tests/heads/generative/test_constrain.py` exercises it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class Listed:
    """A constraint to one of several token sequences; `names` are their texts.

    A name that others continue needs a stop token to be complete. Where the budget ends early, the first name that goes on from
    what was written is taken.
    """

    def __init__(self, sequences: Sequence[Sequence[int]], names: Sequence[str], stop: frozenset[int]) -> None:
        self._open = [(list(ids), name) for ids, name in zip(sequences, names, strict=True)]
        self._stop, self._at = stop, 0
        self._bits = np.zeros(max(map(max, [*sequences, stop])) // 32 + 1, dtype=np.uint32)

    @property
    def complete(self) -> bool:
        """Whether no name goes on."""
        return all(len(ids) == self._at for ids, _ in self._open)

    def allowed(self) -> NDArray[np.int32]:
        """The bits are overwritten by the next call."""
        self._bits[:] = 0
        following = {ids[self._at] for ids, _ in self._open if len(ids) > self._at}
        ended = any(len(ids) == self._at for ids, _ in self._open)
        for token in following | self._stop if ended else following:
            self._bits[token // 32] |= np.uint32(1 << token % 32)
        return self._bits.view(np.int32)

    def forced(self) -> list[int]:
        """What all names go on with."""
        ends = [ids[self._at :] for ids, _ in self._open]
        first, last = min(ends), max(ends)  # of sorted sequences these two differ earliest
        limit = min(len(first), len(last))
        return first[: next((at for at in range(limit) if first[at] != last[at]), limit)]

    def take(self, tokens: Sequence[int]) -> None:
        """Moves on."""
        for token in tokens:
            self._open = [(ids, name) for ids, name in self._open if ids[self._at : self._at + 1] == [token]]
            self._at += 1

    def close(self, ids: Sequence[int]) -> str:
        """A name."""
        del ids
        return min(self._open, key=lambda pair: len(pair[0]) > self._at)[1]
