"""Made-up runs of the other kinds: topics of invented headlines, one or several, and answers to invented questions.

They are scored by the tasks themselves. `python tests/report/made_up_kinds.py label report.html` (or `labels`, `answer`, `spans`) writes
a page, to be looked at.
"""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import made_up_certificate
import made_up_run

from fintune.data.card import card
from fintune.metrics import answer_floors
from fintune.metrics.intervals import Bootstrap
from fintune.recipe import Prompt
from fintune.records import Answer, Example, Meta, Prediction
from fintune.report.html import ReportInputs, render
from fintune.tasks import several
from fintune.tasks.base import Definition, Task, documents_of, load_task
from fintune.tasks.prompts import prompting
from fintune.tasks.several_reading import write

PLAN = Bootstrap(replicates=400)
THINGS = ("Corvane", "Tidewell Foods", "Nordhaven Bank", "Quillmark Energy", "Ostrava Steel", "Halden Rail Group", "Pelagia Lines")
EVENTS = (
    "raises its outlook after a strong quarter", "cuts its dividend by half", "names a new chief executive", "is sued over a merger",
    "prices its bonds at the wide end", "falls with oil below $70", "agrees to buy a smaller rival", "waits for the rate decision",
)  # fmt: skip
# What was asked, the text, the gold answer, the answer given, its status with the reason, and what was written besides.
ANSWERS = (
    ("By how much did revenue grow?", "Revenue grew from 937.04 to 959.18 in 2025.", "22.14", "22.14", "ok", ""),
    ("What was the margin?", "Operating profit was 142 on sales of 1,000.", "14.2%", "14.2", "repaired", "read after 'Answer:'"),
    ("How much was impaired?", "Goodwill of $559 million was written off.", "559 million", "0.559 million", "ok", ""),
    ("What was the change in cash?", "Cash fell by 3.2 million.", "-3.2 million", "3.2 million", "ok", ""),
    ("How many plants were closed?", "Three plants in Ohio and two in Texas were closed.", "5", "several", "ok", ""),
    ("Who runs the fund?", "The fund is run by Adaeze Bell from Lagos.", "Adaeze Bell", "Adaeze Bell from Lagos", "ok", ""),
    ("Where is the buyer based?", "The buyer has offices in Piraeus and Oslo.", "Piraeus", "Oslo", "ok", ""),
    ("Was the offer raised?", "The offer was raised twice.", "yes", "yes", "ok", ""),
    ("When does the plan end?", "The plan has no end date.", "", "2027", "ok", ""),
    ("Who audited the accounts?", "The accounts were not audited.", "", "", "ok", ""),
    ("What is the yield?", "The bond pays 4.5 on 98.", "4.59%", "", "malformed", "reasoning that does not end"),
    ("What was the loss?", "A loss of 12.5 million followed.", "12.5 million", "12.5 million", "repaired", "a box around the answer"),
)  # fmt: skip
BROKEN = "<think>\nThe coupon is 4.5 and the price is 98, so the yield would be 4.5 divided by 98, which is"


@cache
def named(name: str) -> Task:
    """A bundled task, or `events`, with any number of labels a text."""
    if name != "events":
        return load_task(name)
    labels = {label: "" for label in load_task("topic-20").labels[:6]}
    said = prompting("labels", instruction="", description="what the news is about", settings=Prompt())
    return several.from_definition(Definition(name, "labels", "what the news is about", "", labels, (), {}, "events.toml"), said)


@cache
def headlines() -> tuple[tuple[Example, ...], tuple[Prediction, ...]]:
    """Headlines of twenty topics with predictions that are right four times in five; some outputs were mended or unreadable."""
    draw, labels = random.Random(11), named("topic-20").labels
    weights = [1 + 6 / (1 + n) for n in range(len(labels))]
    examples, predictions = [], []
    for number in range(260):
        label = draw.choices(labels, weights)[0]
        text = f"{draw.choice(THINGS)} {draw.choice(EVENTS)}, {draw.choice(('Monday', 'Tuesday', 'Friday'))} {number}"
        example = Example(f"t{number + 1:03d}", text, label=label, meta=Meta(document=f"d{number // 3:02d}"))
        examples.append(example)
        predictions.append(_label(draw, example, labels))
    return tuple(examples), tuple(predictions)


def _label(draw: random.Random, example: Example, labels: tuple[str, ...]) -> Prediction:
    sure = min(0.995, max(0.25, draw.betavariate(6, 1.2)))
    right = draw.random() < sure - 0.06
    label = example.label if right and example.label else draw.choice([name for name in labels if name != example.label])
    rest = [draw.random() for _ in labels]
    total = sum(rest) - rest[labels.index(label)]
    probabilities = tuple(sure if name == label else (1 - sure) * part / total for name, part in zip(labels, rest, strict=True))
    return Prediction(example.id, example.text, label=label, probabilities=probabilities, confidence=sure, raw=label)


