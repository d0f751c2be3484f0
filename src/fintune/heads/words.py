"""A regression on words beside the network of a sequence head, whose scores it adds to the network's (decision 0014).

It is learnt from the training examples before the first step and kept in the adapter folder as `words.json`. A folder without the
file, or with that of another label set, is refused. `pytest tests/heads/test_words_beside.py` exercises it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fintune.errors import ArtifactError
from fintune.run import read_json
from fintune.text import regression
from fintune.text.regression import Link, Words

WORDS = "words.json"
_FIX = "restore the file, or train again"


@dataclass(slots=True)
class Beside:
    """The regression, None before it is learnt, and what its scores count for; 0 where there is to be none."""

    weight: float = 0.0
    words: Words | None = None

    def learn(self, texts: Sequence[str], gold: np.ndarray, labels: Sequence[str], *, link: Link) -> None:
        """Fit it, where it counts for anything.

        Args:
            texts: as the head reads them, in any order.
            gold: which labels each has `(texts, labels)`.
            labels: the label set, in id order.
            link: probabilities of scores, as of `regression.fit`.
        """
        if self.weight:
            order = sorted(range(len(texts)), key=lambda i: (texts[i], *gold[i]))
            self.words = regression.fit([texts[i] for i in order], gold[order], labels, link=link)

    def scores(self, texts: Sequence[str], *, labels: int) -> np.ndarray:
        """What to add to the network's scores `(texts, labels)`."""
        if self.words is None or not texts:
            return np.zeros((len(texts), labels))
        return self.weight * np.array([self.words.scores(text) for text in texts])

    def files(self) -> Mapping[str, str]:
        """The file to keep, by name; none where nothing was learnt."""
        return {} if self.words is None else {WORDS: json.dumps(self.words.record(), ensure_ascii=False) + "\n"}


def read(kept: Path | None, weight: float, labels: Sequence[str]) -> Beside:
    """What an adapter folder keeps; one that is still to be learnt where there is no folder.

    Raises:
        ArtifactError: where the file is missing, damaged, or of other labels.
    """
    if kept is None or not weight:
        return Beside(weight)
    where = str(kept / WORDS)
    words = regression.from_record(read_json(kept / WORDS), where=where, fix=_FIX)
    if words.labels != tuple(labels):
        raise ArtifactError("a regression on words for other labels", where=where, fix=_FIX)
    return Beside(weight, words)
