"""Tag sequences and their best legal path, so that what is decoded is always a list of valid spans.

`Tagset` is the alphabet of a label set; `best_path` is Viterbi (1967) over emissions with transition scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

IMPOSSIBLE = -np.inf
"""Score of a transition that may not happen, whatever the other scores of a path. Never part of a loss."""

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Tagset:
    """Tags of `labels` in a scheme: `O`, then for each label its prefixes in scheme order."""

    labels: tuple[str, ...]
    scheme: str = "BIO"

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """Tag names; the index is the tag id."""
        prefixes = {"BIO": "BI", "BIOES": "BIES"}[self.scheme]
        return ("O", *(f"{prefix}-{label}" for label in self.labels for prefix in prefixes))

    @cached_property
    def ids(self) -> dict[str, int]:
        """Tag id by name."""
        return {tag: i for i, tag in enumerate(self.tags)}

    @cached_property
    def constraints(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Scores of transitions `(from, to)`, of starting and of ending with a tag: 0 where legal, else `IMPOSSIBLE`."""
        n = len(self.tags)
        moves, start, end = (np.zeros(shape, np.float32) for shape in ((n, n), n, n))
        for i, one in enumerate(self.tags):
            opens = one[0] in "BI" and self.scheme == "BIOES"  # the span has to go on
            start[i] = IMPOSSIBLE if one[0] in "IE" else 0
            end[i] = IMPOSSIBLE if opens else 0
            for j, other in enumerate(self.tags):
                continues = other[0] in "IE"
                same = one[0] in "BI" and one[2:] == other[2:]
                legal = same if continues else not opens
                moves[i, j] = 0 if legal else IMPOSSIBLE
        return moves, start, end

    def encode(self, length: int, spans: list[tuple[int, int, str]]) -> list[int]:
        """Tag ids of `length` words for spans `[first, last)` over words; spans must not overlap."""
        tags = [0] * length
        for first, last, label in spans:
            for i in range(first, last):
                if self.scheme == "BIO":
                    prefix = "B" if i == first else "I"
                elif last - first == 1:
                    prefix = "S"
                else:
                    prefix = "B" if i == first else "E" if i == last - 1 else "I"
                tags[i] = self.ids[f"{prefix}-{label}"]
        return tags

    def decode(self, path: list[int]) -> list[tuple[int, int, str]]:
        """Spans `[first, last)` over words of a legal path."""
        spans: list[tuple[int, int, str]] = []
        for i, tag in enumerate(path):
            name = self.tags[tag]
            if name[0] in "BS":
                spans.append((i, i + 1, name[2:]))
            elif name[0] in "IE":
                first, _, label = spans[-1]
                spans[-1] = (first, i + 1, label)
        return spans


def best_path(emissions: FloatArray, moves: FloatArray, start: FloatArray, end: FloatArray) -> list[int]:
    """Tag ids of the highest-scoring path.

    Args:
        emissions: `(words, tags)` score of each tag at each word.
        moves: `(from, to)` transition scores.
        start: `(tags,)` scores of the first tag.
        end: `(tags,)` scores of the last tag.
    """
    if not len(emissions):
        return []
    score = emissions[0] + start
    back = np.empty(emissions.shape, np.int64)
    for t in range(1, len(emissions)):
        through = score[:, None] + moves  # (from, to)
        back[t] = through.argmax(0)
        score = through.max(0) + emissions[t]
    tag = int((score + end).argmax())
    path = [tag]
    for t in range(len(emissions) - 1, 0, -1):
        tag = int(back[t, tag])
        path.append(tag)
    return path[::-1]
