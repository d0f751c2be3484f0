"""The study page says what `study.json` says, in any state of the study and with any part missing, and no text of it acts."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from importlib import resources
from itertools import count, product
from statistics import fmean, stdev

import pytest
from hostile_strings import HOSTILE
from made_up_study import ALL, LABELS, RANKS, curve, grid, rate, search, single, study, unfinished
from page_parser import ATTRIBUTES_WITH_ADDRESSES, Page

from fintune.errors import ArtifactError
from fintune.report.figures import Score, decimal
from fintune.report.study_context import told
from fintune.report.study_drawing import amounts, around, linear, logarithmic, row
from fintune.report.study_page import render, write_study_report
from fintune.report.study_reading import read
from fintune.report.study_words import signed
from fintune.report.visible import visible

ALWAYS = {"cells", "environment", "repeat", "reading"}
TABLES = {"metrics", "labels", "slices"}
SECTIONS = {
    grid: {"effects", "interactions", "front", "seeds"} | TABLES,
    unfinished: {"effects", "interactions", "front", "seeds", "failed"} | TABLES,
    curve: {"effects", "interactions", "learning", "front", "seeds"} | TABLES,
    search: {"search", "front", "seeds"} | TABLES,
    single: TABLES,
}


def page(document) -> Page:
    return Page(render(told(read(document))))


GRID = page(grid())


@pytest.mark.parametrize("make", ALL)
def test_a_study_of_any_kind_has_its_sections(make):
    found = [value for tag, name, value in page(make()).attributes if (tag, name) == ("section", "id")]
    assert set(found) == SECTIONS[make] | ALWAYS
    assert len(found) == len(set(found))


def test_every_mean_and_difference_of_the_page_is_that_of_the_cells():
    scores = {tuple(cell["labels"].values()): cell["metrics"]["micro_f1"]["value"] for cell in grid()["cells"]}
    means = {rank: fmean(value for labels, value in scores.items() if labels[0] == rank) for rank in RANKS}
    shown = GRID.texts["td.num"]
    for rank, mean in means.items():
        assert decimal(mean) in shown
        if rank != "4":
            assert any(text.startswith(f"{signed(mean - means['4'])}{'+' if rank != '8' else '−'}") for text in shown), rank
    for rank, noise in product(RANKS, ("0", "0.1")):
        seeds = [scores[rank, noise, seed] for seed in "012"]
        assert any(text.startswith(f"{decimal(fmean(seeds))} ± {stdev(seeds):.4f}") for text in shown)
    for cell in grid()["cells"]:
        found = cell["metrics"]["micro_f1"]
        assert decimal(found["value"]) in shown
        assert f"{decimal(found['low'])} to {decimal(found['high'])}" in shown
        assert any(cell["id"] in text for text in GRID.texts["th"])
        assert any(text.endswith(cell["id"]) and "--set adapter.rank=" in text for text in GRID.texts["div.command"])


def test_labels_slices_and_metrics_are_means_of_the_cells():
    cells = [cell for cell in grid()["cells"] if cell["labels"]["rank"] == "4"]
    shown = GRID.texts["td.num"]
    for label in LABELS:
        assert decimal(fmean(cell["per_label"][label]["f1"]["value"] for cell in cells)) in shown
    assert decimal(fmean(cell["slices"]["posts"]["micro_f1"]["value"] for cell in cells)) in shown
    assert decimal(fmean(cell["metrics"]["macro_f1"]["value"] for cell in cells)) in shown


def test_what_an_unfinished_study_lacks_is_said_and_its_failures_shown():
    found = page(unfinished())
    assert "17" in found.texts["p.figure"]
    assert "of 24 cells finished" in found.data
    assert "2 failed and 5 waiting" in found.data
    assert sum(text.startswith("train: loss is not finite at step 31") for text in found.texts["th"]) == 2
    assert [text for text in found.texts["td"] if text == "failed"] == ["failed"] * 2


def test_a_row_places_seeds_mean_and_interval_on_its_scale():
    found = told(read(grid())).levels[0]
    values = [value for level in found.effect.levels for _, value in level.by_seed]
    ends = [end for level in found.effect.levels for end in (level.score.low, level.score.high)]
    scale = around(values, [*ends, 0.41, 0.79])
    for one in found.rows:
        places = [float(at) for at in re.findall(r'class="seed" cx="([\d.]+)%"', one.drawing)]
        assert places == [round(100 * scale.at(value), 2) for _, value in one.level.by_seed]
        (mean,) = re.findall(r'class="dot" cx="([\d.]+)%"', one.drawing)
        assert float(mean) == pytest.approx(100 * scale.at(one.level.score.value), abs=0.006)
    assert found.off == ("name list from training 0.410", "zero-shot 0.790")
    assert not found.near


def test_floors_near_the_scores_are_drawn_and_named_by_their_kind():
    found = told(read({**grid(), "baselines": {"majority": {"micro_f1": rate(0.85)}, "zero-shot": {"micro_f1": rate(0.86)}}})).levels[0]
    assert found.near == {"always the most frequent label": "floor", "zero-shot": "baseline"}
    assert all('class="floor"' in one.drawing and 'class="baseline"' in one.drawing for one in found.rows)


@pytest.mark.parametrize("values", [[0.81, 0.84], [3.0, 900.0, 20_000.0], [50.0, 1693.0], [1e-5, 3e-3], [0.5], [0.0, 0.0], [37e12, 40e12]])
def test_scales_hold_their_values_and_rise(values):
    for scale in (linear(values), around(values), amounts(values), *([logarithmic(values)] if min(values) > 0 else [])):
        places = [scale.at(value) for value in sorted(values)]
        assert all(-1e-9 <= place <= 1 + 1e-9 for place in places)
        assert places == sorted(places)
        marks = [scale.at(at) for at, _ in scale.marks]
        assert marks == sorted(marks)
        assert 2 <= len(marks) <= 7
        assert len({name for _, name in scale.marks}) == len(marks)


def test_a_line_beyond_the_scale_has_no_cap():
    scale = linear([0.0, 1.0])
    assert row(scale, (), Score(0.5, 0.2, 0.8)).count('class="whisker"') == 3
    assert row(scale, (), Score(0.5, -3.0, 0.8)).count('class="whisker"') == 2
    assert row(scale, (), Score(0.5, -3.0, 4.0)).count('class="whisker"') == 1


SMALL = study({"rank": ["4", "8"], "noise": ["0"], "seed": ["0", "1"]}, lambda at, draw: 0.8 + 0.01 * draw.random())
KEYS = sorted({*SMALL, "search", "faults", "question"})
STRANGE = [None, "text", 3, [1, {}], {"a": {"value": None}}]


@pytest.mark.parametrize("key", KEYS)
def test_any_part_may_be_missing_or_strange(key):
    page({name: value for name, value in SMALL.items() if name != key})
    for strange in STRANGE:
        page({**SMALL, key: strange})


@pytest.mark.parametrize("key", sorted(SMALL["cells"][0]))
def test_any_part_of_a_cell_may_be_missing_or_strange(key):
    first, *others = SMALL["cells"]
    page({**SMALL, "cells": [{name: value for name, value in cell.items() if name != key} for cell in SMALL["cells"]]})
    for strange in STRANGE:
        page({**SMALL, "cells": [{**first, key: strange}, *others]})


def hostile(strings: list[str]) -> dict:
    """The strings in every place that a study has for text; its figures do not depend on them."""
    two, place = [json.dumps(text) for text in strings[:2]], count()
    axes = {strings[0]: two, strings[1]: two, "seed": ["0", "1"]}
    document = study(axes, lambda *_: 0.5 + 0.013 * (next(place) * 5 % 7), name=strings[2], description=strings[3], question=strings[4])
    for number, cell in enumerate(document["cells"]):
        score, seconds = cell["metrics"]["micro_f1"], 60 + 7 * (number * 3 % 5)
        cell |= {"id": strings[number], "error": strings[8 + number], "command": strings[16 + number]}
        cell |= {"status": "failed" if number == 5 else "finished", "cost": {"wall_seconds": seconds, "price": 0.1, "currency": strings[5]}}
        cell["per_label"] = {text: {"f1": score} for text in strings}
        cell["slices"] = {text: {"micro_f1": score} for text in strings[5:9]}
        cell["metrics"] = {"micro_f1": score, "macro_f1": score, **dict.fromkeys(strings[:4], score)}
    facts = dict.fromkeys(strings[10:20], strings[9])
    data = {strings[6]: facts, "test": {"source": strings[7]}, "slices": {strings[8]: facts}}
    more = {"command": strings[5], "recipe": strings[6], "task": strings[7], "versions": facts, "hardware": facts, "data": data}
    return {**document, **more, "faults": strings[:5], "baselines": {text: {"micro_f1": rate(0.55)} for text in strings[:6]}}


SIZE = 48
ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "section", "h1", "h2", "h3", "p", "br", "span", "bdi", "small"),
    *("strong", "div", "dl", "dt", "dd", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "details"),
    *("summary", "svg", "line", "circle", "text", "polyline"),
}


@pytest.mark.parametrize("at", range(0, len(HOSTILE) - SIZE, SIZE))
def test_text_never_acts_and_is_shown_as_it_is(at):
    strings, numbers = list(HOSTILE[at : at + SIZE]), count(100)
    found = page(hostile(strings))
    harmless = page(hostile([f"w{next(numbers)}".ljust(len(text), "x") for text in strings]))
    assert found.skeleton == harmless.skeleton
    for number, text in enumerate(map(visible, strings)):
        assert text in found.texts["bdi"]
        assert not 16 <= number < 24 or text in found.texts["div.command"]
    assert visible(found.data) == found.data
    assert all(visible(value) == value for _, _, value in found.attributes)
    assert {entry.split()[0].lstrip("/") for entry in found.skeleton} <= ELEMENTS
    for tag, name, _ in found.attributes:
        assert not name.startswith("on")
        assert name not in ATTRIBUTES_WITH_ADDRESSES | {"style", "id"} or (tag, name) == ("section", "id")


def test_the_policy_allows_this_stylesheet_alone_and_nothing_is_fetched():
    source = render(told(read(grid())))
    (style,) = re.findall(r"<style>(.*?)</style>", source, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = [value for tag, name, value in GRID.attributes if (tag, name) == ("meta", "content") and "default-src" in value]
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert not re.search(r"(?i)@import|url\s*\(|image-set|src\s*:|@font-face|https?:|//|expression|behaviou?r\s*:", style)
    for tag, name, value in GRID.attributes:
        assert name not in ATTRIBUTES_WITH_ADDRESSES | {"style"}
        assert not re.search(r"(?i)\b(https?|data|javascript|file|ftp)\s*:|//|url\s*\(", value), (tag, name, value)


def test_its_own_stylesheet_names_no_colour_beside_those_of_both_schemes():
    style, base = (resources.files("fintune.report").joinpath(name).read_text(encoding="utf-8") for name in ("study.css", "page.css"))
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b|rgb|hsl", style)
    assert set(re.findall(r"var\(--([\w-]+)\)", style)) <= {*re.findall(r"--([\w-]+):", base), "s"}


def test_every_drawing_is_described_and_every_table_has_headings():
    drawings = [dict(re.findall(r'([\w-]+)="([^"]*)"', tag)) for tag in re.findall(r"<svg [^>]*>", render(told(read(curve()))))]
    assert drawings
    assert all(one.get("role") == "img" and one.get("aria-label") for one in drawings if one.get("preserveAspectRatio") != "none")
    assert all(name.split()[1:2] == ["scope"] for name in GRID.skeleton if name.startswith("th "))


@pytest.mark.parametrize("make", ALL)
def test_the_report_is_written_whole_and_the_same_each_time(make, tmp_path):
    (tmp_path / "study.json").write_text(json.dumps(make()), encoding="utf-8")
    files = write_study_report(tmp_path)
    assert [file.name for file in files] == ["report.html", "report.md", "cells.csv", "effects.csv"]
    before = [file.read_bytes() for file in files]
    assert write_study_report(tmp_path) == files
    assert [file.read_bytes() for file in files] == before
    assert {file.name for file in tmp_path.iterdir()} == {"study.json", *(file.name for file in files)}


def test_a_folder_without_a_study_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"no study\.json"):
        write_study_report(tmp_path)
    (tmp_path / "study.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(ArtifactError, match="does not hold a JSON object"):
        write_study_report(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["study.json"]
