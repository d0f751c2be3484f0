"""Target and parse are inverse for any set of labels, nothing is guessed, and the task file and the score refuse what has no meaning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fintune.errors import ArtifactError, DataError, RecipeError
from fintune.metrics.intervals import Bootstrap
from fintune.recipe import Prompt
from fintune.records import Example, Prediction
from fintune.tasks.base import load_task
from fintune.tasks.several_reading import NONE, SeveralReader, require_names, write

PLAN = Bootstrap(replicates=20)
EXAMPLE = Example(id="e1", text="Acme rose", labels=("results",))
FILE = """name = "events"
kind = "label"
multiple = true
description = "what happened"

[labels]
results = "Figures of a period"
"mergers, deals" = "A sale or purchase"
People = ""
"""
NAMES = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("aA ,.!/<>"), min_size=1, max_size=6).map(str.strip)
SETS = st.lists(NAMES.filter(bool), min_size=1, max_size=5, unique_by=str.casefold).filter(
    lambda names: not any(";" in name or len(name.splitlines()) > 1 or name.casefold() == NONE for name in names)
)


def made(folder: Path, text: str = FILE, prompt: Prompt | None = None) -> Any:
    path = folder / "events.toml"
    path.write_text(text, encoding="utf-8")
    return load_task(str(path), prompt)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return made(tmp_path_factory.mktemp("task"))


@settings(max_examples=300, deadline=None)
@given(SETS, st.data())
def test_any_labels_of_any_set_are_read_as_themselves(names: list[str], data: st.DataObject) -> None:
    require_names(names, where="")
    chosen = tuple(name for name in names if data.draw(st.booleans()))
    blank = data.draw(st.sampled_from(["", " ", "\n"]))
    assert SeveralReader(names).read(f"{blank}{write(chosen)}{blank}", reasons=False) == (chosen, "")


@settings(max_examples=300, deadline=None)
@given(SETS, st.text(max_size=20) | st.lists(st.sampled_from(["a", "B", "; ", ",", "\n", "none", "[", "'", "</think>"])).map("".join))
def test_reading_never_raises_and_gives_labels_in_order_or_none(names: list[str], raw: str) -> None:
    found, reason = SeveralReader(names).read(raw, reasons=False)
    assert found is None or found == tuple(name for name in names if name in found)
    assert bool(reason) == (found is None or raw.strip() != write(found))


def test_parse_gives_back_every_target(task: Any) -> None:
    for number in range(8):
        gold = replace(EXAMPLE, labels=tuple(label for place, label in enumerate(task.labels) if number >> place & 1))
        found = task.parse(task.target(gold), gold)
        assert (found.labels, found.status, found.reason) == (gold.labels, "ok", "")
    backwards = replace(EXAMPLE, labels=("People", "results"))
    assert task.target(backwards) == "results; People", "the order is that of the set"


@pytest.mark.parametrize(
    ("raw", "labels"),
    [
        ("People; results", ("results", "People")),
        ("results; results", ("results",)),
        ("RESULTS", ("results",)),
        ("results\npeople", ("results", "People")),
        ("- results\n- Mergers, Deals\n", ("results", "mergers, deals")),
        ('["results"; "People"]', ("results", "People")),
        ("results;People.", ("results", "People")),
        ("None.", ()),
        ("[]", ()),
        ("<think>hm</think> results", ("results",)),
    ],
)
def test_what_can_only_mean_one_set_is_mended_and_said(task: Any, raw: str, labels: tuple[str, ...]) -> None:
    found = task.parse(raw, EXAMPLE)
    assert (found.labels, found.status) == (labels, "repaired")
    assert found.reason


@pytest.mark.parametrize(
    "raw", ["", "results and People", "results, People", "results; up", "none; results", "I see results.", "<think>results"]
)
def test_a_piece_that_is_no_label_makes_all_unreadable(task: Any, raw: str) -> None:
    found = task.parse(raw, EXAMPLE)
    assert (found.labels, found.status) == (None, "malformed")
    assert found.reason


def test_lists_with_commas_are_read_where_no_label_has_one() -> None:
    assert SeveralReader(["a", "b", "c"]).read('["c", "a"]', reasons=False)[0] == ("a", "c")


def test_the_prompt_says_what_to_write(tmp_path: Path) -> None:
    task = made(tmp_path, prompt=Prompt(labels="meanings", demonstrations=1))
    turns = task.messages(EXAMPLE, purpose="predict", demonstrations=[Example("d", "Nothing", labels=())])
    assert "- mergers, deals: A sale or purchase" in turns[0]["content"]
    assert '"; "' in turns[0]["content"]
    assert turns[1]["content"] == "none"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("multiple = true", 'multiple = "yes"', "'multiple' is 'yes'"),
        ('kind = "label"', 'kind = "spans"', "kind 'spans' with 'multiple'"),
        ('kind = "label"\nmultiple = true', 'kind = "labels"', 'write kind = "label" and multiple = true'),
        ('People = ""', '"a; b" = ""', r"label 'a; b' in a task with multiple = true"),
        ('People = ""', 'None = ""', "label 'None'"),
        ('People = ""', 'People = ""\n[shares]\nresults = 1.0', r"'shares' with multiple = true"),
    ],
)
def test_task_files_that_mean_nothing_are_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in FILE
    with pytest.raises(RecipeError, match=says):
        made(tmp_path, FILE.replace(old, new))


def test_multiple_false_is_one_label(tmp_path: Path) -> None:
    assert made(tmp_path, FILE.replace("true", "false")).kind == "label"
    assert made(tmp_path).kind == "labels"


def test_gold_is_needed_and_of_the_set(task: Any) -> None:
    task.require_gold(replace(EXAMPLE, labels=()))
    with pytest.raises(DataError, match=r"no labels.*\[\] where none applies"):
        task.require_gold(replace(EXAMPLE, labels=None, label="results"))
    with pytest.raises(DataError, match=r"unknown label 'result'.*--rename result=results"):
        task.require_gold(replace(EXAMPLE, labels=("People", "result")))


def test_the_score_counts_sets_and_decisions(task: Any) -> None:
    examples = [replace(EXAMPLE, id=str(n), labels=labels) for n, labels in enumerate([("results", "People"), (), ("mergers, deals",), ()])]
    given: list[tuple[str, ...] | None] = [("People", "results"), ("People",), (), None]
    found = [
        Prediction(e.id, e.text, labels=labels, status="ok" if labels is not None else "malformed")
        for e, labels in zip(examples, given, strict=True)
    ]
    report = task.score(list(zip(examples, found, strict=True)), documents=["a", "b", "c", "d"], plan=PLAN)
    values = {name: entry["value"] for name, entry in report["metrics"].items()}
    assert values["accuracy"] == 0.25
    assert values["micro_precision"] == values["micro_recall"] == values["micro_f1"] == pytest.approx(2 / 3)
    assert values["hamming_loss"] == pytest.approx((1 + 1 + 3) / 12), "what could not be read is wrong in every decision"
    assert report["errors"] == {"label_missed": 1, "label_added": 1}
    assert report["malformed"] == {"count": 1, "share": 0.25}
    assert (report["kind"], report["per_label"]["People"]["support"]) == ("labels", 1)


def test_the_score_refuses_other_kinds_and_odd_probabilities(task: Any) -> None:
    def scored(**parts: Any) -> None:
        task.score([(EXAMPLE, Prediction("e1", "Acme rose", **parts))], documents=["a"], plan=PLAN)

    with pytest.raises(DataError, match="has no labels"):
        scored(label="results")
    with pytest.raises(DataError, match="2 probabilities that are none"):
        scored(labels=(), probabilities=(0.5, 0.5))
    with pytest.raises(DataError, match="3 probabilities that are none"):
        scored(labels=(), probabilities=(0.5, 0.5, 1.5))
    scored(labels=(), probabilities=(0.9, 0.9, 0.9))


def test_floors_come_back_from_a_run(task: Any) -> None:
    floors = task.learn_floors([EXAMPLE, replace(EXAMPLE, labels=("People",)), EXAMPLE])
    record = {name: floor.record() for name, floor in floors.items()}
    assert task.read_floors(record, where="f") == floors
    with pytest.raises(ArtifactError, match="not the floors"):
        task.read_floors({}, where="f")
