"""The `report.json` object for answers: every score with its interval, how answers are wrong, and the floors beside it.

    {"schema_version": 1, "task": str, "kind": "answer", "examples": int, "documents": int,
     "bootstrap": {"replicates": int, "seed": int, "level": float},
     "metrics": {NAME: {"value", "low", "high"}},
     "per_label": {FORM: {"answer_accuracy", "exact_match", "f1": {"value", "low", "high"}, "support": int, "predicted": int}},
     "errors": {"unanswered", "unasked", "no_number", "wrong_sign", "wrong_scale", "wrong_number", "wrong_text": int},
     "malformed": {"count": int, "share": float},
     "floors": {FLOOR: {NAME: {"value", "low", "high"}}}}

NAME is `answer_accuracy`, `rounded_accuracy`, `exact_match` and `f1` over all questions; `numeric_accuracy` over those whose gold is a
number; `has_answer_exact_match`, `has_answer_f1` and `no_answer_accuracy` where some questions have an answer and some none, as SQuAD v2
reports them. FORM is what the gold answer is: `number`, `yes/no`, `text` or `none`; forms that do not occur have no row. All are
fractions; intervals are bootstrap percentiles over documents. A malformed prediction is wrong, also where no answer was right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from fintune.errors import DataError
from fintune.metrics.answers import Form, Verdict, answer_accuracy, exact_match, f1, form, rounded_accuracy, verdict
from fintune.metrics.intervals import Bootstrap, percentiles, resample
from fintune.metrics.report import SCHEMA_VERSION

Array = NDArray[np.float64]
Entry = dict[str, float]
_Name = tuple[str, str]  # the form it is about, or `_ALL`, and the metric

_ALL = "all"

_MEASURES: Mapping[str, Callable[[str | None, Sequence[str]], float]] = {
    "answer_accuracy": answer_accuracy,
    "rounded_accuracy": rounded_accuracy,
    "exact_match": exact_match,
    "f1": f1,
}
_PER_FORM = ("answer_accuracy", "exact_match", "f1")


@dataclass(frozen=True, slots=True)
class AnswerPair:
    """What was answered and what would have been right. None is no answer, and empty `golds` say that there is none."""

    predicted: str | None
    golds: tuple[str, ...]
    malformed: bool = False


def build(
    pairs: Sequence[AnswerPair], *, task: str, clusters: Sequence[str], floors: Mapping[str, Sequence[AnswerPair]], plan: Bootstrap
) -> dict[str, Any]:
    """The report of one system; `clusters` names each example's document, `floors` holds the floors' pairs by name.

    Raises:
        DataError: without examples, or where `clusters` or a floor has another number of them.
    """
    scores = _graded(pairs, clusters, plan)
    found = Counter(_verdict(pair) for pair in pairs)
    malformed = sum(pair.malformed for pair in pairs)
    return {
        "schema_version": SCHEMA_VERSION,
        "task": task,
        "kind": "answer",
        "examples": len(pairs),
        "documents": len(set(clusters)),
        "bootstrap": asdict(plan),
        "metrics": _overall(scores),
        "per_label": _per_form(pairs, scores),
        "errors": {name: found[name] for name in get_args(Verdict) if name != "right"},
        "malformed": {"count": malformed, "share": malformed / len(pairs)},
        "floors": {name: _overall(_graded(guesses, clusters, plan)) for name, guesses in floors.items()},
    }


def _overall(scores: Mapping[_Name, Entry]) -> dict[str, Entry]:
    return {name: entry for (group, name), entry in scores.items() if group == _ALL}


def _per_form(pairs: Sequence[AnswerPair], scores: Mapping[_Name, Entry]) -> dict[str, dict[str, Any]]:
    """Scores by the form of the gold answer, with the numbers of gold and given answers of that form."""
    support = Counter(_form(pair) for pair in pairs)
    predicted = Counter(form(pair.predicted) for pair in pairs if not pair.malformed)
    return {
        shape: {name: scores[shape, name] for name in _PER_FORM} | {"support": support[shape], "predicted": predicted[shape]}
        for shape in get_args(Form)
        if support[shape]
    }


def _graded(pairs: Sequence[AnswerPair], clusters: Sequence[str], plan: Bootstrap) -> dict[_Name, Entry]:
    """Every mean with its interval."""
    if not pairs or len(pairs) != len(clusters):
        raise DataError(
            f"{len(clusters)} documents for {len(pairs)} answers", why="each answer needs its document", fix="name one for each"
        )
    means = _means(pairs)
    counts = np.stack([np.stack(mean, axis=-1) for mean in means.values()], axis=1)
    totals, replicates = counts.sum(axis=0), resample(counts, clusters, plan=plan)  # (means, 2), (replicates, means, 2)
    return {name: _entry(totals[index], replicates[:, index], plan) for index, name in enumerate(means)}


def _means(pairs: Sequence[AnswerPair]) -> dict[_Name, tuple[Array, Array]]:
    """What to average, by group and metric: the points of each example and whether it counts, both `(examples,)`.

    Means that no example counts for are left out.
    """
    points = {name: np.array([_points(pair, measure) for pair in pairs]) for name, measure in _MEASURES.items()}
    forms = np.array([_form(pair) for pair in pairs])
    among = {shape: (forms == shape).astype(np.float64) for shape in get_args(Form)}
    means = {(_ALL, name): (points[name], np.ones(len(pairs))) for name in _MEASURES}
    means[_ALL, "numeric_accuracy"] = (points["answer_accuracy"], among["number"])
    if 0 < among["none"].sum() < len(pairs):
        means |= {(_ALL, f"has_answer_{name}"): (points[name], 1 - among["none"]) for name in ("exact_match", "f1")}
        means[_ALL, "no_answer_accuracy"] = (points["exact_match"], among["none"])
    means |= {(shape, name): (points[name], counts) for shape, counts in among.items() for name in _PER_FORM}
    return {name: (score * counts, counts) for name, (score, counts) in means.items() if counts.any()}


def _entry(total: Array, replicates: Array, plan: Bootstrap) -> Entry:
    """A mean with its interval, from sums and counts; replicates without any example that counts say nothing."""
    drawn = replicates[replicates[:, 1] > 0]
    low, high = percentiles(drawn[:, 0] / drawn[:, 1], level=plan.level) if len(drawn) else (0.0, 1.0)
    return {"value": float(total[0] / total[1]), "low": float(low), "high": float(high)}


def _points(pair: AnswerPair, measure: Callable[[str | None, Sequence[str]], float]) -> float:
    return 0.0 if pair.malformed else measure(pair.predicted, pair.golds)


def _form(pair: AnswerPair) -> Form:
    return form(pair.golds[0] if pair.golds else None)


def _verdict(pair: AnswerPair) -> Verdict:
    return "unanswered" if pair.malformed else verdict(pair.predicted, pair.golds)
