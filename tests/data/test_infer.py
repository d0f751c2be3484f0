"""A task file from data is a task that takes these data; what a person would have to decide first is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintune.data.infer import MOST, task_file
from fintune.data.load import load_for
from fintune.errors import DataError
from fintune.records import Example
from fintune.tasks.base import Task, load_task


def labelled(*labels: str) -> list[Example]:
    return [Example(str(n), f"text {n}\nof {label!r}", label=label) for n, label in enumerate(labels)]


def written(examples: list[Example], folder: Path) -> Task:
    path = folder / "mine.toml"
    path.write_text(task_file(examples, name="mine", source="data.csv"), encoding="utf-8")
    return load_task(str(path))


plain = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).map(str.strip).filter(bool)


@given(st.lists(plain, min_size=2, max_size=6, unique_by=lambda label: " ".join(label.casefold().split())))
def test_any_set_of_labels_survives_the_file(tmp_path_factory: pytest.TempPathFactory, labels: list[str]) -> None:
    if all(label.isdecimal() for label in labels):
        return
    examples = labelled(*labels, labels[0])
    task = written(examples, tmp_path_factory.mktemp("task"))
    assert task.labels == tuple(sorted(labels))
    assert (task.kind, task.name) == ("label", "mine")
    assert task.shares[labels[0]] == pytest.approx(2 / len(examples), abs=1e-3)
    for example in examples:
        task.require_gold(example)


def test_class_numbers_get_names_to_replace_and_are_read(tmp_path: Path) -> None:
    examples = labelled("10", "2", "0", "2")
    task = written(examples, tmp_path)
    assert task.labels == ("class 0", "class 2", "class 10")
    assert [e.label for e in load_for(task, examples).examples] == ["class 10", "class 2", "class 0", "class 2"]


def test_counts_and_an_example_stand_beside_each_label() -> None:
    text = task_file(labelled("up", "down", "up"), name="mine", source="data.csv")
    assert '# 2 examples, such as: text 0 of \'up\'\n"up" = ""' in text
    assert "Inferred from 3 examples of data.csv" in text


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (["up"], "1 labels in the data"),
        ([], "0 labels"),
        (["up", "UP", "down"], "labels 'UP' and 'up'.*--rename"),
        (["up", " up", "down"], "labels 'up' and ' up'"),
        (["a  b", "a b"], "differ in case or blanks alone"),
        ([f"text {n}" for n in range(MOST + 1)], "rather text than a label"),
    ],
)
def test_what_is_no_set_is_refused(labels: list[str], says: str) -> None:
    with pytest.raises(DataError, match=says):
        task_file(labelled(*labels), name="mine", source="data.csv")
