"""Task files load, and every fault in one is a one-line error that names the file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fintune.errors import RecipeError
from fintune.recipe import Prompt
from fintune.records import Example, Meta
from fintune.tasks.base import available, documents_of, load_task

GOOD = """
name = "funds"
kind = "spans"
description = "Funds"
instruction = "Find funds:"

[labels]
Fund = "A fund"
Manager = "Who runs it"
"""


@pytest.mark.parametrize("name", available())
def test_bundled_tasks_load_and_keep_their_file_name(name):
    task = load_task(name)
    assert task.name == name
    assert len(task.labels) == len(set(task.labels))
    assert bool(task.labels) == (task.kind != "answer")
    assert isinstance(task.main_metric, str)
    assert task.describe()["prompt"]["settings"]["target"] == "literal"


def test_a_task_is_read_from_a_file(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD, encoding="utf-8")
    task = load_task(path)
    assert (task.name, task.kind, task.labels) == ("funds", "spans", ("Fund", "Manager"))
    assert task.describe()["labels"] == [{"name": "Fund", "meaning": "A fund"}, {"name": "Manager", "meaning": "Who runs it"}]


def test_a_task_without_an_instruction_takes_that_of_its_prompt_file(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace('instruction = "Find funds:"\n', ""), encoding="utf-8")
    assert load_task(path).describe()["instruction"] == "Do Named Entity Recognition for the following text:"


def test_prompt_settings_reach_the_task():
    asked = Prompt(labels="names", target="json")
    task = load_task("finance-ner-7", asked)
    (message,) = task.messages(Example("a", "Acme rose"), purpose="train")
    assert message["content"].splitlines()[1] == "Types: " + ", ".join(task.labels)
    assert task.target(Example("a", "Acme rose", spans=())).startswith('{"Company": null, ')
    assert task.describe() != load_task("finance-ner-7").describe()
    assert load_task("finance-ner-7", Prompt()).describe() == load_task("finance-ner-7").describe()


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(RecipeError, match=r"unknown task 'finance-ner7'; did you mean 'finance-ner-7'"):
        load_task("finance-ner7")


@pytest.mark.parametrize("name", ["../labels/finance-ner-7", "finance-ner-7/../finance-ner-7", "", "finance-ner-7\0"])
def test_names_are_no_paths(name):
    with pytest.raises(RecipeError, match="unknown task"):
        load_task(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace('"funds"', '"funds'), r"not TOML.*line 2"),
        (GOOD + "Fund = 'again'\n", "not TOML"),
        (GOOD.replace("instruction", "instructions"), "unknown key 'instructions' in task file; did you mean 'instruction'"),
        (GOOD.replace('kind = "spans"\n', ""), "task file without 'kind'"),
        (GOOD.replace('"spans"', '"span"'), "unknown kind 'span'; did you mean 'spans'"),
        (GOOD.replace('"spans"', "3"), "'kind' is not a text: 3"),
        (GOOD.replace('"Find funds:"', '" "'), "'instruction' is not a text"),
        (GOOD.partition("[labels]")[0], "task file without 'labels'; a task of kind 'spans' needs a table"),
        (GOOD.replace('"spans"', '"answer"'), "a task of kind 'answer' with labels"),
        ('numbers = ["0", "1"]\n' + GOOD, "a task of kind 'spans' with class numbers"),
        ("numbers = [0, 1]\n" + GOOD.replace('"spans"', '"label"'), "'numbers' is not a list of texts"),
        ('numbers = ["0", "0"]\n' + GOOD.replace('"spans"', '"label"'), "1 different class numbers for 2 labels"),
        ('numbers = ["0", "1", "2"]\n' + GOOD.replace('"spans"', '"label"'), "3 different class numbers for 2 labels"),
        (GOOD.partition("Fund =")[0], "'labels' is not a table"),
        (GOOD + "Size = 4\n", "meaning of label 'Size' is not a text"),
        (GOOD + "fund = 'x'\n", "labels 'Fund' and 'fund' differ in case alone"),
        (GOOD + "' x' = 'x'\n", "label ' x' is empty or has blanks"),
        ("\udcff", "not UTF-8 at byte 0"),
    ],
)
def test_faults_in_a_task_file_are_one_line_with_the_file(tmp_path: Path, text: str, message: str):
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(RecipeError, match=message) as caught:
        load_task(str(path))
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(RecipeError, match=r"gone\.toml: task file cannot be read: No such file"):
        load_task(tmp_path / "gone.toml")


def test_documents_keep_together_what_was_written_together():
    examples = [Example("a", "", meta=Meta(document="d")), Example("d", ""), Example("b", "", meta=Meta(document="d"))]
    first, alone, last = documents_of(examples)
    assert first == last != alone


def test_listing_tasks_needs_neither_numpy_nor_torch():
    code = "import sys, fintune.tasks.base as b; b.available(); print([m for m in ('numpy', 'torch', 'pydantic') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
