"""What is shown has one character for each of the text, and none that acts."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from fintune.report.visible import visible

ANY = st.text(st.characters(codec=None) | st.sampled_from("\0\x1b\r\x7f\x9b\u2028\u2029\u202e\u2066\ud800\udfff"))
BIDIRECTIONAL = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@given(ANY)
def test_one_character_for_one_and_none_that_acts(text):
    shown = visible(text)
    assert len(shown) == len(text)
    assert visible(shown) == shown
    shown.encode("utf-8")
    for character in shown:
        assert unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp") or character in "\t\n"
        assert unicodedata.bidirectional(character) not in BIDIRECTIONAL


@given(st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp"))))
def test_ordinary_text_is_left_alone(text):
    assert visible(text) == text


def test_signs_that_belong_to_writing_stay():
    for text in ("line\n\ttabbed", "می\u200cخواهم", "\U0001f469\u200d\U0001f4bb", "\u200fשלום"):
        assert visible(text) == text
