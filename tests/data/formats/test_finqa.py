"""FinQA and ConvFinQA: what the rows hold becomes text, question, answer and steps; what is wrong is named by its line."""

import gzip
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fintune.data.formats.base import ReadOptions, Rejected, Source
from fintune.data.formats.detect import detect
from fintune.data.formats.finqa import read
from fintune.data.load import load, load_texts
from fintune.errors import DataError
from fintune.records import Answer, Meta

DATA = Path(os.environ.get("FINTUNE_DATA", "../shared/data"))
needs_data = pytest.mark.skipif(not (DATA / "qa").is_dir(), reason="needs the shared data (FINTUNE_DATA)")

QA = {"question": "what share is current?", "answer": "17%", "program": "divide(2577, 15121)", "exe_ans": 0.17043}
ROW = {
    "id": "A/2010/page_1.pdf-3", "filename": "A/2010/page_1.pdf", "pre_text": ["debt is as follows :", ".", "in millions ."],
    "post_text": [".", "see note 3 ."], "table": [["", "2010"], ["current  debt", "$ 2577"], ["total", "$ 15121"]], "qa": QA,
}  # fmt: skip
TEXT = "debt is as follows : in millions .\n|  | 2010 |\n| current debt | $ 2577 |\n| total | $ 15121 |\nsee note 3 ."
TALK = {
    "id": "Double_B/2007/page_2.pdf-1", "text": "prices .", "table": "- | 2007 | 2005\nprice | $ 60.94 | $ 25.14\n", "answer": 1.42403,
    "questions": ["what was it in 2007?", "and the change, as a share?"],
    "programs": ["ans = 60.94", "x0 = 60.94 - 25.14; ans = x0 / 25.14"],
}  # fmt: skip


def rows_of(content, **options):
    return [*read(Source("rows.data", data=content.encode()), ReadOptions(**options))]


def finqa(*rows, indent=None):
    return json.dumps(rows, indent=indent)


def changed(**values):
    """The FinQA row with other values of its own or of its question."""
    qa = {key: values.pop(key) for key in list(values) if key in QA}
    return {**ROW, **values, "qa": {**QA, **qa}}


def test_a_finqa_row():
    (example,) = rows_of(finqa(ROW))
    assert (example.id, example.text, example.question) == (ROW["id"], TEXT, QA["question"])
    assert example.answer == Answer(None, "17.043%")
    assert example.meta == Meta(document="A/2010/page_1.pdf")
    assert example.where == "rows.data:1"
    assert example.reasoning == "divide(2577, 15121) = 0.17042524"


def test_a_convfinqa_row():
    (example,) = rows_of(json.dumps(TALK) + "\n")
    assert example.text == "prices .\n| - | 2007 | 2005 |\n| price | $ 60.94 | $ 25.14 |"
    assert example.question == "what was it in 2007?\nand the change, as a share?"
    assert (example.answer, example.meta) == (Answer(None, "1.42403"), Meta(document="B/2007/page_2.pdf"))
    assert example.reasoning.splitlines()[0] == "60.94 - 25.14 = 35.8"


@pytest.mark.parametrize(
    ("written", "stated", "text"),
    [
        ("17%", 0.17043, "17.043%"), ("17.04 %", 0.17043, "17.043%"), ("17.1%", 0.17043, "17.043%"), ("0.17", 0.17043, "0.17043"),
        ("18.5%", 0.17043, "0.17043"), ("", 0.17043, "0.17043"), (None, 0.17043, "0.17043"), (17, 0.17043, "0.17043"),
    ],
)  # fmt: skip
def test_the_answer_is_the_executed_one_in_percent_where_the_annotator_wrote_the_same_so(written, stated, text):
    (example,) = rows_of(finqa(changed(answer=written, exe_ans=stated)))
    assert example.answer == Answer(None, text)


