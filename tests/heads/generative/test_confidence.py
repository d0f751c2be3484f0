"""The confidence of a surface is the probability of the tokens that spell it and close its quote, whatever the tokens are."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

import tiny
from fintune.heads.generative.confidence import confidences
from fintune.heads.generative.generate import Written
from fintune.recipe import Prompt
from fintune.records import Example, Span
from fintune.tasks.base import load_task


@pytest.fixture(scope="module")
def tokenizer(tiny_llama: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_llama)


def written(tokenizer: Any, text: str, seed: int = 0) -> Written:
    """A text as tokens, each of another probability."""
    draw = random.Random(seed)
    ids = tokenizer.encode(text, add_special_tokens=False)
    return Written(tuple(ids), tuple(-draw.random() for _ in ids), True)


def expected(tokenizer: Any, made: Written, raw: str, start: int, end: int) -> float:
    """The product over all tokens that have a byte of the characters `[start, end)`; byte-level tokens have a letter a byte."""
    first, last = (len(raw[:at].encode()) for at in (start, end))
    total, at = 0.0, 0
    for piece, logprob in zip(tokenizer.convert_ids_to_tokens(made.ids), made.logprobs, strict=True):
        at, before = at + len(piece), at
        if before < last and at > first:
            total += logprob
    return math.exp(total)


@pytest.mark.parametrize("target", ["literal", "json", "compact"])
def test_surfaces_have_the_probability_of_their_tokens(tokenizer: Any, target: Any) -> None:
    task = load_task("finance-ner-7", Prompt(target=target))
    for seed, example in enumerate(tiny.examples(20)):
        raw = task.target(example)
        made = written(tokenizer, raw, seed)
        spans = task.parse(raw, example).spans or ()
        for span, found in zip(spans, confidences(tokenizer, made, spans), strict=True):
            start = raw.index(span.text, raw.index(span.label))
            assert found == pytest.approx(expected(tokenizer, made, raw, start, start + len(span.text) + 1))


def test_escapes_and_letters_of_many_bytes_are_counted_once(tokenizer: Any) -> None:
    raw = "{'A': ['it\\'s \\u200b漢字', \"d'é\"], 'B': ['漢字']}"
    made = written(tokenizer, raw)
    surfaces = {("A", "it's \u200b漢字"): "it\\'s \\u200b漢字'", ("A", "d'é"): "d'é\"", ("B", "漢字"): "漢字'"}
    spans = [Span(0, 1, label, text) for label, text in surfaces]
    for found, (label, _), shown in zip(confidences(tokenizer, made, spans), surfaces, surfaces.values(), strict=True):
        start = raw.index(shown, raw.index(f"'{label}'"))
        assert found == pytest.approx(expected(tokenizer, made, raw, start, start + len(shown)))
    assert confidences(tokenizer, made, [Span(0, 1, "B", "d'é"), Span(0, 1, "A", "漢字")]) == [None, None]  # not written under that label


def test_blanks_and_the_case_of_a_label_do_not_matter(tokenizer: Any) -> None:
    made = written(tokenizer, "{'company': ['Norvane\\n Bank']}")
    spans = [Span(0, 12, "Company", "Norvane  Bank")]
    assert confidences(tokenizer, made, spans)[0] is not None


def test_reasoning_before_the_answer_is_not_read(tokenizer: Any) -> None:
    answer = "{'Company': ['Corbrook']}"
    alone = written(tokenizer, answer)
    thought = tokenizer.encode("<think>\n{'Company': ['Corbrook']} isn't it?\n</think>\n", add_special_tokens=False)
    whole = Written((*thought, *alone.ids), (*[-1.0] * len(thought), *alone.logprobs), True)
    spans = [Span(0, 8, "Company", "Corbrook")]
    assert confidences(tokenizer, whole, spans) == pytest.approx(confidences(tokenizer, alone, spans))


def test_nothing_written_gives_no_confidence(tokenizer: Any) -> None:
    assert confidences(tokenizer, Written((), (), False), [Span(0, 1, "Company", "x")]) == [None]
    task = load_task("finance-ner-7")
    made = written(tokenizer, "{'Company': ['Corb")
    read = task.parse("{'Company': ['Corbrook']}", Example("1", "Corbrook")).spans or ()
    assert confidences(tokenizer, made, read) == [None]
