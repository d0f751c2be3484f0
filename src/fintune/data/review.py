"""The queue of labels that are too uncertain to stand, for a person to decide: `review.jsonl`, least certain first.

    {"id", "text", "label", "confidence", "probabilities": {LABEL: float}, "gold": str | null}

Predictions that could not be read are in it too. `fintune evaluate` writes it where the run wants a precision, `fintune predict
--review` for new texts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from fintune.records import Example, Prediction

REVIEW = "review.jsonl"


def stands(prediction: Prediction, least: float) -> bool:
    """Whether a label is certain enough."""
    return prediction.label is not None and prediction.confidence is not None and prediction.confidence >= least


def queue(examples: Sequence[Example], found: Sequence[Prediction], *, labels: Sequence[str], least: float) -> str:
    """The lines of what does not stand at a confidence of `least`."""
    waiting = [(e, p) for e, p in zip(examples, found, strict=True) if not stands(p, least)]
    waiting.sort(key=lambda pair: pair[1].confidence or 0.0)
    return "".join(json.dumps(_record(e, p, labels), ensure_ascii=False, allow_nan=False) + "\n" for e, p in waiting)


def _record(example: Example, prediction: Prediction, labels: Sequence[str]) -> dict[str, object]:
    probabilities = prediction.probabilities
    return {
        "id": example.id, "text": example.text, "label": prediction.label, "confidence": prediction.confidence,
        "probabilities": None if probabilities is None else dict(zip(labels, probabilities, strict=True)), "gold": example.label,
    }  # fmt: skip
