"""Demonstrations are those that comparing with every example finds, and never one that gives the gold away."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fintune.data.demonstrations import Demonstrations
from fintune.data.load import load
from fintune.errors import DataError
from fintune.records import Answer, Example, Meta, Span

# Few words, so that near duplicates, ties and examples without a common word are all frequent.
WORD = st.sampled_from(["a", "b", "c", "d", "Ab", "7", "x-y", "銀行", "é", "."])
MARKS = st.lists(st.sampled_from(["Company", "Date", "Money"]), max_size=3).map(lambda labels: tuple(Span(0, 1, label) for label in labels))
EXAMPLE = st.builds(
    lambda text, spans, document, group: Example("", text, spans=spans, meta=Meta(document=document, group=group)),
    st.lists(WORD, min_size=1, max_size=7).map(" ".join),
    MARKS,
    st.sampled_from([None, None, "d1", "d2"]),
    st.sampled_from([None, None, "g1"]),
)


@st.composite
def pools(draw: st.DrawFn) -> list[Example]:
    found = draw(st.lists(EXAMPLE, min_size=2, max_size=12))
    return [replace(example, id=f"e{number:02}") for number, example in enumerate(found)]


def terms(example: Example) -> Counter[str]:
    """The definition: lower-case words, one ideograph each, and pairs of neighbours."""
    counts: Counter[str] = Counter()
    for part in (example.question or "", example.text):
        own = re.findall(r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+", part.lower())
        counts.update([*own, *(f"{one} {other}" for one, other in pairwise(own))])
    return counts


def shingles(text: str) -> set[tuple[str, ...]]:
    own = re.findall(r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+", text.lower())
    return {tuple(own)} if 0 < len(own) < 3 else {tuple(own[at : at + 3]) for at in range(len(own) - 2)}


def near(one: str, other: str) -> bool:
    first, second = shingles(one), shingles(other)
    return " ".join(one.split()) == " ".join(other.split()) or (bool(first & second) and len(first & second) / len(first | second) >= 0.5)


def leaks(shown: Example, example: Example) -> bool:
    same = [getattr(shown.meta, key) == getattr(example.meta, key) is not None for key in ("document", "group")]
    return any(same) or near(shown.text, example.text)


def cosine(one: Example, other: Example, pool: list[Example]) -> float:
    frequency = Counter(term for example in pool for term in terms(example))
    rarity = {term: math.log((1 + len(pool)) / (1 + times)) + 1 for term, times in frequency.items()}
    first, second = ({term: times * rarity[term] for term, times in terms(each).items() if term in rarity} for each in (one, other))
    lengths = math.sqrt(sum(v * v for v in first.values()) * sum(v * v for v in second.values()))
    return sum(value * second.get(term, 0.0) for term, value in first.items()) / lengths if lengths else 0.0


def brute(example: Example, pool: list[Example], count: int) -> list[str]:
    ranked = sorted(pool, key=lambda shown: (-round(cosine(example, shown, pool), 9), shown.id))
    chosen: list[Example] = []
    for shown in ranked:
        if len(chosen) < count and not leaks(shown, example) and not any(near(shown.text, other.text) for other in chosen):
            chosen.append(shown)
    return [shown.id for shown in reversed(chosen)]


def ids(found: list[Example]) -> list[str]:
    return [example.id for example in found]


@settings(max_examples=150, deadline=None)
@given(pool=pools(), count=st.integers(0, 4), fresh=EXAMPLE)
def test_the_most_similar_are_those_of_comparing_with_all(pool, count, fresh):
    made = Demonstrations(pool, count=min(count, len(pool)), choose="similar")
    for example in (*pool[:3], replace(fresh, id="new")):
        assert ids(made.of(example)) == brute(example, pool, made.count)


@settings(max_examples=150, deadline=None)
@given(pool=pools(), fresh=EXAMPLE, choose=st.sampled_from(["similar", "fixed"]), data=st.data())
def test_the_order_of_the_pool_and_keeping_it_change_nothing_and_nothing_leaks(pool, fresh, choose, data):
    made = Demonstrations(pool, count=2, choose=choose)
    shuffled = Demonstrations(data.draw(st.permutations(pool)), count=2, choose=choose)
    kept = Demonstrations.load(made.dump(), count=2, choose=choose, where="kept.jsonl")
    for example in (*pool[:4], replace(fresh, id="new")):
        found = made.of(example)
        assert ids(found) == ids(shuffled.of(example)) == ids(kept.of(example))
        assert len(found) <= 2
        assert not any(leaks(shown, example) for shown in found)
        assert not any(near(one.text, other.text) for one, other in combinations(found, 2))
        allowed = [shown for shown in pool if not leaks(shown, example)]
        assert bool(found) == bool(allowed)


@pytest.mark.parametrize("choose", ["similar", "fixed"])
def test_planted_leaks_are_not_shown(choose):
    """Each plant is what would be chosen first, by similarity, or by labels and shortness."""
    spans = (Span(0, 4, "Company"), Span(5, 9, "Date"), Span(10, 14, "Money"))
    text = "Acme rose five points on Monday after its best quarter so far"
    own = Example("own", text, spans=spans, meta=Meta(document="d", group="g"))
    plants = [
        Example("copy", text, spans=spans),
        Example("blanks", text.replace(" ", "  "), spans=spans),
        Example("near", text + " !", spans=spans),
        Example("cased", text.upper(), spans=spans),
        Example("document", "Acme rose on Monday", spans=spans, meta=Meta(document="d")),
        Example("group", "Acme rose on Monday", spans=spans, meta=Meta(group="g")),
    ]
    harmless = Example("other", "Acme and all of its many suppliers in the north fell rather badly on Friday , it was said later", spans=())
    made = Demonstrations([own, *plants, harmless], count=3, choose=choose)
    assert ids(made.of(own)) == ["other"]
    elsewhere = made.of(Example("new", "Globex sank"))
    assert len(elsewhere) >= 2
    assert made.of(replace(own, id="again", spans=None)) == [harmless]  # of test data, under another id and without gold


def test_a_fixed_choice_covers_the_labels_with_few_short_examples():
    def tagged(name: str, words: str, *labels: str) -> Example:
        return Example(name, words, spans=tuple(Span(0, 1, label) for label in labels))

    pool = [
        tagged("long", "many words that go on about one and the same thing", "A", "B"),
        tagged("short", "few words go here", "A", "B"),
        tagged("only", "another text with more", "C"),
        tagged("none", "nothing to see in this one"),
    ]
    first = Demonstrations(pool, count=3, choose="fixed").of(Example("x", "unseen"))
    assert ids(first) == ["short", "only", "none"]
    assert ids(Demonstrations(pool, count=4, choose="fixed").of(Example("x", "unseen"))) == ["short", "only", "none", "long"]
    assert ids(Demonstrations(pool, count=2, choose="fixed").of(pool[1])) == ["long", "only"]  # the next in the place of itself


def test_labels_and_answers_are_covered_too():
    labelled = [Example(f"l{number}", f"text number {number} of all {name}", label=name) for number, name in enumerate("AABBC")]
    assert {example.label for example in Demonstrations(labelled, count=3, choose="fixed").of(Example("x", "unseen"))} == set("ABC")
    asked = [Example(f"q{n}", f"context {n} is here", question="Why?", answer=Answer(0, "context") if n else None) for n in range(4)]
    shown = Demonstrations(asked, count=2, choose="fixed").of(Example("x", "unseen"))
    assert {example.answer is None for example in shown} == {True, False}


def test_a_question_counts_for_similarity():
    pool = [
        Example("other", "the same context in both of them , one", question="Who was hired?", answer=None),
        Example("alike", "the same context in both of them , two", question="How much was paid?", answer=None),
    ]
    made = Demonstrations(pool, count=1, choose="similar")
    assert ids(made.of(Example("x", "unseen words", question="How much was owed?"))) == ["alike"]


def test_pools_that_cannot_serve_are_refused():
    with pytest.raises(DataError, match="3 demonstrations from 1 examples"):
        Demonstrations([Example("a", "b", spans=())], count=3, choose="fixed")
    with pytest.raises(DataError, match=r"f:7: example 'a' has no gold"):
        Demonstrations([Example("a", "b", where="f:7")], count=1, choose="similar")
    with pytest.raises(DataError, match=r"kept\.jsonl:2"):
        Demonstrations.load('{"id": "a", "text": "b", "spans": []}\nnonsense\n', count=1, choose="similar", where="kept.jsonl")


def test_no_demonstrations_are_none():
    assert Demonstrations([], count=0, choose="similar").of(Example("a", "b")) == []
    assert Demonstrations([], count=0, choose="fixed").of(Example("a", "b")) == []


def test_real_text_gets_demonstrations_of_its_own_kind():
    path = Path(os.environ.get("FINTUNE_DATA", "../shared/data")) / "ner" / "fire7_val.csv"
    if not path.exists():
        pytest.skip(f"{path} is not here; set FINTUNE_DATA to the folder with the data")
    examples = list(load(path, kind="spans").examples)
    made = Demonstrations(examples, count=3, choose="similar")
    shared = 0
    for example in examples:
        found = made.of(example)
        assert len(found) == 3
        assert not any(leaks(shown, example) for shown in found)
        shared += bool({span.label for span in example.spans} & {span.label for span in found[-1].spans})
    assert shared / len(examples) > 0.7
