"""Searches: what is drawn depends on seed and number alone, and a search of optuna goes on where it was interrupted."""

import importlib.util
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fintune.errors import ResourceError
from fintune.study import search, spec
from fintune.study.cells import Point, seeded

AXES = {
    "rank": {"key": "adapter.rank", "values": [4, 8, 16]},
    "rate": {"key": "train.learning_rate", "values": {"low": 1e-5, "high": 1e-2, "log": True}},
    "batch": {"key": "train.batch_size", "values": {"low": 4, "high": 16}},
    "seed": {"key": "seed", "values": [0, 1]},
}
needs_optuna = pytest.mark.skipif(importlib.util.find_spec("optuna") is None, reason="optuna is not installed")


def study(method: str, trials: int, *, seed: int = 0, axes: dict[str, Any] = AXES) -> spec.Spec:
    settings = {
        "name": "x", "question": "?", "recipe": "ner-minilm", "data": {"train": "a", "validation": "b"}, "axes": axes,
        "search": {"method": method, "trials": trials, "seed": seed},
    }  # fmt: skip
    return spec.validate(settings, {}, "x")


def labels(points: list[Point]) -> list[tuple[str, ...]]:
    return [tuple(choice[0] for choice in point.values()) for point in points]


@settings(max_examples=30, deadline=None)
@given(trials=st.integers(1, 12), seed=st.integers(0, 99))
def test_more_trials_keep_the_earlier_ones_and_stay_inside(trials: int, seed: int) -> None:
    points = search.drawn(study("random", trials, seed=seed))
    assert labels(points) == labels(search.drawn(study("random", trials + 3, seed=seed)))[:trials]
    assert len(set(labels(points))) == trials
    for point in points:
        assert "seed" not in point
        rate, batch = point["rate"][1]["train.learning_rate"], point["batch"][1]["train.batch_size"]
        assert 1e-5 <= rate <= 1e-2
        assert isinstance(batch, int)
        assert 4 <= batch <= 16
        assert float(point["rate"][0]) == rate  # a label says all of a number


def test_logarithms_are_drawn_evenly() -> None:
    rates = [math.log10(point["rate"][1]["train.learning_rate"]) for point in search.drawn(study("random", 600))]
    thirds = [sum(low <= rate < low + 1 for rate in rates) for low in (-5, -4, -3)]
    assert all(150 < third < 250 for third in thirds)


def test_a_small_space_is_drawn_once_and_no_more() -> None:
    axes = {"rank": AXES["rank"], "epochs": {"key": "train.epochs", "values": {"low": 1, "high": 2}}}
    assert len(set(labels(search.drawn(study("random", 50, axes=axes))))) == 6


def test_every_point_is_repeated_with_every_seed() -> None:
    points = seeded(study("random", 2), search.drawn(study("random", 2)))
    assert [point["seed"][0] for point in points] == ["0", "1", "0", "1"]
    assert [list(point) for point in points] == [list(AXES)] * 4


def value(point: Point) -> float:
    """Best at a rate of 1e-3 and rank 8."""
    return -abs(math.log10(point["rate"][1]["train.learning_rate"]) + 3) - abs(point["rank"][1]["adapter.rank"] - 8) / 8


def proposals(folder: Path, trials: int) -> search.Proposals:
    return search.Proposals(study("optuna", trials), folder, metric="m", data="d")


@needs_optuna
def test_a_search_that_is_interrupted_proposes_what_one_at_a_stretch_does(tmp_path: Path) -> None:
    (whole := tmp_path / "whole").mkdir()
    (parts := tmp_path / "parts").mkdir()

    def go(folder: Path, stop: int) -> list[tuple[str, ...]]:
        opened = proposals(folder, 8)
        for number, point in opened.open():
            opened.tell(number, value(point))  # those told already stay
        while (asked := opened.ask()) is not None and asked[0] < stop:
            opened.tell(asked[0], value(asked[1]))
        return labels([point for _, point in opened.open()])

    go(parts, 3)  # killed before the fourth, which was asked for, is told
    (parts / (next(parts.glob("*.journal")).name + ".lock")).touch()
    assert go(parts, 8) == go(whole, 8)
    assert len(go(whole, 8)) == 8


@needs_optuna
def test_a_search_finds_more_than_draws_do(tmp_path: Path) -> None:
    opened = proposals(tmp_path, 40)
    found = []
    while (asked := opened.ask()) is not None:
        found.append(value(asked[1]))
        opened.tell(asked[0], found[-1])
    assert sum(found[20:]) / 20 > sum(found[:10]) / 10


@needs_optuna
def test_another_space_is_another_search(tmp_path: Path) -> None:
    proposals(tmp_path, 8).ask()
    axes = {**AXES, "rank": {"key": "adapter.rank", "values": [2, 4]}}
    other = search.Proposals(study("optuna", 8, axes=axes), tmp_path, metric="m", data="d")
    assert other.open() == []


def test_without_optuna_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ResourceError, match=r"fintune\[study\]"):
        proposals(tmp_path, 8)
