"""The page asks nothing of anybody, runs nothing, and holds whatever text it is given as text."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from itertools import count

import pytest
from hostile_strings import HOSTILE
from made_up_run import inputs
from page_parser import ATTRIBUTES_WITH_ADDRESSES, Page

from fintune.records import Example, Prediction, Span
from fintune.report.html import ReportInputs, render
from fintune.report.visible import visible

PAGE = render(inputs())
SIZE = 36
GROUPS = [HOSTILE[at : at + SIZE] for at in range(0, len(HOSTILE), SIZE)]
ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "section", "article", "h1", "h2", "h3", "p", "br", "span"),
    *("bdi", "i", "mark", "small", "strong", "div", "dl", "dt", "dd", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "figure"),
    *("figcaption", "details", "summary", "svg", "line", "circle", "rect", "text", "polyline"),
}
RATE = {"value": 0.5, "low": 0.4, "high": 0.6}


def hostile_inputs(strings: list[str]) -> ReportInputs:
    """The strings in every place that holds text. All must differ."""
    label = {text: {"precision": RATE, "recall": RATE, "f1": RATE, "support": 2, "predicted": 3} for text in strings}
    examples, predictions = [], []
    for text in strings:
        place = Span(3, 3 + len(text), text)
        gold = Example(text, f"ab {text} cd", spans=(place,), unaligned=((text, text),))
        examples += [gold, replace(gold, id=f"{text}2")]
        spans = (replace(place, label="other"), Span(0, 2, text))
        predictions.append(Prediction(text, gold.text, spans=spans, reason=text, status="repaired"))
        predictions.append(Prediction(f"{text}2", gold.text, spans=(), raw=text, reason=text, status="malformed"))
    return ReportInputs(
        report={
            "task": strings[0], "examples": 2, "documents": 40, "metrics": {text: RATE for text in strings}, "per_label": label,
            "confusion": {"labels": [*strings, "none"], "counts": [[1] * (len(strings) + 1)] * (len(strings) + 1)},
            "floors": {text: {name: RATE for name in strings[:2]} for text in strings[:3]},
        },
        recipe_yaml="name: x" + strings[0] + "\n" + "\n".join(strings),
        manifest={
            "base": dict.fromkeys(strings, strings[-1]), "versions": {text: text for text in strings}, "finished": strings[1],
            "files": {text: text for text in strings}, "hardware": {"devices": strings}, "unknown": {strings[0]: {strings[1]: strings}},
        },
        log=[{"event": "validation", "step": step, "epoch": 0, "metrics": {strings[0]: 0.5}} for step in (1, 2)],
        examples=examples,
        predictions=predictions,
        data_card={"source": strings[0], "labels": dict.fromkeys(strings, 3), **dict.fromkeys(strings, "x")},
        commands=strings,
    )  # fmt: skip


@pytest.fixture(scope="module", params=range(len(GROUPS)))
def pages(request: pytest.FixtureRequest) -> tuple[list[str], Page, Page]:
    """Hostile strings with their page, and the page of harmless strings of the same lengths."""
    strings = list(GROUPS[request.param])
    numbers = count(100)
    harmless = [f"w{next(numbers)}".ljust(len(text), "x") for text in strings]
    return strings, Page(render(hostile_inputs(strings))), Page(render(hostile_inputs(harmless)))


def test_text_never_changes_the_structure_of_the_page(pages):
    _, page, harmless = pages
    assert page.skeleton == harmless.skeleton


def test_every_string_is_shown_as_it_is(pages):
    strings, page, _ = pages
    for text in map(visible, strings):
        assert text in page.texts["span.id"]
        assert text in page.texts["span.chip"]
        assert text in page.texts["div.command"]
        assert any(text in recipe for recipe in page.texts["div.code"])
        assert f"ab {text} cd" in page.texts["div.text"]
        assert any(text.strip() in value.strip() for value in page.texts["dd"])
        assert any(name == "data-tag" and value.startswith(f"{text} · ") for _, name, value in page.attributes)


def test_no_character_acts(pages):
    _, page, _ = pages
    assert visible(page.data) == page.data
    assert all(visible(value) == value for _, _, value in page.attributes)


def test_only_known_elements_and_no_handlers_addresses_or_styles(pages):
    _, page, _ = pages
    assert {entry.split()[0].lstrip("/") for entry in page.skeleton} <= ELEMENTS
    for tag, name, _ in page.attributes:
        assert not name.startswith("on")
        assert name not in ATTRIBUTES_WITH_ADDRESSES | {"style", "id"} or (tag, name) == ("section", "id")


def test_nothing_is_fetched():
    page = Page(PAGE)
    assert {entry.split()[0].lstrip("/") for entry in page.skeleton} <= ELEMENTS
    for tag, name, value in page.attributes:
        assert name not in ATTRIBUTES_WITH_ADDRESSES | {"style"}
        assert not re.search(r"(?i)\b(https?|data|javascript|file|ftp)\s*:|//|url\s*\(", value), (tag, name, value)
    (style,) = page.texts["style"]
    assert not re.search(r"(?i)@import|url\s*\(|image-set|src\s*:|@font-face|https?:|//|expression|behaviou?r\s*:", style)


def test_the_policy_comes_first_and_allows_this_stylesheet_alone():
    head = Page(PAGE).skeleton[:5]
    assert head == ["html lang", "head ", "meta charset", "meta http-equiv content", "meta name content"]
    (style,) = re.findall(r"<style>(.*?)</style>", PAGE, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode()
    (policy,) = [value for tag, name, value in Page(PAGE).attributes if (tag, name) == ("meta", "content") and "default-src" in value]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives == {"default-src": "'none'", "style-src": f"'sha256-{digest}'", "base-uri": "'none'", "form-action": "'none'"}
    assert "\r" not in style  # a parser would make another text, with another hash, of it
    assert re.search(r"[&<]", style) is None


def test_a_page_is_the_same_each_time_and_plain_utf8():
    assert render(inputs()) == PAGE
    assert PAGE.encode("utf-8").decode("utf-8") == PAGE
    assert '<meta charset="utf-8">' in PAGE[:120]
