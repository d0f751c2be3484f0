"""Made-up systems to compare: gold of each kind, and run folders whose predictions are the gold with mistakes put in at random.

    python tests/study/compared_systems.py spans FOLDER

writes three systems of three seeds each and a prediction file of another one, and their comparison page, to be looked at.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tiny
from fintune.data import predictions as seam
from fintune.data.card import card
from fintune.data.formats.jsonl import dump
from fintune.data.load import load
from fintune.records import Answer, Example, Meta, Prediction, Span
from fintune.run import write_file, write_json

TASKS = {"spans": "finance-ner-7", "label": "sentiment-3", "answer": "financial-reasoning"}


def gold(kind: str, count: int = 60, *, together: int = 1) -> list[Example]:
    """Annotated examples; `together` of them in each document."""
    from fintune.tasks.base import load_task

    labels, found = load_task(TASKS[kind]).labels, []
    for number, example in enumerate(tiny.examples(count)):
        meta = Meta(document=f"d{number // together}") if together > 1 else Meta()
        made = replace(example, meta=meta, where="")
        if kind == "label":
            made = replace(made, spans=None, label=labels[number % len(labels)])
        elif kind == "answer":
            answer = Answer(None, f"{number}.5") if number % 3 else Answer(0, example.text.split()[0])
            made = replace(made, spans=None, question=f"What of {number}?", answer=answer)
        found.append(made)
    return found


def outputs(examples: Sequence[Example], *, skill: float, seed: int) -> list[Prediction]:
    """Predictions that are right with a probability, by a seed; one in fifty cannot be read."""
    draw = random.Random(seed)
    labels = sorted({e.label for e in examples if e.label})
    return [_output(example, draw, skill, labels) for example in examples]


def _output(example: Example, draw: random.Random, skill: float, labels: Sequence[str]) -> Prediction:
    made = Prediction(example.id, example.text, confidence=round(draw.uniform(0.4, 1), 3))
    if draw.random() < 0.02:
        return replace(made, spans=() if example.spans is not None else None, status="malformed", reason="not closed", raw="{'x")
    if example.spans is not None:
        return replace(made, spans=tuple(span for given in example.spans for span in _span(given, draw, skill)))
    if example.label is not None:
        return replace(made, label=example.label if draw.random() < skill else draw.choice(labels))
    assert example.answer is not None
    right = draw.random() < skill
    return replace(made, answer=example.answer if right else Answer(None, f"{example.answer.text} or {draw.randint(1, 9)}"))


def _span(span: Span, draw: random.Random, skill: float) -> list[Span]:
    luck = draw.random()
    if luck < skill:
        return [span]
    label = draw.choice(sorted(tiny.SLOTS))
    return [replace(span, label=label)] if luck < skill + (1 - skill) / 2 else []


def write_gold(path: Path, examples: Sequence[Example]) -> Path:
    """A data file."""
    write_file(path, "".join(dump(example) + "\n" for example in examples))
    return path


def write_run(folder: Path, found: Sequence[Prediction], *, data: Path, kind: str) -> Path:
    """A folder as `fintune evaluate` leaves it, as far as a comparison reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / "predictions.jsonl", seam.dump(found))
    loaded = load(data, kind=kind)
    described = card(loaded.examples, source=str(data), fingerprint=loaded.fingerprint)
    write_json(folder / "report.json", {"schema_version": 1, "task": TASKS[kind], "kind": kind, "data": described})
    return folder


def write_study(folder: Path, data: Path, kind: str) -> Path:
    """A study of two ranks and two kinds of noise with three seeds, of which one cell failed."""
    examples, cells = load(data, kind=kind).examples, list[dict[str, Any]]()
    for rank, noise in (("4", "0"), ("16", "0"), ("4", "5"), ("16", "5")):
        for seed in range(3):
            name = f"cells/r{rank}n{noise}s{seed}"
            failed = (rank, noise, seed) == ("16", "5", 2)
            labels = {"rank": rank, "noise": noise, "seed": str(seed)}
            cells.append({"id": name, "labels": labels, "status": "failed" if failed else "finished", "folder": name})
            if not failed:
                write_run(
                    folder / name, outputs(examples, skill=0.7 + int(rank) / 100, seed=hash((rank, seed)) % 999), data=data, kind=kind
                )
    axes = [{"name": "rank", "role": "factor"}, {"name": "noise", "role": "factor"}, {"name": "seed", "role": "seed"}]
    write_json(folder / "study.json", {"schema_version": 1, "axes": axes, "cells": cells})
    return folder


if __name__ == "__main__":
    from fintune.api import compare
    from fintune.study.compare_request import Request

    kind, place = sys.argv[1], Path(sys.argv[2])
    place.mkdir(parents=True, exist_ok=True)
    source = load(sys.argv[3], kind=kind).examples if len(sys.argv) > 3 else gold(kind, 120)  # type: ignore[arg-type]
    file = write_gold(place / "test.jsonl", source)
    groups = dict[str, tuple[str, ...]]()
    for number, (name, skill) in enumerate((("rank 16", 0.86), ("rank 8", 0.84), ("rank 4", 0.72))):
        runs = {place / f"{name}-{seed}": outputs(source, skill=skill, seed=10 * number + seed) for seed in range(3)}
        groups[name] = tuple(str(write_run(folder, found, data=file, kind=kind)) for folder, found in runs.items())
    other = place / "other-system.jsonl"
    write_file(other, seam.dump(outputs(source, skill=0.6, seed=9)))
    compare(Request(systems=(str(other),), groups=groups), output=place / "page")
    singles = Request(systems=(groups["rank 16"][0], groups["rank 8"][0]))
    compare(singles, output=place / "single")
