"""Study files: what is refused and how, what defaults and overrides come to, and that every bundled one resolves."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fintune import recipe as recipes
from fintune.errors import FintuneError, RecipeError
from fintune.study import reading, spec
from fintune.study.ablate import Request, outline

GOOD: dict[str, Any] = {
    "question": "Does the rank matter?",
    "recipe": "ner-minilm",
    "data": {"train": "bundled:train", "validation": "bundled:validation"},
    "axes": {"rank": {"key": "adapter.rank", "values": [4, 8]}, "seed": {"key": "seed", "values": [0, 1]}},
}


def write(folder: Path, settings: dict[str, Any]) -> Path:
    path = folder / "x.study.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return path


def refused(folder: Path, **changes: Any) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        spec.load(write(folder, {**GOOD, **changes}))
    return caught.value


def test_a_study_has_the_name_of_its_file_and_defaults(tmp_path: Path) -> None:
    study = spec.load(write(tmp_path, GOOD))
    assert (study.name, study.search.method, study.limits.attempts, study.metric) == ("x", "grid", 1, "auto")
    assert [spec.role(axis) for axis in study.axes.values()] == ["factor", "seed"]
    written = write(tmp_path, yaml.safe_load(study.to_yaml()))
    assert spec.load(written) == study  # the resolved copy is the study


@pytest.mark.parametrize(
    ("changes", "what", "fix", "line"),
    [
        ({"axis": {}}, "unknown key 'axis'", "axes", 17),
        ({"limits": {"paralel": 2}}, "unknown key 'limits.paralel'", "parallel", 18),
        ({"axes": {"rank": {"kee": "adapter.rank", "values": [1]}}}, "unknown key 'axes.rank.kee'", "key", 8),
        ({"data": {"training": "x", "train": "y"}}, "unknown key 'data.training'", "train", 4),
        ({"search": {"method": "gird"}}, "'search.method' cannot be", "run-a-study", 18),
        ({"limits": {"parallel": 0}}, "'limits.parallel' cannot be 0", "run-a-study", 18),
        ({"axes": {"rank": {"values": [1]}}}, "values without a key", "give a key", 7),
        ({"axes": {"rank": {"key": "adapter.rank", "values": []}}}, "no values", "at least one", 7),
        ({"axes": {"rank": {"key": "adapter.rank", "values": [4, 4]}}}, "'4' twice", "keep one", 7),
        ({"axes": {"rank": {"key": "adapter.rank", "values": {"low": 1, "high": 2}}}}, "is a range", "random", 7),
        ({"axes": {"a": {"key": "seed", "values": {"x": {"seed": 1}}}}}, "a key and labelled settings", "no key", 7),
        ({"set": {"seed": 3}}, "seed is set by axis 'seed' and by 'set'", "one of them", 12),
        ({"search": {"method": "random"}}, "random search without trials", "search.trials", 17),
        ({"search": {"trials": 3}}, "trials in a grid", "search.trials", 17),
        ({"search": {"method": "list"}}, "list search without cells", "give cells", 17),
        ({"cells": [{"rank": 4}]}, "cells in a grid", "list", None),
        ({"data": {"train": "bundled:train"}}, "no data to score cells on", "validation", None),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place_and_mend(
    tmp_path: Path, changes: dict[str, Any], what: str, fix: str, line: int | None
) -> None:
    error = refused(tmp_path, **changes)
    assert what in str(error)
    assert fix in error.fix
    assert error.where == str(tmp_path / "x.study.yaml") + ("" if line is None else f":{line}")
    assert "\n" not in str(error)


def test_the_line_of_an_unknown_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.study.yaml"
    path.write_text("question: q\nrecipe: ner-minilm\n\nsearch:\n  trails: 3\ndata: {train: a, test: b}\n", encoding="utf-8")
    with pytest.raises(RecipeError, match="trials") as caught:
        spec.load(path)
    assert caught.value.where == f"{path}:5"


@pytest.mark.parametrize("text", ["- a\n", "a: [\n", "name: a\nname: b\n", "\xff"])
def test_what_is_no_mapping_of_keys_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.study.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(RecipeError):
        spec.load(path)


def test_two_axes_may_not_set_one_key(tmp_path: Path) -> None:
    axes = {"rank": {"key": "adapter.rank", "values": [4]}, "size": {"values": {"a": {"adapter.rank": 2}}}}
    assert "adapter.rank is set by axis 'size' and by 'rank'" in str(refused(tmp_path, axes=axes))


def test_optuna_needs_validation_data(tmp_path: Path) -> None:
    search = {"method": "optuna", "trials": 2}
    assert "without validation" in str(refused(tmp_path, search=search, data={"train": "bundled:train", "test": "bundled:test"}))


def test_sources_and_settings_of_a_call_go_before_those_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, {**GOOD, "set": {"train.epochs": 2, "train.batch_size": 8}})
    study = spec.load(path, data={"test": "t.csv"}, overrides={"train.epochs": 5})
    assert study.data == spec.Data(train="bundled:train", validation="bundled:validation", test="t.csv")
    assert study.set == {"train.epochs": 5, "train.batch_size": 8}


def test_a_recipe_beside_the_study_is_found(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(recipes.load("ner-minilm").to_yaml(), encoding="utf-8")
    assert spec.load(write(tmp_path, {**GOOD, "recipe": "mine.yaml"})).recipe == str(tmp_path / "mine.yaml")


def test_an_unknown_study_is_refused_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match="ner-minilm-rank"):
        spec.load("ner-minilm-ranks")


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-99, 99),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.lists(st.text(max_size=3)),
)


@settings(deadline=None)
@given(VALUES)
def test_a_written_value_is_read_back(value: Any) -> None:
    again = reading.value(reading.written(value), where="here")
    assert again == value
    assert isinstance(again, type(value)) or isinstance(value, float)


@pytest.mark.parametrize("name", spec.available())
def test_a_bundled_study_resolves_and_asks_a_question(name: str) -> None:
    made = outline(Request(name))
    assert made.spec.question.endswith("?")
    assert made.spec.description
    assert made.cells
    assert len({cell.id for cell in made.cells}) == len(made.cells)
    seeds = [axis for axis in made.spec.axes.values() if spec.role(axis) == "seed"]
    assert all(len(axis.values) >= 3 for axis in seeds)  # type: ignore[arg-type]
    assert seeds
    assert made.spec.data.test is not None
    assert made.spec.data.train.startswith("bundled:")  # runs as it stands


def test_the_experiments_that_the_sources_name_are_there() -> None:
    """Of each family one that a CPU trains and one of the published size, where both can be."""
    names = spec.available()
    for family in ("gap", "rank", "noise", "scale", "labels", "prompts", "retrieval", "curve", "slices"):
        assert any(name.endswith(family) and "8b" in name for name in names), family
        assert any(name.endswith(family) and "8b" not in name for name in names), family
    assert {"sentiment-encoders", "sentiment-encoders-8b", "topic-minilm-balance", "qa-distilbert-rank"} <= set(names)


def test_the_study_of_the_how_to_is_one() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "run-a-study.md").read_text(encoding="utf-8")
    block = page.partition("```text\n")[2].partition("```")[0]
    study = spec.validate({"name": "x", **yaml.safe_load(block)}, {}, "run-a-study.md")
    assert [spec.role(axis) for axis in study.axes.values()] == ["factor", "factor", "seed"]
    for key in spec.Spec.model_fields.keys() - {"name", "seed", "floors"}:
        assert f"`{key}`" in page


def test_an_unknown_metric_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(FintuneError, match=r"micro_f2.*micro_f1"):
        outline(Request(write(tmp_path, {**GOOD, "metric": "micro_f2"})))
