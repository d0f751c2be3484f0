"""The words of the report: what each score, floor and error class means, for a reader who is no specialist.

A metric's name means another thing in another kind of task, so the words go by kind; a name that is not known stands as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """A way of counting spans. Metric names are `prefix`, then `f1`, `precision` or `recall`."""

    prefix: str
    title: str
    meaning: str


RULES = (
    Rule("micro_", "Exact spans", "same characters and same type"),
    Rule("macro_", "Exact spans, mean of types", "every type counts alike, however rare"),
    Rule("surface_micro_", "Surfaces", "same words and type, once a text; the rule of published scores"),
    Rule("surface_macro_", "Surfaces, mean of types", "every type counts alike, however rare"),
    Rule("partial_micro_", "Overlap counts half", "same type; part of the characters earns half"),
    Rule("type_micro_", "Right type", "same type and at least one character in common"),
    Rule("boundary_micro_", "Right characters", "same characters, whatever the type"),
)
RATES = ("f1", "precision", "recall")


@dataclass(frozen=True, slots=True)
class Measure:
    """One metric of a kind, by its name in the report."""

    title: str
    meaning: str


MEASURES: Mapping[str, Mapping[str, Measure]] = {
    "spans": {},
    "label": {
        "accuracy": Measure("Accuracy", "share of texts with the right label"),
        "balanced_accuracy": Measure("Balanced accuracy", "of the texts of a label, the share found; mean of labels"),
        "macro_f1": Measure("F1, mean of labels", "every label counts alike, however rare"),
        "weighted_f1": Measure("F1, weighted", "labels count by their number of texts"),
        "mcc": Measure("Matthews correlation", "from −1 to 1; 0 is what guessing reaches"),
        "log_loss": Measure("Log-loss", "surprise at the right label, in nats; 0 is best"),
        "brier": Measure("Brier score", "squared error of the probabilities, 0 to 2; 0 is best"),
        "ece": Measure("Calibration error", "mean distance between confidence and share right; 0 is best"),
        "error_at_90": Measure("Error of the surest 90 %", "share of wrong labels without the least certain tenth"),
    },
    "labels": {
        "accuracy": Measure("Whole sets", "share of texts with exactly their labels"),
        "micro_f1": Measure("F1", "of all labels given, whatever their text"),
        "micro_precision": Measure("Precision", "of the labels given, the share that is right"),
        "micro_recall": Measure("Recall", "of the labels that apply, the share that is given"),
        "macro_f1": Measure("F1, mean of labels", "every label counts alike, however rare"),
        "weighted_f1": Measure("F1, weighted", "labels count by their number of texts"),
        "hamming_loss": Measure("Hamming loss", "share of wrong decisions on a label and a text; 0 is best"),
        "ranking_precision": Measure("Ranking precision", "of the labels ranked as high as one that applies, those that do"),
        "log_loss": Measure("Log-loss", "surprise at each right decision, in nats; 0 is best"),
        "brier": Measure("Brier score", "squared error of the probabilities, 0 to 1; 0 is best"),
        "ece": Measure("Calibration error", "mean distance between confidence of a decision and share right; 0 is best"),
        "error_at_90": Measure("Error of the surest 90 %", "share of texts with a wrong decision without the least certain tenth"),
    },
    "answer": {
        "answer_accuracy": Measure("Right answers", "same number where the gold is one, else the same words"),
        "rounded_accuracy": Measure("Right answers, rounded", "numbers may be rounded at the last decimal"),
        "numeric_accuracy": Measure("Right numbers", "of the questions whose answer is a number"),
        "exact_match": Measure("Exact words", "same words, by the rules of SQuAD"),
        "f1": Measure("Words in common", "F1 of the words, by the rules of SQuAD"),
        "has_answer_exact_match": Measure("Exact words, where there is an answer", ""),
        "has_answer_f1": Measure("Words in common, where there is an answer", ""),
        "no_answer_accuracy": Measure("Rightly not answered", "of the questions that the text does not answer"),
    },
}
LESS_IS_BETTER = ("log_loss", "brier", "ece", "error_at_90")
"""Metrics of probabilities, which are errors."""


@dataclass(frozen=True, slots=True)
class KindWords:
    """How the page speaks of one kind: its main metric, what is scored, the table of groups, and the metrics of comparisons.

    `rates` are the metrics of each group with their headings; `drawn` those worth a learning curve, of which two are drawn.
    """

    main: str
    unit: str
    groups: str
    group: str
    groups_note: str
    support: str
    rates: tuple[tuple[str, str], ...]
    compared: tuple[str, ...]
    drawn: tuple[str, ...]


_PRF = (("precision", "Precision"), ("recall", "Recall"), ("f1", "F1"))
KINDS: Mapping[str, KindWords] = {
    "spans": KindWords(
        main="micro_f1", unit="text", groups="By type", group="Type", support="Spans in the gold", rates=_PRF,
        groups_note="Exact spans. {bar} types with few spans have wide ones.",
        compared=("micro_f1", "surface_micro_f1", "macro_f1"), drawn=("micro_f1", "surface_micro_f1"),
    ),
    "label": KindWords(
        main="accuracy", unit="text", groups="By label", group="Label", support="Texts in the gold", rates=_PRF,
        groups_note="{bar} labels with few texts have wide ones.",
        compared=("accuracy", "macro_f1", "mcc"), drawn=("accuracy", "macro_f1"),
    ),
    "labels": KindWords(
        main="micro_f1", unit="text", groups="By label", group="Label", support="Texts in the gold", rates=_PRF,
        groups_note="{bar} labels with few texts have wide ones.",
        compared=("micro_f1", "accuracy", "macro_f1"), drawn=("micro_f1", "accuracy"),
    ),
    "answer": KindWords(
        main="answer_accuracy", unit="question", groups="By form of the answer", group="Form", support="Questions",
        rates=(("answer_accuracy", "Right"), ("exact_match", "Exact words"), ("f1", "Words in common")),
        groups_note="By what the gold answer is. {bar} forms with few questions have wide ones.",
        compared=("answer_accuracy", "exact_match", "f1"), drawn=("answer_accuracy", "exact_match"),
    ),
}  # fmt: skip
UNKNOWN = KindWords(
    main="", unit="text", groups="By label", group="Label", support="In the gold", rates=_PRF, groups_note="{bar}", compared=(), drawn=()
)

FLOORS = {
    "gazetteer": "name list from training",
    "majority": "always the most frequent label",
    "words": "words and pairs of words, by regression",
}
EMPTY = {"spans": "marking nothing", "answer": "never answering"}
MAJORITY_SET = "always the most frequent set of labels"
FREQUENT = "always the most frequent answer"

VERDICTS = {
    "missed": "missed",
    "spurious": "spurious",
    "wrong_type": "wrong type",
    "wrong_boundary": "wrong boundary",
    "wrong_type_and_boundary": "wrong type and boundary",
    "unanswered": "not answered",
    "unasked": "answered where there is none",
    "no_number": "no number",
    "wrong_sign": "wrong sign",
    "wrong_scale": "wrong scale",
    "wrong_number": "wrong number",
    "wrong_text": "other words",
    "wrong_label": "wrong label",
    "label_missed": "not given",
    "label_added": "wrongly given",
    "unreadable": "could not be read",
}

ERRORS = {
    "missed": "in the text, not marked",
    "spurious": "marked, nothing there",
    "wrong_type": "right characters, other type",
    "wrong_boundary": "right type, other characters",
    "wrong_type_and_boundary": "overlaps, other type",
    "unanswered": "there was an answer",
    "unasked": "the text does not answer it",
    "no_number": "the gold answer is one",
    "wrong_sign": "right but for plus and minus",
    "wrong_scale": "right but for a factor of ten, a hundred and so on",
    "wrong_number": "a number, but another",
    "wrong_text": "the gold answer is in words",
}
DECISIONS = {
    "label_missed": "it applies, and was not given",
    "label_added": "it was given, and does not apply",
}
"""Error classes of several labels a text."""


def kind_of_metrics(names: Iterable[str]) -> str:
    """The kind of task that has these metrics, or empty."""
    known = set(names)
    if "hamming_loss" in known:
        return "labels"
    if "micro_f1" in known or any(name.startswith("surface_") for name in known):
        return "spans"
    return "answer" if {"answer_accuracy", "exact_match"} & known else "label" if "accuracy" in known else ""


def kind_words(kind: str) -> KindWords:
    """The words of a kind, plain ones where it is not known."""
    return KINDS.get(kind, UNKNOWN)


def floor_words(name: str, kind: str) -> str:
    """What a floor does."""
    if name == "empty":
        return EMPTY.get(kind, "nothing")
    if name == "majority" and kind == "labels":
        return MAJORITY_SET
    if name.startswith("frequent"):
        return FREQUENT
    return FLOORS.get(name, name.replace("_", " "))


def metric_words(name: str, kind: str) -> str:
    """A metric name for people."""
    for rule in RULES if kind == "spans" else ():
        measure = name.removeprefix(rule.prefix)
        if name.startswith(rule.prefix) and measure in RATES:
            return f"{'F1' if measure == 'f1' else measure.capitalize()}, {rule.title[0].lower()}{rule.title[1:]}"
    known = MEASURES.get(kind, {}).get(name)
    return known.title if known else name.replace("_", " ")
