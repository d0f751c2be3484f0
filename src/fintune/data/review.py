"""The queue of labels that are too uncertain to stand, for a person to decide: `review.jsonl`, least certain first.

    {"id", "text", "label", "confidence", "probabilities": {LABEL: float}, "gold": str | null}

Of several labels it has "labels" and "gold" as lists, and the confidence is that of the least certain decision. Predictions that could
not be read are in it too. `fintune evaluate` writes it where the run wants a precision, `fintune predict --review` for new texts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from fintune.records import Example, Prediction

REVIEW = "review.jsonl"


def certainty(prediction: Prediction) -> float | None:
    """The confidence of a label or of several; None where nothing could be read, or nothing is known of it."""
    return None if prediction.label is None and prediction.labels is None else prediction.confidence


def right(example: Example, prediction: Prediction) -> bool:
    """Whether the label is the gold one, or the labels are exactly those."""
    if example.labels is None:
        return example.label is not None and example.label == prediction.label
    return prediction.labels is not None and set(example.labels) == set(prediction.labels)


def stands(prediction: Prediction, least: float) -> bool:
    """Whether a label, or the least certain of several, is certain enough."""
    sure = certainty(prediction)
    return sure is not None and sure >= least


def queue(examples: Sequence[Example], found: Sequence[Prediction], *, labels: Sequence[str], least: float) -> str:
    """The lines of what does not stand at a confidence of `least`."""
    waiting = [(e, p) for e, p in zip(examples, found, strict=True) if not stands(p, least)]
    waiting.sort(key=lambda pair: pair[1].confidence or 0.0)
    return "".join(json.dumps(_record(e, p, labels), ensure_ascii=False, allow_nan=False) + "\n" for e, p in waiting)


def _record(example: Example, prediction: Prediction, labels: Sequence[str]) -> dict[str, object]:
    probabilities = prediction.probabilities
    given: dict[str, object] = {"label": prediction.label}
    gold: object = example.label
    if prediction.labels is not None or example.labels is not None:
        given = {"labels": None if prediction.labels is None else list(prediction.labels)}
        gold = None if example.labels is None else list(example.labels)
    return {
        "id": example.id, "text": example.text, **given, "confidence": prediction.confidence,
        "probabilities": None if probabilities is None else dict(zip(labels, probabilities, strict=True)), "gold": gold,
    }  # fmt: skip
