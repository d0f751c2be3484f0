import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintune.data.formats.base import ReadOptions, Source
from fintune.data.formats.conll import read
from fintune.records import Example
from fintune.text.bio import TokenSpan, encode

# No blanks, and nothing that would read as a comment or a document mark.
tokens = st.text(st.characters(exclude_categories=["Cs", "Z", "C"], exclude_characters="#-"), min_size=1, max_size=5)


def rows_of(content, **options):
    found = [*read(Source("rows.conll", data=content.encode()), ReadOptions(**options))]
    assert all(isinstance(row, Example) for row in found), found
    return found


@st.composite
def sentences(draw):
    words = draw(st.lists(tokens, min_size=1, max_size=8))
    start = draw(st.integers(0, len(words) - 1))
    end = draw(st.integers(start + 1, len(words)))
    return words, TokenSpan(start, end, draw(st.sampled_from(["ORG", "B-2", "Pérs"])))


@given(
    st.lists(sentences(), min_size=1, max_size=4),
    st.sampled_from(["BIO", "IOB", "IO", "BIOES"]),
    st.sampled_from(["\t", " "]),
    st.booleans(),
)
def test_spans_hold_their_tokens(drawn, scheme, separator, auto):
    lines = []
    for words, span in drawn:
        lines += [f"{word}{separator}X{separator}{tag}" for word, tag in zip(words, encode([span], len(words), scheme), strict=True)] + [""]
    rows = rows_of("\n".join(lines), scheme="auto" if auto else scheme)
    assert len(rows) == len(drawn)
    for row, (words, span) in zip(rows, drawn, strict=True):
        assert row.text == " ".join(words)
        (found,) = row.spans
        assert found.text == row.text[found.start : found.end] == " ".join(words[span.start : span.end])
        assert found.start == len(" ".join([*words[: span.start], ""]))
        assert found.label == span.label


def test_documents_comments_and_blank_only_lines():
    content = (
        "# global.columns = form tag\n-DOCSTART- -X- O O\n\nAcme NNP - I-ORG\n \t\n# newdoc\nrose VBD - O\n\n"
        "-DOCSTART- -X- O O\n# sent = 3\n# NN - O\nAjax NNP - I-ORG"
    )
    rows = rows_of(content)
    assert [(row.id, row.text, row.meta.document) for row in rows] == [
        ("rows:4", "Acme", "rows#1"), ("rows:7", "rose", "rows#1"), ("rows:11", "# Ajax", "rows#2"),
    ]  # fmt: skip


def test_a_hash_token_is_no_comment():
    assert [row.text for row in rows_of("#\tO\nAcme\tB-ORG\n\n#tag\tO\n\n#\tO\n")] == ["# Acme", "#tag", "#"]


def test_columns_may_be_chosen():
    content = "B-ORG x Acme\nO y rose\n"
    (row,) = rows_of(content, token_column="2", tag_column="0")
    assert (row.text, [span.text for span in row.spans]) == ("Acme rose", ["Acme"])
    assert rows_of(content, token_column="-1", tag_column="0")[0].text == "Acme rose"


def test_auto_reads_as_the_conll_scorer_and_a_named_scheme_is_held_to():
    content = "a I-X\nb I-Y\nc B-Y\nd O\ne E-X\n"
    (row,) = rows_of(content)
    assert [(span.text, span.label) for span in row.spans] == [("a", "X"), ("b", "Y"), ("c", "Y"), ("e", "X")]


def test_bare_labels_with_the_io_scheme():
    (row,) = rows_of("Acme ORG\nInc ORG\nrose O\n", scheme="IO")
    assert [(span.text, span.label) for span in row.spans] == [("Acme Inc", "ORG")]


def test_tokens_may_hold_blanks_where_tabs_part_the_columns():
    (row,) = rows_of("New York\tB-LOC\n\u00a0x\tO \n")
    assert (row.text, row.spans[0].text) == ("New York \u00a0x", "New York")


@pytest.mark.parametrize("content", ["Acme\nrose\n", "Acme B-ORG\nrose nonsense\n"])
def test_texts_to_predict_need_no_tags(content):
    assert [(row.text, row.spans) for row in rows_of(content, gold="none")] == [("Acme rose", None)]
