"""Effects and interactions of a study equal slow recomputations, and claim no more than their intervals allow."""

from __future__ import annotations

import itertools
import math
import random
from collections import defaultdict
from collections.abc import Mapping
from statistics import fmean, stdev
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from made_up_study import ALL, grid, rate, study, unfinished

from fintune.report.study_context import told
from fintune.report.study_contrast import balanced
from fintune.report.study_effects import effects
from fintune.report.study_interactions import interactions, pooled, spreads
from fintune.report.study_reading import read
from fintune.report.study_words import remarks, sentence

SLOW = settings(max_examples=40, deadline=None)
# Two-sided 95 % of Student's t, of any table.
T95 = {1: 12.7062, 2: 4.3027, 3: 3.1824}
Scores = dict[tuple[str, ...], float]


@st.composite
def grids(draw: st.DrawFn, *, least: int = 2) -> tuple[dict[str, list[str]], Scores]:
    """Two factors and seeds with a score for each cell."""
    sizes = [draw(st.integers(2, 3)), draw(st.integers(1, 3)), draw(st.integers(least, 4))]
    axes = {name: [str(at) for at in range(size)] for name, size in zip(("rank", "noise", "seed"), sizes, strict=True)}
    noise = random.Random(draw(st.integers(0, 10**6)))
    return axes, {labels: 0.7 + 0.1 * noise.random() for labels in itertools.product(*axes.values())}


def document(axes: Mapping[str, list[str]], scores: Scores) -> dict[str, Any]:
    return study(axes, lambda at, _: scores[tuple(at.values())])


def without(made: dict[str, Any], gone: set[tuple[str, ...]]) -> dict[str, Any]:
    """The study with these cells still waiting."""
    cells = [{**cell, "status": "waiting", "metrics": {}} if tuple(cell["labels"].values()) in gone else cell for cell in made["cells"]]
    return {**made, "cells": cells}


@SLOW
@given(grids())
def test_a_balanced_effect_is_the_paired_mean_over_everything_else(case):
    axes, scores = case
    found = {effect.axis.name: effect for effect in effects(read(document(axes, scores)))}
    assert list(found) == ["rank", "noise"]
    for at, name in enumerate(("rank", "noise")):
        for level in found[name].levels:
            mine = {labels: score for labels, score in scores.items() if labels[at] == level.value}
            assert level.score.value == pytest.approx(fmean(mine.values()))
            if level.value == "0":
                assert level.difference is None
                continue
            steps = defaultdict(list)
            for labels, score in mine.items():
                steps[labels[2]].append(score - scores[*labels[:at], "0", *labels[at + 1 :]])
            each = [fmean(values) for values in steps.values()]
            half = T95[len(each) - 1] * stdev(each) / math.sqrt(len(each))
            assert level.difference.score.value == pytest.approx(fmean(each))
            assert level.difference.score.low == pytest.approx(fmean(each) - half, abs=1e-4 * half + 1e-12)
            assert level.difference.score.high == pytest.approx(fmean(each) + half, abs=1e-4 * half + 1e-12)
            assert level.difference.cells == level.difference.planned == len(mine)
            assert level.score.value - found[name].levels[0].score.value == pytest.approx(level.difference.score.value)


@SLOW
@given(grids(), st.randoms(use_true_random=False))
def test_neither_the_order_of_cells_nor_a_shift_of_a_seed_or_a_combination_moves_an_effect(case, draw):
    axes, scores = case
    shift = {labels: draw.random() for labels in itertools.product(axes["noise"], axes["seed"])}
    moved = document(axes, {labels: score + shift[labels[1:]] for labels, score in scores.items()})
    draw.shuffle(moved["cells"])
    (first, *_), (other, *_) = effects(read(document(axes, scores))), effects(read(moved))
    for (_, one), (_, two) in zip(first.compared, other.compared, strict=True):
        assert one.score.value == pytest.approx(two.score.value, abs=1e-12)
        assert one.score.low == pytest.approx(two.score.low, abs=1e-9)
        assert one.verdict == two.verdict


