import ast
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintune.text.literals import MAX_CHARS, LiteralError, parse_lists

# Anything that UTF-8 can hold: half surrogate pairs are refused by the reader before and by the parser itself.
strings = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
lists = st.dictionaries(strings, st.none() | st.lists(strings, max_size=4), max_size=5)


def filled(value: dict[str, list[str] | None]) -> dict[str, list[str]]:
    return {label: surfaces or [] for label, surfaces in value.items()}


@given(lists)
def test_reads_what_python_writes(value):
    assert parse_lists(repr(value)) == filled(value)


@given(lists, st.booleans(), st.sampled_from([None, 2]))
def test_reads_what_json_writes(value, ascii_only, indent):
    assert parse_lists(json.dumps(value, ensure_ascii=ascii_only, indent=indent)) == filled(value)


@given(st.text("{}[]():,'\"\\ \nNonul1a-", max_size=24))
def test_agrees_with_the_python_parser_on_arbitrary_text(cell):
    """The twin: whatever is accepted is what `ast.literal_eval` reads, once `null` is written as None."""
    try:
        found = parse_lists(cell)
    except LiteralError:
        return
    assert found == filled(ast.literal_eval(cell.strip().replace("null", "None")))


def test_order_and_repetition_are_kept():
    assert parse_lists("{'B': ['x', 'a', 'x'], 'A': None}") == {"B": ["x", "a", "x"], "A": []}
    assert list(parse_lists("{'B': None, 'A': None}")) == ["B", "A"]


def test_the_two_notations_may_be_mixed():
    assert parse_lists("""{"A": null, 'B': None, "C": ["it's"], 'D': ['say "yes"', u'q'],}""") == {
        "A": [], "B": [], "C": ["it's"], "D": ['say "yes"', "q"],
    }  # fmt: skip


def test_escapes_follow_their_notation():
    assert parse_lists(r"""{"A": ["\ud83d\ude00 \/"], 'B': ['\x41\u00e9\n', "\x41"]}""") == {"A": ["😀 /"], "B": ["Aé\n", "A"]}


@pytest.mark.parametrize(
    ("cell", "column", "says"),
    [
        ("", 1, "a dictionary is expected, found the end"),
        ("None", 1, "a dictionary is expected"),
        ("['Acme']", 1, "a dictionary is expected"),
        ("{'A': ['x']} trailing", 14, "the dictionary ends before trailing"),
        ("{'A': 'Acme'}", 7, "must hold a list of strings or None"),
        ("{'A': ['x', 3]}", 13, "found 3"),
        ("{'A': ['x', None]}", 13, "found None"),
        ("{'A': [['x']]}", 8, "found ["),
        ("{'A': {'B': ['x']}}", 7, "found {"),
        ("{'A': ('x',)}", 7, "found ("),
        ("{'A': True}", 7, "found True"),
        ("{'A': NaN}", 7, "found NaN"),
        ("{A: ['x']}", 2, "a label in quotes is expected"),
        ("{1: ['x']}", 2, "a label in quotes is expected"),
        ("{'A' ['x']}", 6, "':' expected"),
        ("{'A': ['x' 'y']}", 12, "']' expected after 'x'"),
        ("{'A': ['x'] 'B': None}", 13, "'}' expected"),
        ("{'A': ['x'", 11, "found the end"),
        ("{'A': ['x]}", 8, "a string that is never closed"),
        ("{'A': ['it's']}", 12, "found s"),
        ("{'A': ['x'], 'A': ['y']}", 14, "stands twice"),
        ("{,}", 2, "a label in quotes"),
        ("{'A': [,]}", 8, "a string in the list"),
        ("{'A': __import__('os')}", 7, "found __import__"),
        ("{'A': [open('/etc/passwd').read()]}", 8, "found open"),
        ("{'A': ['x'] * 9}", 13, "unexpected '*'"),
        ("{'A': [f'{x}']}", 8, "found f"),
        ("{'A': [b'x']}", 8, "found b"),
        (r"{'A': ['\ud800']}", 8, "surrogate"),
        (r"{'A': ['\N{no such name}']}", 8, "broken escape"),
        (r"{'A': ['\x4']}", 8, "broken escape"),
        ("{'A': ['x\ny']}", 8, "never closed"),
        ("[" * 200_000, 1, "a dictionary is expected"),
        ("{'A': " + "[" * 200_000, 8, "a string in the list"),
        ("{'A': " + "-" * 200_000 + "1}", 7, "must hold a list"),
        ('{"A":' * 100_000, 6, "must hold a list"),
        ("{'A': ['" + "x" * MAX_CHARS + "']}", MAX_CHARS + 1, "longer than"),
    ],
)
def test_refuses_with_the_column(cell, column, says):
    with pytest.raises(LiteralError, match=r"at column \d+$") as caught:
        parse_lists(cell)
    assert caught.value.column == column
    assert says in caught.value.reason
    assert len(str(caught.value)) < 120
