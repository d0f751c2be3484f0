"""Gold that can be read off the text is found wherever it is planted, and ordinary text raises no alarm."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintune.data.checks.base import Limits
from fintune.data.checks.leaks import _densest, _predicted
from fintune.records import Answer, Example, Span


def as_answer(example: Example, prefix: str = "") -> Example:
    """A label as the DistilBERT finance models were trained: the answer is the first word of the context."""
    text = f"{prefix}{example.label}. {example.text}"
    return replace(example, text=text, label=None, question="What is the sentiment?", answer=Answer(len(prefix), example.label or ""))


def test_answers_at_the_beginning(checked, labelled) -> None:
    found = checked([as_answer(example) for example in labelled], "answer")
    assert list(found) == ["D601", "D603"]
    assert (found["D601"].severity, found["D601"].count) == ("error", 90)
    assert "100.0% of 90 answers stand at the beginning" in found["D601"].message
    assert "'the answer is the first word' is right in 100.0%" in found["D603"].message


def test_answers_after_a_constant_beginning_and_at_the_end(checked, labelled) -> None:
    found = checked([as_answer(example, "The mood is ") for example in labelled], "answer")
    assert list(found) == ["D601"]
    assert "12 to 19 characters from the beginning" in found["D601"].message
    last = []
    for example in labelled:
        start = len(example.text) + 1
        last.append(replace(example, text=f"{example.text} {example.label}", label=None, question="?", answer=Answer(start, example.label)))
    assert "at the end" in checked(last, "answer")["D601"].message


def test_some_answers_at_the_beginning_are_no_leak(checked, labelled, answered) -> None:
    assert checked([*[as_answer(example) for example in labelled[:25]], *answered[25:]], "answer") == {}


def test_answers_that_fill_short_texts_are_no_leak(checked) -> None:
    """Where there is no room for another place, the place says nothing."""
    rng = random.Random(3)
    words = ["".join(rng.choices("abcdefgh", k=6)) for _ in range(60)]
    examples = [Example(f"e{at}", word, question=f"{at}?", answer=Answer(0, word)) for at, word in enumerate(words)]
    assert checked(examples, "answer", select=["D601"]) == {}


@pytest.mark.parametrize(
    ("template", "place"),
    [("{label}. {text}", "at the beginning"), ("Sentiment {label}: {text}", "after 1 word"), ("{text} {label}", "at the end"),
     ("{text} ({label} today)", "1 word before the end")],
)  # fmt: skip
def test_the_label_at_a_constant_place(checked, labelled, template: str, place: str) -> None:
    told = [replace(example, text=template.format(label=example.label.lower(), text=example.text)) for example in labelled]
    found = checked(told, "label")
    assert found["D602"].severity == "error"
    assert f"stands {place} in 100.0% of 90" in found["D602"].message
    assert set(found) <= {"D602", "D603"}


def test_the_label_somewhere_in_the_text(checked, labelled) -> None:
    rng = random.Random(4)
    told = []
    for example in labelled:
        words = example.text.split()
        words.insert(rng.randrange(5, 8), example.label)
        told.append(replace(example, text=" ".join(words)))
    assert "somewhere in the text" in checked(told, "label")["D602"].message


def test_label_words_that_say_nothing_about_the_label(checked, labelled) -> None:
    constant = [replace(example, text=f"Alpha. {example.text}") for example in labelled]
    assert checked(constant, "label") == {}
    listed = [replace(example, text=f"Alpha, beta or gamma? {example.text}") for example in labelled]
    assert checked(listed, "label") == {}
    skewed = [replace(example, label="Alpha" if at % 9 else "Beta", text=f"Alpha. {example.text}") for at, example in enumerate(labelled)]
    assert checked(skewed, "label", select=["D6"]) == {}, "right in eight of nine, as any guess of the majority"
    rng = random.Random(5)
    shuffled = [replace(example, text=f"{rng.choice(['Alpha', 'Beta', 'Gamma'])}. {example.text}") for example in labelled]
    assert checked(shuffled, "label") == {}


def test_the_label_beside_its_span(checked, spans) -> None:
    told = []
    for example in spans:
        span = next(span for span in example.spans if span.label == "Beta")
        longer = behind(f"Beta: {span.text}. ", example)
        told.append(replace(longer, spans=(Span(6, 6 + len(span.text), "Beta", span.text), *longer.spans)))
    found = checked(told, "spans")
    assert list(found) == ["D602"]
    assert "the word 'Beta' stands beside spans of that label in 100.0%" in found["D602"].message
    assert checked(told[:29], "spans", select=["D6"]) == {}, "too few to tell"
    assert list(checked(told[:30], "spans", select=["D6"])) == ["D602"]
    after = [replace(example, text=example.text[:-1] + " (Alpha)", spans=(last_word(example, "Alpha"),)) for example in spans]
    assert "beside" in checked(after, "spans", select=["D602"])["D602"].message


def behind(prefix: str, example: Example) -> Example:
    """The example with a prefix, its spans moved along."""
    moved = tuple(replace(span, start=span.start + len(prefix), end=span.end + len(prefix)) for span in example.spans or ())
    return replace(example, text=prefix + example.text, spans=moved)


def last_word(example: Example, label: str) -> Span:
    text = example.text[:-1]
    return Span(text.rindex(" ") + 1, len(text), label)


def test_a_beginning_that_names_the_spans_to_come(checked, spans) -> None:
    """`[Gamma]` before the texts with such a span, of which there are half: readable without being beside it."""
    told = []
    for at, example in enumerate(spans):
        gamma = at % 2 == 0
        half = replace(example, spans=tuple(span for span in example.spans if (span.label == "Gamma") == gamma))
        told.append(behind(f"[{'Gamma' if gamma else 'Alpha'}] is next, watch out: ", half))
    assert "at the beginning in 100.0%" in checked(told, "spans", select=["D602"])["D602"].message


@pytest.mark.parametrize("template", ["{code} {text}", "{text} {code}"])
def test_a_code_that_stands_for_the_label(checked, labelled, template: str) -> None:
    told = [replace(example, text=template.format(code=example.label[:2].lower() + "q", text=example.text)) for example in labelled]
    found = checked(told, "label")
    assert list(found) == ["D603"]
    assert "is right in 100.0% of 90 examples, where always giving the most frequent one is right in 33.3%" in found["D603"].message


def test_few_examples_tell_nothing(checked, labelled) -> None:
    told = [replace(example, text=f"{example.label}. {example.text}") for example in labelled[:29]]
    assert checked(told, "label", select=["D6"]) == {}
    assert set(checked(told, "label", select=["D6"], limits=Limits(enough=29))) == {"D602", "D603"}


def test_one_label_alone_cannot_leak(checked, labelled) -> None:
    told = [replace(example, label="Alpha", text=f"Alpha. {example.text}") for example in labelled]
    assert checked(told, "label", select=["D6"]) == {}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), max_size=12))
def test_the_rule_never_sees_the_example_it_is_judged_by(seen: list[tuple[str, str]]) -> None:
    examples = [Example(str(at), "") for at in range(len(seen))]
    right = []
    for at, (word, gold) in enumerate(seen):
        others = Counter(label for place, (other, label) in enumerate(seen) if other == word and place != at)
        best = max(others.values(), default=0)
        if best and [label for label, count in others.items() if count == best] == [gold]:
            right.append(examples[at].id)
    found = _predicted([(word, gold, example) for (word, gold), example in zip(seen, examples, strict=True)])
    assert [example.id for example in found] == right


@given(st.lists(st.integers(0, 40), min_size=1, max_size=15), st.integers(1, 9))
def test_the_densest_window_is_that_of_trying_all(offsets: list[int], window: int) -> None:
    low, count = _densest(offsets, window)
    assert count == max(sum(start <= offset < start + window for offset in offsets) for start in offsets)
    assert count == sum(low <= offset < low + window for offset in offsets)


def test_a_question_that_its_first_word_answers_is_found_among_others(checked, labelled, answered) -> None:
    """A few of one leaking question among many sound ones: the share of all is low, that of the question is not."""
    leaking = [as_answer(example) for example in labelled[:40]]
    others = [replace(example, question=f"{at}?") for at, example in enumerate(answered * 3)]
    found = checked([*leaking, *others], "answer", select=["D6"])
    assert list(found) == ["D604"]
    assert (found["D604"].severity, found["D604"].count) == ("error", 40)
    assert "the first word answers 'What is the sentiment?' in 100.0% of 40 examples" in found["D604"].message
    assert checked([*leaking[:20], *others], "answer", select=["D6"]) == {}
