"""SQuAD's JSON of both versions: what the questions hold becomes examples, and what is wrong is named by its place."""

import gzip
import json
import os
from pathlib import Path

import pytest

from fintune.data.formats import reader
from fintune.data.formats.base import ReadOptions, Rejected, Source
from fintune.data.formats.detect import detect
from fintune.data.formats.squad import read
from fintune.data.load import load, load_texts
from fintune.errors import DataError
from fintune.metrics.intervals import Bootstrap
from fintune.records import Answer, Meta, Prediction
from fintune.tasks.base import documents_of, load_task

DATA = Path(os.environ.get("FINTUNE_DATA", "../shared/data"))
needs_data = pytest.mark.skipif(not (DATA / "qa").is_dir(), reason="needs the shared data (FINTUNE_DATA)")

CONTEXT = "Corvane sold its Malmö plant for €214 million."
SOLD = {"id": "q1", "question": "What was sold?", "answers": [{"text": "its Malmö plant", "answer_start": 13}]}
SEVERAL = {
    "id": "q2", "question": "For how much?", "is_impossible": False,
    "answers": [
        {"text": "€214 million", "answer_start": 33}, {"text": "214 million", "answer_start": 34},
        {"text": "€214 million", "answer_start": 33},
    ],
}  # fmt: skip
IMPOSSIBLE = {
    "id": "q3", "question": "Who bought it?", "is_impossible": True, "answers": [],
    "plausible_answers": [{"text": "Corvane", "answer_start": 0}],
}  # fmt: skip


def squad(*qas, context=CONTEXT, **article):
    return {"version": "v2.0", "data": [{"title": "Plants", "paragraphs": [{"context": context, "qas": list(qas)}], **article}]}


def rows_of(value, **options):
    content = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return [*read(Source("rows.json", data=content.encode()), ReadOptions(**options))]


def test_questions_of_both_versions():
    sold, several, impossible = rows_of(squad(SOLD, SEVERAL, IMPOSSIBLE))
    assert (sold.id, sold.text, sold.question, sold.meta) == ("q1", CONTEXT, "What was sold?", Meta(document="Plants"))
    assert (sold.answer, sold.golds) == (Answer(13, "its Malmö plant"), ("its Malmö plant",))
    assert sold.where == "rows.json#/data/0/paragraphs/0/qas/0"
    assert several.golds == ("€214 million", "214 million")
    assert several.alternatives == (Answer(34, "214 million"),)
    assert (impossible.answer, impossible.golds) == (None, ())


def test_a_score_accepts_every_gold_answer():
    task = load_task("financial-questions")
    (example,) = rows_of(squad(SEVERAL))
    for text, points in (("€214 million", 1.0), ("214 million", 1.0), ("214", 0.0)):
        prediction = Prediction(example.id, example.text, answer=Answer(None, text))
        found = task.score([(example, prediction)], documents=documents_of([example]), plan=Bootstrap(replicates=1))
        assert found["metrics"]["exact_match"]["value"] == points


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_the_content_tells_the_format(tmp_path, indent, pack):
    path = tmp_path / "rows.data"
    path.write_bytes(pack(json.dumps(squad(SOLD), indent=indent).encode()))
    assert detect(Source("rows.data", path), ReadOptions()) == "squad"
    assert [example.id for example in load(path, kind="answer").examples] == ["q1"]


def test_texts_to_predict_need_no_answers(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(squad({"id": 7, "question": "What was sold?"})))
    (example,) = load_texts(path)
    assert (example.id, example.question, example.answer) == ("7", "What was sold?", None)


