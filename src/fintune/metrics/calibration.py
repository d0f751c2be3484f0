"""Whether a probability of 0.9 is right nine times in ten: bins of equal mass, the expected calibration error, a temperature.

`fit_temperature` finds the one number that scores are divided by so that the probabilities of held-out examples become as likely as they
can be; it changes no prediction. Scores that are not finite, and ids without a label, are refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fintune.errors import DataError
from fintune.metrics.intervals import wilson

Floats = NDArray[np.float64]

BINS = 15
"""Bins of the calibration error, as in Guo et al. 2017."""
DRAWS = 400
"""Draws that `expected_error` averages over."""
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
"""Range of a fitted temperature: scores that separate the labels without error would otherwise be sharpened without end."""
_HALVINGS = 60  # of the range: to the last bit of the inverse temperature


def members(confidence: Floats, *, bins: int = BINS) -> NDArray[np.int64]:
    """The bin of each confidence `(examples,)`, with about as many examples in each; equal confidences share a bin.

    Paper: Guo et al. 2017 take bins of equal width, most of which are nearly empty for a good model; equal mass is after
    Nguyen and O'Connor 2015.
    """
    ordered = np.sort(confidence)
    bins = min(bins, len(confidence))
    return np.asarray(np.searchsorted(ordered, confidence, side="left") * bins // max(1, len(confidence)), dtype=np.int64)


def sums(confidence: Floats, right: NDArray[Any], member: NDArray[np.int64]) -> Floats:
    """Each example `(examples, bins, 3)` as one, its confidence and its being right, in the column of its bin: to be added up."""
    cells = np.zeros((len(confidence), int(member.max(initial=0)) + 1, 3))
    cells[np.arange(len(confidence)), member] = np.stack([np.ones(len(confidence)), confidence, right], axis=-1)
    return cells


def error(totals: Floats) -> Floats:
    """Expected calibration error of `(..., bins, 3)`: distance of confidence and accuracy, averaged over examples."""
    examples = totals[..., 0].sum(axis=-1)
    distance = np.abs(totals[..., 1] - totals[..., 2]).sum(axis=-1)
    return np.asarray(np.divide(distance, examples, out=np.zeros_like(examples), where=examples > 0))


def expected_error(confidence: Floats, member: NDArray[np.int64], *, seed: int) -> float:
    """The calibration error that would be measured if every confidence were true: what chance makes of few examples in a bin.

    A measured error of about this size says nothing against a model. Mean over `DRAWS` draws of which predictions are right.
    """
    random, bins = np.random.default_rng(seed), int(member.max(initial=0)) + 1
    wanted = np.bincount(member, weights=confidence, minlength=bins)
    distances = [
        np.abs(wanted - np.bincount(member, weights=random.random(len(member)) < confidence, minlength=bins)).sum() for _ in range(DRAWS)
    ]
    return float(np.mean(distances) / max(1, len(member)))


def record(confidence: Floats, right: NDArray[Any], *, examples: int, level: float, seed: int) -> dict[str, Any]:
    """The reliability of decisions as a JSON object: `{"examples", "expected", "bins"}`, see `expected_error` and `table`."""
    member = members(confidence)
    expected = expected_error(confidence, member, seed=seed)
    return {"examples": examples, "expected": expected, "bins": table(confidence, right, member, level=level)}


def table(confidence: Floats, right: NDArray[Any], member: NDArray[np.int64], *, level: float) -> list[dict[str, Any]]:
    """The bins that hold examples, by rising confidence, for a reliability diagram.

    Each has the `from` and `to` of its confidences, their mean `confidence`, the `count` of examples, and their `accuracy` with
    Wilson's interval.
    """
    rows = []
    for number in np.unique(member):
        inside = member == number
        count, hits = int(inside.sum()), int(np.asarray(right)[inside].sum())
        low, high = wilson(hits, count, level=level)
        rows.append({
            "from": float(confidence[inside].min()), "to": float(confidence[inside].max()), "count": count,
            "confidence": float(confidence[inside].mean()), "accuracy": {"value": hits / count, "low": low, "high": high},
        })  # fmt: skip
    return rows


def apply_temperature(scores: Floats, temperature: float) -> Floats:
    """Probabilities `(examples, labels)` of scores, logits or logarithms of probabilities, divided by the temperature."""
    return softmax(np.asarray(scores, dtype=np.float64) / temperature)


def fit_temperature(scores: Floats, gold: NDArray[np.int64]) -> float:
    """The temperature under which the gold labels are most likely (Guo et al. 2017).

    Above 1 a model was too sure of itself, below not sure enough. The loss is convex in the inverse temperature, so that its
    slope has one root: the range is halved until it is found. The loss after fitting is never above that before.

    Args:
        scores: `(examples, labels)`, logits or logarithms of probabilities.
        gold: id of the right label of each example.

    Raises:
        DataError: without examples, for scores that are not finite, or an id that is no label's.
    """
    scores, gold = _checked(scores, gold)
    low, high = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if _slope(scores, gold, middle) > 0 else (middle, high)
    value = 2 / (low + high)
    # By rounding alone it can be worse, where the best value is 1.
    return value if _loss(scores, gold, value) <= _loss(scores, gold, 1.0) else 1.0


def effect(scores: Floats, gold: NDArray[np.int64], temperature: float) -> dict[str, Any]:
    """What a temperature does to the examples given, as a JSON object.

    `{"temperature", "examples", "log_loss": {"before", "after"}, "ece": {"before", "after"}}`: the mean loss in nats, and the
    calibration error of the likeliest labels.

    Raises:
        DataError: as `fit_temperature`.
    """
    scores, gold = _checked(scores, gold)
    return {
        "temperature": temperature,
        "examples": len(gold),
        "log_loss": {"before": _loss(scores, gold, 1.0), "after": _loss(scores, gold, temperature)},
        "ece": {"before": _ece(scores, gold, 1.0), "after": _ece(scores, gold, temperature)},
    }


def _checked(scores: Floats, gold: NDArray[np.int64]) -> tuple[Floats, NDArray[np.int64]]:
    scores, gold = np.asarray(scores, dtype=np.float64), np.asarray(gold, dtype=np.int64)
    if scores.ndim != 2 or not len(scores) or len(gold) != len(scores):
        raise DataError(f"{len(gold)} labels for scores of shape {scores.shape}", why="a temperature is fitted on examples with gold")
    if not np.isfinite(scores).all() or not ((gold >= 0) & (gold < scores.shape[1])).all():
        raise DataError("scores that are not finite, or gold outside the label set", fix="give log-probabilities, and ids from 0")
    return scores, gold


def softmax(scores: Floats) -> Floats:
    """Probabilities along the last axis."""
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


def sigmoid(scores: Floats) -> Floats:
    """Probabilities of decisions that do not depend on each other; never overflows."""
    return np.asarray(0.5 * (1 + np.tanh(scores / 2)))


def _slope(scores: Floats, gold: NDArray[np.int64], inverse: float) -> float:
    """Derivative of the mean loss by the inverse temperature: the mean score expected under the model minus that of the gold."""
    expected = (softmax(scores * inverse) * scores).sum(axis=1)
    return float((expected - scores[np.arange(len(gold)), gold]).mean())


def _loss(scores: Floats, gold: NDArray[np.int64], temperature: float) -> float:
    scaled = scores / temperature
    top = scaled.max(axis=1)
    normaliser = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
    return float((normaliser - scaled[np.arange(len(gold)), gold]).mean())


def _ece(scores: Floats, gold: NDArray[np.int64], temperature: float) -> float:
    probabilities = apply_temperature(scores, temperature)
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == gold
    return float(error(sums(confidence, right, members(confidence)).sum(axis=0)))
