"""Surfaces by label as text: written in three notations, read from any of them, whatever a model put around or left out.

`literal` is the papers' Python literal with every label, `json` the same as JSON, `compact` is JSON without blanks and empty
labels. A text without a dictionary, or without a label of the task in it, is refused. `tests/tasks/test_spans_task.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Literal

from fintune.metrics.spans import normalise
from fintune.text.lenient import read_lists
from fintune.text.literals import LiteralError

Target = Literal["literal", "json", "compact"]


def write(surfaces: Mapping[str, Sequence[str]], target: Target) -> str:
    """The dictionary of the surfaces, in the order given; None or null, or nothing at all, for labels without any."""
    match target:
        case "literal":
            return repr({label: list(found) or None for label, found in surfaces.items()})
        case "json":
            return json.dumps({label: list(found) or None for label, found in surfaces.items()}, ensure_ascii=False)
        case "compact":
            present = {label: list(found) for label, found in surfaces.items() if found}
            return json.dumps(present, ensure_ascii=False, separators=(",", ":"))


def read(raw: str, labels: Sequence[str], target: Target) -> tuple[dict[str, list[str]], list[str]]:
    """The surfaces by label of the task, without repetition and blank ones; and what had to be mended.

    Args:
        raw: what a model wrote.
        labels: the task's.
        target: the notation that was asked for; only `compact` may leave out labels.

    Raises:
        LiteralError: where `text.lenient` finds no dictionary, or none of its labels is of the task.
    """
    written, notes = read_lists(raw)
    folded = {label.casefold(): label for label in labels}
    lists: dict[str, dict[str, str]] = {}
    offered = 0
    for key, surfaces in written.items():
        label = folded.get(key.strip().casefold())
        if label is None:
            notes.append(f"unknown label {key[:40]!r} dropped with {len(surfaces)} surfaces")
            continue
        if label != key:
            notes.append(f"label {key[:40]!r} read as {label!r}")
        unique = lists.setdefault(label, {})
        for surface in filter(str.strip, surfaces):
            unique.setdefault(normalise(surface), surface)
        offered += len(surfaces)
    if written and not lists:
        raise LiteralError("no label of the task", 0)
    if target != "compact" and (missing := [label for label in labels if label not in lists]):
        notes.append(f"without {', '.join(missing)}")
    kept = sum(map(len, lists.values()))
    if kept < offered:
        notes.append(f"{offered - kept} blank or repeated surfaces dropped")
    return {label: list(unique.values()) for label, unique in lists.items()}, notes
