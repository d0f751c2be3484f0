import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintune.data.formats.base import ReadOptions, Source
from fintune.data.formats.delimited import rows as cut
from fintune.data.formats.delimited import sniff
from fintune.data.formats.lines import text_lines
from fintune.data.formats.table import read
from fintune.errors import DataError
from fintune.records import Answer, Example
from fintune.text.align import align

# csv.writer cannot write a bare carriage return that csv.reader gives back unchanged.
cells = st.text(st.sampled_from("ab\",;\t \n'{}é\u2028"), max_size=8)
tables = st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(cells, min_size=n, max_size=n), min_size=1, max_size=5))
list_values = st.none() | st.lists(st.sampled_from(["Acme", "it's", 'a "b"', "2012"]), max_size=3)


def source(content):
    return Source("rows.csv", data=content.encode())


def rows_of(content, **options):
    found = [*read(source(content), ReadOptions(**options))]
    assert all(isinstance(row, Example) for row in found), found
    return found


@given(tables, st.sampled_from(",;\t"))
def test_cuts_what_the_csv_module_writes(table, delimiter):
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=delimiter, lineterminator="\n").writerows(table)
    content = buffer.getvalue()
    if not content.strip("\n"):
        return
    twin = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    found = [row for row in cut(text_lines(source(content), "utf-8"), delimiter, "rows.csv") if "".join(row.cells).strip(" ")]
    assert [row.cells for row in found] == [row for row in twin if "".join(row).strip(" ")]
    starts = content.split("\n")
    for row in found:  # the line named is the one on which the row starts
        first_cell = row.cells[0].replace('"', '""').split("\n")[0]
        assert starts[row.number - 1].lstrip('"').startswith(first_cell.lstrip('"'))


@given(st.text(st.sampled_from('ab",\n'), min_size=1, max_size=24))
def test_arbitrary_text_is_cut_as_the_csv_module_does_or_refused(content):
    try:
        twin = [row for row in csv.reader(io.StringIO(content, newline=""), strict=True) if row]
    except csv.Error:
        twin = None
    found = [*cut(text_lines(source(content), "utf-8"), ",", "rows.csv")]
    bad = any(isinstance(row.cells, DataError) for row in found)
    assert bad == (twin is None)
    if twin is not None:
        assert [row.cells for row in found] == twin


def test_spans_are_aligned_and_the_rest_is_kept():
    content = "text,ground_truth\nAcme and Acme rose,\"{'Company': ['Acme', 'Ajax'], 'Date': None}\"\n"
    (row,) = rows_of(content)
    assert (row.spans, row.unaligned) == align("Acme and Acme rose", {"Company": ["Acme", "Ajax"]}, occurrences="all")
    assert [(span.start, span.end, span.label) for span in row.spans] == [(0, 4, "Company"), (9, 13, "Company")]
    assert row.unaligned == (("Company", "Ajax"),)
    assert (row.id, row.where) == ("rows:2", "rows.csv:2")
    assert len(rows_of(content, occurrences="first")[0].spans) == 1


def test_nothing_marked_is_no_spans_not_unknown():
    assert [row.spans for row in rows_of('text,ground_truth\na,{}\nb,{\'Company\': None}\nc,"{""Date"": []}"\n')] == [(), (), ()]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_columns_delimiter_and_case_are_recognised(delimiter):
    header = ["Unnamed: 0", "Sentence", "Sentiment", "ID", "Document", "published", "Source", "Group"]
    values = ["0", "Acme rose", "positive", "x", "10-K", "2024-01-31", "", "g"]
    (row,) = rows_of(delimiter.join(header) + "\r\n" + delimiter.join(values) + "\r\n", gold="label")
    assert (row.id, row.text, row.label, row.spans) == ("x", "Acme rose", "positive", None)
    assert (row.meta.document, row.meta.published, row.meta.source, row.meta.group) == ("10-K", "2024-01-31", None, "g")


def test_named_columns_win():
    content = "text,other,label,mood,marks\nwrong,right,wrong,up,\"{'A': ['right']}\"\n"
    (row,) = rows_of(content, text_column="other", label_column="mood", annotation_column="marks")
    assert (row.text, row.label, [span.text for span in row.spans]) == ("right", "up", ["right"])