@SLOW
@given(grids())
def test_the_other_value_as_the_first_turns_the_sign(case):
    axes, scores = case
    turned = {**axes, "rank": [axes["rank"][1], axes["rank"][0], *axes["rank"][2:]]}
    one = effects(read(document(axes, scores)))[0].compared[0][1].score
    two = effects(read(document(turned, scores)))[0].compared[0][1].score
    assert (two.value, two.low, two.high) == pytest.approx((-one.value, -one.high, -one.low))


@SLOW
@given(grids(), st.randoms(use_true_random=False))
def test_of_an_unfinished_study_a_full_rectangle_counts_as_if_it_were_the_whole(case, draw):
    axes, scores = case
    gone = {labels for labels in scores if draw.random() < 0.3}
    part = without(document(axes, scores), gone)
    for level, found in effects(read(part))[0].compared:
        there = {labels[1:] for labels in scores if labels[0] == level.value and labels not in gone and ("0", *labels[1:]) not in gone}
        if not found.by_seed:
            assert found.verdict == "missing"
            assert found.score is None
            assert not there
            continue
        seeds = {seed for seed, _ in found.by_seed}
        combinations = found.cells // len(seeds)
        rest = [noise for noise in axes["noise"] if all((noise, seed) in there for seed in seeds)]
        assert len(rest) >= combinations  # every combination that counts is there for every seed that counts
        assert found.cells == combinations * len(seeds) <= found.planned


@SLOW
@given(st.sets(st.tuples(st.tuples(st.sampled_from("abc")), st.tuples(st.sampled_from("0123")))))
def test_what_is_balanced_is_a_rectangle_that_is_there_and_everything_where_nothing_is_missing(there):
    kept = balanced(dict.fromkeys(there))
    rows, columns = {row for row, _ in kept}, {column for _, column in kept}
    assert set(kept) == set(itertools.product(rows, columns)) <= there
    assert bool(kept) == bool(there)
    full = set(itertools.product({row for row, _ in there}, {column for _, column in there}))
    assert full != there or set(kept) == there


@SLOW
@given(grids())
def test_an_interaction_is_a_difference_of_differences_and_the_same_from_both_sides(case):
    axes, scores = case
    assume(len(axes["noise"]) > 1)
    (found,) = interactions(read(document(axes, scores)))
    (turned,) = interactions(
        read(document({name: axes[name] for name in ("noise", "rank", "seed")}, {(b, a, c): s for (a, b, c), s in scores.items()}))
    )
    for (rank, noise), contrast in found.contrasts.items():
        each = [
            scores[rank, noise, seed] - scores["0", noise, seed] - scores[rank, "0", seed] + scores["0", "0", seed] for seed in axes["seed"]
        ]
        assert contrast.score.value == pytest.approx(fmean(each), abs=1e-12)
        assert turned.contrasts[noise, rank].score.value == pytest.approx(fmean(each), abs=1e-12)
    for line in found.means:
        for mean in line:
            values = [scores[*mean.labels, seed] for seed in axes["seed"]]
            assert (mean.value, mean.spread) == pytest.approx((fmean(values), stdev(values)))


def test_axes_that_add_up_have_no_interaction():
    axes = {"rank": ["0", "1", "2"], "noise": ["0", "1"], "seed": ["0", "1", "2"]}
    noise = random.Random(3)
    scores = {labels: 0.5 + 0.03 * int(labels[0]) + 0.1 * int(labels[1]) for labels in itertools.product(*axes.values())}
    (exact,) = interactions(read(document(axes, scores)))
    assert {one.verdict for one in exact.contrasts.values()} == {"identical"}
    (jittered,) = interactions(read(document(axes, {at: score + noise.gauss(0, 1e-3) for at, score in scores.items()})))
    assert {one.verdict for one in jittered.contrasts.values()} == {"none"}
    assert [name for name, _ in told(read(document(axes, scores))).shows] == ["rank", "noise"]


def test_what_a_study_shows_names_two_axes_of_which_one_depends_on_the_other():
    axes = {"rank": ["0", "1"], "noise": ["0", "1"], "seed": ["0", "1", "2"]}
    noise = random.Random(4)
    scores = {at: 0.8 - 0.2 * (at[:2] == ("1", "1")) + noise.gauss(0, 1e-3) for at in itertools.product(*axes.values())}
    *_, (name, words) = told(read(document(axes, scores))).shows
    assert name == "rank and noise"
    assert words.startswith("The effect of noise depends on rank at 1, 1.")


