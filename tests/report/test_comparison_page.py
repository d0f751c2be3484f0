"""The comparison page says what the document says, runs nothing, asks nothing of anybody, and holds any text as text."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib import resources

import pytest
from hostile_strings import HOSTILE
from made_up_comparison import METRICS, VERDICTS, disagreements, document
from page_parser import ATTRIBUTES_WITH_ADDRESSES, Page

from fintune.report.comparison import render
from fintune.report.comparison_plot import reach
from fintune.report.comparison_words import between, p_words, signed, titles
from fintune.report.figures import decimal
from fintune.report.visible import visible

NAMES = ("first", "second", "third", "fourth")
KINDS = pytest.mark.parametrize("kind", METRICS)
SOME = [text for text in HOSTILE if text.strip()][:: max(1, len(HOSTILE) // 12)]


def page(kind: str, *, text: str = "x", names: tuple[str, ...] = NAMES) -> Page:
    return Page(render(document(kind, names, text=text), disagreements(kind, names, text=text)))


@KINDS
def test_every_figure_is_on_the_page(kind):
    of, found = document(kind), page(kind)
    cells = found.texts["td.num"] + found.texts["span.num"]
    for pair in of["pairs"]:
        for entry in pair["metrics"].values():
            figures = [signed(entry["value"]), between(entry), p_words(entry["p_value"]), p_words(entry["p_holm"])]
            for figure in (*figures, decimal(entry["minimum_detectable"])):
                assert figure in cells
        main = pair["metrics"][METRICS[kind][0]]
        for name in ("wins", "ties", "losses"):
            assert f"{main[name]:,}" in cells
    for system in of["systems"]:
        for entry in system["metrics"].values():
            assert any(cell.startswith(decimal(entry["value"])) for cell in cells)
    assert {"1,693", "1,600"} <= set(found.texts["dd"])
    assert all(title in found.texts["h3.chart-name"] for title in titles(of).values())
    assert of["command"] in found.texts["div.command"]


def test_no_verdict_but_the_two_claims_is_called_better():
    words = page("spans").texts["span.verdict"]
    for at, verdict in enumerate(VERDICTS):
        better = {"first better": "first better", "second better": "third better"}.get(verdict, verdict)
        assert words[at] == better
    statements = page("spans").texts["ul.statements"][0]
    assert statements.count("is better than") == 2
    assert statements.count("No difference shown") == 2
    assert "third is better than first by 0.040 (95 % interval +0.020 to +0.060" in statements  # its own sign, not that of first − third


@KINDS
def test_seeds_have_their_table_where_a_system_has_several(kind):
    assert "Seeds" in page(kind).texts["h2"]
    of = document(kind)
    for system in of["systems"]:
        system["runs"] = system["runs"][:1]
    assert "Seeds" not in Page(render(of, ())).texts["h2"]
    assert "Where they differ" not in Page(render(of, ())).texts["h2"]


@KINDS
@pytest.mark.parametrize("text", SOME)
def test_text_never_changes_the_structure_of_the_page(kind, text):
    names = tuple(f"{text}{number}" for number in range(4))
    harmless = "w".ljust(len(text), "x")
    found = page(kind, text=text, names=names)
    assert found.skeleton == page(kind, text=harmless, names=tuple(f"{harmless}{number}" for number in range(4))).skeleton
    assert visible(found.data) == found.data
    assert all(visible(value) == value for _, _, value in found.attributes)
    assert any(visible(text) in shown for shown in found.texts["bdi"])
    for tag, name, _ in found.attributes:
        assert not name.startswith("on")
        assert name not in ATTRIBUTES_WITH_ADDRESSES | {"style", "id"} or (tag, name) == ("section", "id")


@KINDS
def test_nothing_is_fetched_and_the_policy_allows_this_stylesheet_alone(kind):
    text = render(document(kind), disagreements(kind))
    (style,) = re.findall(r"<style>(.*?)</style>", text, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode()
    (policy,) = [value for tag, name, value in Page(text).attributes if (tag, name) == ("meta", "content") and "default-src" in value]
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert not re.search(r"(?i)@import|url\s*\(|@font-face|https?:|//|expression", style)
    for tag, name, value in Page(text).attributes:
        assert not re.search(r"(?i)\b(https?|data|javascript|file|ftp)\s*:|//|url\s*\(", value), (tag, name, value)
    assert render(document(kind), disagreements(kind)) == text


def test_every_class_of_a_drawing_has_its_style():
    style = "".join(resources.files("fintune.report").joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "comparison.css"))
    found = page("spans")
    for tag, name, value in found.attributes:
        if name == "class" and tag in ("line", "rect", "circle", "text"):
            for one in value.split():
                assert f".{one}" in style or one in ("first", "tick", "whisker", "dot"), one


def test_scales_hold_what_is_drawn():
    for most in (0.0004, 0.019, 0.02, 0.0201, 0.3, 0.51, 1.0):
        end = reach([{"value": 0, "low": -most, "high": most / 2}])
        assert most <= end * (1 + 1e-9)
        assert end <= 2.5 * most
    assert reach([]) > 0
    assert reach([{"value": 0, "low": -3, "high": 1}]) == 1
