"""Made-up `study.json` documents: a grid, an unfinished one, a learning curve, a search, a single cell; scores from a formula and a seed.

`python tests/report/made_up_study.py FOLDER` writes the reports of all of them, to be looked at.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Document = dict[str, Any]
Score = Callable[[Mapping[str, str], random.Random], float]
LABELS = ("Company", "Date", "Location", "Money")
KEYS = {
    "rank": "adapter.rank",
    "noise": "train.noise.alpha",
    "learning rate": "train.learning_rate",
    "seed": "seed",
    "examples": "data.examples",
}
DATA = {
    "train": {"source": "train.jsonl", "fingerprint": "b77e" * 16, "examples": 1693},
    "validation": {"source": "val.jsonl", "fingerprint": "09d2" * 16, "examples": 212},
    "test": {"source": "test.jsonl", "fingerprint": "c0de" * 16, "examples": 211},
    "slices": {"posts": {"source": "posts.jsonl", "fingerprint": "aaaa" * 16, "examples": 90}},
}


def rate(value: float, half: float = 0.012) -> dict[str, float]:
    """A score with its interval."""
    return {"value": value, "low": value - half, "high": min(1.0, value + half)}


def cell(labels: Mapping[str, str], score: float, **values: Any) -> Document:
    """A finished cell."""
    name = "-".join(labels.values()) or "only"
    draw = random.Random(name)
    rank, examples = float(labels.get("rank", 8)), int(labels.get("examples", 1693))
    seconds = 0.06 * examples * (1 + rank / 40) * draw.uniform(0.95, 1.05)
    entry: Document = {
        "id": f"{sum(map(ord, name)) * 7919 % 16**6:06x}-{name}",
        "labels": dict(labels),
        "overrides": {KEYS.get(axis, axis): json.loads(value) for axis, value in labels.items()},
        "status": "finished",
        "folder": f"cells/{name}",
        "attempts": 1,
        "error": None,
        "metrics": {
            "micro_f1": rate(score),
            "surface_micro_f1": rate(score + 0.01),
            "macro_f1": rate(score - 0.04 - 0.02 * draw.random()),
        },
        "slices": {"posts": {"micro_f1": rate(score - 0.2 + 0.02 * draw.random(), 0.03)}},
        "per_label": {label: {"f1": rate(score - 0.05 * at + 0.02 * draw.random(), 0.02)} for at, label in enumerate(LABELS)},
        "examples": 211,
        "training_examples": examples,
        "cost": {
            "wall_seconds": seconds,
            "cpu_seconds": 1.9 * seconds,
            "gpu_seconds": None,
            "peak_memory_bytes": 900_000_000 + int(rank) * 10**6,
            "tokens": 90 * examples,
            "flop": 2.2e10 * examples * (1 + rank / 400),
            "energy_joules": None,
            "currency": "USD",
            "price": seconds / 3600 * 0.4,
        },
    }
    return {**entry, **values}


def study(
    axes: Mapping[str, Sequence[str]],
    score: Score,
    *,
    roles: Mapping[str, str] | None = None,
    points: Sequence[Sequence[str]] | None = None,
    **values: Any,
) -> Document:
    """A finished study over a full grid, or over some points of it."""
    roles = {"seed": "seed", **(roles or {})}
    cells = []
    for labels in points if points is not None else itertools.product(*axes.values()):
        named = dict(zip(axes, labels, strict=True))
        cells.append(cell(named, score(named, random.Random("/".join(labels)))))
    settings = {name: {label: {KEYS.get(name, name): json.loads(label)} for label in labels} for name, labels in axes.items()}
    document: Document = {
        "schema_version": 1,
        "name": "rank-of-ner",
        "question": "Does the rank of the adapter matter?",
        "description": "Does the rank of the adapter matter? The source trains once at each rank and cannot tell.",
        "recipe": "ner-minilm",
        "task": "finance-ner-7",
        "kind": "spans",
        "metric": "micro_f1",
        "command": "fintune ablate rank-of-ner --output runs/rank-of-ner",
        "created": "2026-11-20T08:00:00Z",
        "finished": "2026-11-20T08:44:10Z",
        "axes": [
            {"name": name, "values": list(labels), "settings": settings[name], "role": roles.get(name, "factor")}
            for name, labels in axes.items()
        ],
        "data": DATA,
        "cells": cells,
        "baselines": {"gazetteer": {"micro_f1": rate(0.41)}, "zero-shot": {"micro_f1": rate(0.79)}},
        "hardware": {"processor": "Intel Xeon", "cores": 2},
        "versions": {"python": "3.11.9", "fintune": "0.1.0", "torch": "2.13.0"},
    }
    return {**document, **values}


RANKS = {"4": 0.0, "8": 0.002, "16": 0.019, "32": 0.021}


def grid() -> Document:
    """Ranks by noise with three seeds: two ranks differ, noise does not."""
    axes = {"rank": list(RANKS), "noise": ["0", "0.1"], "seed": ["0", "1", "2"]}
    return study(axes, lambda at, draw: 0.842 + RANKS[at["rank"]] + draw.gauss(0, 0.002) + 0.004 * int(at["seed"]))


def unfinished() -> Document:
    """The same while it runs: one cell failed, others wait."""
    document = grid()
    for number, entry in enumerate(document["cells"]):
        if number in (4, 17) or number > 18:
            entry |= {"metrics": {}, "slices": {}, "per_label": {}, "cost": {}}
            entry |= (
                {"status": "failed", "error": "train: loss is not finite at step 31", "attempts": 2}
                if number < 18
                else {"status": "waiting"}
            )
    return {**document, "finished": None, "name": "rank-of-ner-unfinished"}


def curve() -> Document:
    """A learning curve with two learning rates."""
    sizes, rates = ["50", "100", "200", "400", "800", "1693"], ["0.0005", "0.001"]
    axes = {"examples": sizes, "learning rate": rates, "seed": ["0", "1", "2"]}

    def score(at: Mapping[str, str], draw: random.Random) -> float:
        return 0.88 - 3.2 / (int(at["examples"]) + 9) ** 0.75 + (0.006 if at["learning rate"] == "0.001" else 0) + draw.gauss(0, 0.004)

    question = "How many labelled sentences are enough?"
    return study(axes, score, roles={"examples": "size"}, name="learning-curve", question=question, description=question)


def search() -> Document:
    """Twenty random settings, one seed each."""
    draw = random.Random(5)
    points = [(f"{10 ** draw.uniform(-4.5, -2.5):.3g}", draw.choice(list(RANKS)), "0") for _ in range(20)]
    axes = {"learning rate": [point[0] for point in points], "rank": list(RANKS), "seed": ["0"]}
    question = "Which learning rate?"
    return study(
        axes, lambda at, draw: 0.84 + draw.gauss(0, 0.01), points=points, name="search", question=question, search={"method": "random"}
    )


def single() -> Document:
    """One cell without axes."""
    return study({}, lambda at, draw: 0.84, name="single", question="", description="")


ALL = (grid, unfinished, curve, search, single)


if __name__ == "__main__":
    from fintune.report.study_page import write_study_report

    for make in ALL:
        place = Path(sys.argv[1]) / make.__name__
        place.mkdir(parents=True, exist_ok=True)
        (place / "study.json").write_text(json.dumps(make()), encoding="utf-8")
        print(*write_study_report(place), sep="\n")
