"""A made-up run of plausible size: thirty texts, their gold, what a model might have predicted, its log and its manifest.

`python tests/report/made_up_run.py report.html` writes its page, to be looked at.
"""

from __future__ import annotations

import math
import random
import re
import sys
from pathlib import Path
from typing import Any

from fintune.data.card import card
from fintune.metrics.floors import EMPTY, Gazetteer
from fintune.metrics.intervals import Bootstrap
from fintune.metrics.report import build
from fintune.metrics.spans import SpanPair
from fintune.records import Example, Meta, Prediction, Span
from fintune.report.html import ReportInputs, render

LABELS = ("Company", "Date", "Location", "Money", "Person", "Product", "Quantity")

# A line: the document, then a text with [surface](Label).
TEXTS = [line.split(" ", 1) for line in Path(__file__).with_name("made_up_texts.txt").read_text(encoding="utf-8").splitlines()]

# What the model got wrong: (text number, gold surface or "" for none, predicted surface or "" for none, predicted label).
ERRORS = (
    (0, "three tankers", "", ""),
    (1, "the end of March", "end of March", "Date"),
    (2, "Lenovax", "Lenovax", "Company"),
    (4, "Dr. Amara Osei", "Amara Osei", "Person"),
    (5, "140 branches", "140", "Quantity"),
    (7, "Orrick & Vale", "Orrick", "Person"),
    (7, "", "filing", "Product"),
    (8, "Oatwell", "Oatwell", "Company"),
    (9, "11.62 per euro", "11.62", "Quantity"),
    (9, "", "krona", "Money"),
    (10, "two rate cuts", "", ""),
    (10, "Nordhaven Bank", "Nordhaven Bank", "Location"),
    (12, "Kestrel 9", "Kestrel 9 accelerator", "Product"),
    (14, "3-1/4 cents", "1/4 cents", "Quantity"),
    (15, "western Australia", "Australia", "Location"),
    (21, "Ostrava Steel", "Ostrava", "Location"),
    (24, "23,000", "", ""),
    (24, "Vantor E3", "Vantor", "Company"),
    (27, "year-end", "", ""),
    (28, "Sierra Blanca", "Sierra Blanca", "Product"),
    (29, "", "volume", "Quantity"),
)  # fmt: skip

SEEN = {
    "Company": ("Pelagia Lines", "Merriweather plc"),
    "Date": ("Friday", "Tuesday", "2019", "2020", "Q3", "December", "August", "yesterday", "the second quarter", "May 3"),
    "Location": ("Germany", "Spain", "U.K.", "Chicago", "Canada", "Swedish"),
    "Product": ("Brisk",),
    "Quantity": ("4%",),
}
_MARKED = re.compile(r"\[([^\]]+)\]\((\w+)\)")


def examples() -> list[Example]:
    """The texts with their gold spans."""
    found = []
    for number, (document, marked) in enumerate(TEXTS):
        spans, text, before = [], "", 0
        for match in _MARKED.finditer(marked):
            text += marked[before : match.start()]
            spans.append(Span(len(text), len(text) + len(match.group(1)), match.group(2), match.group(1)))
            text, before = text + match.group(1), match.end()
        found.append(Example(f"{document}-{number + 1:02d}", text + marked[before:], spans=tuple(spans), meta=Meta(document=document)))
    return found


def predictions() -> list[Prediction]:
    """The gold with the errors put in; one output could not be read."""
    found = []
    for number, example in enumerate(examples()):
        mine = [error for error in ERRORS if error[0] == number]
        spans = [span for span in example.spans or () if span.text not in {gold for _, gold, _, _ in mine}]
        for _, gold, surface, label in mine:
            starts = [s.start + gold.index(surface) for s in example.spans or () if gold and surface in gold and s.text == gold]
            for start in starts or [example.text.index(surface)]:
                spans += [Span(start, start + len(surface), label, surface, "predicted")] * bool(surface)
        confidence = round(0.97 - 0.11 * len(mine) - 0.003 * number, 3)
        found.append(Prediction(example.id, example.text, spans=tuple(sorted(spans)), confidence=confidence))
    broken = found[18]
    raw = "{'Company': ['Grupo Altamar', 'Date':"
    found[18] = Prediction(broken.id, broken.text, spans=(), raw=raw, status="malformed", reason="unclosed list")
    return found


