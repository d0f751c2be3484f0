"""The gold of a comparison, the same for all systems, and each system's predictions in its order.

It is the data named, else what the runs say they were evaluated on, found unchanged. Refused are runs whose gold differs, with the first
example where it does, and predictions whose ids or texts are not those of the gold. `pytest tests/study/test_compare_gold.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from fintune.data.load import Loaded, load_for
from fintune.errors import ArtifactError, DataError, FintuneError, UsageError
from fintune.records import Example, Prediction
from fintune.report.figures import counted
from fintune.study.compare_request import Request
from fintune.study.compare_systems import Outputs, System
from fintune.tasks.base import Task

Record = TypeVar("Record", Example, Prediction)
Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Gold:
    """Annotated examples with what they are called, and their fingerprint."""

    examples: tuple[Example, ...]
    source: str
    fingerprint: str


def gold_of(systems: Sequence[System], request: Request, task: Task) -> tuple[Gold, list[str]]:
    """The gold that all systems are scored by, and notes of runs that were scored by another.

    Raises:
        UsageError: where nobody says which it is.
        ArtifactError: where the data of a run are not what they were, or not there.
        DataError: where the gold of two runs differs.
    """
    runs = [run for system in systems for run in system.runs]
    sources = {str(run.data["fingerprint"]): run for run in reversed(runs) if run.data.get("fingerprint")}
    if request.data is not None:
        loaded = load_for(task, request.data, request.options)
        others = [run.path for print_, run in sources.items() if print_ != loaded.fingerprint]
        notes = [f"{path} was evaluated on other data than {request.data}; here all are scored by the latter" for path in others]
        return Gold(loaded.examples, request.data, loaded.fingerprint), notes
    if not sources:
        raise UsageError("no gold to score by", why="prediction files do not hold it", fix="give it: --data test.jsonl")
    found = [(run, _again(run, request, task)) for run in reversed(sources.values())]
    first, chosen = found[0]
    for run, loaded in found[1:]:
        _require_same(chosen, loaded, request, first=first, second=run)
    return Gold(chosen.examples, str(first.data.get("source")), chosen.fingerprint), []


def _again(run: Outputs, request: Request, task: Task) -> Loaded:
    """The data that a run was evaluated on, read again."""
    source = str(run.data.get("source"))
    fix = "give the gold: --data FILE, with the reading options of the evaluation"
    try:
        loaded = load_for(task, source, request.options)
    except FintuneError as error:
        what = f"the data that the run was evaluated on cannot be read: {source}"
        raise ArtifactError(what, where=run.path, why=str(error), fix=fix) from None
    if loaded.fingerprint != run.data["fingerprint"]:
        what = f"the data that the run was evaluated on have changed since, or are read otherwise: {source}"
        raise ArtifactError(what, where=run.path, fix=fix)
    return loaded


def _require_same(one: Loaded, two: Loaded, request: Request, *, first: Outputs, second: Outputs) -> None:
    """Refuses gold that differs, but for its order and, on request, for examples that one of them lacks."""
    known, other = _keyed(one.examples), _keyed(two.examples)
    for key, example in known.items():
        missing = "" if request.ids == "common" else "it is missing"
        difference = _difference(example, other[key]) if key in other else missing
        if difference:
            what = f"the gold differs from that of {first.path} at example {key[0]!r}: {difference}"
            _refuse(what, other.get(key, example), second)
    if request.ids != "common" and (more := [example for key, example in other.items() if key not in known]):
        _refuse(f"the gold has an example {more[0].id!r} that that of {first.path} has not", more[0], second)


def _refuse(what: str, example: Example, run: Outputs) -> None:
    where = f"{run.path}, {example.where}" if example.where else run.path
    fix = "compare runs that were evaluated on the same data, or evaluate them again: fintune evaluate RUN --data FILE"
    raise DataError(what, where=where, why="scores by different gold do not compare", fix=fix)


def _difference(one: Example, two: Example) -> str:
    """What of two examples of one id differs, or ""."""
    if one.text != two.text:
        return "another text"
    if one.question != two.question:
        return "another question"
    if one.label != two.label:
        return f"label {two.label!r} there, {one.label!r} here"
    if one.labels != two.labels:
        return "other labels"
    if _golds(one) != _golds(two):
        return "another answer"
    if sorted(one.spans or ()) != sorted(two.spans or ()) or sorted(one.unaligned) != sorted(two.unaligned):
        return "other spans"
    return ""


def _golds(example: Example) -> list[str]:
    return sorted(example.golds)


def _keyed(records: Iterable[Record]) -> dict[Key, Record]:
    """Records by id and, where ids repeat, by how often it came before."""
    seen, found = Counter[str](), dict[Key, Record]()
    for record in records:
        found[record.id, seen[record.id]] = record
        seen[record.id] += 1
    return found


def matched(gold: Gold, systems: Sequence[System], request: Request) -> tuple[list[Example], dict[str, list[list[Prediction]]], list[str]]:
    """The examples compared on, the predictions for them of each run by system, in the same order, and notes of what is left out.

    Raises:
        DataError: where a system lacks an example or has one that the gold has not, unless those in common are asked for; where there
            are none in common; where a prediction's text is not its example's.
    """
    wanted = _keyed(gold.examples)
    given = {system.name: [(run, _keyed(run.predictions)) for run in system.runs] for system in systems}
    kept, notes = set(wanted), list[str]()
    for runs in given.values():
        for run, found in runs:
            if request.ids == "same":
                _require_all(wanted, found, run)
            elif strange := len(found.keys() - wanted.keys()):
                notes.append(f"{run.path}: {counted(strange, 'prediction')} for no example of the gold left out")
            kept &= found.keys()
    if not kept:
        raise DataError("the systems have no example in common", where=gold.source, fix="give predictions for the same data")
    if len(kept) < len(wanted):
        notes.append(f"{len(wanted) - len(kept):,} of {len(wanted):,} examples left out: not every system has them")
    keys = [key for key in wanted if key in kept]
    for runs in given.values():
        for run, found in runs:
            _require_texts(keys, wanted, found, run)
    aligned = {name: [[found[key] for key in keys] for _, found in runs] for name, runs in given.items()}
    return [wanted[key] for key in keys], aligned, notes


def _require_all(wanted: Mapping[Key, Example], found: Mapping[Key, Prediction], run: Outputs) -> None:
    for what, missing in (
        ("no prediction for example", [key for key in wanted if key not in found]),
        ("a prediction for no example of the gold,", [key for key in found if key not in wanted]),
    ):
        if missing:
            more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
            fix = "predict the data that the others were evaluated on, or compare on what all have: --common"
            raise DataError(f"{what} {missing[0][0]!r}{more}", where=str(run.file), fix=fix)


def _require_texts(keys: Iterable[Key], wanted: Mapping[Key, Example], found: Mapping[Key, Prediction], run: Outputs) -> None:
    for key in keys:
        if found[key].text != wanted[key].text:
            what = f"the prediction for example {key[0]!r} is about another text than the gold"
            raise DataError(what, where=str(run.file), fix="give predictions for the data of the comparison")
