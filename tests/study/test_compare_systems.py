"""Systems by run, by group and by study: the same figures however they are named, and nothing pooled but seeds."""

from __future__ import annotations

from pathlib import Path

import pytest
from compared_systems import gold, write_gold, write_run, write_study

from fintune.errors import ArtifactError, UsageError
from fintune.metrics.intervals import Bootstrap
from fintune.run import read_json, write_json
from fintune.study.compare import compare
from fintune.study.compare_request import Request

PLAN = Bootstrap(60)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("study")
    return write_study(place / "s", write_gold(place / "gold.jsonl", gold("spans", 20)), "spans")


def compared(**asked: object) -> dict:
    return compare(Request(plan=PLAN, **asked)).document  # type: ignore[arg-type]


def test_cells_of_a_study_are_groups_of_seeds(study: Path) -> None:
    found = compared(study=str(study), where={"noise": "0"})
    by_hand = {f"rank={r}, noise=0": tuple(str(study / f"cells/r{r}n0s{s}") for s in range(3)) for r in ("4", "16")}
    known = compared(groups=by_hand)
    assert found["pairs"] == known["pairs"]
    assert found["systems"] == known["systems"]
    assert not [note for note in found["notes"] if "not finished" in note]


def test_cells_that_are_not_finished_are_counted(study: Path) -> None:
    found = compared(study=str(study), by=("rank", "noise"))
    assert [len(system["runs"]) for system in found["systems"]] == [3, 3, 3, 2]
    assert "1 of 12 cells of the study are not finished and take no part" in found["notes"]


def test_a_group_differs_in_its_seed_alone(study: Path) -> None:
    with pytest.raises(UsageError, match="differ in 'noise' too") as error:
        compared(study=str(study), by=("rank",))
    assert "--where noise=0" in error.value.fix
    assert len(compared(study=str(study), by=("rank",), where={"noise": "5"})["systems"]) == 2


def test_unknown_axes_and_studies_are_refused(study: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no axis 'ranks'"):
        compared(study=str(study), by=("ranks",))
    with pytest.raises(UsageError, match="no axis 'seed'"):
        compared(study=str(study), by=("seed",))
    with pytest.raises(ArtifactError, match="no finished cell"):
        compared(study=str(study), where={"rank": "99"})
    with pytest.raises(ArtifactError, match=r"no study\.json"):
        compared(study=str(tmp_path))
    write_json(tmp_path / "study.json", {"cells": 3})
    with pytest.raises(ArtifactError, match="table of a study"):
        compared(study=str(tmp_path))
    with pytest.raises(UsageError, match="--by and --where"):
        compared(systems=("a", "b"), by=("rank",))


def test_names_and_numbers_of_systems(study: Path) -> None:
    one, two = str(study / "cells/r4n0s0"), str(study / "cells/r4n0s1")
    with pytest.raises(UsageError, match="1 system to compare"):
        compared(systems=(one,))
    with pytest.raises(UsageError, match="two systems are called 'r4n0s0'"):
        compared(systems=(one,), groups={"r4n0s0": (two,)})
    with pytest.raises(UsageError, match="no system 'r4n0s2'"):
        compared(systems=(one, two), against="r4n0s2")
    found = compared(systems=(one, two, str(study / "cells/r4n0s2")), against="r4n0s1")
    assert [(pair["first"], pair["second"]) for pair in found["pairs"]] == [("r4n0s0", "r4n0s1"), ("r4n0s2", "r4n0s1")]
    assert found["tests"] == 6
    assert compared(systems=(one, two), against=one)["pairs"][0]["second"] == "r4n0s0"


def test_a_group_of_one_run_is_that_run(study: Path) -> None:
    one, two = str(study / "cells/r4n0s0"), str(study / "cells/r16n0s1")
    plain = compared(systems=(one, two))["pairs"][0]["metrics"]
    grouped = compared(groups={"x": (one,), "y": (two,)})["pairs"][0]["metrics"]
    assert plain == grouped


def test_a_run_of_its_own_recipe_is_read_by_its_task(study: Path, tmp_path: Path) -> None:
    from fintune import recipe as recipes

    data = Path(str(read_json(study / "cells/r4n0s0/report.json")["data"]["source"]))
    from compared_systems import outputs

    folder = write_run(tmp_path / "run", outputs(gold("spans", 20), skill=0.9, seed=1), data=data, kind="spans")
    report = read_json(folder / "report.json")
    write_json(folder / "report.json", {**report, "task": "no bundled one"})
    with pytest.raises(UsageError, match="what their task is"):
        compared(groups={"x": (str(folder),), "y": (str(folder),)})
    (folder / "recipe.yaml").write_text(recipes.load("ner-minilm").to_yaml(), encoding="utf-8")
    assert compared(groups={"x": (str(folder),), "y": (str(folder),)})["task"] == "finance-ner-7"


def test_folders_without_predictions_are_refused(tmp_path: Path, study: Path) -> None:
    with pytest.raises(ArtifactError, match="holds no predictions") as error:
        compared(systems=(str(tmp_path), str(study / "cells/r4n0s0")))
    assert "fintune evaluate" in error.value.fix
    with pytest.raises(ArtifactError, match="no predictions file"):
        compared(systems=(str(tmp_path / "none.jsonl"), str(study / "cells/r4n0s0")))
