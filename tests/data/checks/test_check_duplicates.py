"""Duplicates are found inside and across splits, in the split that comes later, and are told apart from near ones."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from fintune.data.checks.base import Context, Limits
from fintune.data.checks.duplicates import conflicting, exact_across, exact_inside, near_across
from fintune.data.near import Index, normalise
from fintune.records import Answer, Example, Meta, Span


def altered(example: Example, **changes: object) -> Example:
    """The example with its last word replaced, which leaves 9 of 11 shingles: a near duplicate without spans."""
    return replace(example, text=" ".join([*example.text.split()[:-1], "instead."]), **changes)


def test_copies_inside_a_split(checked, spans) -> None:
    copies = [replace(spans[3], id="copy", where="data.jsonl:91"), replace(spans[8], id="spaced", text=spans[8].text + " \n")]
    found = checked([*spans, *copies], "spans")
    assert list(found) == ["D201"]
    assert (found["D201"].count, found["D201"].examples, found["D201"].where) == (2, ("copy", "spaced"), "data.jsonl:91")
    assert "data.jsonl:91 of data.jsonl:4" in found["D201"].message


def test_decomposed_characters_are_the_same_text(checked, spans) -> None:
    pair = [Example("one", "Le café du Crédit fermera.", spans=()), Example("two", "Le cafe\u0301 du Cre\u0301dit fermera.", spans=())]
    assert list(checked([*spans, *pair], "spans")) == ["D201"]


def test_one_text_with_two_questions_is_no_copy_but_leaks_across_splits(checked, answered) -> None:
    other = replace(answered[1], id="other", question="And what else?")
    assert checked([*answered, other], "answer") == {}
    assert list(checked([*answered, replace(answered[1], id="same")], "answer")) == ["D201"]
    assert list(checked({"train": answered, "test": [other]}, "answer")) == ["D202"]


def test_copies_across_splits_name_the_later_one(checked, spans) -> None:
    test = [*spans[75:], replace(spans[3], id="leak")]
    found = checked({"train": spans[:60], "validation": spans[60:75], "test": test}, "spans")
    assert list(found) == ["D202"]
    assert (found["D202"].severity, found["D202"].count, found["D202"].examples) == ("error", 1, ("leak",))
    assert "1 example of test with a text of train" in found["D202"].message


def test_near_duplicates_inside_a_split(checked, spans) -> None:
    near = altered(spans[5], id="near", spans=())
    found = checked([*spans, near], "spans")
    assert list(found) == ["D203"]
    assert found["D203"].examples == ("s5", "near")
    assert "2 texts of train in 1 group" in found["D203"].message
    assert checked([*spans, near], "spans", limits=Limits(near=0.9)) == {}


def test_near_duplicates_across_splits(checked, spans) -> None:
    near = altered(spans[5], id="near", spans=())
    found = checked({"train": spans[:60], "test": [*spans[60:], near]}, "spans")
    assert list(found) == ["D204"]
    assert (found["D204"].examples, found["D204"].severity) == (("near",), "warning")
    copy = replace(spans[5], id="copy")
    assert list(checked({"train": spans[:60], "test": [*spans[60:], copy]}, "spans")) == ["D202"], "a copy is told once"


def test_conflicting_annotations_of_one_text(checked, spans, labelled, answered) -> None:
    found = checked([*labelled, replace(labelled[0], id="other", label="Beta")], "label")
    assert list(found) == ["D201", "D205"]
    assert "'Alpha' against 'Beta' at" in found["D205"].message
    assert found["D205"].examples == ("l0", "other")
    fewer = replace(spans[0], id="fewer", spans=spans[0].spans[1:])
    assert list(checked({"train": spans, "test": [fewer]}, "spans")) == ["D202", "D205"]
    silent = replace(answered[1], id="none", answer=None)
    assert "against nothing" in checked([*answered, silent], "answer")["D205"].message


def test_the_same_annotation_at_other_offsets_is_no_conflict(checked, spans) -> None:
    first = spans[0]
    shifted = tuple(replace(span, start=span.start + 2, end=span.end + 2) for span in first.spans or ())
    assert list(checked([*spans, replace(first, id="shift", text="  " + first.text, spans=shifted)], "spans")) == ["D201"]
    bare = Example("bare", "The very same words.", spans=())
    listed = replace(bare, id="listed", unaligned=(("Beta", "word"),))
    assert "Beta 'word' against nothing" in checked([*spans, listed, bare], "spans")["D205"].message


def test_documents_and_groups_across_splits(checked, spans) -> None:
    def of(example: Example, **meta: str) -> Example:
        return replace(example, meta=Meta(**meta))

    train = [of(spans[0], document="10-K"), of(spans[1], group="ACME"), of(spans[2], document="8-K"), *spans[3:60]]
    test = [of(spans[60], document="10-K"), of(spans[61], group="ACME"), of(spans[62], document="ACME"), *spans[63:]]
    found = checked({"train": train, "test": test}, "spans")
    assert list(found) == ["D206"]
    assert found["D206"].examples == ("s60", "s61")
    assert checked(train + test, "spans") == {}


TEXT = st.lists(st.sampled_from(["a", "b", "A", "c", " "]), max_size=7).map(" ".join)
GOLD = st.sampled_from(["x", "y", None])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.tuples(TEXT, GOLD), max_size=6), min_size=1, max_size=3))
def test_counts_are_those_of_comparing_all_with_all(splits: list[list[tuple[str, str | None]]]) -> None:
    examples = {f"p{at}": tuple(Example("", text, label=gold) for text, gold in part) for at, part in enumerate(splits)}
    context = Context(examples, "label", limits=Limits(near=0.6))
    plain = {name: [" ".join(example.text.split()) for example in part] for name, part in examples.items()}
    names = list(plain)
    inside = sum(text in texts[:at] for texts in plain.values() for at, text in enumerate(texts) if text)
    assert sum(finding.count for finding in exact_inside(context)) == inside
    across = sum(text in plain[earlier] for at, later in enumerate(names) for earlier in names[:at] for text in plain[later] if text)
    assert sum(finding.count for finding in exact_across(context)) == across
    near = 0
    for at, later in enumerate(names):
        before = {text for earlier in names[:at] for text in plain[earlier] if text}
        near += sum(any(Index.of([old, new]).pairs(threshold=0.6) for old in before) for new in set(plain[later]) - before)
    assert sum(finding.count for finding in near_across(context)) == near
    everything = [example for part in examples.values() for example in part]
    torn = {
        normalise(one.text)
        for one in everything
        for other in everything
        if normalise(one.text) == normalise(other.text) != "" and one.label and other.label and one.label != other.label
    }
    assert sum(finding.count for finding in conflicting(context)) == sum(normalise(example.text) in torn for example in everything)


def test_answers_are_compared_by_their_text(checked, answered) -> None:
    """The same word at another of its places is the same answer."""
    text = "Basolkiri rose and Basolkiri fell, and no other name moved as much on that day."
    first = Example("first", text, question="Who rose?", answer=Answer(0, "Basolkiri"))
    assert list(checked([*answered, first, replace(first, id="second", answer=Answer(19, "Basolkiri"))], "answer")) == ["D201"]


def test_spans_that_lie_outside_do_not_stop_the_comparison(checked, spans) -> None:
    wild = [replace(spans[0], id=name, spans=(Span(-5, 900, "Alpha"),)) for name in ("w1", "w2")]
    assert {"D201", "D205", "D301"} == set(checked([*spans, *wild], "spans"))
