"""Logistic regression on TF-IDF of words and pairs of words: the floor `words` of labels, and a part beside a sequence head.

It is learnt in seconds by numpy alone and is plain JSON. A record of something else is refused. `pytest
tests/metrics/test_label_floors.py` exercises it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fintune.errors import ArtifactError

SCHEMA_VERSION = 1

_WORD = re.compile(r"\w+|[%$€£¥]")
_RARE = 2  # texts that a term must stand in to be learnt
_MOST = 20_000  # terms, the most frequent ones: with twenty labels a file of 3 MB
_EPOCHS, _BATCH, _RATE = 15, 32, 0.5
_DECIMALS = 3  # of a weight: keeps the file small, and is applied before the first use

Features = tuple[NDArray[np.int64], NDArray[np.float64]]
Link = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Words:
    """Multinomial logistic regression on TF-IDF of words and of pairs of neighbours, case folded.

    `rarity` maps each of these terms, a pair with a blank between, to its inverse document frequency, `weights` to its weight
    under each of `labels`; `bias` has one for each label.
    """

    labels: tuple[str, ...]
    rarity: Mapping[str, float]
    weights: Mapping[str, tuple[float, ...]]
    bias: tuple[float, ...]

    def scores(self, text: str) -> list[float]:
        """The score of each label, a logit."""
        values = weighed(text, self.rarity)
        return [math.fsum((bias, *(value * self.weights[word][k] for word, value in values.items()))) for k, bias in enumerate(self.bias)]

    def find(self, text: str) -> str:
        """The label with the highest score, the first of equals."""
        scores = self.scores(text)
        return self.labels[max(range(len(scores)), key=lambda k: (scores[k], -k))]

    def record(self) -> dict[str, Any]:
        """As a JSON object, with the rarity of each word before its weights; equal ones give equal objects."""
        words = {word: [self.rarity[word], *self.weights[word]] for word in sorted(self.rarity)}
        return {
            "schema_version": SCHEMA_VERSION, "floor": "words", "labels": list(self.labels), "bias": list(self.bias), "words": words,
        }  # fmt: skip


def terms(text: str) -> list[str]:
    """The words of a text, case folded, then its pairs of neighbouring words."""
    words = _WORD.findall(text.casefold())
    return words + [" ".join(pair) for pair in pairwise(words)]


def weighed(text: str, rarity: Mapping[str, float]) -> dict[str, float]:
    """TF-IDF of the known terms of a text, with logarithmic counts, scaled to length 1; in order of the terms."""
    counts = Counter(terms(text))
    values = {word: (1 + math.log(counts[word])) * rarity[word] for word in sorted(counts.keys() & rarity.keys())}
    length = math.sqrt(math.fsum(value * value for value in values.values()))
    return {word: value / length for word, value in values.items()}


def fit(texts: Sequence[str], gold: NDArray[np.bool_], labels: Sequence[str], *, link: Link) -> Words:
    """Trains by AdaGrad (Duchi et al. 2011) with a fixed order: a few seconds for tens of thousands of short texts.

    Args:
        texts: in an order that does not depend on that of the data.
        gold: which labels each text has `(texts, labels)`.
        labels: their names.
        link: probabilities of scores, `softmax` where exactly one label applies, else `sigmoid`.
    """
    frequency = Counter(term for text in texts for term in set(terms(text)))
    common = sorted(frequency, key=lambda term: (-frequency[term], term))[:_MOST]
    words = sorted(term for term in common if frequency[term] >= _RARE)
    rarity = {word: round(math.log((1 + len(texts)) / (1 + frequency[word])) + 1, _DECIMALS) for word in words}
    column = {word: number for number, word in enumerate(words)}
    inputs = [_features(weighed(text, rarity), column) for text in texts]
    weights = np.zeros((len(words) + 1, len(labels)))  # the last row is the bias
    steps = np.full_like(weights, 1e-8)
    order = np.random.default_rng(0)
    for _ in range(_EPOCHS):
        drawn = order.permutation(len(texts))
        for start in range(0, len(texts), _BATCH):
            batch = drawn[start : start + _BATCH]
            _step(weights, steps, [inputs[i] for i in batch], gold[batch], link)
    kept = weights.round(_DECIMALS).tolist()
    return Words(tuple(labels), rarity, {word: tuple(kept[number]) for word, number in column.items()}, tuple(kept[-1]))


def _features(values: Mapping[str, float], column: Mapping[str, int]) -> Features:
    """Columns of a text and their values; the bias has the last column and a value of 1."""
    return np.array([*(column[word] for word in values), len(column)]), np.array([*values.values(), 1.0])


def _step(
    weights: NDArray[np.float64], steps: NDArray[np.float64], inputs: Sequence[Features], gold: NDArray[np.bool_], link: Link
) -> None:  # fmt: skip
    """One step of AdaGrad on the mean cross-entropy of a batch; changes `weights` and `steps`."""
    columns = np.concatenate([column for column, _ in inputs])
    values = np.concatenate([value for _, value in inputs])[:, None]
    owner = np.repeat(np.arange(len(inputs)), [len(column) for column, _ in inputs])
    scores = np.zeros((len(inputs), weights.shape[1]))
    np.add.at(scores, owner, values * weights[columns])
    errors = link(scores) - gold
    touched, place = np.unique(columns, return_inverse=True)
    gradient = np.zeros((len(touched), weights.shape[1]))
    np.add.at(gradient, place, values * errors[owner] / len(inputs))
    steps[touched] += gradient * gradient
    weights[touched] -= _RATE * gradient / np.sqrt(steps[touched])


def from_record(record: object, *, where: str, fix: str) -> Words:
    """Reads what `Words.record` wrote.

    Args:
        record: as it was read.
        where: the file, for errors.
        fix: what to do about a damaged one.

    Raises:
        ArtifactError: where the object is something else or of another version.
    """
    if not isinstance(record, dict) or record.get("floor") != "words":
        raise ArtifactError("not a regression on words", where=where, fix=fix)
    if record.get("schema_version") != SCHEMA_VERSION:
        raise ArtifactError(
            f"a regression on words of version {record.get('schema_version')!r}", where=where, why=f"this program reads {SCHEMA_VERSION}"
        )
    labels, words = record.get("labels"), record.get("words")
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
        raise ArtifactError("a regression on words without its labels", where=where, fix=fix)
    bias = _numbers(record.get("bias"), len(labels))
    if bias is None or not isinstance(words, dict):
        raise ArtifactError("a regression on words without bias or words", where=where, fix=fix)
    rows = {word: _numbers(row, len(labels) + 1) for word, row in words.items()}
    known = {word: row for word, row in rows.items() if row is not None}
    if len(known) < len(rows):
        raise ArtifactError("a regression without a weight of each word under each label", where=where, fix=fix)
    rarity = {word: row[0] for word, row in known.items()}
    return Words(tuple(labels), rarity, {word: row[1:] for word, row in known.items()}, bias)


def _numbers(value: object, count: int) -> tuple[float, ...] | None:
    """A list of so many finite numbers, or None where it is none."""
    if not isinstance(value, list) or len(value) != count:
        return None
    return tuple(map(float, value)) if all(isinstance(item, int | float) and math.isfinite(item) for item in value) else None
