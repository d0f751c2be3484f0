"""What a model wrote is read without guessing: whole strings only, whatever stands around, and always with a note."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fintune.text.lenient import read_lists
from fintune.text.literals import MAX_CHARS, LiteralError, parse_lists

# What an answer is made of and what could be taken for one, so that surfaces look like structure.
PIECES = [
    "'",
    '"',
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    " ",
    "\n",
    "None",
    "```",
    "<think>",
    "</think>",
    "{'A': ['X']}",
    '{"A":["X"]}',
    "é😀",
]
surfaces = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
lists = st.dictionaries(st.sampled_from(["A", "B", "Co D"]), st.none() | st.lists(surfaces, max_size=4), max_size=3)
WRITERS = [repr, json.dumps, lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":"))]
prose = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="{<"), max_size=20)


def filled(value: dict[str, list[str] | None]) -> dict[str, list[str]]:
    return {label: found or [] for label, found in value.items()}


def notes_on(raw: str) -> str:
    return "; ".join(read_lists(raw)[1])


@given(lists, st.sampled_from(WRITERS))
def test_what_is_right_is_read_without_a_note(value, write):
    assert read_lists(write(value)) == (filled(value), [])


@given(lists, st.sampled_from(WRITERS), prose, prose)
@example({"A": ["</think>"]}, repr, "so", "")
def test_text_around_changes_nothing_but_the_note(value, write, before, after):
    found, notes = read_lists(f"{before} {write(value)}\n{after}")
    assert found == filled(value)
    assert notes == (["text around the dictionary"] if before.strip() or after.strip() else [])


@given(lists, st.sampled_from(WRITERS), prose)
def test_thinking_is_passed_over(value, write, thought):
    for opened in ("<think>", ""):
        assert read_lists(f"{opened}{thought}</think>\n\n{write(value)}") == (filled(value), [])
    with pytest.raises(LiteralError, match="thinking that never ends"):
        read_lists(f"<think>{thought} {write({})}")


@settings(max_examples=60, deadline=None)
@given(lists, st.sampled_from(WRITERS), st.sampled_from(["", "Answer: "]))
@example({"A": ["</think> {'A': ['X']}"]}, repr, "Answer: ")
@example({"A": ["x", "```json {'B': ['y']}"]}, repr, "")
def test_a_cut_keeps_whole_surfaces_only(value, write, before):
    written = before + write(value)
    whole = filled(value)
    for cut in range(len(written)):
        try:
            found, notes = read_lists(written[:cut])
        except LiteralError:
            continue
        assert "the dictionary is not closed" in notes
        for label, kept in found.items():
            assert kept == whole[label][: len(kept)]


def test_a_cut_keeps_every_whole_surface():
    """The promise of the cut from the other side: what was complete is there as soon as it is."""
    for write in WRITERS:
        written = write({"A": ["xy", "z"], "B": ["w"]})
        quote = written[1]
        for label, surface in (("A", "xy"), ("A", "z"), ("B", "w")):
            end = written.index(f"{quote}{surface}{quote}") + len(surface) + 2
            assert read_lists(written[:end])[0][label][-1] == surface


@settings(max_examples=500)
@given(st.lists(st.sampled_from([*PIECES, "A", "true", "1.5", "(", ")", "u'x'", "\\x4", "nUll", "#"]), max_size=14).map("".join))
def test_nothing_else_is_raised_and_strings_are_never_made_up(raw):
    """Every surface stands in the text as the inside of quotes, up to escapes; without notes the strict reader agrees."""
    try:
        found, notes = read_lists(raw)
    except LiteralError:
        return
    assert notes or found == parse_lists(
        raw.strip().partition("</think>")[2] if "</think>" in raw and raw.strip()[0] != "{" else raw.strip()
    )
    for surface in (surface for kept in found.values() for surface in kept if "\\" not in raw):
        assert f"'{surface}'" in raw or f'"{surface}"' in raw


@pytest.mark.parametrize(
    ("raw", "found", "note"),
    [
        ('```json\n{"A": ["x"]}\n```', {"A": ["x"]}, "text around the dictionary"),
        ('```json\n{"A": ["x"]\n```', {"A": ["x"]}, "text around the dictionary; the dictionary is not closed"),
        ('## Final Response\n\n{"A": ["x"]}', {"A": ["x"]}, "text around the dictionary"),
        ("In {braces} and {}: {'A': ['x']}", {"A": ["x"]}, "text around the dictionary"),
        ("{} and nothing", {}, "text around the dictionary"),
        ('{"entities": {"A": ["x"]}}', {"A": ["x"]}, "text around the dictionary"),
        ("{'A': ['x',], 'B': [],}", {"A": ["x"], "B": []}, ""),
        ("{'A': NONE, 'B': Null, \"C\": null}", {"A": [], "B": [], "C": []}, "NONE read as nothing; Null read as nothing"),
        ("{'A': true, 'B': 0, 'C': ['x', 3.5, null]}", {"A": [], "B": [], "C": ["x"]}, "true is no string and dropped; 0 is no string and "
         "dropped; 3.5 is no string and dropped; null read as a list with nothing in it"),
        ("{'A': 'x', 'B': 'None', 'C': ''}", {"A": ["x"], "B": [], "C": []}, "a string stands for a list"),
        ("{A: ['x']}", {"A": ["x"]}, "a label has no quotes"),
        ("{'A': ('x', 'y')}", {"A": ["x", "y"]}, "round brackets read as square ones"),
        ("{'A': ['x'], 'B': None, 'A': ['y']}", {"A": ["x", "y"], "B": []}, "label 'A' stands twice"),
        ("{'A': ['x'] 'B': None}", {"A": ["x"], "B": []}, "a comma between labels is missing"),
        ("{'A': ['x', 'y", {"A": ["x"]}, "an unfinished string is dropped; the dictionary is not closed"),
        ("{'A': ['x'], 'B': No", {"A": ["x"], "B": []}, "an unfinished word is dropped; the dictionary is not closed"),
        ("{'A': ['x'], 'B", {"A": ["x"]}, "an unfinished string is dropped; the dictionary is not closed"),
        ("{'A': None, 'B'", {"A": []}, "the dictionary is not closed"),
        ("{'A': ['x']", {"A": ["x"]}, "the dictionary is not closed"),
    ],
)  # fmt: skip
def test_repairs_and_their_notes(raw, found, note):
    assert read_lists(raw)[0] == found
    assert notes_on(raw) == note


@pytest.mark.parametrize(
    "raw",
    [
        "", "None", "{", "{'A", "{'A'", "{'A':", "{'A': ['x", "no dictionary", "['x']",
        "{'A': ['Moody's', 'x']}",  # where the string ends is a guess
        "{'A': ['x' 'y']}", "{'A': [Acme]}", "{'A': [x y]}", "{'A': x}", "{'A': ['x\ny']}", "{'A': ['x'}", "{'A': {'x'}}",
        "{'A': ['it's', \"{'A': ['X']}\"]}",  # what stands in a string is not the answer
        "Answer: {'A': [\"x {'B': ['X']}",
        "{'A': ['it's </think> {'A': ['X']}']}",
        r"{'A': ['\x4']}", r'{"A": ["\ud800"]}',
    ],
)  # fmt: skip
def test_what_would_be_a_guess_is_refused(raw):
    with pytest.raises(LiteralError):
        read_lists(raw)


@pytest.mark.parametrize(
    "piece", ["{", "{'", '{"\\', "{'a':", "{'a':['", "{'a': {", "{a: ", "[", "<think>", "{'a':['b'],", "{} ", "`", "x {'a' "]
)
def test_a_hostile_megabyte_is_read_to_an_end(piece):
    """A search that begins anew at each brace would not come back."""
    for raw in (piece * (MAX_CHARS // len(piece) // 4), "x" + piece * (MAX_CHARS // len(piece) + 1)):
        try:
            found, _ = read_lists(raw)
        except LiteralError:
            continue
        assert all(surface == "b" for kept in found.values() for surface in kept)