def test_rows_are_named_by_their_lines_and_bad_ones_left_out():
    content = finqa(ROW, changed(exe_ans=0.18), {**ROW, "id": "x"}, indent=2)
    good, bad, other = rows_of(content)
    starts = [number for number, line in enumerate(content.split("\n"), 1) if line == "  {"]
    assert isinstance(bad, Rejected)
    assert [good.where, bad.error.where, other.where] == [f"rows.data:{number}" for number in starts]
    assert "it gives 0.17042523" in str(bad.error)
    assert "--skip-bad" in bad.error.fix


BAD_ROWS = [
    (3, "3 is not a JSON object"),
    ({}, "'qa' is None"),
    ({**ROW, "qa": []}, "'qa' is []"),
    ({**ROW, "id": None}, "'id' is None"),
    (changed(question=""), "'question' is empty"),
    (changed(program=None), "'program' is None"),
    (changed(program="divide(2577)"), "two numbers, not 1"),
    (changed(program="divide(2577, 15121"), "no step"),
    (changed(exe_ans=""), "an answer is a number, yes or no"),
    (changed(exe_ans=None), "an answer is a number, yes or no"),
    (changed(exe_ans=True), "an answer is a number, yes or no"),
    (changed(exe_ans="yes"), "the answer is yes"),
    (changed(table="| a |"), "'table' is '| a |'"),
    (changed(table=[["a"], "b"]), "'table' holds 'b'"),
    (changed(pre_text="a"), "'pre_text' holds 'a'"),
    (changed(post_text=[1]), "'post_text' holds [1]"),
    (changed(pre_text=["."], post_text=[], table=[]), "'pre_text' is empty"),
    (changed(filename=3), "'filename' is 3"),
    ({**TALK, "questions": []}, "'questions' is empty"),
    ({**TALK, "questions": ["a"]}, "1 questions and 2 programs"),
    ({**TALK, "programs": ["a = 1", 2]}, "'programs' holds"),
    ({**TALK, "programs": ["ans = 60.94", "ans = 3"]}, "it gives 3"),
    ({**TALK, "table": None}, "'table' is None"),
    ({**TALK, "text": " ", "table": ""}, "'text' is empty"),
]


@pytest.mark.parametrize(("bad", "says"), BAD_ROWS, ids=[f"{number}: {says}" for number, (_, says) in enumerate(BAD_ROWS)])
def test_a_bad_row_is_named_and_may_be_skipped(refused, skipped, bad, says):
    content = "[" + ",\n".join(json.dumps(row) for row in ({**ROW, "id": "first"}, bad, {**ROW, "id": "last"})) + "]"
    error = refused(content, "rows.json", says, line=2, kind="answer")
    rejected = skipped(content, "rows.json", ["first", "last"], kind="answer")
    assert [str(one) for one in rejected] == [str(error)]


LOOSE = [('{"id": 1, "id": 2}', "'id' stands twice"), ('{"id": NaN}', "NaN is not JSON"), ("null", "not a JSON object")]


@pytest.mark.parametrize(("bad", "says"), LOOSE)
@pytest.mark.parametrize("array", [True, False])
def test_rules_of_strict_json_hold_for_each_object(bad, says, array):
    rows = [json.dumps(ROW), bad, json.dumps(ROW)]
    found = rows_of("[" + ",\n".join(rows) + "]" if array else "\n".join(rows))
    assert [isinstance(row, Rejected) for row in found] == [False, True, False]
    assert says in str(found[1].error)
    assert found[1].error.where == "rows.data:2"


