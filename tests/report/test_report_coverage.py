"""The curve of risk and coverage, and what the page says of abstention and of clean scores."""

from __future__ import annotations

import copy
import re

import made_up_kinds
import pytest
from page_parser import Page

from fintune.report import coverage
from fintune.report.html import render

INPUTS = made_up_kinds.inputs("label")
ABSTENTION = {
    "threshold": 0.8, "wanted_precision": 0.95, "stand": 1200, "review": 34, "coverage": 0.972,
    "precision": {"value": 0.948, "low": 0.9, "high": 0.97},
}  # fmt: skip
CLEAN = {"examples": 200, "left_out": 60, "metrics": {"accuracy": {"value": 0.704, "low": 0.6, "high": 0.8}}, "floors": {}}


def test_the_curve_ends_at_the_error_of_all() -> None:
    found = coverage.points(INPUTS.report)
    accuracy = INPUTS.report["metrics"]["accuracy"]["value"]
    assert found[-1] == (1.0, pytest.approx(1 - accuracy))
    drawing = coverage.diagram(INPUTS.report)
    assert drawing is not None
    line = re.search(r'points="([^"]+)"', drawing)
    assert line is not None
    places = [tuple(map(float, pair.split(","))) for pair in line[1].split()]
    labels = re.findall(r'x="-8"[^>]*>([\d.]+)<', drawing)
    top = float(labels[-1]) / 100
    assert labels[0] == "0"
    assert max(error for _, error in found) <= top < 1.5 * max(error for _, error in found)
    assert places == [(pytest.approx(1000 * at, abs=0.06), pytest.approx(1000 * (1 - error / top), abs=0.06)) for at, error in found]
    assert drawing in render(INPUTS)


BROKEN: list[object] = [None, 3, {"points": 3}, {"points": [3, {"coverage": "x"}]}, {"points": [{"coverage": 1.0, "error": 0.1}]}]


@pytest.mark.parametrize("broken", BROKEN)
def test_without_points_there_is_no_curve(broken: object) -> None:
    assert coverage.diagram({"selective": broken}) is None
    assert coverage.diagram({}) is None


def test_a_perfect_run_can_be_drawn() -> None:
    points = [{"coverage": 0.5, "error": 0.0}, {"coverage": 1.0, "error": 0.0}]
    assert coverage.diagram({"selective": {"points": points}}) is not None


def test_abstention_and_clean_scores_are_told() -> None:
    report = copy.deepcopy(INPUTS.report) | {"abstention": ABSTENTION, "clean": CLEAN}
    assert coverage.sentences(report) == [
        "1,200 of 1,234 labels stand, 94.8 % of them right (wanted: 95.0 %); 34 wait in review.jsonl.",
        "60 texts are near duplicates of training texts; without them, 70.4 of 100 are right.",
    ]
    said = " ".join(Page(render(type(INPUTS)(report))).texts["p"])
    assert all(sentence in said for sentence in coverage.sentences(report))
    assert coverage.sentences(INPUTS.report) == []


def test_where_nothing_is_certain_enough_it_is_said() -> None:
    none = ABSTENTION | {"stand": 0, "review": 5, "wanted_precision": None}
    (sentence,) = coverage.sentences({"abstention": none})
    assert sentence == "0 of 5 labels stand, none of them certain enough; 5 wait in review.jsonl."


def test_broken_figures_are_left_out() -> None:
    assert coverage.sentences({"abstention": {"stand": "x"}, "clean": {"left_out": None}}) == []
