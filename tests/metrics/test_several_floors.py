"""Floors of several labels survive JSON, do not depend on the order of examples, and learn what single words give away."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fintune.errors import ArtifactError, DataError
from fintune.metrics.several_floors import from_record, learn
from fintune.records import Example

LABELS = ("deal", "people", "results")
TELLS = {"deal": "buys", "people": "appoints", "results": "earned"}
ROWS = st.lists(st.tuples(st.text("ab c é%", max_size=12), st.sets(st.sampled_from(LABELS))), min_size=1, max_size=10)


def news(count: int) -> list[Example]:
    """Every set of labels in turn, but none of them twice as often."""
    made = []
    for n in range(count):
        own = tuple(label for place, label in enumerate(LABELS) if n % 9 >> place & 1)
        made.append(Example(str(n), f"Company {n % 5} {' '.join(TELLS[label] for label in own)} today", labels=own))
    return made


def test_words_find_what_single_words_tell_and_majority_does_not() -> None:
    floors = learn(news(180), labels=LABELS)
    assert floors["majority"].find("earned buys") == ()
    for own in ((), ("deal",), ("people", "results"), LABELS):
        text = f"Company 77 {' '.join(TELLS[label] for label in own)} today"
        assert floors["words"].find(text) == own, "a company that was never seen"


@settings(max_examples=30, deadline=None)
@given(ROWS, st.randoms())
def test_floors_survive_json_and_any_order(rows: list[tuple[str, set[str]]], draw) -> None:
    examples = [Example(str(n), text, labels=tuple(sorted(own))) for n, (text, own) in enumerate(rows)]
    floors = learn(examples, labels=LABELS)
    draw.shuffle(examples)
    assert learn(examples, labels=LABELS) == floors
    for floor in floors.values():
        again = from_record(json.loads(json.dumps(floor.record())), where="floors.json")
        assert again == floor
        assert all(again.find(example.text) == floor.find(example.text) for example in examples)
        assert set(again.find("b a")) <= set(LABELS)


def test_the_most_frequent_set_is_whole_and_ties_go_to_the_smaller() -> None:
    sets = [("deal", "people"), ("people", "deal"), ("results",), ("deal",), (), ("results",)]
    examples = [Example(str(n), "a", labels=own) for n, own in enumerate(sets)]
    assert learn(examples[:5], labels=LABELS)["majority"].find("a") == ("deal", "people")
    assert learn(examples, labels=LABELS)["majority"].find("a") == ("results",)


def test_what_is_no_floor_is_refused() -> None:
    for record in ({}, {"floor": "majority", "schema_version": 2, "labels": []}, {"floor": "majority", "schema_version": 1, "labels": [1]}):
        with pytest.raises(ArtifactError, match=r"floors\.json"):
            from_record(record, where="floors.json")
    with pytest.raises(DataError, match="has no labels"):
        learn([Example("1", "a", label="deal")], labels=LABELS)
    with pytest.raises(DataError, match="no examples"):
        learn([], labels=LABELS)