@cache
def written_labels() -> tuple[Prediction, ...]:
    """The same as freely written: without probabilities, some mended, two unreadable."""
    found = []
    for number, prediction in enumerate(headlines()[1]):
        plain = Prediction(prediction.id, prediction.text, label=prediction.label, raw=prediction.raw, confidence=prediction.confidence)
        if number in (17, 130):
            plain = Prediction(plain.id, plain.text, raw="I am not sure about this one.", status="malformed", reason="no label in it")
        elif number % 23 == 5:
            reason = f"{plain.raw.lower()!r} read as {plain.label!r}"
            plain = Prediction(plain.id, plain.text, label=plain.label, raw=plain.raw.lower(), status="repaired", reason=reason)
        found.append(plain)
    return tuple(found)


@cache
def sets() -> tuple[tuple[Example, ...], tuple[Prediction, ...]]:
    """The headlines with any number of six labels, as freely written: some mended, two unreadable, one decision in ten wrong."""
    draw, task, examples, predictions = random.Random(12), named("events"), [], []
    for number, headline in enumerate(headlines()[0]):
        gold = tuple(label for label in task.labels if draw.random() < 0.3)
        example = Example(headline.id, headline.text, labels=gold, meta=headline.meta)
        given = tuple(label for label in task.labels if (label in gold) == (draw.random() < 0.9))
        raw = "I am not sure." if number in (17, 130) else "\n".join(given) if number % 23 == 5 and len(given) > 1 else write(given)
        examples.append(example)
        predictions.append(replace(task.parse(raw, example), confidence=draw.betavariate(6, 1.2)))
    return tuple(examples), tuple(predictions)


@cache
def questions() -> tuple[tuple[Example, ...], tuple[Prediction, ...]]:
    """Questions with numbers, words and no answers; each kind of mistake once or twice."""
    examples, predictions = [], []
    for number, (question, text, gold, given, status, reason) in enumerate(ANSWERS * 4):
        identifier = f"q{number + 1:02d}"
        place = text.find(gold) if gold else -1
        answer = Answer(place if place >= 0 else None, gold) if gold else None
        found = text.find(given) if given else -1
        examples.append(Example(identifier, text, question=question, answer=answer, meta=Meta(document=f"d{number // 2}")))
        said = Answer(found if found >= 0 else None, given) if given and status != "malformed" else None
        raw = BROKEN if status == "malformed" else given or "no answer"
        sure = round(0.95 - 0.011 * number, 3)
        predictions.append(Prediction(identifier, text, answer=said, raw=raw, status=status, reason=reason, confidence=sure))  # type: ignore[arg-type]
    return tuple(examples), tuple(predictions)


def weaker(metrics: dict[str, Any], by: float) -> dict[str, Any]:
    """Metrics of a weaker system."""
    return {name: {key: max(0.0, value - by) for key, value in entry.items()} for name, entry in metrics.items()}


def _report(task: str, examples: Any, predictions: Any, baselines: dict[str, float]) -> dict[str, Any]:
    of = named(task)
    floors = {"frequent": answer_floors.learn(examples)} if of.kind == "answer" else of.learn_floors(examples)
    report = of.score(list(zip(examples, predictions, strict=True)), documents=documents_of(examples), floors=floors, plan=PLAN)
    before = {name: weaker(report["metrics"], by) | {"malformed": {"value": by / 4}} for name, by in baselines.items()}
    return {**report, "baselines": before} if before else report


def inputs(kind: str) -> ReportInputs:
    """Everything a page is made of, for one kind."""
    if kind == "spans":
        return spans()
    task = {"label": "topic-20", "labels": "events", "answer": "financial-reasoning"}[kind]
    examples, predictions = {"label": headlines, "labels": sets, "answer": questions}[kind]()
    report = _report(task, examples, predictions, {"zero-shot": 0.31, "few-shot (5)": 0.19})
    main = {"label": ("accuracy", "macro_f1"), "labels": ("micro_f1", "hamming_loss"), "answer": ("answer_accuracy", "exact_match")}[kind]
    log = [
        {**record, "metrics": dict(zip(main, list(record["metrics"].values()), strict=False))}
        if record["event"] == "validation"
        else record
        for record in made_up_run.log()
    ]
    return ReportInputs(
        report=report,
        recipe_yaml=made_up_run.RECIPE.replace("ner-minilm", f"{task}-qwen3-8b"),
        manifest=made_up_run.MANIFEST,
        log=log,
        examples=examples,
        predictions=predictions,
        data_card={**card(examples, source="test.jsonl", fingerprint="c0de" * 16), "licence": "MIT"},
        preflight={**made_up_certificate.record(), "kind": kind, "task": task},
        commands=[f"fintune evaluate runs/{task} --data test.jsonl --baselines"],
    )


def spans() -> ReportInputs:
    """The run of `made_up_run` with a certificate, and the base model before training beside it."""
    made = made_up_run.inputs()
    before = {
        "zero-shot": weaker(made.report["metrics"], 0.42) | {"malformed": {"value": 0.133}},
        "few-shot (5)": weaker(made.report["metrics"], 0.27) | {"malformed": {"value": 0.0}},
    }
    parts = {name: getattr(made, name) for name in ("recipe_yaml", "manifest", "log", "examples", "predictions", "data_card", "commands")}
    return ReportInputs(report={**made.report, "kind": "spans", "baselines": before}, preflight=made_up_certificate.record(), **parts)


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(render(inputs(sys.argv[1])), encoding="utf-8")
