"""Further gold answers in Example JSONL: written, read back, told apart by the fingerprint, and refused where they make no sense."""

import json
from dataclasses import replace

import pytest

from fintune.data.formats.base import ReadOptions
from fintune.data.formats.jsonl import dump, example_of
from fintune.data.load import fingerprint, load_texts
from fintune.errors import DataError
from fintune.records import Answer, Example

TEXT = "Sales were 12% up."
ROW = Example("1", TEXT, question="How much?", answer=Answer(11, "12%"), alternatives=(Answer(None, "12 percent"), Answer(11, "12% up")))


def again(line):
    return example_of(json.loads(line), where="", fallback_id="", options=ReadOptions(gold="answer"))


def test_they_survive_writing_and_reading():
    assert again(dump(ROW)) == ROW
    assert ROW.golds == ("12%", "12 percent", "12% up")
    assert "alternatives" not in json.loads(dump(replace(ROW, alternatives=())))


def test_they_are_gold_and_count_in_the_fingerprint():
    assert len({fingerprint([row]) for row in (ROW, replace(ROW, alternatives=()), replace(ROW, alternatives=ROW.alternatives[:1]))}) == 3
    assert load_texts([ROW])[0].alternatives == ()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"answer": None}, "'alternatives' to no answer"),
        ({"alternatives": "12 percent"}, "'alternatives' is '12 percent'"),
        ({"alternatives": [None]}, r"'alternatives' is \[None\]"),
        ({"alternatives": [{"start": 0, "text": "12%"}]}, "it starts at 11"),
        ({"question": None}, "'question' is None"),
    ],
)
def test_what_makes_no_sense_is_refused(changed, says):
    with pytest.raises(DataError, match=says):
        again(json.dumps({**json.loads(dump(ROW)), **changed}))


def test_they_need_a_question():
    with pytest.raises(DataError, match="'alternatives' without a 'question'"):
        again(json.dumps({"text": TEXT, "alternatives": []}))
