"""What the run achieved in sentences a risk officer can act on, and every reason to trust the figure less."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fintune.report.figures import Score, counted, decimal, interval_name, number, of_hundred, part, score, whole
from fintune.report.wording import floor_words, metric_words

# Below so many documents a bootstrap interval is itself unsteady, and tends to be too narrow.
FEW_DOCUMENTS = 30


@dataclass(frozen=True, slots=True)
class Headline:
    """The first thing a reader sees. `score` is None where the report has no metric at all.

    `sentences` say what the score means, `remarks` what limits it; `counts` are (figure, what it counts).
    """

    name: str
    score: Score | None
    interval_name: str
    floors: Mapping[str, Score]
    sentences: tuple[str, ...]
    remarks: tuple[str, ...]
    counts: tuple[tuple[str, str], ...]


def headline(report: Mapping[str, Any], data_card: Mapping[str, Any]) -> Headline:
    """The headline of a report: exact spans where the task has them, else the first metric."""
    metrics = part(report, "metrics")
    name = "micro_f1" if score(metrics, "micro_f1") else next((key for key in metrics if score(metrics, key)), "")
    value, floors = score(metrics, name), floor_scores(report, name)
    sentences = (*_meaning(metrics, name), *_trust(report, value), *_surface(metrics, name), *_floors(floors))
    return Headline(
        name=metric_words(name),
        score=value,
        interval_name=interval_name(report),
        floors=floors,
        sentences=sentences or ("This report holds no score.",),
        remarks=tuple(_remarks(report, value, floors, data_card)),
        counts=tuple(_counts(report)),
    )


def floor_scores(report: Mapping[str, Any], name: str) -> dict[str, Score]:
    """The floors that have the metric, by what they do."""
    floors = part(report, "floors")
    found = {floor_words(floor): score(floors[floor], name) for floor in floors}
    return {words: floor for words, floor in found.items() if floor is not None}


def _meaning(metrics: Mapping[str, Any], name: str) -> list[str]:
    precision, recall = score(metrics, "micro_precision"), score(metrics, "micro_recall")
    if name != "micro_f1" or not precision or not recall:
        return []
    return [
        f"Of 100 spans the model marks, {of_hundred(precision.value)} are exactly right. "
        f"Of 100 spans that are in the text, it finds {of_hundred(recall.value)}."
    ]


def _trust(report: Mapping[str, Any], value: Score | None) -> list[str]:
    if value is None or value.low is None or value.high is None:
        return []
    documents = whole(report.get("documents"))
    over = f", resampling {counted(documents, 'document')}" if documents else ""
    return [
        f"Over all documents of this kind, the score plausibly lies between {decimal(value.low)} and {decimal(value.high)} "
        f"({interval_name(report)}{over})."
    ]


def _surface(metrics: Mapping[str, Any], name: str) -> list[str]:
    surface = score(metrics, "surface_micro_f1")
    if surface is None or name != "micro_f1":
        return []
    return [f"By surfaces, the rule of most published scores, F1 is {decimal(surface.value)}."]


def _floors(floors: Mapping[str, Score]) -> list[str]:
    ranked = sorted(floors.items(), key=lambda item: -item[1].value)
    listed = ", ".join(f"{words} {decimal(floor.value)}" for words, floor in ranked)
    return [f"Without any model: {listed}."] if listed and len(ranked) < 4 else []


def _counts(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = part(report, "per_label")
    gold = sum(whole(part(rows, label).get("support")) or 0 for label in rows)
    predicted = sum(whole(part(rows, label).get("predicted")) or 0 for label in rows)
    examples, documents = whole(report.get("examples")), whole(report.get("documents"))
    found = [(examples, "text", "texts"), (documents, "document", "documents")]
    if rows:
        found += [(gold, "span in the gold", "spans in the gold"), (predicted, "span predicted", "spans predicted")]
    return [(f"{count:,}", one if count == 1 else many) for count, one, many in found if count is not None]


def _remarks(report: Mapping[str, Any], value: Score | None, floors: Mapping[str, Score], card: Mapping[str, Any]) -> list[str]:
    """Whatever a reader should know before quoting the score."""
    remarks = []
    for words, floor in floors.items():
        if value is not None and value.value <= floor.value:
            remarks.append(f"The model is no better than {words} ({decimal(floor.value)}).")
        elif value is not None and value.low is not None and floor.high is not None and value.low <= floor.high:
            remarks.append(f"The intervals of the model and of {words} overlap.")
    documents, examples = whole(report.get("documents")), whole(report.get("examples"))
    if documents is not None and 0 < documents < FEW_DOCUMENTS:
        only = counted(documents, "document")
        remarks.append(f"{only} only: the intervals are themselves uncertain, and rather too narrow than too wide.")
    malformed = whole(part(report, "malformed").get("count"))
    if malformed:
        share = number(part(report, "malformed").get("share"))
        of = f" ({100 * share:.1f} %)" if share is not None else ""
        remarks.append(f"{counted(malformed, 'output')}{of} could not be read: scored as if nothing had been found.")
    unplaced, invented = whole(report.get("unaligned_gold")), whole(report.get("unaligned_predicted"))
    if unplaced:
        remarks.append(f"{counted(unplaced, 'annotated surface')} without a place in the text: in the scores by surface only.")
    if invented:
        remarks.append(f"{counted(invented, 'predicted surface')} not in the text: wrong in every score.")
    if duplicates := whole(card.get("exact_duplicates")):
        remarks.append(f"{counted(duplicates, 'text')} of {examples or card.get('examples', 0):,} repeat another text of this data.")
    return remarks
