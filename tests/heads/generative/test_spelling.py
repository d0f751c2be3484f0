"""Spelling is reversible for every text, and what it writes comes back from the vocabulary."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chatting
import writing
from fintune.errors import RecipeError
from fintune.heads.generative.plain_text import PlainText
from fintune.heads.generative.spelling import MARKS, Spelling, unwritable

BRACES = Spelling(writing.tokenizer())
BYTES = Spelling(chatting.small("bytes-prefixed"))
TARGET = "{'Company': ['Acme (UK)', '~Ünter {#1}'], \"Date\": None, 'Money': ['株\n']}"

texts = st.text() | st.lists(st.sampled_from([*MARKS, *"()#;~0a1f", "#28;", "##", "{'a': ['b']}"]), max_size=12).map("".join)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(text=texts, spelling=st.sampled_from([BRACES, BYTES]))
def test_every_text_is_read_back(text: str, spelling: Spelling) -> None:
    text = "".join(c for c in text if not 0xD800 <= ord(c) < 0xE000)
    assert spelling.unspell(spelling.spell(text)) == text


@settings(max_examples=200, deadline=None, derandomize=True)
@given(text=texts)
def test_what_is_spelt_is_what_the_vocabulary_writes(text: str) -> None:
    """All but runs of blanks, and blanks at the ends, which T5's normaliser takes out."""
    tokenizer = writing.tokenizer()
    text = " ".join("".join(c for c in text if not 0xD800 <= ord(c) < 0xE000).split(" ")).strip(" ")
    spelt = BRACES.spell(" ".join(part for part in text.split(" ") if part))
    ids = PlainText(tokenizer).encode(spelt, "start").ids
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(list(ids), clean_up_tokenization_spaces=False) == spelt


@settings(max_examples=200, deadline=None, derandomize=True)
@given(written=texts)
def test_whatever_a_model_writes_is_read(written: str) -> None:
    assert isinstance(BRACES.unspell(written), str)


def test_no_character_depends_on_those_around_it() -> None:
    assert BRACES.spell(TARGET) == "".join(map(BRACES.spell, TARGET))


def test_braces_become_brackets() -> None:
    assert BRACES.table == {"{": "(", "}": ")"}
    assert BRACES.spell("{'Company': ['Acme']}") == "('Company': ['Acme'])"
    assert BRACES.spell("(a)") == f"{BRACES.escape}(a{BRACES.escape})"
    assert BRACES.spell("~") == f"{BRACES.escape}7e;"
    assert BRACES.describe() == {"marks": {"{": "(", "}": ")"}, "escape": BRACES.escape}


def test_a_vocabulary_of_bytes_needs_no_stand_ins() -> None:
    assert BYTES.table == {}
    assert BYTES.spell("{'株': ['~\n']}") == "{'株': ['~\n']}"


def test_what_is_read_only_has_no_marks_of_its_own() -> None:
    assert BRACES.legible("(a) {b} ~ é\nc") == f"(a) (b) {BRACES.escape}7e; {BRACES.spell('é')}\nc"


def test_numbers_of_no_character_stay_as_they_are() -> None:
    for number in ("110000;", "d800;", "ffffff;", "12", ";"):
        assert BRACES.unspell(BRACES.escape + number) == BRACES.escape + number


def test_unwritable_characters_are_named() -> None:
    assert unwritable(writing.tokenizer(), ["a {b} 株", "c~\n"]) == set("{}株~\n")
    assert unwritable(chatting.small("bytes-prefixed"), ["a {b} 株~\n"]) == set()
    assert "½" in unwritable(chatting.small("unigram"), ["½ a"])  # the normaliser writes 1⁄2


def test_a_vocabulary_of_letters_alone_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"cannot write \{ \} .* \(it has \d characters to write for them\)"):
        Spelling(writing.tokenizer(("a b c",)))
