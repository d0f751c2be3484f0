"""What the run achieved in sentences a risk officer can act on, and every reason to trust the figure less."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fintune.report import coverage
from fintune.report.figures import Reference, Score, counted, decimal, interval_name, kind_of, number, of_hundred, part, score, whole
from fintune.report.wording import floor_words, kind_words, metric_words

# Below so many documents a bootstrap interval is itself unsteady, and tends to be too narrow.
FEW_DOCUMENTS = 30
# Of several floors the headline names the strongest; the tables have all.
COMPARED = 3
_UNREAD = {"spans": "scored as if nothing had been found"}


@dataclass(frozen=True, slots=True)
class Headline:
    """The first thing a reader sees. `score` is None where the report has no metric at all.

    `references` are the floors and the base model before training; `sentences` say what the score means, `remarks` what limits
    it; `counts` are (figure, what it counts).
    """

    name: str
    score: Score | None
    interval_name: str
    references: Mapping[str, Reference]
    sentences: tuple[str, ...]
    remarks: tuple[str, ...]
    counts: tuple[tuple[str, str], ...]


def headline(report: Mapping[str, Any], data_card: Mapping[str, Any]) -> Headline:
    """The headline of a report: the main metric of its kind, else the first there is."""
    metrics, kind = part(report, "metrics"), kind_of(report)
    main = kind_words(kind).main
    name = main if score(metrics, main) else next((key for key in metrics if score(metrics, key)), "")
    value, others = score(metrics, name), references(report, name)
    meaning = _MEANINGS[kind](metrics) if kind and name == main else []
    sentences = (*meaning, *_trust(report, value), *_compared(others), *coverage.sentences(report))
    return Headline(
        name=metric_words(name, kind),
        score=value,
        interval_name=interval_name(report),
        references=others,
        sentences=sentences or ("This report holds no score.",),
        remarks=tuple(_remarks(report, value, others, data_card)),
        counts=tuple(_counts(report, kind)),
    )


def references(report: Mapping[str, Any], name: str) -> dict[str, Reference]:
    """The floors and baselines that have the metric: floors by what they do, baselines by their name."""
    kind, floors, baselines = kind_of(report), part(report, "floors"), part(report, "baselines")
    found = {floor_words(floor, kind): Reference(value, "floor") for floor in floors if (value := score(floors[floor], name))}
    return found | {str(shots): Reference(value, "baseline") for shots in baselines if (value := score(baselines[shots], name))}


def _of_spans(metrics: Mapping[str, Any]) -> list[str]:
    precision, recall, surface = (score(metrics, name) for name in ("micro_precision", "micro_recall", "surface_micro_f1"))
    found = []
    if precision and recall:
        found.append(
            f"Of 100 spans the model marks, {of_hundred(precision.value)} are exactly right. "
            f"Of 100 spans that are in the text, it finds {of_hundred(recall.value)}."
        )
    if surface:
        found.append(f"By surfaces, the rule of most published scores, F1 is {decimal(surface.value)}.")
    return found


def _of_labels(metrics: Mapping[str, Any]) -> list[str]:
    accuracy, macro, error = (score(metrics, name) for name in ("accuracy", "macro_f1", "ece"))
    found = [f"Of 100 texts, {of_hundred(accuracy.value)} get their right label."] if accuracy else []
    if macro:
        found.append(f"With every label counting alike, however rare, F1 is {decimal(macro.value)}.")
    if error:
        found.append(f"Its confidence is {100 * error.value:.1f} points from the share that is right, on average.")
    return found


def _of_several(metrics: Mapping[str, Any]) -> list[str]:
    precision, recall, accuracy, error = (score(metrics, name) for name in ("micro_precision", "micro_recall", "accuracy", "ece"))
    found = []
    if precision and recall:
        found.append(
            f"Of 100 labels the model gives, {of_hundred(precision.value)} are right. "
            f"Of 100 labels that apply, it gives {of_hundred(recall.value)}."
        )
    if accuracy:
        found.append(f"Of 100 texts, {of_hundred(accuracy.value)} get exactly their labels.")
    if error:
        found.append(f"Its confidence is {100 * error.value:.1f} points from the share of decisions that is right, on average.")
    return found


def _of_answers(metrics: Mapping[str, Any]) -> list[str]:
    right, numbers, words = (score(metrics, name) for name in ("answer_accuracy", "numeric_accuracy", "f1"))
    found = [f"Of 100 questions, {of_hundred(right.value)} are answered rightly."] if right else []
    if numbers:
        found.append(f"Where the answer is a number, {of_hundred(numbers.value)} of 100 are that number.")
    if words:
        found.append(f"By words in common, F1 is {decimal(words.value)}.")
    return found


_MEANINGS = {"spans": _of_spans, "label": _of_labels, "labels": _of_several, "answer": _of_answers}


def _trust(report: Mapping[str, Any], value: Score | None) -> list[str]:
    if value is None or value.low is None or value.high is None:
        return []
    documents = whole(report.get("documents"))
    over = f", resampling {counted(documents, 'document')}" if documents else ""
    return [
        f"Over all documents of this kind, the score plausibly lies between {decimal(value.low)} and {decimal(value.high)} "
        f"({interval_name(report)}{over})."
    ]


def _compared(others: Mapping[str, Reference]) -> list[str]:
    found = []
    for kind, opening in (("floor", "Without any model"), ("baseline", "The model before training")):
        ranked = sorted(((words, of.score) for words, of in others.items() if of.kind == kind), key=lambda item: -item[1].value)
        if ranked:
            found.append(f"{opening}: {', '.join(f'{words} {decimal(value.value)}' for words, value in ranked[:COMPARED])}.")
    return found


def _counts(report: Mapping[str, Any], kind: str) -> list[tuple[str, str]]:
    rows, unit = part(report, "per_label"), kind_words(kind).unit
    gold = sum(whole(part(rows, label).get("support")) or 0 for label in rows)
    predicted = sum(whole(part(rows, label).get("predicted")) or 0 for label in rows)
    examples, documents = whole(report.get("examples")), whole(report.get("documents"))
    found = [(examples, unit, f"{unit}s"), (documents, "document", "documents")]
    if rows and kind == "spans":
        found += [(gold, "span in the gold", "spans in the gold"), (predicted, "span predicted", "spans predicted")]
    elif rows and kind in ("label", "labels"):
        found.append((len(rows), "label", "labels"))
    return [(f"{count:,}", one if count == 1 else many) for count, one, many in found if count is not None]


def _remarks(report: Mapping[str, Any], value: Score | None, others: Mapping[str, Reference], card: Mapping[str, Any]) -> list[str]:
    """Whatever a reader should know before quoting the score."""
    remarks = []
    for name, other in others.items():
        words, rival = name if other.kind == "floor" else f"before training ({name})", other.score
        if value is not None and value.value <= rival.value:
            remarks.append(f"The model is no better than {words} ({decimal(rival.value)}).")
        elif value is not None and value.low is not None and rival.high is not None and value.low <= rival.high:
            remarks.append(f"The intervals of the model and of {words} overlap.")
    documents, examples = whole(report.get("documents")), whole(report.get("examples"))
    if documents is not None and 0 < documents < FEW_DOCUMENTS:
        only = counted(documents, "document")
        remarks.append(f"{only} only: the intervals are themselves uncertain, and rather too narrow than too wide.")
    malformed = whole(part(report, "malformed").get("count"))
    if malformed:
        share = number(part(report, "malformed").get("share"))
        of = f" ({100 * share:.1f} %)" if share is not None else ""
        remarks.append(f"{counted(malformed, 'output')}{of} could not be read: {_UNREAD.get(kind_of(report), 'counted as wrong')}.")
    unplaced, invented = whole(report.get("unaligned_gold")), whole(report.get("unaligned_predicted"))
    if unplaced:
        remarks.append(f"{counted(unplaced, 'annotated surface')} without a place in the text: in the scores by surface only.")
    if invented:
        remarks.append(f"{counted(invented, 'predicted surface')} not in the text: wrong in every score.")
    # Several questions about one text are no repetition.
    if (duplicates := whole(card.get("exact_duplicates"))) and kind_of(report) != "answer":
        remarks.append(f"{counted(duplicates, 'text')} of {examples or card.get('examples', 0):,} repeat another text of this data.")
    return remarks
