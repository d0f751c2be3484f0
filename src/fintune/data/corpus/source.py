"""The markup of the bundled corpus: a text file a person can read, review and extend.

    @ harlow-h1 earnings en 2023-08-14T07:00:00Z                document: id, register, language, publication time
    - Earnings / positive                                       example: topic / sentiment of the main subject
    [Harlow Freight plc](Company c) said [revenue](FinancialEntity r) rose [12%](Quantity q =0.12 fraction) .
    > Propertyof r c                                            relation: type, head key, tail key
    ? How much did revenue rise? :: 12%                         question :: answer, a stretch of the text
    ? Who audits Harlow Freight? ::                             a question that the text does not answer

A span is `[surface](Label)`, with an optional key for relations and an optional `=value`:
dates as ISO day or start/end period, money as `GBP 412000000`, quantities as `number unit`
(percentages and basis points as `fraction`), ranges as `low..high`. Lines starting with `#` are comments.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
SCHEMA = tomllib.loads((HERE / "schema.toml").read_text(encoding="utf-8"))

_SPAN = re.compile(r"\[([^\[\]]+)\]\(([A-Za-z]+)(?: ([a-z][a-z0-9]*))?(?: =([^()]+))?\)")


@dataclass(frozen=True, slots=True)
class Mention:
    """A marked stretch `[start, end)` of the text, in code points; `value` is its normal form or None."""

    start: int
    end: int
    label: str
    key: str | None
    value: str | None


@dataclass(frozen=True, slots=True)
class Relation:
    """`head` and `tail` are indices into the example's mentions."""

    type: str
    head: int
    tail: int


@dataclass(frozen=True, slots=True)
class Question:
    """`start` is the offset of `answer` in the text, both None where the text does not answer."""

    text: str
    answer: str | None
    start: int | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One corpus example with everything that was annotated."""

    id: str
    document: str
    register: str
    language: str
    published: str
    topic: str
    sentiment: str
    text: str
    mentions: tuple[Mention, ...]
    relations: tuple[Relation, ...]
    questions: tuple[Question, ...]
    where: str


class MarkupError(ValueError):
    """A line of a corpus file that does not follow the markup; the message starts with `file:line`."""


def read(path: Path) -> Iterator[Entry]:
    """Entries of one corpus file, in order.

    Raises:
        MarkupError: at the first line that cannot be read.
    """
    document: tuple[str, str, str, str] | None = None
    pending: _Pending | None = None
    ordinal = 0
    for number, raw in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        line, where = raw.strip(), f"{path.name}:{number}"
        if not line or line.startswith("#"):
            continue
        mark, _, rest = line.partition(" ")
        if mark in ("@", "-") and pending is not None:
            yield pending.finish()
            pending = None
        if mark == "@":
            fields = rest.split()
            if len(fields) != 4:
                raise MarkupError(f"{where}: a document line is '@ id register language time', found {len(fields)} fields")
            document, ordinal = (fields[0], fields[1], fields[2], fields[3]), 0
        elif mark == "-":
            if document is None:
                raise MarkupError(f"{where}: an example before the first '@' line")
            topic, slash, sentiment = rest.rpartition(" / ")
            if not slash:
                raise MarkupError(f"{where}: an example line is '- Topic / sentiment', found {rest!r}")
            ordinal += 1
            pending = _Pending(f"{document[0]}-{ordinal}", document, topic.strip(), sentiment.strip(), where)
        elif pending is None:
            raise MarkupError(f"{where}: text before a '- Topic / sentiment' line")
        elif mark == ">" and pending.text is not None:
            pending.relations.append((where, rest.split()))
        elif mark == "?" and pending.text is not None:
            pending.questions.append((where, rest))
        elif pending.text is None:
            pending.text, pending.mentions = strip_markup(line, where)
        else:
            raise MarkupError(f"{where}: a second text line; join it to the first or start a new example with '-'")
    if pending is not None:
        yield pending.finish()


def strip_markup(line: str, where: str) -> tuple[str, list[Mention]]:
    """Plain text and mentions of a marked line; offsets count code points of the plain text."""
    parts: list[str] = []
    mentions: list[Mention] = []
    length = position = 0
    for match in _SPAN.finditer(line):
        before = line[position : match.start()]
        parts += [before, match[1]]
        length += len(before)
        mentions.append(Mention(length, length + len(match[1]), match[2], match[3], match[4]))
        length += len(match[1])
        position = match.end()
    parts.append(line[position:])
    text = "".join(parts)
    if "](" in text:
        raise MarkupError(f"{where}: a '](' is left after reading the markup near {text[max(0, text.index('](') - 20) :][:50]!r}")
    return text, mentions


class _Pending:
    """An example under construction."""

    def __init__(self, identifier: str, document: tuple[str, str, str, str], topic: str, sentiment: str, where: str):
        self.identifier, self.document, self.topic, self.sentiment, self.where = identifier, document, topic, sentiment, where
        self.text: str | None = None
        self.mentions: list[Mention] = []
        self.relations: list[tuple[str, list[str]]] = []
        self.questions: list[tuple[str, str]] = []

    def finish(self) -> Entry:
        if self.text is None:
            raise MarkupError(f"{self.where}: the example has no text line")
        keys = {m.key: i for i, m in enumerate(self.mentions) if m.key}
        relations = []
        for where, fields in self.relations:
            if len(fields) != 3 or fields[1] not in keys or fields[2] not in keys:
                raise MarkupError(f"{where}: a relation is '> Type head tail' with keys of this example {sorted(keys)}, found {fields}")
            relations.append(Relation(fields[0], keys[fields[1]], keys[fields[2]]))
        questions = []
        for where, rest in self.questions:
            text, colons, answer = rest.partition("::")
            answer = answer.strip()
            if not colons:
                raise MarkupError(f"{where}: a question is '? question :: answer' (nothing after '::' where the text does not answer)")
            start = self.text.find(answer) if answer else None
            if start == -1:
                raise MarkupError(f"{where}: the answer {answer!r} is not a stretch of the text")
            questions.append(Question(text.strip(), answer or None, start))
        name, register, language, published = self.document
        return Entry(
            self.identifier, name, register, language, published, self.topic, self.sentiment,
            self.text, tuple(self.mentions), tuple(relations), tuple(questions), self.where,
        )  # fmt: skip


def read_all(folder: Path = HERE / "source") -> list[Entry]:
    """Every entry of the corpus, files in name order."""
    return [entry for path in sorted(folder.glob("*.txt")) for entry in read(path)]
