"""Unseen and broken characters are found by name, and those that scripts need are not."""

from __future__ import annotations

import pytest

from fintune.data.checks.base import Context
from fintune.data.checks.characters import odd
from fintune.records import Example

ODD = list("\x00\x07\x1b\x7f\x85\xad\u200b\u200e\u202e\u2060\u2066\u2028\ufeff\ufffd\ud800\ue000\U000e0041")
USUAL = ["plain text", "tab\tand\r\nlines", "Zürich – “quoted” … €5", "日本銀行", "נכון", "no\u00a0break", "e\u0301"]
USUAL += [
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "\u0915\u094d\u200d\u0937",
    "\U0001f469\u200d\U0001f4bb team",
]  # joiners that are needed


@pytest.mark.parametrize("character", ODD)
def test_odd_characters(checked, spans, character: str) -> None:
    found = checked([*spans, Example("odd", f"Net{character} loss{character} again.", spans=())], "spans")
    assert list(found) == ["D701"]
    assert (found["D701"].severity, found["D701"].examples) == ("info", ("odd",))
    assert f"U+{ord(character):04X}" in found["D701"].message
    assert "(2)" in found["D701"].message


@pytest.mark.parametrize("text", USUAL)
def test_usual_characters(text: str) -> None:
    assert list(odd(Context({"train": (Example("e", text),)}, "spans"))) == []


def test_a_joiner_between_latin_letters_is_odd() -> None:
    (found,) = odd(Context({"train": (Example("e", "Ap\u200dple"),)}, "spans"))
    assert "U+200D zero width joiner (1)" in found.message
