"""TAT-QA: pages with tables become one text for each question, answers get their place and scale, and bad rows are named."""

import json
import os
from pathlib import Path

import pytest

from fintune.data.formats.base import ReadOptions, Rejected, Source
from fintune.data.formats.detect import detect
from fintune.data.formats.tatqa import read, read_spans
from fintune.data.load import load
from fintune.records import Answer
from fintune.tasks.base import load_task

DATA = Path(os.environ.get("FINTUNE_DATA", "../shared/data"))
needs_data = pytest.mark.skipif(not (DATA / "qa").is_dir(), reason="needs the shared data (FINTUNE_DATA)")

ASKED = {"uid": "q", "question": "What?", "answer_from": "table", "rel_paragraphs": [], "derivation": "", "scale": ""}
PAGE = {
    "table": {"uid": "page", "table": [["", "2019"], ["Sales  net", "1,496.5"], ["Note", "2,019"]]},
    "paragraphs": [
        {"uid": "b", "order": 2, "text": "Sales rose in 2019. They were 1,496.5 then."},
        {"uid": "a", "order": 1, "text": "Figures are in millions, as of 2019."},
    ],
}
TEXT = (
    "Figures are in millions, as of 2019.\nSales rose in 2019. They were 1,496.5 then.\n"
    "|  | 2019 |\n| Sales net | 1,496.5 |\n| Note | 2,019 |"
)


def page(*questions, **changed):
    return {**PAGE, "questions": list(questions), **changed}


def rows_of(*pages, using=read, **options):
    return [*using(Source("rows.json", data=json.dumps(pages, indent=1).encode()), ReadOptions(**options))]


def question(kind, answer, **changed):
    return {**ASKED, "answer_type": kind, "answer": answer, **changed}


def test_a_page_is_its_paragraphs_in_order_and_its_table():
    (example,) = rows_of(page(question("span", ["rose"], answer_from="text", rel_paragraphs=["2"])))
    assert (example.text, example.id, example.question, example.meta.document) == (TEXT, "q", "What?", "page")
    assert example.answer == Answer(TEXT.index("rose"), "rose")
    assert example.where == "rows.json:2"


@pytest.mark.parametrize(
    ("asked", "answer", "others"),
    [
        (question("span", ["2019"], answer_from="text", rel_paragraphs=["2"]), Answer(TEXT.index("2019. They"), "2019"), ()),
        (question("span", ["2019"]), Answer(TEXT.index("2019 |"), "2019"), ()),
        (question("span", ["1,496.5"], scale="million"), Answer(TEXT.index("1,496.5 |"), "1,496.5"), ("1,496.5 million",)),
        (question("span", ["nowhere"]), Answer(None, "nowhere"), ()),
        (question("span", ["12"], scale="percent"), Answer(None, "12%"), ()),
        (question("multi-span", ["Sales", "Note"]), Answer(None, "Sales, Note"), ()),
        (question("arithmetic", -12.6, scale="million"), Answer(None, "-12.6 million"), ()),
        (question("arithmetic", 36, scale="percent"), Answer(None, "36%"), ()),
        (question("arithmetic", 2), Answer(None, "2"), ()),
        (question("count", "3"), Answer(None, "3"), ()),
    ],
    ids=lambda value: str(value)[:40],
)
def test_answers_have_their_place_and_numbers_their_scale(asked, answer, others):
    (example,) = rows_of(page(asked))
    assert example.answer == answer
    assert tuple(other.text for other in example.alternatives) == others
    assert answer.start is None or example.text.startswith(answer.text, answer.start)


def test_the_derivation_is_the_reasoning():
    (example,) = rows_of(page(question("arithmetic", 1.0, derivation=" 3 - 2 ")))
    assert example.reasoning == "3 - 2"


def test_the_extractive_reader_leaves_other_questions_out():
    rows = rows_of(
        page(
            question("span", ["rose"], answer_from="text", uid="kept"), question("span", ["1,496.5"], uid="of the table"),
            question("span", ["fell"], answer_from="text", uid="nowhere"), question("multi-span", ["rose", "were"], answer_from="text"),
            question("arithmetic", 2, answer_from="text"),
        ),
        using=read_spans,
    )  # fmt: skip
    assert [(row.id, row.answer) for row in rows] == [("kept", Answer(TEXT.index("rose"), "rose"))]
    assert rows[0].text == TEXT[: TEXT.index("\n| ")]


BAD = [
    (page(3), "3 is not a question"),
    (page(question("sum", 2)), "'answer_type' is 'sum'"),
    (page(question("count", 2, scale="dozen")), "'scale' is 'dozen'"),
    (page(question("count", [2])), "'answer' is [2], not a number"),
    (page(question("arithmetic", "many")), "'answer' is 'many', not a number"),
    (page(question("span", [])), "'answer' is [], not a list of strings"),
    (page(question("span", "rose")), "'answer' is 'rose', not a list of strings"),
    (page(question("span", ["a", "b"])), "a span of 2 parts"),
    (page(question("count", 2, derivation=3)), "'derivation' is 3"),
    (page(question("count", 2, question="")), "'question' is empty"),
    (page(question("count", 2, uid=None)), "'id' is None"),
    (page(paragraphs=[{"text": "a"}]), "a paragraph without 'order'"),
    (page(paragraphs=[3]), "'paragraphs' is [3]"),
    (page(table=None), "'table' is None"),
    (page(table={"uid": "x", "table": [["a", 1]]}), "'table' holds ['a', 1]"),
    ({**PAGE, "questions": None}, "'questions' is None"),
    (7, "7 is not a JSON object"),
]


@pytest.mark.parametrize(("bad", "says"), BAD, ids=[says for _, says in BAD])
def test_a_bad_row_is_named_and_the_others_are_read(bad, says):
    content = "[" + ",\n".join(json.dumps(one) for one in (page(question("count", 1, uid="first")), bad)) + "]"
    first, rejected = read(Source("rows.json", data=content.encode()), ReadOptions())
    assert first.id == "first"
    assert isinstance(rejected, Rejected)
    assert rejected.error.where.startswith("rows.json:2")
    assert says in str(rejected.error)
    assert rejected.error.fix


def test_the_content_tells_the_format():
    content = json.dumps([page(question("count", 1))], indent=2)
    assert detect(Source("rows.txt", data=content.encode()), ReadOptions()) == "tatqa"


@needs_data
def test_the_development_set_of_tatqa():
    """1,668 questions on 278 pages, one of which has an empty part; every target is read back as the gold answer."""
    loaded = load(DATA / "qa" / "tatqa_dataset_dev.json", ReadOptions(on_bad="skip"), kind="answer")
    assert (loaded.format, len(loaded.examples), len(loaded.rejected)) == ("tatqa", 1667, 1)
    assert len({example.meta.document for example in loaded.examples}) == 278
    assert sum(example.answer.start is not None for example in loaded.examples) == 687
    task = load_task("financial-reasoning")
    for example in loaded.examples:
        task.require_gold(example)
        assert task.parse(task.target(example), example).answer.text == example.answer.text