def test_the_gold_that_is_not_wanted_is_not_read():
    content = "text,ground_truth,label\na,not a literal,up\n"
    assert [row.label for row in rows_of(content, gold="label")] == ["up"]
    assert [(row.label, row.spans) for row in rows_of(content, gold="none")] == [(None, None)]


def test_cells_over_several_lines_keep_their_text_and_start_line():
    content = 'text,label\n"one\r\ntwo ""x""\n\nthree",up\n\nfour,down\n'
    rows = rows_of(content)
    assert [(row.text, row.where) for row in rows] == [('one\ntwo "x"\n\nthree', "rows.csv:2"), ("four", "rows.csv:7")]


def test_a_mark_before_the_header_and_blank_lines_around_it():
    assert [row.where for row in rows_of("\ufeff\n\ntext,label\na,up")] == ["rows.csv:4"]


@given(st.dictionaries(st.sampled_from(["Company", "Date"]), list_values))
def test_both_notations_of_a_cell_read_alike(lists):
    text = 'Acme, it\'s a "b" of 2012'
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([["text", "ground_truth"], [text, repr(lists)], [text, json.dumps(lists)]])
    python, standard = rows_of(buffer.getvalue())
    assert (python.spans, python.unaligned) == (standard.spans, standard.unaligned)


@pytest.mark.parametrize(
    ("header", "delimiter"),
    [("text;a,b;label", ";"), ("text\tlabel", "\t"), ("a,b;c,d", ","), ("text", ","), ('"text";"label"', ";"), ("x;y", ";")],
)
def test_sniff_prefers_known_names_then_many_columns(header, delimiter):
    assert sniff(header, ["text", "label"]) == delimiter


def test_a_long_cell_over_many_lines_is_linear():
    content = 'text,label\n"' + "word\n" * 200_000 + '",up\n'
    (row,) = rows_of(content)
    assert len(row.text) == 1_000_000


def test_questions_with_answers_and_reasoning():
    content = 'id,text,question,answer,reasoning\n1,"Sales rose\n3%",By how much?,3%,\n2,b,c,d,"first\nthen"\n'
    assert rows_of(content, gold="answer") == rows_of(content) == rows_of(content.replace("answer", "Response"))
    first, second = rows_of(content, gold="answer")
    assert (first.text, first.question, first.answer, first.reasoning) == ("Sales rose\n3%", "By how much?", Answer(None, "3%"), None)
    assert (second.where, second.reasoning) == ("rows.csv:4", "first\nthen")
    assert [(row.question, row.answer, row.reasoning) for row in rows_of(content, gold="none")] == [
        ("By how much?", None, None), ("c", None, None),
    ]  # fmt: skip


HOLDING = ["Context: {text} Question: {question} Answer:", "Do. Context:\n{text}\nQuestion: {question}", "{text}\nQuestion:{question}"]


@pytest.mark.parametrize("written", HOLDING)
def test_a_question_may_hold_its_text(written):
    """As the rows of reasoning corpora do, whose columns are known by name."""
    cell = written.format(text="A Question: of 3% Context: none.", question="How much?")
    content = f'Open-ended Verifiable Question,Ground-True Answer,Complex_CoT,Response\n"{cell}",3%,steps,It is 3%.\n'
    (row,) = rows_of(content, gold="answer")
    assert (row.question, row.answer, row.reasoning) == ("How much?", Answer(None, "3%"), "steps")
    assert row.text == ("none." if written.startswith("{text}") else "A Question: of 3% Context: none.")
    (other,) = rows_of(content, gold="answer", answer_column="Response", reasoning_column="Ground-True Answer")
    assert (other.answer, other.reasoning) == (Answer(None, "It is 3%."), "3%")


def test_a_question_of_a_table_about_something_else_does_not_matter():
    (row,) = rows_of("text,question,label\na,,up\n", gold="none")
    assert row.question is None
    (row,) = rows_of("text,question,label\na,,up\n", gold="label")
    assert (row.label, row.question) == ("up", None)
