"""Scales hold what is drawn on them, thinning keeps means, and logs of any state give the charts they can."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_run import log
from page_parser import Page

from fintune.report.curves import panels, points, smoothed, thinned, ticks

NUMBERS = st.floats(-1e9, 1e9)
CURVES = st.lists(NUMBERS, min_size=1, max_size=60).map(lambda ys: [(float(x), y) for x, y in enumerate(ys)])


@given(NUMBERS, NUMBERS)
def test_a_scale_is_even_and_holds_both_ends(first, second):
    low, high = min(first, second), max(first, second)
    scale = ticks(low, high)
    step = scale[1] - scale[0]
    slack = 1e-6 * max(step, abs(low), abs(high))
    assert scale[0] <= low + slack
    assert scale[-1] >= high - slack
    assert 2 <= len(scale) <= 8
    assert all(b - a == pytest.approx(step, rel=1e-6, abs=slack) for a, b in pairwise(scale))
    assert len({f"{value:g}" for value in scale}) > 1


@given(CURVES, st.integers(1, 9))
def test_thinning_keeps_the_mean(curve, size):
    thin = thinned(curve, size)
    assert len(thin) == math.ceil(len(curve) / size)
    whole = curve[: len(curve) // size * size]
    if whole:
        means = [y for _, y in thin[: len(whole) // size]]
        assert sum(means) / len(means) == pytest.approx(sum(y for _, y in whole) / len(whole), rel=1e-9, abs=1e-3)


@given(CURVES)
def test_a_moving_mean_stays_between_its_points(curve):
    smooth = smoothed(curve)
    assert [x for x, _ in smooth] == [x for x, _ in curve]
    values = [y for _, y in curve]
    assert all(min(values) - 1e-3 <= y <= max(values) + 1e-3 for _, y in smooth)


def test_only_finite_numbers_are_points():
    pairs = [(2, 1.5), (1, 3), (3, math.nan), (4, math.inf), (None, 1), (5, "x"), (6, None), (True, 1.0)]
    assert points(pairs) == [(1.0, 3.0), (2.0, 1.5)]


def test_both_charts_of_a_whole_log():
    loss, validation = panels(log(), kept_epoch=4)
    assert (loss.title, validation.title) == ("Training loss", "Validation score")
    assert [name for _, name in validation.legend] == ["F1, exact spans", "F1, surfaces"]
    assert loss.legend[0] == ("raw", "means of 3 steps")
    dots = re.findall(r'class="point first" cx="([\d.]+)%"', validation.drawing)
    assert [float(x) for x in dots] == pytest.approx([100 * n / 6 for n in range(1, 7)], abs=0.01)
    heights = [float(y) for y in re.findall(r'class="point first" cx="[^"]*" cy="([\d.]+)%"', validation.drawing)]
    scores = [0.498, 0.662, 0.751, 0.789, 0.807, 0.801]
    assert heights == pytest.approx([100 * (0.9 - score) / 0.5 for score in scores], abs=0.01)  # on a scale from 0.4 up to 0.9
    assert f'class="kept" x1="{dots[4]}%"' in validation.drawing
    assert 'class="kept"' not in panels(log(), kept_epoch=None)[1].drawing


STEP = {"event": "step", "step": 1, "epoch": 0, "loss": 0.5}
CHECK = {"event": "validation", "step": 9, "epoch": 0, "metrics": {"accuracy": 0.8}}


@pytest.mark.parametrize(
    ("records", "titles"),
    [
        ([], []),
        ([STEP], ["Training loss"]),
        ([{**STEP, "loss": -3.0}, {**STEP, "step": 2, "loss": -4.0}], ["Training loss"]),
        ([{**STEP, "loss": 0}], ["Training loss"]),
        ([{**STEP, "step": 0}], ["Training loss"]),
        ([CHECK], ["Validation score"]),
        ([STEP, CHECK, {"event": "note"}, {}], ["Training loss", "Validation score"]),
        ([{**CHECK, "metrics": {"odd": 0.1}}], ["Validation score"]),
        ([{**CHECK, "metrics": None}, {**STEP, "loss": None}, {"event": "step"}], []),
    ],
)
def test_a_log_gives_the_charts_it_can(records, titles):
    found = panels(records, kept_epoch=0)
    assert [panel.title for panel in found] == titles
    for panel in found:
        page = Page(str(panel.drawing))
        assert "nan" not in panel.drawing
        places = [value for _, name, value in page.attributes if name in ("cx", "cy", "x1", "x2", "y1", "y2") and value.endswith("%")]
        assert all(0 <= float(place[:-1]) <= 100 for place in places)
