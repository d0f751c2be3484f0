"""Floors of labels survive JSON, do not depend on the order of examples, and learn what single words give away."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fintune.errors import ArtifactError, DataError
from fintune.metrics.label_floors import from_record, learn
from fintune.records import Example
from fintune.text.regression import weighed

WORDS = {"positive": ("rose", "gained"), "negative": ("fell", "lost"), "neutral": ("named", "met")}
ROWS = st.lists(st.tuples(st.text("ab c é%", max_size=12), st.sampled_from("xyz")), min_size=1, max_size=12)


def example(text: str, label: str | None) -> Example:
    return Example(id=text, text=text, label=label)


def news(count: int) -> list[Example]:
    labels = sorted(WORDS)
    return [
        example(f"Company {n} {WORDS[labels[n % 3]][n // 3 % 2].upper()} {n % 7} % today", labels[n % 3] if n % 10 else "neutral")
        for n in range(count)
    ]


def test_words_find_what_single_words_tell_and_majority_does_not():
    floors = learn(news(120))
    assert floors["majority"].find("shares rose") == "neutral"
    for label, words in WORDS.items():
        for word in words:
            assert floors["words"].find(f"The shares {word} again") == label


@settings(max_examples=60, deadline=None)
@given(ROWS, st.lists(st.text("ab c é%z", max_size=12), max_size=6))
def test_json_keeps_every_answer(rows, texts):
    for name, floor in learn([example(text, label) for text, label in rows]).items():
        again = from_record(json.loads(json.dumps(floor.record())), where="floors.json")
        assert again.record() == floor.record()
        assert floor.record()["floor"] == name
        for text in texts:
            assert again.find(text) == floor.find(text)


@settings(max_examples=40, deadline=None)
@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_examples_does_not_matter(rows, draw):
    examples = [example(text, label) for text, label in rows]
    before = {name: floor.record() for name, floor in learn(examples).items()}
    draw.shuffle(examples)
    assert {name: floor.record() for name, floor in learn(examples).items()} == before


def test_the_majority_goes_by_counts_then_by_name():
    assert learn([example("1", "b"), example("2", "b"), example("3", "a")])["majority"].find("") == "b"
    assert learn([example("1", "b"), example("2", "a")])["majority"].find("") == "a"


def test_tf_idf_has_length_one_and_knows_no_new_words():
    values = weighed("Rose rose FELL unheard", {"rose": 2.0, "fell": 1.0})
    assert values.keys() == {"rose", "fell"}
    assert sum(value * value for value in values.values()) == pytest.approx(1.0)
    assert values["rose"] / values["fell"] == pytest.approx((1 + 0.6931471805599453) * 2.0)
    assert weighed("unheard", {"rose": 2.0}) == {}


def test_unlabelled_examples_and_none_at_all_are_refused():
    with pytest.raises(DataError, match="example 'x' has no label"):
        learn([example("x", None)])
    with pytest.raises(DataError, match="no examples"):
        learn([])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"floor": "gazetteer"}, "not a floor of labels"),
        ({"schema_version": 9}, "version 9"),
        ({"labels": []}, "without its labels"),
        ({"labels": ["a", 3]}, "without its labels"),
        ({"bias": [1.0]}, "without bias"),
        ({"words": None}, "without bias or words"),
        ({"words": {"rose": [1.0, 2.0]}}, "a weight of each word"),
        ({"words": {"rose": [1.0, 2.0, 3.0, "4"]}}, "a weight of each word"),
        ({"words": {"rose": [1.0, 2.0, 3.0, float("nan")]}}, "a weight of each word"),
    ],
)
def test_damaged_records_are_refused(change, message):
    record = {**learn(news(30))["words"].record(), **change}
    with pytest.raises(ArtifactError, match=message) as caught:
        from_record(record, where="run/floors.json")
    assert caught.value.where == "run/floors.json"


def test_a_majority_without_its_label_is_refused():
    with pytest.raises(ArtifactError, match="without its label"):
        from_record({**learn(news(3))["majority"].record(), "label": None}, where="x")
    with pytest.raises(ArtifactError, match="not a floor"):
        from_record([], where="x")
