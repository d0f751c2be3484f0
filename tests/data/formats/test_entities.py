"""Rows with labelled entities: one example an entity, its place in brackets, and what does not stand where it should is refused."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintune.data.formats.base import ReadOptions, Source
from fintune.data.formats.detect import detect
from fintune.data.formats.entities import marked, read
from fintune.data.load import load, load_for, load_texts
from fintune.errors import DataError
from fintune.records import Example
from fintune.tasks.base import load_task

DATA = Path(os.environ.get("FINTUNE_DATA", "../shared/data")) / "sentiment" / "sentfin_train.jsonl"
ROW = {"id": 7, "text": "Corvane gains, Tidewell slips", "entities": [
    {"name": "Corvane", "sentiment": "positive", "start": 0}, {"name": "Tidewell", "sentiment": "negative", "start": 15},
]}  # fmt: skip


def file(folder: Path, *rows: object) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_each_entity_is_an_example_with_its_place_in_brackets(tmp_path: Path) -> None:
    path = file(tmp_path, ROW, {**ROW, "id": "b", "entities": ROW["entities"][1:]})
    loaded = load_for(load_task("sentiment-per-entity"), path)
    assert loaded.format == "entities"
    assert [(e.id, e.text, e.label, e.meta.document) for e in loaded.examples] == [
        ("7:1", "[Corvane] gains, Tidewell slips", "positive", "7"),
        ("7:2", "Corvane gains, [Tidewell] slips", "negative", "7"),
        ("b:1", "Corvane gains, [Tidewell] slips", "negative", "b"),
    ]
    assert [(e.text, e.label) for e in load_texts(path)] == [(e.text, None) for e in loaded.examples]


@given(st.text(min_size=1), st.data())
def test_brackets_stand_around_the_entity_and_nothing_else_changes(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    found = marked(text, start, end)
    assert found[start + 1 : end + 1] == text[start:end]
    assert (found[start], found[end + 1]) == ("[", "]")
    assert found[:start] + found[start + 1 : end + 1] + found[end + 2 :] == text


WRONG = {
    "elsewhere": ({"start": 1}, "does not stand at 1 (the text has 'orvane ' there)"),
    "outside": ({"start": 99}, "does not stand at 99"),
    "before": ({"start": -1}, "does not stand at -1"),
    "no number": ({"start": None}, "does not stand at None"),
    "a truth": ({"start": False}, "does not stand at False"),
    "nameless": ({"name": " "}, "'name' is empty"),
    "unlabelled": ({"sentiment": None}, "'sentiment' is None"),
    "unknown key": ({"mood": "x"}, "unknown key of an entity 'mood'"),
}


@pytest.mark.parametrize(("change", "says"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_entity_is_refused_and_the_others_are_read(tmp_path: Path, change: dict[str, object], says: str) -> None:
    path = file(tmp_path, {**ROW, "entities": [{**ROW["entities"][0], **change}, ROW["entities"][1]]})
    with pytest.raises(DataError, match=r"rows\.jsonl:1") as caught:
        load(path, ReadOptions(format="entities"), kind="label")
    assert says in str(caught.value)
    kept = load(path, ReadOptions(format="entities", on_bad="skip"), kind="label")
    assert ([e.id for e in kept.examples], len(kept.rejected)) == (["7:2"], 1)


@pytest.mark.parametrize("row", [[], {"text": "a"}, {"text": "a", "entities": {}}, {"text": " ", "entities": []}, {**ROW, "other": 1}])
def test_a_row_of_another_shape_is_refused(tmp_path: Path, row: object) -> None:
    path = file(tmp_path, ROW, row)
    with pytest.raises(DataError, match=r"rows\.jsonl:2"):
        load(path, ReadOptions(format="entities"), kind="label")


def test_other_json_is_not_taken_for_entities(tmp_path: Path) -> None:
    path = file(tmp_path, {"text": "entities and sentiment", "label": "positive"})
    assert detect(Source(str(path), path), ReadOptions()) == "jsonl"


@pytest.mark.skipif(not DATA.is_file(), reason="no data folder: set FINTUNE_DATA")
def test_real_headlines() -> None:
    rows = list(read(DATA, ReadOptions(gold="label")))
    examples = [row for row in rows if isinstance(row, Example)]
    assert (len(examples), len(rows) - len(examples)) == (11_545, 15)
    assert set(Counter(e.label for e in examples)) == set(load_task("sentiment-per-entity").labels)