def report() -> dict[str, Any]:
    """The scores of the predictions."""
    gold, found = examples(), predictions()
    floors = {"empty": EMPTY, "gazetteer": Gazetteer({surface: label for label, surfaces in SEEN.items() for surface in surfaces})}
    return build(
        [SpanPair(e.text, e.spans or (), p.spans or ()) for e, p in zip(gold, found, strict=True)],
        task="finance-ner-7",
        labels=LABELS,
        clusters=[e.meta.document or e.id for e in gold],
        malformed=1,
        floors={name: [SpanPair(e.text, e.spans or (), floor.find(e.text)) for e in gold] for name, floor in floors.items()},
        plan=Bootstrap(replicates=1000),
    )


def log() -> list[dict[str, Any]]:
    """Steps and validations of six epochs."""
    draw = random.Random(4)
    records: list[dict[str, Any]] = []
    for step in range(1, 637):
        epoch = (step - 1) // 106
        loss = 1.55 * math.exp(-step / 90) + 0.12 + 0.1 * draw.gammavariate(1.5, 1) * (1 + 3 * math.exp(-step / 150))
        records.append({"event": "step", "step": step, "epoch": epoch, "loss": loss, "tokens": 900, "seconds": 0.09})
        if step % 106 == 0:
            strict = (0.498, 0.662, 0.751, 0.789, 0.807, 0.801)[epoch]
            metrics = {"micro_f1": strict, "surface_micro_f1": strict + 0.013, "macro_f1": strict - 0.04}
            records.append({"event": "validation", "step": step, "epoch": epoch, "metrics": metrics})
    return records


MANIFEST: dict[str, Any] = {
    "schema_version": 1,
    "seed": 7,
    "base": {"name": "minilm", "id": "microsoft/MiniLM-L12-H384-uncased", "revision": "44acabbec0ef", "licence": "MIT"},
    "base_sha256": "5f0c" * 16,
    "recipe_fingerprint": "93ab" * 16,
    "parameters": {"trainable": 667_407, "total": 34_027_407, "matched_modules": [f"encoder.layer.{n}.attention" for n in range(72)]},
    "steps": 636,
    "seconds": 58.42,
    "tokens": 572_400,
    "kept_epoch": 4,
    "finished": "2026-11-20T09:41:07Z",
    "data": {
        "train": {"source": "train.jsonl", "fingerprint": "b77e" * 16, "examples": 1693},
        "validation": {"source": "val.jsonl", "fingerprint": "09d2" * 16, "examples": 212},
    },
    "hardware": {"machine": "x86_64", "system": "Linux", "processor": "Intel Xeon", "cores": 2, "threads": 2, "devices": []},
    "versions": {"python": "3.11.9", "fintune": "0.1.0", "torch": "2.13.0", "transformers": "5.3.0", "peft": "0.19.1"},
    "files": {"adapter/adapter_model.safetensors": "aa10" * 16, "recipe.yaml": "4be1" * 16},
}

RECIPE = """name: ner-minilm
task: finance-ner-7
seed: 7
model:
  base: minilm
adapter:
  rank: 8
  alpha: 16
train:
  epochs: 6
  learning_rate: 0.0005
  metric: micro_f1
  keep: best
"""


def inputs() -> ReportInputs:
    """Everything a page is made of."""
    return ReportInputs(
        report=report(),
        recipe_yaml=RECIPE,
        manifest=MANIFEST,
        log=log(),
        examples=examples(),
        predictions=predictions(),
        data_card={**card(examples(), source="test.jsonl", fingerprint="c0de" * 16), "licence": "CC BY 4.0"},
        commands=[
            "fintune train runs/ner-minilm/recipe.yaml --data train.jsonl --validation val.jsonl --output runs/ner-minilm-again",
            "fintune evaluate runs/ner-minilm-again --data test.jsonl",
        ],
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render(inputs()), encoding="utf-8")
