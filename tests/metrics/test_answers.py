"""Text is judged as the official SQuAD scripts judge it, numbers by what they say."""

import json
import os
import re
import string
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintune.metrics.answers import TOLERANCE, Verdict, answer_accuracy, exact_match, f1, form, normalise, rounded_accuracy, verdict
from fintune.text.numbers import plain

DATA = Path(os.environ.get("FINTUNE_DATA", "../shared/data"))
needs_data = pytest.mark.skipif(not (DATA / "oracles").is_dir(), reason="needs the shared data (FINTUNE_DATA)")
words = st.lists(st.sampled_from(["the", "a", "Net", "net", "sales,", "of", "An", "2008", "-", "$5", "é", "U.S."]), max_size=6).map(
    " ".join
)
numbers = st.floats(min_value=-1e9, max_value=1e9).map(lambda number: round(number, 4) or 0.0)


@needs_data
def test_exact_match_and_f1_equal_the_official_script():
    predictions = json.loads((DATA / "oracles" / "tatqa_extractive_dev.preds.json").read_text())
    oracle = json.loads((DATA / "oracles" / "tatqa_extractive_dev.squad_v1.1_score.json").read_text())
    articles = json.loads((DATA / "qa" / "tatqa_extractive_dev.squad.json").read_text())["data"]
    questions = [qa for article in articles for paragraph in article["paragraphs"] for qa in paragraph["qas"]]
    golds = [[answer["text"] for answer in qa["answers"]] for qa in questions]
    answers = [predictions[qa["id"]] for qa in questions]
    assert len(questions) == oracle["total"]
    for name, measure in (("exact_match", exact_match), ("f1", f1)):
        assert 100 * sum(map(measure, answers, golds)) / len(questions) == oracle[name]


def slow_normalise(text):
    """One rule after the other, character by character."""
    kept = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(word for word in re.split(r"\s+", kept) if word and word not in ("a", "an", "the"))


def slow_f1(predicted, gold):
    first, second = slow_normalise(predicted).split(), slow_normalise(gold).split()
    if not first or not second:
        return float(first == second)
    shared, left = 0, Counter(second)
    for word in first:
        if left[word]:
            left[word] -= 1
            shared += 1
    return 2 * shared / (len(first) + len(second))


@given(words, st.lists(words, min_size=1, max_size=3))
def test_text_equals_a_slow_reference(predicted, golds):
    assert normalise(predicted) == slow_normalise(predicted)
    assert exact_match(predicted, golds) == max(slow_normalise(predicted) == slow_normalise(gold) for gold in golds)
    assert f1(predicted, golds) == pytest.approx(max(slow_f1(predicted, gold) for gold in golds))


@given(words | numbers.map(plain), st.lists(words | numbers.map(plain), max_size=3))
def test_measures_are_ordered_and_a_gold_answer_is_right(predicted, golds):
    for gold in golds:
        assert exact_match(gold, golds) == f1(gold, golds) == answer_accuracy(gold, golds) == rounded_accuracy(gold, golds) == 1.0
    assert exact_match(predicted, golds) <= f1(predicted, golds)
    assert answer_accuracy(predicted, golds) <= rounded_accuracy(predicted, golds)
    assert (verdict(predicted, golds) == "right") == bool(answer_accuracy(predicted, golds))
    assert verdict(predicted, golds) in get_args(Verdict)


@pytest.mark.parametrize("measure", [exact_match, f1, answer_accuracy, rounded_accuracy])
def test_no_answer_is_right_exactly_where_there_is_none(measure):
    assert [measure(None, []), measure("", []), measure("x", []), measure(None, ["x"])] == [1.0, 0.0, 0.0, 0.0]


SAME = [
    ("14.2%", "0.142"), ("14.2%", "14.2"), ("0.142", "14.2%"), ("14.2 percent", "14.2%"), ("142 bps", "1.42%"), ("(3.2)", "-3.2"),
    ("$559 million", "559"), ("$559 million", "559,000,000"), ("559,000,000", "$559 million"), ("0.559bn", "$559 million"),
    ("The ratio was 2.25 in all.", "2.25"), ("about 14.2%", "0.14201"), ("2018", "2018"), ("26138610", "26138609"),
    ("YES.", "yes"), ("the Net sales", "net sales"),
]  # fmt: skip
DIFFERENT = [
    ("14.2", "14.2%", "wrong_scale"), ("1420%", "14.2%", "wrong_scale"), ("559", "559 million", "wrong_scale"),
    ("-3.2", "3.2", "wrong_sign"), ("(14.2%)", "0.142", "wrong_sign"), ("$5", "€5", "wrong_number"),
    ("$5", "5%", "wrong_number"), ("2017", "2018", "wrong_number"),
    ("9999", "9998", "wrong_number"), ("14.3%", "14.2%", "wrong_number"), ("3 or 4", "3", "no_number"), ("three", "3", "no_number"),
    ("no", "yes", "wrong_text"), ("0", "0.2", "wrong_number"), ("0.001", "0", "wrong_number"),
]  # fmt: skip


@pytest.mark.parametrize(("predicted", "gold"), SAME)
def test_answers_that_say_the_same(predicted, gold):
    assert verdict(predicted, [gold]) == "right"


@pytest.mark.parametrize(("predicted", "gold", "expected"), DIFFERENT)
def test_answers_that_do_not(predicted, gold, expected):
    assert verdict(predicted, [gold]) == expected


@given(numbers.filter(lambda number: abs(number) > 1), st.floats(0, 2))
def test_the_tolerance_is_relative_and_two_sided(number, share):
    gold = plain(number + 0.5) if float(number).is_integer() else plain(number)  # whole numbers are compared exactly
    for sign in (-1, 1):
        near = plain(float(gold) * (1 + sign * share * TOLERANCE))
        if abs(share - 1) > 1e-6 and not float(near).is_integer():
            assert answer_accuracy(near, [gold]) == float(share < 1)


@given(numbers, st.integers(0, 3))
def test_a_rounded_number_is_right_when_rounding_is_allowed(number, places):
    rounded = plain(round(number, places))
    assert rounded_accuracy(rounded, [plain(number)]) == float(number == 0 or float(rounded) != 0)
    assert rounded_accuracy(plain(number), [rounded]) == float(number == 0 or float(rounded) != 0)


def test_rounding_looks_at_percent_and_fraction_alike():
    assert [rounded_accuracy(text, ["0.17043"]) for text in ("17%", "0.17", "17.04%", "18%", "0%")] == [1, 1, 1, 0, 0]


def test_forms():
    assert [form(gold) for gold in ("14.2%", "Yes", "net sales", "3 or 4", None)] == ["number", "yes/no", "text", "text", "none"]
