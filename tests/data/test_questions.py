"""Questions made of spans and of sentiment: what is asked has the answer it says, and the published construction shows its leak."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

import tiny
from fintune.data.check import check
from fintune.data.corpus import bundle
from fintune.data.load import load
from fintune.data.questions import PUBLISHED, QUESTIONS, about_spans, sentiment_as_asked, sentiment_as_published
from fintune.errors import DataError
from fintune.metrics.intervals import Bootstrap
from fintune.records import Answer, Example, Meta, Prediction, Span
from fintune.tasks.base import documents_of, load_task

DATA = Path(os.environ.get("FINTUNE_DATA", "../shared/data"))
needs_data = pytest.mark.skipif(not (DATA / "sentiment").is_dir(), reason="needs the shared data (FINTUNE_DATA)")


def mentions(example: Example, label: str) -> list[Span]:
    return [span for span in example.spans or () if span.label == label]


@pytest.mark.parametrize("source", ["tiny", "bundled"])
def test_every_question_has_the_one_answer_or_none(source: str) -> None:
    examples = tiny.examples() if source == "tiny" else bundle.load("train", "spans")
    asked = about_spans(examples)
    by_id, task = {example.id: example for example in examples}, load_task("financial-questions")
    for question in asked:
        original, label = by_id[question.id.rpartition("?")[0]], question.id.rpartition("?")[2]
        found = mentions(original, label)
        task.require_gold(question)
        assert (question.text, question.question, question.spans) == (original.text, QUESTIONS[label], None)
        if question.answer is None:
            assert not found
        else:
            assert [(span.start, span.text) for span in found] == [(question.answer.start, question.answer.text)]
    answered = Counter(question.id.rpartition("?")[0] for question in asked if question.answer is None)
    assert set(answered.values()) == {1}
    single = sum(len(mentions(example, label)) == 1 for example in examples for label in QUESTIONS)
    assert sum(question.answer is not None for question in asked) == single


def test_the_same_examples_give_the_same_questions_in_any_company() -> None:
    examples = tiny.examples()
    assert about_spans(examples[5:9]) == [q for q in about_spans(examples) if q.id.rpartition("?")[0] in {e.id for e in examples[5:9]}]


def test_questions_about_one_text_are_one_group() -> None:
    (own, *_), (kept, *_) = (
        about_spans([Example("7", "a", spans=(), meta=meta)]) for meta in (Meta(document="d"), Meta(group="g"))
    )  # fmt: skip
    assert own.meta == Meta(document="d", group="7")
    assert kept.meta.group == "g"


def test_a_type_with_gold_that_has_no_place_is_not_asked_for() -> None:
    example = Example("1", "Acme fell.", spans=(Span(0, 4, "Company", "Acme"),), unaligned=(("Company", "Ajax"), ("Person", "Ann")))
    (asked,) = about_spans([example])
    assert asked.answer is None
    assert asked.id not in ("1?Company", "1?Person")


def test_questions_of_ones_own() -> None:
    example = Example("1", "Acme fell.", spans=(Span(0, 4, "ORG", "Acme"),))
    assert [(q.question, q.answer) for q in about_spans([example], questions={"ORG": "Who fell?"})] == [("Who fell?", Answer(0, "Acme"))]


def test_what_has_no_annotation_is_refused() -> None:
    for made, says in ((about_spans, "no spans"), (sentiment_as_published, "no label"), (sentiment_as_asked, "no label")):
        with pytest.raises(DataError, match=says):
            made([Example("1", "Acme fell.")])


def test_sentiment_as_it_was_published() -> None:
    sentence = Example("1", "Sales fell.", label="negative")
    (published,), (asked,) = sentiment_as_published([sentence]), sentiment_as_asked([sentence])
    assert (published.text, published.question, published.answer) == ("negative. Sales fell.", PUBLISHED, Answer(0, "negative"))
    assert (asked.text, asked.question, asked.answer, asked.label) == ("Sales fell.", PUBLISHED, None, None)


@needs_data
def test_one_line_scores_all_of_the_published_construction_and_is_found() -> None:
    """All 2,264 sentences: the first word is right every time, `check` says so, and without the label nothing is left to answer."""
    sentences = load(DATA / "sentiment" / "fpb_allagree.jsonl", kind="label").examples
    leaky, task = sentiment_as_published(sentences), load_task("financial-questions")
    pairs = [(e, Prediction(e.id, e.text, answer=Answer(0, e.text.partition(".")[0]))) for e in leaky]
    report = task.score(pairs, documents=documents_of(leaky), plan=Bootstrap(replicates=1))
    assert (report["examples"], report["metrics"]["exact_match"]["value"]) == (2264, 1.0)
    found = {one.code: one for one in check({"train": leaky}, kind="answer", select=["D6"])}
    assert found.keys() == {"D601", "D603"}
    assert "right in 100.0% of 2,264 examples" in found["D603"].message
    assert "no model can be more than 0.0 points better" in found["D603"].message
    assert {one.severity for one in found.values()} == {"error"}
    assert check({"train": sentiment_as_asked(sentences)}, kind="answer", select=["D6"]) == []
