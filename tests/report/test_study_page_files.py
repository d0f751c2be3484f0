"""The files beside the study page: CSV that reads back and runs nothing, Markdown in which no text acts, commands that mean what ran."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from statistics import fmean

import pytest
from hostile_strings import HOSTILE
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_study import ALL, curve, grid, rate, search, single, study, unfinished

from fintune import recipe as recipes
from fintune.report.study_breakdown import labels, slices
from fintune.report.study_cells import command, written
from fintune.report.study_context import told
from fintune.report.study_csv import cells, effects_table, escaped, plain, table
from fintune.report.study_curves import learning
from fintune.report.study_effects import effects
from fintune.report.study_front import front, panels
from fintune.report.study_interactions import interactions
from fintune.report.study_markdown import markdown
from fintune.report.study_markdown import plain as plain_words
from fintune.report.study_reading import read
from fintune.report.study_search import best, warning
from fintune.report.visible import visible

TEXTS = st.sampled_from(HOSTILE) | st.text(max_size=20) | st.text(alphabet="=+-@\t'\",\n\r|", max_size=6)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@settings(deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=4))
def test_csv_reads_back_and_no_text_begins_a_formula(lines):
    back = list(csv.reader(io.StringIO(table(("a", "b"), lines), newline="")))
    assert [[plain(text) for text in line] for line in back[1:]] == [[visible(text) for text in line] for line in lines]
    assert not any(text.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")) for line in back[1:] for text in line)
    assert all(escaped(text).isprintable() or "\t" in text or "\n" in text or not text.isprintable() for line in lines for text in line)


def test_numbers_stand_in_full_and_unescaped():
    assert table(("a",), [(-0.1,), (None,), ("-0.1",), (1e-7,)]).splitlines() == ["a", "-0.1", '""', "'-0.1", "1e-07"]


@pytest.mark.parametrize("make", ALL)
def test_cells_csv_has_every_figure_of_every_cell(make):
    document = make()
    found = rows(cells(read(document)))
    assert [row["id"] for row in found] == [cell["id"] for cell in document["cells"]]
    for row, cell in zip(found, document["cells"], strict=True):
        assert {name: row["axis examples" if name == "examples" else name] for name in cell["labels"]} == cell["labels"]
        for name, entry in cell["metrics"].items():
            assert [float(row[f"{name}{end}"]) for end in ("", " low", " high")] == list(entry.values())
        for name, entry in cell["slices"].items():
            assert float(row[f"{name} micro_f1"]) == entry["micro_f1"]["value"]
        for name, value in cell["cost"].items():
            assert name == "currency" or value is None or float(row[name]) == value
        assert row["error"] == (cell["error"] or "")


@pytest.mark.parametrize("make", [grid, unfinished, curve])
def test_effects_csv_has_the_effects_and_interactions(make):
    found, made = rows(effects_table(read(make()))), read(make())
    main = [row for row in found if (row["kind"], row["data"], row["metric"]) == ("effect", "test", "micro_f1")]
    levels = [(effect.axis.name, level) for effect in effects(made) for level in effect.levels]
    assert [(row["axis"], row["value"]) for row in main] == [(axis, level.value) for axis, level in levels]
    for row, (_, level) in zip(main, levels, strict=True):
        assert row["mean"] == (repr(level.score.value) if level.score else "")
        if level.difference is not None:
            score = level.difference.score
            ends = [] if score is None else [score.value, score.low, score.high]
            assert [row[name] for name in ("difference", "low", "high")][: len(ends)] == ["" if end is None else repr(end) for end in ends]
            assert (row["verdict"], int(row["seeds"])) == (level.difference.verdict, len(level.difference.by_seed))
    contrasts = [contrast for one in interactions(made) for contrast in one.contrasts.values()]
    assert [row["verdict"] for row in found if row["kind"] == "interaction"] == [contrast.verdict for contrast in contrasts]
    assert {row["data"] for row in found} == {"test", "posts"}


def test_a_search_has_no_effects():
    assert rows(effects_table(read(search()))) == []


@pytest.mark.parametrize("make", ALL)
def test_markdown_has_the_sentences_and_whole_tables(make):
    found = told(read(make()))
    text = markdown(found)
    for name, words in found.shows:
        assert f"- **{plain_words(name)}**: {plain_words(words)}" in text
    for remark in found.remarks:
        assert f"> {plain_words(remark)}" in text
    whole_tables(text)
    assert all(plain_words(cell["id"]) in text for cell in make()["cells"])


def whole_tables(text: str) -> None:
    """Every line of a table has as many columns as its heading."""
    width = 0
    for line in text.splitlines():
        bars = len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) if line.startswith("|") else 0
        assert bars == width or not (bars and width), line
        width = bars


@pytest.mark.parametrize("at", range(0, len(HOSTILE) - 20, 20))
def test_no_text_breaks_the_markdown(at):
    strings = list(HOSTILE[at : at + 20])
    axes = {strings[0]: [json.dumps(text) for text in strings[1:4]], "seed": ["0", "1"]}
    document = study(
        axes, lambda *_: 0.5, name=strings[4], question=strings[5], description=strings[6], task=strings[7], command=strings[8]
    )
    for number, cell in enumerate(document["cells"]):
        cell |= {"error": strings[9], "id": strings[10 + number], "status": "failed" if number == 3 else "finished"}
    text = markdown(told(read(document)))
    whole_tables(text)
    assert visible(text) == text
    lines = text.splitlines()
    assert sum(line.startswith("# ") for line in lines) == 1
    for line in lines:
        if not line.startswith("    "):
            assert not re.search(r"(?<!\\)(?:\\\\)*<", line), line
            assert "](" not in line.replace("\\]", "")


NUMBERS = st.integers(-5, 10**6) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = NUMBERS | st.booleans() | st.none() | TEXTS | st.lists(st.text(max_size=5), max_size=3)


@settings(deadline=None)
@given(VALUES.filter(lambda value: not isinstance(value, str) or value == visible(value)))
def test_a_value_of_a_command_is_read_back_as_it_was(value):
    text = written(value)
    assert "\n" not in text
    (key, back) = recipes._pair(f"a.b={text}")
    assert key == "a.b"
    assert back == value
    assert type(back) is type(value)


def test_the_command_of_a_cell_trains_the_recipe_of_the_cell():
    overrides = {"adapter.rank": 4, "train.learning_rate": 1e-5, "seed": 3, "head.transitions": "learned"}
    document = {**grid(), "cells": [{**grid()["cells"][0], "overrides": overrides}]}
    made = read(document)
    words = shlex.split(command(made, made.cells[0]))
    assert words[:7] == ["fintune", "train", "ner-minilm", "--data", "train.jsonl", "--validation", "val.jsonl"]
    given_ = [words[at + 1] for at, word in enumerate(words) if word == "--set"]
    assert recipes.load("ner-minilm", given_) == recipes.load("ner-minilm", overrides)
    assert words[-2] == "--output"


def test_a_command_is_that_of_the_cell_where_it_names_one_and_none_where_its_data_are_not_known():
    made = read({**grid(), "cells": [{**grid()["cells"][0], "command": "fintune train x"}]})
    assert command(made, made.cells[0]) == "fintune train x"
    made = read(curve())
    assert command(made, made.cells[0]) == ""
    made = read({**grid(), "data": {}})
    assert command(made, made.cells[0]) == ""


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=8), st.booleans())
def test_the_front_is_what_no_other_setting_beats(pairs, less):
    axes = {"rank": [str(at) for at in range(len(pairs))]}
    document = study(axes, lambda at, _: pairs[int(at["rank"])][1] / 10, metric="ece" if less else "micro_f1")
    for cell, (cost, quality) in zip(document["cells"], pairs, strict=True):
        cell["cost"] = {"flop": cost}
        cell["metrics"]["ece"] = rate(quality / 10)
    found = front(read(document), "flop")
    sign = -1 if less else 1
    best_of = {
        (str(at),)
        for at, (cost, quality) in enumerate(pairs)
        if not any(c <= cost and sign * q >= sign * quality and (c, q) != (cost, quality) for c, q in pairs)
    }
    assert {place.labels for place in found if place.letter} == best_of
    assert len({place.letter for place in found if place.letter}) == len(best_of)
    assert [place.cost for place in found] == sorted(place.cost for place in found)


def test_a_setting_of_the_front_is_the_mean_of_its_seeds():
    document = grid()
    found = {place.labels: place for place in front(read(document), "wall_seconds")}
    mine = [cell for cell in document["cells"] if (cell["labels"]["rank"], cell["labels"]["noise"]) == ("8", "0.1")]
    assert found["8", "0.1"].cost == pytest.approx(fmean(cell["cost"]["wall_seconds"] for cell in mine))
    assert found["8", "0.1"].quality == pytest.approx(fmean(cell["metrics"]["micro_f1"]["value"] for cell in mine))
    assert [panel.title for panel in panels(read(document))] == ["Time of training, seconds", "Work of training, FLOP"]
    for cell in document["cells"]:
        cell["cost"] = {"price": 0.2, "currency": "EUR"}
    assert [panel.title for panel in panels(read(document))] == ["Price of training, EUR"]
    assert panels(read(single())) == ()


def test_the_best_of_a_search_is_warned_of_and_a_grid_names_none():
    made = read(search())
    found = best(made)
    values = [cell["metrics"]["micro_f1"]["value"] for cell in search()["cells"]]
    assert [one.value for one in found.settings] == sorted(values, reverse=True)[:5]
    assert found.gain == pytest.approx(1.8675 * 0.012 / 1.959964, rel=1e-3)  # the largest of 20; half an interval of the cells
    assert "look too good" in warning(made, found)
    assert "had no part in the choice" in warning(made, found)
    assert best(read(grid())) is None
    assert not told(made).shows


def test_a_search_by_validation_scores_is_judged_by_these_and_says_so():
    document = search()
    for number, cell in enumerate(document["cells"]):
        cell["validation"] = {"micro_f1": rate(0.5 + number / 100)}
    found = best(read(document))
    assert found.apart
    assert found.settings[0].labels == tuple(list(document["cells"][-1]["labels"].values())[:2])
    assert "The test scores had no part in the choice." in warning(read(document), found)


def test_the_learning_curve_says_from_where_no_difference_is_shown():
    (found,) = learning(read(curve()))
    assert list(found.sizes) == ["50", "100", "200", "400", "800", "1693"]
    assert list(found.sizes.values()) == [50, 100, 200, 400, 800, 1693]
    verdicts = {level.value: level.difference.verdict for level in found.effect.levels[1:]}
    silent = [size for size in ("800", "400", "200", "100", "50") if verdicts[size] == "none"]
    assert silent
    assert found.sentence.startswith(f"From {silent[-1]} examples on, no difference from all 1,693 is shown")
    document = curve()
    one = {**document, "cells": [cell for cell in document["cells"] if cell["labels"]["seed"] == "0"]}
    one["axes"] = [{**axis, "values": ["0"]} if axis["name"] == "seed" else axis for axis in document["axes"]]
    assert learning(read(one))[0].sentence.endswith("is not shown: there is one seed.")
    for cell in document["cells"]:
        cell["status"] = "waiting" if cell["labels"]["examples"] == "1693" else cell["status"]
    assert learning(read(document))[0].sentence.endswith("is not shown: cells there are not finished.")
    assert [name for _, name in found.panel.legend] == ["learning rate 0.0005", "learning rate 0.001"]
    assert learning(read(grid())) == ()


def test_breakdowns_leave_out_what_nothing_scored():
    (rank, noise) = labels(read(grid()))
    assert [row.name for row in rank.rows] == ["Company", "Date", "Location", "Money", "F1, exact spans", "F1, exact spans, mean of types"]
    assert [row.summary for row in rank.rows] == [False] * 4 + [True] * 2
    assert [entry.level.value for entry in noise.rows[0].entries] == ["0", "0.1"]
    document = grid()
    for cell in document["cells"]:
        cell |= {"per_label": {}, "slices": {}}
    assert labels(read(document)) == slices(read(document)) == ()
