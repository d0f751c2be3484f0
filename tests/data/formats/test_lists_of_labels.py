"""Lists of labels survive JSONL, come out of every way to write a cell alike, and what is unclear in them stops with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintune.data.formats.base import ReadOptions
from fintune.data.formats.jsonl import dump, example_of
from fintune.data.load import load, load_labelled, load_texts
from fintune.errors import DataError, UsageError
from fintune.records import Example

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6).filter(str.strip)


def cells(folder: Path, *written: str, header: str = "text,labels", **options: Any) -> list[tuple[str, ...] | None]:
    """The labels of a CSV file with these cells."""
    path = folder / "events.csv"
    rows = ['row {},"{}"'.format(n, cell.replace('"', '""')) for n, cell in enumerate(written)]
    path.write_text("\n".join([header, *rows]), encoding="utf-8")
    return [example.labels for example in load(path, ReadOptions(**options), kind="labels").examples]


@given(st.lists(NAMES, max_size=4, unique=True))
def test_any_list_survives_jsonl(labels: list[str]) -> None:
    example = Example("1", "text", labels=tuple(labels))
    assert example_of(json.loads(dump(example)), where="", fallback_id="", options=ReadOptions(gold="labels")) == example


def test_every_way_to_write_a_cell_means_the_same(tmp_path: Path) -> None:
    assert cells(tmp_path, "b;a", "b ; a", "['b', 'a']", '["b", "a"]') == [("b", "a")] * 4
    assert cells(tmp_path, "a", "['a']", "[]", "[3, 14]") == [("a",), ("a",), (), ("3", "14")]
    assert cells(tmp_path, "M&A | deals", "a|b", label_delimiter="|") == [("M&A", "deals"), ("a", "b")]
    assert cells(tmp_path, "a, b", header="text,topics") == [("a, b",)]
    assert cells(tmp_path, "a;b", "c;a", rename={"c": "a"}) == [("a", "b"), ("a",)]
    assert cells(tmp_path, "a;b", header="text,themes", label_column="themes") == [("a", "b")]


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("", r"events\.csv:2: 'labels' is empty.*write \[\] where no label applies"),
        ("a;;b", "'labels' has a blank label"),
        ("a;a", "'labels' has 'a' twice"),
        ("['a', 3]", "'labels', character 7: "),
        ("['a'], 'more': ['b']", "not one list"),
    ],
)
def test_cells_that_are_unclear_are_refused_with_their_place(tmp_path: Path, cell: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        cells(tmp_path, cell)


@pytest.mark.parametrize("value", ['"a"', "{}", "[1.5]", '[""]', '["a", "a"]', "[[]]", "null"])
def test_lines_that_are_unclear_are_refused(tmp_path: Path, value: str) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(f'{{"text": "a", "labels": {value}}}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"events\.jsonl:1: 'label"):
        load(path, kind="labels")


def test_a_column_of_lists_in_parquet_is_read(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"text": ["x", "y"], "label": [["b", "a"], []]}), tmp_path / "events.parquet")
    assert [e.labels for e in load(tmp_path / "events.parquet", kind="labels").examples] == [("b", "a"), ()]
    assert [e.labels for e in load_labelled(tmp_path / "events.parquet").examples] == [("b", "a"), ()]


def test_each_kind_takes_its_own_gold(tmp_path: Path) -> None:
    path = tmp_path / "both.jsonl"
    path.write_text('{"id": "1", "text": "a", "label": "x", "labels": ["y"]}\n', encoding="utf-8")
    one, several = load(path, kind="label"), load(path, kind="labels")
    assert [(e.label, e.labels) for e in (*one.examples, *several.examples)] == [("x", None), (None, ("y",))]
    assert one.fingerprint == load([Example("1", "a", label="x")], kind="label").fingerprint != several.fingerprint
    assert [(e.label, e.labels) for e in load_texts(path)] == [(None, None)]
    with pytest.raises(DataError, match=r"no labels.*\[\] where none applies"):
        load([Example("1", "a", label="x")], kind="labels")
    with pytest.raises(DataError, match="bundled corpus has one label"):
        load("bundled:test", kind="labels")


def test_the_order_of_labels_is_no_other_gold() -> None:
    first, second = (load([Example("1", "a", labels=labels)], kind="labels").fingerprint for labels in (("a", "b"), ("b", "a")))
    assert first == second


def test_a_missing_column_and_a_blank_delimiter_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column for the labels.*--label-column"):
        cells(tmp_path, "a;b", header="text,tagged_with")
    with pytest.raises(UsageError, match="label delimiter without a visible character"):
        ReadOptions(label_delimiter=" ")
