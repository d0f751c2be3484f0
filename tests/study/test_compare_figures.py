"""The figures of a comparison: those of the reports, the right test for each, corrected together, and nothing claimed that is not shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from compared_systems import TASKS, gold, outputs, write_gold, write_run

from fintune.api import score
from fintune.data import predictions as seam
from fintune.data.load import load
from fintune.errors import UsageError
from fintune.metrics.intervals import Bootstrap
from fintune.metrics.significance import holm, mcnemar
from fintune.records import Example
from fintune.report.wording import KINDS
from fintune.run import write_file
from fintune.study.compare import compare
from fintune.study.compare_counts import counts_of, yardstick_of
from fintune.study.compare_disagreements import EACH
from fintune.study.compare_request import Request
from fintune.tasks.base import Task, load_task

PLAN = Bootstrap(400)


def systems(place: Path, kind: str, skills: tuple[float, ...], *, together: int = 1, count: int = 48) -> list[str]:
    examples = gold(kind, count, together=together)
    data = write_gold(place / "gold.jsonl", examples)
    found = [outputs(examples, skill=skill, seed=number) for number, skill in enumerate(skills)]
    return [str(write_run(place / f"run{number}", one, data=data, kind=kind)) for number, one in enumerate(found)]


def compared(*runs: str, **asked: object) -> dict:
    return compare(Request(systems=runs, plan=PLAN, **asked)).document  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", TASKS)
def test_scores_are_those_of_fintune_score(kind: str, tmp_path: Path) -> None:
    runs = systems(tmp_path, kind, (0.8, 0.6))
    document = compared(*runs)
    loaded, task = load(tmp_path / "gold.jsonl", kind=kind), load_task(TASKS[kind])
    assert list(document["systems"][0]["metrics"]) == list(yardstick_of(task).shown)
    for run, system in zip(runs, document["systems"], strict=True):
        report = score(task, loaded, seam.read(Path(run) / "predictions.jsonl"), floors={}, source="x")
        for name, entry in system["metrics"].items():
            assert entry["value"] == pytest.approx(report["metrics"][name]["value"])
            assert entry["low"] <= entry["value"] <= entry["high"]
        assert system["malformed"] == report["malformed"]["count"]
    (pair,) = document["pairs"]
    for name, entry in pair["metrics"].items():
        values = [system["metrics"][name]["value"] for system in document["systems"]]
        assert entry["value"] == pytest.approx(values[0] - values[1])
        assert entry["wins"] + entry["losses"] + entry["ties"] == document["examples"] == 48
    for entry in pair["per_label"].values():
        assert entry["value"] == pytest.approx(entry["first"] - entry["second"])
        assert entry["low"] <= entry["value"] + 1e-12
    json.dumps(document, allow_nan=False)


def test_the_main_score_is_that_of_the_page(tmp_path: Path) -> None:
    for kind, name in TASKS.items():
        assert yardstick_of(load_task(name)).shown[0] == KINDS[kind].main
        assert set(yardstick_of(load_task(name)).shown) <= set(KINDS[kind].compared)


def test_each_score_gets_the_test_that_holds_for_it(tmp_path: Path) -> None:
    alone, sharing = tmp_path / "alone", tmp_path / "sharing"
    for place in (alone, sharing):
        place.mkdir()
    single = compared(*systems(alone, "label", (0.8, 0.6)))
    entries = single["pairs"][0]["metrics"]
    assert (entries["accuracy"]["test"], entries["macro_f1"]["test"]) == ("McNemar", "randomisation")
    assert entries["accuracy"]["p_value"] == mcnemar(entries["accuracy"]["wins"], entries["accuracy"]["losses"])
    assert entries["macro_f1"]["p_mcnemar"] is None
    together = compared(*systems(sharing, "label", (0.8, 0.6), together=3))
    entries = together["pairs"][0]["metrics"]
    assert (entries["accuracy"]["test"], entries["accuracy"]["p_mcnemar"]) == ("randomisation", None)
    assert any("not independent" in note for note in together["notes"])
    assert together["documents"] == 16
    three = [str(alone / "run0"), str(alone / "run1")]
    groups = compare(Request(groups={"x": (three[0],), "y": tuple(three)}, plan=PLAN)).document["pairs"][0]["metrics"]["accuracy"]
    assert (groups["test"], groups["p_randomisation"], groups["p_mcnemar"]) == ("hierarchical bootstrap", None, None)
    assert groups["se_seeds"] > 0


@pytest.mark.parametrize("kind", TASKS)
def test_p_values_are_corrected_together_and_decide_with_the_interval(kind: str, tmp_path: Path) -> None:
    document = compared(*systems(tmp_path, kind, (0.95, 0.9, 0.2)))
    entries = [entry for pair in document["pairs"] for entry in pair["metrics"].values()]
    assert document["tests"] == len(entries)
    assert [entry["p_holm"] for entry in entries] == holm([entry["p_value"] for entry in entries])
    for entry in entries:
        zero = entry["low"] <= 0 <= entry["high"]
        shown = not zero and entry["p_holm"] <= 0.05
        better = "first better" if entry["value"] > 0 else "second better"
        assert entry["verdict"] == (better if shown else "no difference shown" + " after correction" * (not zero))
    assert entries[0]["verdict"] == "no difference shown" or kind == "spans"
    assert document["pairs"][1]["metrics"][next(iter(document["pairs"][1]["metrics"]))]["verdict"] == "first better"


def test_equal_systems_show_no_difference(tmp_path: Path) -> None:
    examples = gold("spans", 20)
    data = write_gold(tmp_path / "gold.jsonl", examples)
    runs = [str(write_run(tmp_path / name, outputs(examples, skill=0.7, seed=1), data=data, kind="spans")) for name in "ab"]
    found = compare(Request(systems=tuple(runs), plan=PLAN))
    for entry in found.document["pairs"][0]["metrics"].values():
        assert (entry["value"], entry["low"], entry["high"], entry["p_value"], entry["ties"]) == (0, 0, 0, 1, 20)
        assert entry["verdict"] == "no difference shown"
    assert found.disagreements == ()


@pytest.mark.parametrize("kind", TASKS)
def test_disagreements_are_the_largest_in_both_directions(kind: str, tmp_path: Path) -> None:
    found = compare(Request(systems=tuple(systems(tmp_path, kind, (0.7, 0.6))), plan=PLAN))
    names = found.document["systems"][0]["name"], found.document["systems"][1]["name"]
    task, examples = load_task(TASKS[kind]), load(tmp_path / "gold.jsonl", kind=kind).examples
    files = [tmp_path / name / "predictions.jsonl" for name in names]
    points = [_points(task, examples, file) for file in files]
    gap = points[0] - points[1]
    for better, ahead in ((names[0], gap), (names[1], -gap)):
        mine = [one for one in found.disagreements if one.better == better]
        assert [one.points for one in mine] == sorted(ahead[ahead > 0], reverse=True)[:EACH]
        for one in mine:
            assert ahead[[e.id for e in examples].index(one.example.id)] == one.points
            assert {output.id for output in one.outputs} == {one.example.id}
    assert len(found.document["disagreements"]) == len(found.disagreements)


def test_of_several_runs_the_typical_one_is_shown(tmp_path: Path) -> None:
    runs = systems(tmp_path, "spans", (0.9, 0.6, 0.6, 0.6))
    found = compare(Request(systems=(runs[0],), groups={"group": tuple(runs[1:])}, plan=PLAN))
    task, examples = load_task(TASKS["spans"]), load(tmp_path / "gold.jsonl", kind="spans").examples
    files = [Path(run) / "predictions.jsonl" for run in runs[1:]]
    points = np.stack([_points(task, examples, file) for file in files])
    for one in found.disagreements:
        at = [e.id for e in examples].index(one.example.id)
        shown = [seam.read(file)[at] for file in files].index(one.outputs[1])
        distance = np.abs(points[:, at] - points[:, at].mean())
        assert distance[shown] == pytest.approx(distance.min())


def _points(task: Task, examples: Sequence[Example], file: Path) -> np.ndarray:
    """Points by the main score, one for each example."""
    yardstick = yardstick_of(task)
    return yardstick.scores[yardstick.shown[0]].points(counts_of(task, task, examples, seam.read(file), file=file))


def test_the_same_request_gives_the_same_document(tmp_path: Path) -> None:
    runs = systems(tmp_path, "spans", (0.8, 0.7))
    assert compared(*runs) == compared(*runs)
    other = compare(Request(systems=tuple(runs), plan=Bootstrap(400, seed=1))).document
    assert other["pairs"][0]["metrics"]["micro_f1"]["low"] != compared(*runs)["pairs"][0]["metrics"]["micro_f1"]["low"]


def test_scores_can_be_chosen_and_unknown_ones_are_refused(tmp_path: Path) -> None:
    runs = systems(tmp_path, "spans", (0.8, 0.7))
    found = compared(*runs, metrics=("macro_recall", "micro_f1", "macro_recall"))
    assert list(found["pairs"][0]["metrics"]) == ["macro_recall", "micro_f1"]
    assert found["tests"] == 2
    with pytest.raises(UsageError, match="no score 'micro_f2'"):
        compared(*runs, metrics=("micro_f2",))


def test_few_documents_and_single_runs_are_said(tmp_path: Path) -> None:
    notes = compared(*systems(tmp_path, "spans", (0.8, 0.7), count=10))["notes"]
    assert any(note.startswith("10 documents only") for note in notes)
    assert any(note.startswith("one run of each system") for note in notes)


def test_surfaces_without_a_place_count_as_in_the_report(tmp_path: Path) -> None:
    """A language model's surfaces that are not in the text are read from what it wrote, by the run's own prompt."""
    examples = gold("spans", 8)
    data = write_gold(tmp_path / "gold.jsonl", examples)
    raw = [outputs([e], skill=1, seed=0)[0] for e in examples]
    written = [seam.record(p) | {"raw": '{"Company": ["Nowhere Inc"]}'} for p in raw]
    file = tmp_path / "theirs.jsonl"
    write_file(file, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in written))
    run = str(write_run(tmp_path / "run", outputs(examples, skill=1, seed=0), data=data, kind="spans"))
    entry = compared(run, str(file))["pairs"][0]["metrics"]["micro_f1"]
    report = score(load_task("finance-ner-7"), load(data, kind="spans"), seam.read(file), floors={}, source="x")
    assert report["unaligned_predicted"] == 8
    assert entry["wins"] == 8
    assert np.sign(entry["value"]) == 1
