"""The search for the best stretch, held to one that looks at every pair of every window."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fintune.heads.extraction import Seen, best_threshold, weigh


def windows(draw: np.random.Generator, tokens: int, room: int, overlap: int) -> list[Seen]:
    starts = [0]
    while starts[-1] + room < tokens:
        starts.append(starts[-1] + room - overlap)
    return [Seen(at, draw.normal(size=(2, 1 + min(room, tokens - at))).astype(np.float32)) for at in starts]


def every_pair(seen: list[Seen], longest: int) -> dict[tuple[int, int], float]:
    found: dict[tuple[int, int], float] = {}
    for window in seen:
        start, end = window.scores.astype(np.float64)
        for i in range(1, len(start)):
            for j in range(i, min(len(end), i + longest)):
                key = (window.first + i - 1, window.first + j - 1)
                found[key] = max(found.get(key, -np.inf), start[i] + end[j])
    return found


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), st.integers(3, 12), st.integers(0, 2), st.integers(1, 15), st.integers(1, 9), st.integers(0, 999))
def test_it_agrees_with_the_search_through_all_pairs(tokens: int, room: int, overlap: int, longest: int, top: int, seed: int) -> None:
    seen = windows(np.random.default_rng(seed), tokens, room, overlap)
    found, expected = weigh(seen, longest=longest, top=top), every_pair(seen, longest)
    best = sorted(expected.values(), reverse=True)[:top]
    assert [stretch.score for stretch in found.stretches] == pytest.approx(best)
    assert all(expected[stretch.first, stretch.last] == pytest.approx(stretch.score) for stretch in found.stretches)
    assert found.null == pytest.approx(min(float(window.scores[:, 0].sum()) for window in seen))
    assert found.margin == (pytest.approx(found.null - best[0]) if best else np.inf)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 20), st.integers(4, 30), st.integers(1, 6), st.integers(0, 999))
def test_probabilities_of_all_stretches_and_of_none_add_up(tokens: int, room: int, longest: int, seed: int) -> None:
    found = weigh(windows(np.random.default_rng(seed), tokens, room, 2), longest=longest, top=10_000)
    assert sum(stretch.probability for stretch in found.stretches) + found.null_probability == pytest.approx(1)


def test_the_order_of_windows_does_not_matter() -> None:
    seen = windows(np.random.default_rng(3), 30, 9, 3)
    assert weigh(seen, longest=5, top=4) == weigh(seen[::-1], longest=5, top=4)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(-6, 6), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=12))
def test_no_threshold_does_better_than_the_fitted_one(rows: list[tuple[int, int, int]]) -> None:
    margins, answered, unanswered = (list(map(float, column)) for column in zip(*rows, strict=True))

    def points(threshold: float) -> float:
        return sum(b if m > threshold else a for m, a, b in rows)

    fitted = best_threshold(margins, answered, unanswered)
    assert points(fitted) == max(points(edge) for edge in np.arange(-8, 8, 0.25))
    assert fitted == 0 or points(0.0) < points(fitted)


def test_a_question_without_any_stretch_does_not_disturb_the_threshold() -> None:
    assert best_threshold([np.inf], [0.0], [1.0]) == 0
    assert best_threshold([np.inf, -3.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]) == -2.0
