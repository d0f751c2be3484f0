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

# (document, text with [surface](Label))
TEXTS = (
    ("d01", "[Halvorsen Shipping ASA](Company) sold [three tankers](Quantity) to [Pelagia Lines](Company) on [Tuesday](Date) for [$212 million](Money)."),
    ("d01", "The buyer, based in [Piraeus](Location), expects the vessels by [the end of March](Date), said chief executive [Ioanna Markou](Person)."),
    ("d02", "[Northgate Biologics](Company) fell [11.4%](Quantity) after regulators in [Canada](Location) asked for more data on [Lenovax](Product)."),
    ("d02", "Sales of [Lenovax](Product) came to [C$48.6 million](Money) in [the second quarter](Date), against [C$61 million](Money) [a year earlier](Date)."),
    ("d02", "[Dr. Amara Osei](Person), who leads research at [Northgate](Company), called the request routine."),
    ("d03", "[Banco Almena](Company) will close [140 branches](Quantity) across [Spain](Location) and [Portugal](Location) by [June 2024](Date)."),
    ("d03", "The lender put the cost at [€75 million](Money), to be booked in [the fourth quarter of 2023](Date)."),
    ("d04", "[Orrick & Vale](Company) raised its stake in [Tessera Foods](Company) to [9.8%](Quantity) from [7.1%](Quantity), a filing showed on [May 3](Date)."),
    ("d04", "[Tessera](Company) makes [Oatwell](Product) cereals, [Oatwell](Product) bars and the [Brisk](Product) line of iced teas."),
    ("d05", "The [Swedish](Location) krona weakened to [11.62 per euro](Money) on [Friday](Date), its lowest since [August](Date)."),
    ("d05", "[Linnea Bergqvist](Person) of [Nordhaven Bank](Company) expects [two rate cuts](Quantity) before [Christmas](Date)."),
    ("d06", "[Caldera Semiconductor](Company) guided for revenue of [$1.90 billion](Money) to [$1.95 billion](Money) in [fiscal 2025](Date)."),
    ("d06", "Shipments of the [Kestrel 9](Product) accelerator rose to [310,000 units](Quantity), finance chief [Paul Renner](Person) told analysts."),
    ("d06", "[Caldera](Company) is building a second plant near [Dresden](Location), with [€640 million](Money) of public money, as the site near [Dresden](Location) costs twice that."),
    ("d07", "Wheat for [December](Date) delivery gained [3-1/4 cents](Money) in [Chicago](Location)."),
    ("d07", "Traders at [Marlow Grain](Company) blamed dry weather in [western Australia](Location)."),
    ("d08", "[Sable Ridge Energy](Company) discovered gas [40 kilometres](Quantity) off [Mozambique](Location), it said [yesterday](Date)."),
    ("d08", "The well, drilled to [4,150 metres](Quantity), cost [$88 million](Money)."),
    ("d09", "[Joaquín Ferrer](Person) resigned from the board of [Grupo Altamar](Company) on [12 February](Date), citing other duties."),
    ("d09", "[Altamar](Company) has yet to name a successor; shares in [Altamar](Company) closed [0.6%](Quantity) lower in [Mexico City](Location)."),
    ("d10", "The fund, [Whitmore Global Income](Company), charges [0.45%](Quantity) a year and held [$3.2 billion](Money) at [31 December 2023](Date)."),
    ("d10", "Its manager, [Helen Achterberg](Person), trimmed [Ostrava Steel](Company) and added to [Pelagia Lines](Company)."),
    ("d11", "[Kinross Avery](Company) agreed to pay [£14.5 million](Money) to settle claims over its [SafeHarbour](Product) bonds."),
    ("d11", "The [U.K.](Location) regulator said [1,900 savers](Quantity) had lost money between [2016](Date) and [2019](Date)."),
    ("d12", "[Vantor Mobility](Company) recalled [23,000](Quantity) [Vantor E3](Product) scooters in [Germany](Location) and [Austria](Location)."),
    ("d12", "A battery supplier in [Shenzhen](Location) will bear [half of the cost](Quantity), said [Vantor](Company) founder [Nils Okafor](Person)."),
    ("d13", "[Merriweather plc](Company) proposed a final dividend of [18.2p](Money), up [4%](Quantity), payable on [7 July](Date)."),
    ("d13", "Net debt fell to [£402m](Money) at [year-end](Date)."),
    ("d14", "Output at the [Sierra Blanca](Location) mine of [Aurora Copper](Company) slipped to [18,400 tonnes](Quantity) in [Q3](Date)."),
    ("d14", "\"We will not chase volume,\" said [Carmen Villalobos](Person), who has run [Aurora](Company) since [2020](Date)."),
)  # fmt: skip

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
    "Germany": "Location", "Spain": "Location", "Friday": "Date", "Tuesday": "Date", "2019": "Date", "2020": "Date", "Pelagia Lines": "Company",
    "Q3": "Date", "U.K.": "Location", "Chicago": "Location", "December": "Date", "yesterday": "Date", "Merriweather plc": "Company", "4%": "Quantity",
    "the second quarter": "Date", "Canada": "Location", "August": "Date", "Brisk": "Product", "May 3": "Date", "Swedish": "Location",
}  # fmt: skip
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
    found[18] = Prediction(broken.id, broken.text, spans=(), raw="{'Company': ['Grupo Altamar', 'Date':", status="malformed", reason="unclosed list")
    return found


def report() -> dict[str, Any]:
    """The scores of the predictions."""
    gold, found = examples(), predictions()
    floors = {"empty": EMPTY, "gazetteer": Gazetteer(SEEN)}
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
        records.append({"event": "step", "step": step, "epoch": epoch, "loss": loss, "norm": 1.0, "rate": 5e-4, "tokens": 900, "seconds": 0.09})
        if step % 106 == 0:
            strict = (0.498, 0.662, 0.751, 0.789, 0.807, 0.801)[epoch]
            metrics = {"micro_f1": strict, "surface_micro_f1": strict + 0.013, "macro_f1": strict - 0.04}
            records.append({"event": "validation", "step": step, "epoch": epoch, "metrics": metrics})
    return records


MANIFEST: dict[str, Any] = {
    "schema_version": 1,
    "seed": 7,
    "base": {"name": "minilm", "id": "microsoft/MiniLM-L12-H384-uncased", "revision": "44acabbec0ef", "licence": "MIT", "obligations": "keep the notice"},
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