@SLOW
@given(grids())
def test_spreads_pool_the_deviations_of_settings(case):
    axes, scores = case
    found = spreads(read(document(axes, scores)))
    groups = [[score for labels, score in scores.items() if labels[:2] == one.labels] for one in found]
    squares = sum(sum((value - fmean(group)) ** 2 for value in group) for group in groups)
    freedom = sum(len(group) - 1 for group in groups)
    assert pooled(found) == pytest.approx((math.sqrt(squares / freedom), freedom))


@SLOW
@given(grids(least=1))
def test_no_difference_is_shown_unless_its_interval_excludes_zero(case):
    axes, scores = case
    for effect in effects(read(document(axes, scores))):
        for level, found in effect.compared:
            spans = found.score.low is None or found.score.low <= 0 <= found.score.high
            shown = found.verdict in ("higher", "lower")
            assert not (shown and spans)
            assert shown == (found.p_holm is not None and found.p_holm < 0.05)
            assert not shown or (found.verdict == "higher") == (found.score.value > 0)
            assert found.p_holm is None or found.p_holm >= found.p
            if not shown and len(effect.compared) == 1:
                assert f"{level.value}" in sentence(effect)
                assert "no difference shown" in sentence(effect)


def test_a_difference_in_every_seed_is_shown_and_one_seed_shows_none():
    axes = {"rank": ["4", "8"], "seed": ["0", "1", "2"]}
    jitter = {"0": 0.0, "1": 0.001, "2": -0.001}
    made = study(axes, lambda at, _: 0.8 + (0.05 + jitter[at["seed"]] if at["rank"] == "8" else 0))
    (effect,) = effects(read(made))
    assert effect.compared[0][1].verdict == "higher"
    assert "higher than at 4, over 3 seeds, at 8: +0.050" in sentence(effect)
    (effect,) = effects(read(study({**axes, "seed": ["0"]}, lambda at, _: 0.8 + (0.05 if at["rank"] == "8" else 0))))
    assert effect.compared[0][1].verdict == "one seed"
    assert effect.compared[0][1].score.low is None
    assert "no difference shown between 4 and 8: there is one seed" in sentence(effect)


def test_identical_scores_are_no_finding_and_the_same_step_in_all_seeds_has_no_interval():
    axes = {"rank": ["4", "8", "16"], "seed": ["0", "1"]}
    (effect,) = effects(read(study(axes, lambda at, _: 0.8)))
    assert {found.verdict for _, found in effect.compared} == {"identical"}
    assert "identical scores at 4, 8 and 16" in sentence(effect)
    assert "was it applied?" in sentence(effect)
    (effect,) = effects(read(study(axes, lambda at, _: 0.8 + 0.01 * int(at["rank"]))))
    assert {(found.verdict, found.score.low) for _, found in effect.compared} == {("constant", None)}


def test_the_interval_of_examples_is_that_of_two_independent_sides():
    made = study({"rank": ["4", "8"], "seed": ["0", "1"]}, lambda at, _: 0.8)
    for cell in made["cells"]:
        cell["metrics"]["micro_f1"] = rate(0.8 if cell["labels"]["rank"] == "4" else 0.9, 0.03 if cell["labels"]["rank"] == "4" else 0.04)
    (effect,) = effects(read(made))
    assert effect.levels[1].examples == pytest.approx((0.1 - 0.05, 0.1 + 0.05))
    assert "on others too is not shown" not in sentence(effect)
    del made["cells"][0]["metrics"]["micro_f1"]["low"]
    (effect,) = effects(read(made))
    assert effect.levels[1].examples is None


def test_what_is_missing_is_said():
    found = read(unfinished())
    said = " ".join(remarks(found, effects(found)))
    assert "17 of 24 cells finished, 2 failed and 5 waiting" in said
    assert "On rank and noise, differences are over the cells that are there on both sides" in said
    whole = read(grid())
    assert "finished" not in " ".join(remarks(whole, effects(whole)))


@pytest.mark.parametrize("make", ALL)
def test_every_axis_has_its_sentence(make):
    found = read(make())
    assert [effect.axis.name for effect in effects(found)] == [axis.name for axis in found.factors]
    assert all(sentence(effect).endswith(".") for effect in effects(found))