@pytest.mark.parametrize(
    ("content", "says", "line"),
    [
        ('[\n{"pre_text": 1},\n]', "a comma before the closing bracket", 3),
        ('[\n{"pre_text": 1}\n{}]', "',' or ']' is expected", 3),
        ('[\n{"pre_text": 1}', "',' or ']' is expected", 2),
        ('[\n{"pre_text": [1}]', "Expecting ',' delimiter", 2),
        ('[\n{"pre_text": 1},', "Expecting value", 2),
        ('[{"pre_text": 1}]\n[]', "text after the array", 1),
        ('[{"pre_text": ' + "[" * 100_000, "not valid JSON", 1),
        ('[{"pre_text": ' + "9" * 5000 + "}]", "not valid JSON", 1),
        (b'[{"pre_text": "a"},\n{"pre_text": "\xff"}]', "is not UTF-8", 2),
    ],
)
def test_an_array_that_is_no_json_is_refused_with_its_line(refused, content, says, line):
    refused(content, "rows.json", says, line=line, kind="answer", on_bad="skip")


@pytest.mark.parametrize(("content", "says"), [(" \n\n", "blank lines only"), ("[]", "no examples"), (" [ ] \n", "no examples")])
def test_a_file_without_rows_is_refused(refused, content, says):
    refused(content, "rows.json", says, kind="answer", format="finqa")


def test_texts_to_predict_need_no_answer(tmp_path):
    bare = {key: value for key, value in TALK.items() if key not in ("answer", "programs")}
    path = tmp_path / "rows.json"
    path.write_text(finqa(changed(exe_ans=None, program=None)))
    (example,) = load_texts(path)
    assert (example.question, example.answer, example.reasoning) == (QA["question"], None, None)
    path.write_text(json.dumps({**bare, "programs": []}))
    (example,) = load_texts(path)
    assert (example.answer, example.reasoning) == (None, None)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("name", ["rows", "rows.json", "rows.jsonl", "rows.txt"])
@pytest.mark.parametrize("content", [finqa(ROW), finqa(ROW, indent=2), json.dumps(TALK)])
def test_the_content_tells_the_format(tmp_path, name, content, pack):
    (tmp_path / name).write_bytes(pack(content.encode()))
    loaded = load(tmp_path / name, kind="answer")
    assert (loaded.format, len(loaded.examples)) == ("finqa", 1)


OTHER = ['{"text": "\\"questions\\" and \\"programs\\""}', '[{"text": "a"}]', '{"text": "pre_text", "question": "a"}']


@pytest.mark.parametrize("content", OTHER)
def test_other_json_is_left_to_its_reader(content):
    assert detect(Source("rows.json", data=content.encode()), ReadOptions()) == "jsonl"


PIECES = ["", "{", "}", "[", "]", ",", '"', "\\", "null", "NaN", "-1", "#0", "(", ")", "\n", " ", "9" * 30, "\ud83d\ude00"]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_mutated_files_are_read_or_refused(data):
    content = data.draw(st.sampled_from([finqa(ROW, ROW), json.dumps(TALK) + "\n" + json.dumps(TALK)]))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content)))
        content = content[:start] + data.draw(st.sampled_from(PIECES)) + content[start + data.draw(st.integers(0, 12)) :]
    try:
        rows = [*read(Source("rows.data", data=content.encode("utf-8", "replace")), ReadOptions())]
    except DataError as error:
        rows = [Rejected(error)]
    for row in rows:
        if isinstance(row, Rejected):
            assert row.error.fix
            assert row.error.where.startswith("rows.data")
            assert "\n" not in str(row.error)
        else:
            assert row.text.strip()
            assert row.question.strip()
            assert row.answer.text.strip()


@needs_data
@pytest.mark.parametrize(("name", "rows", "documents"), [("finqa_sample20.json", 20, 20), ("convfinqa_dev_a.jsonl", 232, 117)])
def test_real_rows(name, rows, documents):
    """Every program of the given rows gives the stated answer, or the row would have been refused."""
    loaded = load(DATA / "qa" / name, kind="answer")
    assert (loaded.format, len(loaded.examples), loaded.rejected) == ("finqa", rows, ())
    assert len({example.meta.document for example in loaded.examples}) == documents
    assert all(example.reasoning and example.answer.start is None for example in loaded.examples)
    assert len(load_texts(DATA / "qa" / name)) == rows
