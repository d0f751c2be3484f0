"""What is fitted on the validation examples of a label task: a temperature, and the confidence below which labels go to review.

Neither changes a prediction. Predictions without probabilities, as texts that were written, have neither.
`pytest tests/train/test_fitted.py` exercises it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fintune.metrics.calibration import apply_temperature, fit_temperature
from fintune.metrics.selective import threshold
from fintune.metrics.several import certainty, truths
from fintune.records import Example, Prediction
from fintune.tasks.base import Task

_LEAST = 1e-30  # a probability of 0 as this, so that it has a logarithm
Floats = NDArray[np.float64]


def fitted(
    task: Task, examples: Sequence[Example], found: Sequence[Prediction], *, wanted: float | None
) -> tuple[float | None, float | None]:
    """The temperature that makes probabilities fit the examples best, and the threshold of a wanted precision.

    Args:
        task: of labels; of another kind there is nothing to fit.
        examples: with gold.
        found: their predictions, made at a temperature of 1.
        wanted: share of right predictions among those that stand, or None.

    Returns:
        The first is None where there are no probabilities, the second where no precision is wanted.
    """
    pairs = [(e, p) for e, p in zip(examples, found, strict=True) if p.probabilities is not None]
    if not pairs:
        return None, None
    fit = _several if task.kind == "labels" else _one
    temperature, confidence, right = fit(task, pairs)
    return temperature, None if wanted is None else threshold(confidence, right, wanted=wanted)


def _one(task: Task, pairs: Sequence[tuple[Example, Prediction]]) -> tuple[float, Floats, NDArray[np.bool_]]:
    """Temperature, confidence of the likeliest label, and whether it is right."""
    gold = np.array([task.labels.index(str(e.label)) for e, _ in pairs])
    logarithms = np.log(np.maximum([p.probabilities for _, p in pairs], _LEAST))
    temperature = float(fit_temperature(logarithms, gold))
    probabilities = apply_temperature(logarithms, temperature)
    return temperature, probabilities.max(axis=1), probabilities.argmax(axis=1) == gold


def _several(task: Task, pairs: Sequence[tuple[Example, Prediction]]) -> tuple[float, Floats, NDArray[np.bool_]]:
    """Temperature of the decisions, confidence of the least certain one of each text, and whether all of it are right."""
    gold, given = (truths(sets, labels=task.labels) for sets in ([e.labels or () for e, _ in pairs], [p.labels or () for _, p in pairs]))
    chosen = np.array([p.probabilities for _, p in pairs])
    logarithms = np.log(np.maximum(np.stack([1 - chosen, chosen], axis=-1), _LEAST))  # (examples, labels, outcomes)
    temperature = float(fit_temperature(logarithms.reshape(-1, 2), gold.ravel().astype(np.int64)))
    sure = certainty(apply_temperature(logarithms, temperature)[..., 1], given)
    return temperature, sure.min(axis=1), (gold == given).all(axis=1)
