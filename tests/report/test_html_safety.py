"""The page asks nothing of anybody, runs nothing, and holds whatever text it is given as text."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest
from hostile_strings import HOSTILE
from made_up_run import inputs
from page_parser import ATTRIBUTES_WITH_ADDRESSES, Page

from fintune.records import Answer, Example, Prediction, Span
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


def hostile_kinds(strings: list[str]) -> ReportInputs:
    """The strings in every place that the other kinds, baselines, outputs and certificates have for text."""
    examples, predictions = [], []
    for number, text in enumerate(strings):
        status, reason = "repaired" if number % 3 else "malformed", text
        if number % 2:
            examples.append(Example(text, f"ab {text}", label=text))
            other = strings[number - 1]
            probabilities = tuple(0.5 if name == other else 0.5 / len(strings) for name in strings)
            predictions.append(
                Prediction(text, f"ab {text}", label=other, probabilities=probabilities, raw=text + "!", status=status, reason=reason)
            )
        else:
            examples.append(Example(text, f"ab {text} cd", question=text, answer=Answer(3, text)))
            given = Answer(0, "ab")
            predictions.append(Prediction(text, f"ab {text} cd", answer=given, raw=text + "!", status=status, reason=reason))
    segments = [{"text": text, "supervised": bool(at % 2), "skipped": at} for at, text in enumerate(strings)]
    return ReportInputs(
        report={
            "kind": "label", "metrics": {"accuracy": RATE, "ece": RATE, **dict.fromkeys(strings, RATE)},
            "per_label": {text: {"f1": RATE, "support": 2} for text in strings},
            "confusion": {"labels": [*strings[:4], "none"], "counts": [[1] * 5] * 5},
            "baselines": {text: {"accuracy": RATE, "malformed": {"value": 0.1}} for text in strings[:4]},
            "floors": {text: {"accuracy": RATE} for text in strings[4:6]},
            "calibration": {"bins": [{"confidence": 0.5, "accuracy": RATE, "count": text} for text in strings[:3]]},
        },
        examples=examples,
        predictions=predictions,
        preflight={
            "notes": strings, "masks": [{"id": text, "segments": segments} for text in strings[:2]], "labels": dict.fromkeys(strings, 1),
            "examples": {"count": 9, "left_out": strings[:20]}, "supervised": {"unit": strings[0], "min": 1, "median": 2, "max": 3},
            "longest": {"id": strings[0], "tokens": 3, "limit": 4}, "unreachable": strings[:20],
            "chat": dict.fromkeys(("template", "thinking", "end_token", "padding_token", "fingerprint", "template_sha256"), strings[1]),
            "modules": {"count": 1, "names": strings[:20]}, "noise": {"kind": strings[0], "alpha": strings[1], "ratio": 0.5},
            "memory": {"total": 1, "device": strings[0]},
        },
    )  # fmt: skip


def both(make: Callable[[list[str]], ReportInputs], group: int) -> tuple[list[str], Page, Page]:
    """Hostile strings with their page, and the page of harmless strings of the same lengths."""
    strings = list(GROUPS[group])
    numbers = count(100)
    harmless = [f"w{next(numbers)}".ljust(len(text), "x") for text in strings]
    return strings, Page(render(make(strings))), Page(render(make(harmless)))


@pytest.fixture(scope="module", params=range(len(GROUPS)))
def pages(request: pytest.FixtureRequest) -> tuple[list[str], Page, Page]:
    """Pages of spans."""
    return both(hostile_inputs, request.param)


@pytest.fixture(scope="module", params=range(len(GROUPS)))
def kinds(request: pytest.FixtureRequest) -> tuple[list[str], Page, Page]:
    """Pages of labels and answers, with baselines, outputs and certificates."""
    return both(hostile_kinds, request.param)


def test_text_of_other_kinds_never_changes_the_structure_of_the_page(kinds):
    _, page, harmless = kinds
    assert page.skeleton == harmless.skeleton


def test_every_string_of_other_kinds_is_shown_as_it_is(kinds):
    strings, page, _ = kinds
    shown = {name: page.texts[name] for name in ("span.id", "span.chip", "div.said", "div.mask", "li", "bdi", "dd", "div.code")}
    for number, text in enumerate(map(visible, strings)):
        assert text in shown["span.id"]
        assert text in shown["span.chip"]
        assert text in shown["li"]
        assert number % 2 or shown["div.said"].count(text) == 2  # the question, and the gold answer
        assert any(text in mask for mask in shown["div.mask"])
        assert any(code.startswith(f"{text}!"[:2000]) for code in shown["div.code"])
    for text in map(visible, strings[:6]):
        assert text in shown["bdi"]
    assert all(any(text.strip() in value for value in shown["dd"]) for text in map(visible, strings[:20]))


def test_no_character_of_other_kinds_acts(kinds):
    _, page, _ = kinds
    assert visible(page.data) == page.data
    assert all(visible(value) == value for _, _, value in page.attributes)
    assert {entry.split()[0].lstrip("/") for entry in page.skeleton} <= ELEMENTS
    for tag, name, _ in page.attributes:
        assert not name.startswith("on")
        assert name not in ATTRIBUTES_WITH_ADDRESSES | {"style", "id"} or (tag, name) == ("section", "id")


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
