"""`predictions.jsonl`, the seam between the half that runs models and the half that scores: one prediction a line.

Predictions of any other system can be scored when they are written like this: {"id", "text", "spans": [{"start", "end",
"label"}]} with the optional keys "raw", "status", "reason", "confidence", "prompt_hash".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fintune.errors import ArtifactError, DataError, did_you_mean
from fintune.records import Answer, Example, Prediction, Span

_KEYS = ("id", "text", "spans", "label", "answer", "raw", "status", "reason", "confidence", "prompt_hash")


def record(prediction: Prediction) -> dict[str, Any]:
    """A prediction as a JSON object; spans carry their surfaces for people, readers take the offsets."""
    out: dict[str, Any] = {"id": prediction.id, "text": prediction.text}
    if prediction.spans is not None:
        out["spans"] = [
            {"start": s.start, "end": s.end, "label": s.label, "text": prediction.text[s.start : s.end]} for s in prediction.spans
        ]
    if prediction.label is not None:
        out["label"] = prediction.label
    if prediction.answer is not None:
        out["answer"] = {"start": prediction.answer.start, "text": prediction.answer.text}
    out |= {"status": prediction.status, "confidence": prediction.confidence}
    optional = {"raw": prediction.raw, "reason": prediction.reason, "prompt_hash": prediction.prompt_hash}
    return out | {name: value for name, value in optional.items() if value}


def dump(predictions: Iterable[Prediction]) -> str:
    """The file's text."""
    return "".join(json.dumps(record(p), ensure_ascii=False) + "\n" for p in predictions)


def read(path: Path) -> list[Prediction]:
    """Predictions of a file.

    Raises:
        ArtifactError: where it is missing.
        DataError: for a line that is not a prediction, with `file:line`.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise ArtifactError("no predictions file", where=str(path), fix="run 'fintune predict' or 'fintune evaluate' first") from None
    except UnicodeDecodeError as error:
        raise DataError("predictions are not UTF-8", where=str(path), why=str(error), fix="write them as UTF-8") from None
    return [_parse(line, f"{path}:{number}") for number, line in enumerate(lines, start=1) if line.strip()]


def _parse(line: str, where: str) -> Prediction:
    try:
        data = json.loads(line)
    except ValueError as error:
        raise DataError("line is not JSON", where=where, why=str(error), fix="write one JSON object a line") from None
    if not isinstance(data, dict):
        raise DataError("line is not a JSON object", where=where, fix="write one JSON object a line")
    for key in data:
        if key not in _KEYS:
            raise DataError(f"unknown key {key!r}", where=where, fix=did_you_mean(key, _KEYS))
    try:
        spans = data.get("spans")
        return Prediction(
            id=str(data["id"]),
            text=str(data["text"]),
            spans=None if spans is None else tuple(_span(s, data["text"]) for s in spans),
            label=data.get("label"),
            answer=Answer(int(data["answer"]["start"]), str(data["answer"]["text"])) if data.get("answer") else None,
            raw=data.get("raw", ""),
            status=data.get("status", "ok"),
            reason=data.get("reason", ""),
            confidence=data.get("confidence"),
            prompt_hash=data.get("prompt_hash", ""),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            "line is not a prediction",
            where=where,
            why=f"{type(error).__name__}: {error}",
            fix='write {"id", "text", "spans": [{"start", "end", "label"}]}',
        ) from None


def _span(data: dict[str, Any], text: str) -> Span:
    start, end = int(data["start"]), int(data["end"])
    if not 0 <= start < end <= len(text):
        raise ValueError(f"span [{start}, {end}) lies outside a text of {len(text)} characters")
    return Span(start, end, str(data["label"]), text[start:end], "predicted")


def pair(examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[tuple[Example, Prediction]]:
    """Each example with its prediction, by id and, where ids repeat, in order.

    Raises:
        DataError: where an example has no prediction, or the texts differ.
    """
    by_id: dict[str, list[Prediction]] = {}
    for prediction in predictions:
        by_id.setdefault(prediction.id, []).append(prediction)
    pairs = []
    for example in examples:
        waiting = by_id.get(example.id)
        if not waiting:
            raise DataError(f"no prediction for example {example.id!r}", where=example.where, fix="predict this data first")
        pairs.append((example, waiting.pop(0)))
    return pairs
