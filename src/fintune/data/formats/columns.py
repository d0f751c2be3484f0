"""Which column of a table holds what: names given as options, else names that data sets commonly use, in any case.

A column that is not there is an error with the columns found, the most likely one, and the option that names it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fintune.data.formats.base import META_KEYS, ReadOptions, listed
from fintune.errors import DataError

# What a column may be called; the first name wins where several are there.
USUAL: Mapping[str, tuple[str, ...]] = {
    "text": ("text", "sentence", "headline", "content", "news", "title", "tweet"),
    "annotation": ("ground_truth", "annotation", "annotations", "entities", "spans", "gold"),
    "label": ("label", "sentiment", "category", "class", "topic"),
    "labels": ("labels", "label", "topics", "categories", "classes", "tags", "category", "class", "topic"),
    "question": ("question", "open-ended verifiable question"),
    "answer": ("answer", "ground-true answer", "final_response", "response"),
    "reasoning": ("reasoning", "complex_cot", "reasoning_process"),
    "token": ("tokens", "words"),
    "tag": ("ner_tags", "tags", "labels"),
    "id": ("id", "uid", "guid"),
    **{key: (key,) for key in META_KEYS},
}
_WHAT = {
    "text": "the text", "annotation": "the annotation", "label": "the label", "labels": "the labels", "token": "the tokens",
    "tag": "the tags", "question": "the question", "answer": "the answer", "reasoning": "the reasoning",
}  # fmt: skip
_OPTIONS = {"labels": "label"}  # roles that another role's option names
_QUESTIONS = ("answer", "any", "none")  # golds that a question goes with


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The column names of one table, None for what it does not hold.

    One of `text`, `token` and `question` is there; without the others, the question holds the text as well.
    """

    text: str | None
    annotation: str | None
    label: str | None
    labels: str | None
    question: str | None
    answer: str | None
    reasoning: str | None
    token: str | None
    tag: str | None
    id: str | None
    meta: Mapping[str, str]

    @property
    def used(self) -> list[str]:
        """The columns to read, each once."""
        gold = (self.annotation, self.label, self.labels, self.tag, self.question, self.answer, self.reasoning)
        return list(dict.fromkeys(name for name in (self.text, self.token, *gold, self.id, *self.meta.values()) if name is not None))


def known_names(options: ReadOptions) -> list[str]:
    """Names that mark a line as the header of a table."""
    given = [_given(role, options) for role in _WHAT]
    return [name for names in USUAL.values() for name in names] + [name for name in given if name]


def choose(names: Sequence[str], options: ReadOptions, *, where: str) -> Columns:
    """The columns to read for the gold that is wanted.

    Raises:
        DataError: a named column is not there, or one that is needed was neither named nor recognised.
    """
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"column {twice!r} stands twice", where=where, fix="give every column a name of its own")
    found = {role: _find(role, names, options, where) for role in USUAL}
    gold = options.gold
    if found["text"] is None and found["token"] is None and (found["question"] is None or gold not in _QUESTIONS):
        raise _no_column("text", names, where)
    tagged = found["token"] is not None and found["tag"] is not None
    has_spans = found["annotation"] is not None or tagged
    if gold == "spans" and not has_spans:
        raise _no_column("annotation" if found["token"] is None else "tag", names, where)
    if gold == "label" and found["label"] is None:
        raise _no_column("label", names, where)
    if gold == "labels" and found["labels"] is None:
        raise _no_column("labels", names, where)
    answered = found["question"] is not None and found["answer"] is not None
    if gold == "answer" and not answered:
        raise _no_column("question" if found["question"] is None else "answer", names, where)
    if gold == "any" and not has_spans and not answered and found["label"] is None:
        raise _no_column("annotation", names, where)
    by_tags = tagged and gold in ("spans", "any") and (found["annotation"] is None or found["text"] is None)
    return Columns(
        text=None if by_tags else found["text"],
        annotation=found["annotation"] if gold in ("spans", "any") and not by_tags else None,
        label=found["label"] if gold in ("label", "any") else None,
        labels=found["labels"] if gold == "labels" else None,
        question=found["question"] if gold == "none" or (answered and gold in _QUESTIONS) else None,
        answer=found["answer"] if answered and gold in ("answer", "any") else None,
        reasoning=found["reasoning"] if gold != "none" else None,
        token=found["token"] if by_tags or found["text"] is None else None,
        tag=found["tag"] if by_tags else None,
        id=found["id"],
        meta={key: name for key in META_KEYS if (name := found[key]) is not None},
    )


def _given(role: str, options: ReadOptions) -> str | None:
    match role:
        case "text":
            return options.text_column
        case "annotation":
            return options.annotation_column
        case "label" | "labels":
            return options.label_column
        case "question":
            return options.question_column
        case "answer":
            return options.answer_column
        case "reasoning":
            return options.reasoning_column
        case "token":
            return options.token_column
        case "tag":
            return options.tag_column
    return None


def _find(role: str, names: Sequence[str], options: ReadOptions, where: str) -> str | None:
    given = _given(role, options)
    if given is None:
        lowered = {name.strip().lower(): name for name in reversed(names)}
        return next((lowered[usual] for usual in USUAL[role] if usual in lowered), None)
    if given in names:
        return given
    near = next(iter(difflib.get_close_matches(given, names, n=1, cutoff=0.4)), "")
    raise DataError(f"no column {given!r}", where=where, why=f"columns found: {listed(list(names))}",
                    fix=f"did you mean --{role}-column {_quoted(near)}?" if near else f"give --{role}-column one of these")  # fmt: skip


def _no_column(role: str, names: Sequence[str], where: str) -> DataError:
    """The error for a column that was looked for under its usual names."""
    near, likeness = "", 0.0
    for name in names:
        for usual in USUAL[role]:
            ratio = difflib.SequenceMatcher(None, name.strip().lower(), usual).ratio()
            if ratio > max(likeness, 0.6):
                near, likeness = name, ratio
    expected = ", ".join(USUAL[role])
    return DataError(f"no column for {_WHAT[role]}", where=where, why=f"columns found: {listed(list(names))}; looked for: {expected}",
                     fix=f"name it: --{_OPTIONS.get(role, role)}-column {_quoted(near) if near else 'NAME'}")  # fmt: skip


def _quoted(name: str) -> str:
    """A column name as a shell takes it."""
    return name if name.replace("_", "").replace("-", "").isalnum() else f"'{name}'"
