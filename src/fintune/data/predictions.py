"""`predictions.jsonl`, the seam between the half that runs models and the half that scores: one prediction a line.

Predictions of any other system can be scored when they are written like this: {"id", "text"} with "spans": [{"start", "end",
"label"}], "label": "...", "labels": ["...", ...], or "answer": {"text"} (null says that there is none). Optional are "start" of an
answer, "confidence" of spans, "probabilities" (one for each label, in the order of the label set), "raw", "status", "reason",
"confidence", "prompt_hash".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fintune.errors import ArtifactError, DataError, did_you_mean
from fintune.records import Answer, Example, Prediction, Span

_STATUSES = ("ok", "repaired", "malformed")
_NAMES = {str: "a string", int: "a whole number", float: "a number", list: "a list", dict: "an object"}
_KEYS = ("id", "text", "spans", "label", "labels", "answer", "probabilities", "raw", "status", "reason", "confidence", "prompt_hash")


def record(prediction: Prediction) -> dict[str, Any]:
    """A prediction as a JSON object; spans carry their surfaces for people, readers take the offsets."""
    out: dict[str, Any] = {"id": prediction.id, "text": prediction.text}
    if prediction.spans is not None:
        out["spans"] = [_span_record(span, prediction.text) for span in prediction.spans]
    if prediction.label is not None:
        out["label"] = prediction.label
    if prediction.labels is not None:
        out["labels"] = list(prediction.labels)
    if prediction.answer is not None:
        out["answer"] = {"start": prediction.answer.start, "text": prediction.answer.text}
    if prediction.probabilities is not None:
        out["probabilities"] = list(prediction.probabilities)
    out |= {"status": prediction.status, "confidence": prediction.confidence}
    optional = {"raw": prediction.raw, "reason": prediction.reason, "prompt_hash": prediction.prompt_hash}
    return out | {name: value for name, value in optional.items() if value}


def _span_record(span: Span, text: str) -> dict[str, Any]:
    known = {} if span.confidence is None else {"confidence": span.confidence}
    return {"start": span.start, "end": span.end, "label": span.label, "text": text[span.start : span.end], **known}


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
    except OSError as error:
        raise ArtifactError("predictions cannot be read", where=str(path), why=error.strerror or str(error), fix="check the path") from None
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
        return _prediction(data)
    except ValueError as error:
        fix = 'write {"id", "text"} with "spans": [{"start", "end", "label"}], with "label", with "labels", or with "answer": {"text"}'
        raise DataError("line is not a prediction", where=where, why=str(error), fix=fix) from None


def _prediction(data: dict[str, Any]) -> Prediction:
    text, spans, answer = _value(data, "text", str), _value(data, "spans", list, None), _value(data, "answer", dict, None)
    labels = _value(data, "labels", list, None)
    probabilities, status = _value(data, "probabilities", list, None), _value(data, "status", str, "ok")
    if status not in _STATUSES:
        raise ValueError(f"'status' is {status!r}, not one of {', '.join(_STATUSES)}")
    return Prediction(
        id=str(_value(data, "id", int)) if isinstance(data.get("id"), int) else _value(data, "id", str),
        text=text,
        spans=None if spans is None else tuple(_span(span, text) for span in spans),
        label=_value(data, "label", str, None),
        labels=None if labels is None else tuple(_name(one) for one in labels),
        answer=None if answer is None else Answer(_value(answer, "start", int, None), _value(answer, "text", str)),
        probabilities=None if probabilities is None else tuple(_probability(one, "probabilities") for one in probabilities),
        raw=_value(data, "raw", str, ""),
        status=status,
        reason=_value(data, "reason", str, ""),
        confidence=_confidence(data),
        prompt_hash=_value(data, "prompt_hash", str, ""),
    )


def _value(data: dict[str, Any], key: str, kind: type, *default: Any) -> Any:
    """The value of a key, of one type (a whole number is a float, a truth value no number); its default where missing or null."""
    value = data.get(key)
    if value is None and default:
        return default[0]
    if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else kind):
        found = f"is {json.dumps(value, ensure_ascii=False)[:60]}" if key in data else "is missing"
        raise ValueError(f"{key!r} {found}, not {_NAMES[kind]}")
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"'labels' holds {json.dumps(value, ensure_ascii=False)[:60]}, not a string")
    return value


def _probability(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{name!r} holds {json.dumps(value, ensure_ascii=False)[:60]}, not a probability")
    return float(value)


def _confidence(data: dict[str, Any]) -> float | None:
    return None if data.get("confidence") is None else _probability(data["confidence"], "confidence")


def _span(data: Any, text: str) -> Span:
    if not isinstance(data, dict):
        raise ValueError(f"a span is {json.dumps(data, ensure_ascii=False)[:60]}, not an object")
    start, end = _value(data, "start", int), _value(data, "end", int)
    if not 0 <= start < end <= len(text):
        raise ValueError(f"span [{start}, {end}) lies outside a text of {len(text)} characters")
    return Span(start, end, _value(data, "label", str), text[start:end], "predicted", _confidence(data))


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
