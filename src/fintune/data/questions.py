"""Questions made out of other annotation: one about each type of span, and sentiment asked as a published system asks it.

`about_spans` asks where a type has exactly one mention, which is the answer, or none. `sentiment_as_published` puts the label before the
sentence, where the first word answers every question: such data are there to show the leak, and training refuses them.
`sentiment_as_asked` leaves the label out, and no answer is left in the text. Nothing is drawn at random.
`pytest tests/data/test_questions.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from fintune.errors import DataError
from fintune.records import Answer, Example

QUESTIONS: Mapping[str, str] = MappingProxyType(
    {
        "Company": "Which company is named?",
        "Date": "Which date or period is named?",
        "Location": "Which place is named?",
        "Money": "Which amount of money is named?",
        "Person": "Who is named?",
        "Product": "Which product or service is named?",
        "Quantity": "Which quantity is named?",
    }
)
"""A question for each type of `finance-ner-7`."""

PUBLISHED = "What is the financial sentiment of this statement?"
"""The question of the model card `Aditya020705/distilbert-lora-finance-qa`."""


def about_spans(examples: Iterable[Example], *, questions: Mapping[str, str] = QUESTIONS) -> list[Example]:
    """Questions with one right answer, and at most one a text that it does not answer, in the order of the examples.

    A type with several mentions, or with one that has no place in the text, is not asked for. Which of the missing types is asked
    for is fixed by the example's id. Questions about one text are one group, which a split holds together.

    Args:
        examples: with spans.
        questions: what to ask for each label; other labels are left alone.

    Raises:
        DataError: where an example has no annotation of spans.
    """
    return [asked for example in examples for asked in _about(example, questions)]


def _about(example: Example, questions: Mapping[str, str]) -> Iterator[Example]:
    if example.spans is None:
        raise DataError(f"example {example.id!r} has no spans", where=example.where, why="questions are made of them", fix="annotate it")
    bare = replace(example, spans=None, unaligned=(), meta=replace(example.meta, group=example.meta.group or example.id))
    mentioned = {span.label for span in example.spans} | {label for label, _ in example.unaligned}
    for label, question in questions.items():
        found = [span for span in example.spans if span.label == label]
        if len(found) == 1 and all(other != label for other, _ in example.unaligned):
            answer = Answer(found[0].start, example.text[found[0].start : found[0].end])
            yield replace(bare, id=f"{example.id}?{label}", question=question, answer=answer)
    missing = [label for label in questions if label not in mentioned]
    if missing:
        label = missing[int(hashlib.sha256(example.id.encode()).hexdigest(), 16) % len(missing)]
        yield replace(bare, id=f"{example.id}?{label}", question=questions[label])


def sentiment_as_published(examples: Iterable[Example]) -> list[Example]:
    """Labelled sentences as the model card has them: context `label. sentence`, and the label at its beginning as the answer.

    Raises:
        DataError: where an example has no label.
    """
    return [
        replace(_asked(example), text=f"{example.label}. {example.text}", answer=Answer(0, str(example.label))) for example in examples
    ]  # fmt: skip


def sentiment_as_asked(examples: Iterable[Example]) -> list[Example]:
    """The same questions about the sentences as they are: none of them has an answer that could be extracted.

    Raises:
        DataError: where an example has no label.
    """
    return [_asked(example) for example in examples]


def _asked(example: Example) -> Example:
    if example.label is None:
        raise DataError(f"example {example.id!r} has no label", where=example.where, why="the question is about it", fix="give it a label")
    return replace(example, label=None, question=PUBLISHED)