BAD = [
    (3, "3 is not a question"),
    ({**SOLD, "question": " "}, "'question' is empty"),
    ({**SOLD, "id": None}, "'id' is None"),
    ({**SOLD, "answers": None}, "'answers' is None, not a list"),
    ({**SOLD, "answers": ["its"]}, "an answer is 'its'"),
    ({**SOLD, "answers": [{"text": "its"}]}, "an answer is {'text': 'its'}"),
    ({**SOLD, "answers": [{"text": "its", "answer_start": None}]}, "an answer without a place"),
    ({**SOLD, "answers": [{"text": "", "answer_start": 0}]}, "the text of 'answer' is ''"),
    ({**SOLD, "answers": [{"text": "its Malmö plant", "answer_start": 14}]}, "offsets count from 0, not from 1"),
    ({**SOLD, "answers": [{"text": "plant", "answer_start": 99}]}, "outside the text of 46 characters"),
    ({**SOLD, "is_impossible": True}, "an impossible question with answers"),
    ({**SOLD, "is_impossible": "no"}, "'is_impossible' is 'no'"),
]


@pytest.mark.parametrize(("bad", "says"), BAD, ids=[says for _, says in BAD])
def test_a_bad_question_is_named_and_may_be_skipped(bad, says):
    first, rejected, last = rows_of(squad(SOLD, bad, IMPOSSIBLE))
    assert (first.id, last.id) == ("q1", "q3")
    assert isinstance(rejected, Rejected)
    assert rejected.error.where == "rows.json#/data/0/paragraphs/0/qas/1"
    assert says in str(rejected.error)
    assert rejected.error.fix


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (squad(SOLD, paragraphs=None), "an article without a list of 'paragraphs'"),
        (squad(SOLD, paragraphs=[{"context": CONTEXT}]), "a paragraph without a list of 'qas'"),
        (squad(SOLD, context=None), "'context' is None"),
    ],
)
def test_a_bad_article_or_paragraph_is_one_bad_row(value, says):
    (rejected,) = rows_of(value)
    assert says in str(rejected.error)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[]", "no list under 'data'"),
        ('{"data": {}}', "no list under 'data'"),
        ('{\n"data": [}', "rows.json:2:10: not valid JSON"),
        ('{"data": [], "data": []}', "key 'data' stands twice"),
        ('{"data": [NaN]}', "NaN is not JSON"),
    ],
)
def test_a_broken_file_is_refused(content, says):
    with pytest.raises(DataError, match=says.replace("(", r"\(")):
        rows_of(content)


def test_bytes_of_another_encoding_are_refused():
    with pytest.raises(DataError, match=r"rows\.json"):
        [*read(Source("rows.json", data=json.dumps(squad(SOLD), ensure_ascii=False).encode("cp1252")), ReadOptions())]


@needs_data
def test_the_extractive_questions_of_tatqa_are_the_same_from_either_file():
    """The SQuAD file was made of TAT-QA by others: ids, texts, questions, places and documents agree."""
    squad_file = load(DATA / "qa" / "tatqa_extractive_dev.squad.json", kind="answer")
    original = load(DATA / "qa" / "tatqa_dataset_dev.json", ReadOptions(format="tatqa-spans"), kind="answer")
    assert (squad_file.format, len(squad_file.examples)) == ("squad", 338)
    assert squad_file.fingerprint == original.fingerprint
    assert [e.meta.document for e in squad_file.examples] == [e.meta.document for e in original.examples]


@needs_data
def test_the_oracles_score_from_the_examples_read():
    """Exact match and F1 of the official script for stored predictions, through reader, task and report."""
    examples = load(DATA / "qa" / "tatqa_extractive_dev.squad.json", kind="answer").examples
    said = json.loads((DATA / "oracles" / "tatqa_extractive_dev.preds.json").read_text())
    official = json.loads((DATA / "oracles" / "tatqa_extractive_dev.squad_v1.1_score.json").read_text())
    pairs = [(e, Prediction(e.id, e.text, answer=Answer(None, said[e.id]))) for e in examples]
    report = load_task("financial-questions").score(pairs, documents=documents_of(examples), plan=Bootstrap(replicates=1))
    assert report["examples"] == official["total"]
    for name in ("exact_match", "f1"):
        assert 100 * report["metrics"][name]["value"] == pytest.approx(official[name])


def test_the_reader_is_known_by_name():
    assert reader("squad") is read
