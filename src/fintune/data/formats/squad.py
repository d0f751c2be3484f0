"""SQuAD's JSON, version 1 and 2: articles of paragraphs with questions, whose answers are stretches of the paragraph.

The first of several answers is the one to learn, and a score accepts all of them. A question marked `is_impossible`, or without answers,
has none (`plausible_answers` are not looked at). The title is the document. Offsets that do not hold the answer are refused, with how
they seem to have been counted. `pytest tests/data/formats/test_squad.py`; Rajpurkar et al. 2016 and 2018, arXiv 1606.05250, 1806.03822.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fintune.data.formats.base import ReadOptions, Rejected, Row, Source, as_source, checked_id, checked_text, shown
from fintune.data.formats.offsets import checked_answer
from fintune.data.formats.whole_json import value_of
from fintune.errors import DataError
from fintune.records import Answer, Example, Meta

_LAYOUT = "write it like the published files: data, paragraphs, context and qas"


def read(source: Path | Source, options: ReadOptions) -> Iterator[Row]:
    """Examples of a file in order, one a question; each is named by its JSON pointer.

    Raises:
        DataError: the file as a whole cannot be read, or has no `data`.
    """
    source = as_source(source)
    value = value_of(source, options.encoding)
    articles = value.get("data") if isinstance(value, dict) else None
    if not isinstance(articles, list):
        raise DataError("no list under 'data'", where=source.name, fix=_LAYOUT)
    for number, (where, title, context, qa) in enumerate(_questions(articles, f"{source.name}#/data"), 1):
        try:
            if isinstance(qa, DataError):
                raise qa
            yield _example(title, context, qa, f"{source.stem}:{number}", options, where)
        except DataError as error:
            yield Rejected(error)


def _questions(articles: list[Any], where: str) -> Iterator[tuple[str, object, object, Any]]:
    """Place, title, context and record of each question; in the record's place what is wrong with an article or a paragraph."""
    for at, article in enumerate(articles):
        paragraphs, place = _list(article, "paragraphs"), f"{where}/{at}"
        if paragraphs is None:
            yield place, None, None, DataError("an article without a list of 'paragraphs'", where=place, fix=_LAYOUT)
        for number, paragraph in enumerate(paragraphs or ()):
            spot = f"{place}/paragraphs/{number}"
            qas = _list(paragraph, "qas")
            if qas is None:
                yield spot, None, None, DataError("a paragraph without a list of 'qas'", where=spot, fix=_LAYOUT)
            yield from ((f"{spot}/qas/{i}", article.get("title"), paragraph.get("context"), qa) for i, qa in enumerate(qas or ()))


def _list(value: object, key: str) -> list[Any] | None:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, list) else None


def _example(title: object, context: object, qa: object, fallback_id: str, options: ReadOptions, where: str) -> Example:
    if not isinstance(qa, dict):
        raise DataError(f"{shown(qa)} is not a question", where=where, fix="give an object with 'question' and 'answers'")
    text = checked_text(context, key="context", where=where)
    example = Example(
        id=checked_id(qa["id"], where=where) if "id" in qa else fallback_id,
        text=text,
        question=checked_text(qa.get("question"), key="question", where=where),
        meta=Meta(document=title if isinstance(title, str) and title.strip() else None),
        where=where,
    )
    if options.gold == "none":
        return example
    answers = _answers(qa, text, where)
    return replace(example, answer=next(iter(answers), None), alternatives=tuple(answers[1:]))


def _answers(qa: Mapping[str, Any], text: str, where: str) -> list[Answer]:
    """The distinct answers in order; none where there is none to give."""
    impossible, answers = qa.get("is_impossible", False), qa.get("answers")
    if not isinstance(impossible, bool):
        raise DataError(f"'is_impossible' is {shown(impossible)}", where=where, fix="write true or false")
    if not isinstance(answers, list):
        raise DataError(f"'answers' is {shown(answers)}, not a list", where=where, fix="give [] where the text does not answer")
    if impossible and answers:
        raise DataError("an impossible question with answers", where=where, fix="delete 'is_impossible', or the answers")
    kept: dict[str, Answer] = {}
    for answer in answers:
        found = _answer(answer, text, where)
        kept.setdefault(found.text, found)
    return list(kept.values())


def _answer(value: object, text: str, where: str) -> Answer:
    if not isinstance(value, dict) or not {"text", "answer_start"} <= value.keys():
        raise DataError(f"an answer is {shown(value)}", where=where, fix='write it like {"answer_start": 17, "text": "12%"}')
    found = checked_answer({"start": value["answer_start"], "text": value["text"]}, text, where=where)
    if found is None or found.start is None:
        raise DataError("an answer without a place", where=where, fix="give 'answer_start', counted from 0 in 'context'")
    return found
