"""Example JSONL, the contract of DESIGN.md: one JSON object a line with `id`, `text`, gold and optional `meta`.

Strict: unknown keys, wrong types, offsets outside the text and surfaces that differ from their slice are refused with
file, line and remedy. Overlapping spans and repeated ids are read; `check` reports them. `dump` writes the same lines.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fintune.data.formats.base import ReadOptions, Rejected, Row, Source, as_source, checked_id, checked_meta, checked_text, shown
from fintune.data.formats.label_lists import checked_labels
from fintune.data.formats.lines import text_lines
from fintune.data.formats.offsets import checked_answer, checked_spans, known_keys
from fintune.data.formats.strict_json import parse_line
from fintune.errors import DataError
from fintune.records import Answer, Example

KEYS = ("id", "text", "spans", "label", "labels", "question", "answer", "alternatives", "reasoning", "meta", "unaligned")


def read(source: Path | Source, options: ReadOptions) -> Iterator[Row]:
    """Examples of a JSONL file in order; blank lines count but hold nothing.

    Raises:
        DataError: the file as a whole cannot be read.
    """
    source = as_source(source)
    first = True
    for number, line in text_lines(source, options.encoding):
        where = f"{source.name}:{number}"
        if isinstance(line, DataError):
            yield Rejected(line)
            continue
        if not line.strip():
            continue
        if first and line.lstrip().startswith("["):
            raise DataError("a JSON array, not JSON Lines", where=where, fix="write one object a line, for example with: jq -c '.[]'")
        first = False
        try:
            record = parse_line(line, where=where)
            example = example_of(record, where=where, fallback_id=f"{source.stem}:{number}", options=options)
        except DataError as error:
            yield Rejected(error)
        else:
            yield example


def example_of(record: object, *, where: str, fallback_id: str, options: ReadOptions) -> Example:
    """The example that a parsed line describes.

    Raises:
        DataError: the record does not follow the contract.
    """
    if not isinstance(record, dict):
        raise DataError(f"{shown(record)} is not a JSON object", where=where, fix='write an object such as {"text": "..."}')
    known_keys(record, KEYS, what="key", where=where)
    if "text" not in record:
        raise DataError(
            "no 'text'", where=where, why=f"keys found: {', '.join(record) or 'none'}", fix="give the text under the key 'text'"
        )
    text = checked_text(record["text"], key="text", where=where)
    example = Example(
        id=checked_id(record["id"], where=where) if "id" in record else fallback_id,
        text=text,
        spans=checked_spans(record["spans"], text, where=where) if "spans" in record else None,
        label=_label(record["label"], where) if "label" in record else None,
        labels=_labels(record["labels"], where) if "labels" in record else None,
        reasoning=checked_text(record["reasoning"], key="reasoning", where=where) if record.get("reasoning") is not None else None,
        meta=_meta(record.get("meta", {}), where),
        unaligned=_unaligned(record.get("unaligned", []), where),
        where=where,
    )
    example = _with_question(example, record, options)
    if options.gold == "none":
        return replace(example, spans=None, label=None, labels=None, answer=None, alternatives=(), reasoning=None, unaligned=())
    return example


def dump(example: Example) -> str:
    """One line of the contract, without a line end. `where` is not written: it names the file the example came from."""
    record: dict[str, Any] = {"id": example.id}
    if example.question is not None:
        record["question"] = example.question
    record["text"] = example.text
    if example.spans is not None:
        record["spans"] = [
            {"start": span.start, "end": span.end, "label": span.label}
            | ({} if span.alignment == "exact" else {"alignment": span.alignment})
            for span in example.spans
        ]  # fmt: skip
    if example.label is not None:
        record["label"] = example.label
    if example.labels is not None:
        record["labels"] = list(example.labels)
    if example.question is not None:
        record["answer"] = None if example.answer is None else _answer_record(example.answer)
    if example.alternatives:
        record["alternatives"] = [_answer_record(other) for other in example.alternatives]
    if example.reasoning is not None:
        record["reasoning"] = example.reasoning
    if example.unaligned:
        record["unaligned"] = [{"label": label, "text": surface} for label, surface in example.unaligned]
    meta = {key: getattr(example.meta, key) for key in ("document", "published", "source", "group")}
    if any(value is not None for value in meta.values()):
        record["meta"] = {key: value for key, value in meta.items() if value is not None}
    line = json.dumps(record, ensure_ascii=False, allow_nan=False)
    for separator in "\x85\u2028\u2029":  # other programs take these for line ends
        line = line.replace(separator, f"\\u{ord(separator):04x}")
    return line


def _answer_record(answer: Answer) -> dict[str, Any]:
    return {"text": answer.text} if answer.start is None else {"start": answer.start, "text": answer.text}


def _label(value: object, where: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # class numbers; --rename gives them names
    if isinstance(value, str) and value.strip():
        return value
    raise DataError(f"'label' is {shown(value)}", where=where, why="a label is a string or a class number",
                    fix="give one label, or leave the key out of unlabelled text")  # fmt: skip


def _labels(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise DataError(f"'labels' is {shown(value)}, not a list", where=where, fix='write it like ["results", "mergers"], [] for none')
    return checked_labels([_label(item, where) for item in value], key="labels", where=where)


def _meta(value: object, where: str) -> Any:
    if not isinstance(value, dict):
        raise DataError(f"'meta' is {shown(value)}, not an object", where=where, fix='write it like {"document": "10-K 2023"}')
    return checked_meta(value, where=where)


def _unaligned(value: object, where: str) -> tuple[tuple[str, str], ...]:
    pairs: list[tuple[str, str]] = []
    for item in value if isinstance(value, list) else [value]:
        if not (isinstance(item, dict) and set(item) == {"label", "text"} and all(isinstance(part, str) for part in item.values())):
            raise DataError(f"'unaligned' holds {shown(item)}", where=where, fix='write it like [{"label": "Company", "text": "Acme"}]')
        pairs.append((item["label"], item["text"]))
    return tuple(pairs)


def _with_question(example: Example, record: Mapping[str, Any], options: ReadOptions) -> Example:
    if "question" not in record:
        if "answer" in record:
            raise DataError("an 'answer' without a 'question'", where=example.where, fix="add the question or delete the answer")
        if "alternatives" in record:
            raise DataError("'alternatives' without a 'question'", where=example.where, fix="add the question, or delete the alternatives")
        return example
    question = checked_text(record["question"], key="question", where=example.where)
    if "answer" not in record and options.gold != "none":
        raise DataError("a 'question' without an 'answer'", where=example.where,
                        fix='add the answer, or "answer": null where the text does not give it')  # fmt: skip
    answer = checked_answer(record.get("answer"), example.text, where=example.where)
    others = record.get("alternatives", [])
    if not isinstance(others, list) or None in others or (others and answer is None):
        raise DataError(
            f"'alternatives' is {shown(others)}" if answer is not None else "'alternatives' to no answer", where=example.where,
            fix='give a list of answers beside the answer to learn, such as [{"text": "12%"}]',
        )  # fmt: skip
    found = [checked_answer(other, example.text, where=example.where) for other in others]
    return replace(example, question=question, answer=answer, alternatives=tuple(other for other in found if other is not None))
