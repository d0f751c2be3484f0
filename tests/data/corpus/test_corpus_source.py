"""The markup is read as written, offsets are those of the plain text, and every fault names its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintune.data.corpus.source import HERE, MarkupError, read, read_all, strip_markup

GOOD = """# a comment
@ doc-one earnings en 2023-08-14T07:00:00Z
- M&A | Investments / positive
[Harlow](Company c) paid [£4 million](Money m =GBP 4000000) for [Harlow](Location) mills.
> Value c m
? What was paid? :: £4 million
? Who advised? ::

- Earnings / neutral
Nothing is marked in this sentence.
@ doc-two filing es 2020-01-02T00:00:00Z
- Dividend / negative
La junta aprueba el reparto.
"""


def entries(tmp_path: Path, text: str):
    path = tmp_path / "part.txt"
    path.write_text(text, encoding="utf-8")
    return list(read(path))


def test_a_file_is_read_with_everything_that_is_written_in_it(tmp_path):
    first, second, third = entries(tmp_path, GOOD)
    assert [e.id for e in (first, second, third)] == ["doc-one-1", "doc-one-2", "doc-two-1"]
    assert first.text == "Harlow paid £4 million for Harlow mills."
    assert [(m.start, m.end, m.label, m.key, m.value) for m in first.mentions] == [
        (0, 6, "Company", "c", None), (12, 22, "Money", "m", "GBP 4000000"), (27, 33, "Location", None, None),
    ]  # fmt: skip
    assert [(r.type, r.head, r.tail) for r in first.relations] == [("Value", 0, 1)]
    assert [(q.text, q.answer, q.start) for q in first.questions] == [("What was paid?", "£4 million", 12), ("Who advised?", None, None)]
    assert (first.topic, first.sentiment, first.where) == ("M&A | Investments", "positive", "part.txt:3")
    assert (second.register, second.language, second.mentions, second.where) == ("earnings", "en", (), "part.txt:9")
    assert (third.document, third.published) == ("doc-two", "2020-01-02T00:00:00Z")


@pytest.mark.parametrize(
    ("old", "new", "line", "word"),
    [
        ("@ doc-one earnings en 2023-08-14T07:00:00Z", "@ doc-one earnings en", 2, "found 3 fields"),
        ("@ doc-one earnings en 2023-08-14T07:00:00Z", "# no document", 3, "before the first '@'"),
        ("- M&A | Investments / positive", "- M&A | Investments", 3, "Topic / sentiment"),
        ("- M&A | Investments / positive", "# nothing", 4, "text before"),
        ("> Value c m", "> Value c x", 5, "keys of this example"),
        ("> Value c m", "> Value c", 5, "a relation is"),
        ("? What was paid? :: £4 million", "? What was paid?", 6, "question :: answer"),
        ("? What was paid? :: £4 million", "? What was paid? :: £5 million", 6, "not a stretch"),
        ("[Harlow](Company c)", "[Harlow](Company C)", 4, "']('"),
        ("\n\n- Earnings", "\nA second line.\n\n- Earnings", 8, "second text line"),
        ("Nothing is marked in this sentence.\n", "", 9, "no text line"),
    ],
)
def test_a_fault_is_refused_with_its_line(tmp_path, old, new, line, word):
    assert old in GOOD
    with pytest.raises(MarkupError) as caught:
        entries(tmp_path, GOOD.replace(old, new, 1))
    assert str(caught.value).startswith(f"part.txt:{line}: ")
    assert word in str(caught.value)


words = st.text(alphabet="abcÄé中。 ,-€𝄞", min_size=1, max_size=8)


@given(st.lists(st.tuples(words, st.none() | st.sampled_from(["Company", "Money x", "Date =2020-01-01"])), max_size=8))
def test_offsets_are_those_of_the_plain_text(pieces):
    """Composing the markup from pieces and reading it gives the pieces back, in code points."""
    line = "".join(text if mark is None else f"[{text}]({mark})" for text, mark in pieces)
    text, mentions = strip_markup(line, "here")
    assert text == "".join(piece for piece, _ in pieces)
    assert [(text[m.start : m.end], m.label) for m in mentions] == [(piece, mark.split()[0]) for piece, mark in pieces if mark]


def test_the_corpus_can_be_written_back_from_its_offsets():
    """Putting the markup around each `text[start:end]` again gives the text lines of the files."""
    written = {line for path in (HERE / "source").glob("*.txt") for line in path.read_text(encoding="utf-8").split("\n")}
    for entry in read_all():
        parts, position = [], 0
        for m in entry.mentions:
            key, value = f" {m.key}" if m.key else "", f" ={m.value}" if m.value else ""
            parts += [entry.text[position : m.start], f"[{entry.text[m.start : m.end]}]({m.label}{key}{value})"]
            position = m.end
        assert "".join(parts) + entry.text[position:] in written, entry.where


def test_answers_stand_at_their_offsets():
    for entry in read_all():
        for question in entry.questions:
            if question.answer is None:
                assert question.start is None
            else:
                assert entry.text.index(question.answer) == question.start
