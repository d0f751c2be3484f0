"""A made-up comparison document with every part a page can have, and disagreements of each kind; names and texts may be any strings."""

from __future__ import annotations

from typing import Any

from fintune.records import Answer, Example, Prediction, Span
from fintune.report.comparison_entries import Disagreement

METRICS = {"spans": ("micro_f1", "surface_micro_f1"), "label": ("accuracy", "macro_f1"), "answer": ("answer_accuracy", "f1")}
VERDICTS = ("first better", "second better", "no difference shown", "no difference shown after correction")


def entry(number: int, *, verdict: str) -> dict[str, Any]:
    """The figures of one pair by one score; every number differs from all others."""
    value = {"first better": 0.05, "second better": -0.05}.get(verdict, 0.01) + number / 1000
    low, high = (value - 0.02, value + 0.02) if verdict != "no difference shown" else (-0.031, 0.033)
    return {
        "value": value, "low": low, "high": high, "se": 0.011, "se_examples": 0.0101, "se_seeds": None, "p_value": 0.012 + number / 1000,
        "p_holm": 0.037 + number / 1000, "p_bootstrap": 0.013, "p_randomisation": 0.014, "p_mcnemar": None, "exact": False,
        "test": "randomisation", "verdict": verdict, "minimum_detectable": 0.0310 + number / 1000, "wins": 20 + number, "losses": 10,
        "ties": 70 - number,
    }  # fmt: skip


def document(kind: str, names: tuple[str, ...] = ("first", "second", "third", "fourth"), *, text: str = "x") -> dict[str, Any]:
    """Four systems of one and several runs, and a pair for each verdict; `text` stands wherever there is free text."""
    metrics = METRICS[kind]
    systems = [
        {
            "name": name, "runs": [f"{text}{name}{run}" for run in range(1 + at % 3)], "malformed": at,
            "metrics": {
                metric: {
                    "value": 0.8 + at / 100, "low": 0.7, "high": 0.9, "se": 0.02, "se_examples": 0.015,
                    "se_seeds": 0.01 if at else None, "runs": [0.8 + at / 100 + run / 1000 for run in range(1 + at % 3)],
                }
                for metric in metrics
            },
        }
        for at, name in enumerate(names)
    ]  # fmt: skip
    ends = [(names[0], name) for name in names[1:]] + [(names[1], names[2])]
    label = {"value": 0.1, "low": -0.01, "high": 0.2, "first": 0.6, "second": 0.5, "support": 31}
    pairs = [
        {
            "first": first, "second": second, "per_label": {f"{text}L": label},
            "metrics": {metric: entry(10 * at + place, verdict=verdict) for place, metric in enumerate(metrics)},
        }
        for at, ((first, second), verdict) in enumerate(zip(ends, VERDICTS, strict=True))
    ]  # fmt: skip
    return {
        "schema_version": 1, "task": text, "kind": kind, "labels": [f"{text}L", "other"], "examples": 1693, "documents": 1600,
        "data": {"source": text, "fingerprint": "c0de" * 16}, "bootstrap": {"replicates": 10_000, "seed": 0, "level": 0.95},
        "alpha": 0.05, "power": 0.8, "tests": 8, "command": f"fintune compare {text}", "notes": [text, "second note"],
        "systems": systems, "pairs": pairs,
    }  # fmt: skip


def disagreements(kind: str, names: tuple[str, ...] = ("first", "second"), *, text: str = "x") -> list[Disagreement]:
    """One in each direction; in the second the loser could not be read."""
    body = f"ab {text} cd"
    place, label = Span(3, 3 + len(text), f"{text}L"), f"{text}L"
    gold = {
        "spans": Example(text, body, spans=(place,), unaligned=((label, text),)),
        "label": Example(text, body, label=label),
        "answer": Example(text, body, question=text, answer=Answer(3, text)),
    }[kind]
    right = {
        "spans": Prediction(text, body, spans=(place,)),
        "label": Prediction(text, body, label=label, probabilities=(0.9, 0.1)),
        "answer": Prediction(text, body, answer=Answer(3, text)),
    }[kind]
    wrong = {
        "spans": Prediction(text, body, spans=(Span(0, 2, "other"),), status="repaired", reason=text),
        "label": Prediction(text, body, label="other"),
        "answer": Prediction(text, body, answer=Answer(0, "ab")),
    }[kind]
    unread = Prediction(text, body, status="malformed", reason=text, raw=text)
    return [
        Disagreement(names[0], names[1], names[0], 2.0 if kind == "spans" else 1.0, gold, (right, wrong)),
        Disagreement(names[0], names[1], names[1], 1.5 if kind == "spans" else 0.25, gold, (unread, right)),
    ]
