"""What every reader shares: where bytes come from, the reading options, and the row that is either an example or a refusal.

A reader is `read(source, options)`, a generator. A bad row is yielded as `Rejected` and reading goes on; a fault that
concerns the whole file (no such column, a broken archive) is raised as `DataError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

from fintune.errors import DataError, UsageError, did_you_mean
from fintune.records import Example, Kind, Meta
from fintune.text.align import Occurrences
from fintune.text.bio import SchemeChoice

STDIN = "-"
META_KEYS = ("document", "published", "source", "group")


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that could not be read, and why."""

    error: DataError


Row = Example | Rejected


@dataclass(frozen=True, slots=True)
class Source:
    """Where the bytes of a data set come from: a path, bytes in memory (standard input), or neither for a hub name.

    `name` is what messages show.
    """

    name: str
    path: Path | None = None
    data: bytes | None = None

    @property
    def stem(self) -> str:
        """The file name without its endings, which begins the ids of rows that have none."""
        name = self.name.rpartition("/")[2] if self.path is None else self.path.name
        if self.path is None and self.data is None:
            return name  # a hub name, whose points end nothing
        return name.split(".")[0] or name


def as_source(source: Path | Source) -> Source:
    """A path as a source."""
    return source if isinstance(source, Source) else Source(str(source), source)


_CHOICES = {"scheme": get_args(SchemeChoice), "occurrences": get_args(Occurrences), "on_bad": ("stop", "skip")}


def _option(flag: str, text: str) -> dict[str, str]:
    return {"option": flag, "help": text}


def _no_renames() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """How to read a data set. `metadata` of each field holds its command-line option and one line of help."""

    format: str = field(default="auto", metadata=_option("--format", "format of the data; auto looks at the content"))
    text_column: str | None = field(default=None, metadata=_option("--text-column", "column of the text"))
    annotation_column: str | None = field(
        default=None, metadata=_option("--annotation-column", "column of the dictionary of lists of strings")
    )
    label_column: str | None = field(default=None, metadata=_option("--label-column", "column of the label"))
    label_delimiter: str = field(
        default=";", metadata=_option("--label-delimiter", "what parts the labels of a cell, of tasks with several; a semicolon otherwise")
    )
    question_column: str | None = field(
        default=None, metadata=_option("--question-column", "column of the question; it may hold the text too")
    )
    answer_column: str | None = field(default=None, metadata=_option("--answer-column", "column of the answer to the question"))
    reasoning_column: str | None = field(
        default=None, metadata=_option("--reasoning-column", "column of the worked solution that leads to the answer")
    )
    token_column: str | None = field(
        default=None, metadata=_option("--token-column", "column of the token: counted from 0 in CoNLL files, a name elsewhere")
    )
    tag_column: str | None = field(
        default=None, metadata=_option("--tag-column", "column of the tag: counted from 0 (-1 the last) in CoNLL files, a name elsewhere")
    )
    scheme: SchemeChoice = field(
        default="auto", metadata=_option("--scheme", "tag scheme; auto reads all of them leniently, a named one is held to")
    )
    encoding: str = field(default="utf-8", metadata=_option("--encoding", "encoding of text files"))
    occurrences: Occurrences = field(
        default="all", metadata=_option("--occurrences", "align every occurrence of a listed surface or only the first")
    )
    on_bad: Literal["stop", "skip"] = field(
        default="stop", metadata=_option("--skip-bad", "leave out rows that cannot be read, and list them")
    )
    split: str | None = field(
        default=None, metadata=_option("--hub-split", "split of a folder or a hub data set; train where there is one")
    )
    limit: int | None = field(default=None, metadata=_option("--limit", "read at most so many examples"))
    rename: Mapping[str, str] = field(
        default_factory=_no_renames, metadata=_option("--rename", "OLD=NEW: give a label of the data the name the task uses")
    )
    # Which gold to look for: that of one kind, whatever there is, or none (texts to predict). Set by `load`, no option.
    gold: Kind | Literal["any", "none"] = "any"

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise UsageError(f"unknown {name} {getattr(self, name)!r}", where=f"--{name}", fix=did_you_mean(getattr(self, name), known))
        if not self.label_delimiter.strip():
            raise UsageError("a label delimiter without a visible character", where="--label-delimiter", fix="give one such as ; or |")
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"limit {self.limit}", where="--limit", fix="give a number of at least 1")


def checked_text(value: object, *, key: str, where: str) -> str:
    """A text with something in it.

    Raises:
        DataError: not a string, or nothing but blanks.
    """
    if not isinstance(value, str):
        raise DataError(f"{key!r} is {shown(value)}, not a string", where=where, fix=f"give {key!r} as a string")
    if not value.strip():
        raise DataError(f"{key!r} is empty", where=where, why="there is nothing to read", fix="delete the row or give it a text")
    return value


def checked_id(value: object, *, where: str) -> str:
    """An id: a string with something in it, or an integer.

    Raises:
        DataError: anything else.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and value.strip():
        return value
    raise DataError(f"'id' is {shown(value)}", where=where, why="an id is a string or an integer",
                    fix="give the row an id, or leave the key or column out to get file:line")  # fmt: skip


def checked_meta(values: Mapping[str, Any], *, where: str) -> Meta:
    """Provenance out of the keys `document`, `published`, `source` and `group`; None means unknown.

    Raises:
        DataError: an unknown key, a value that is no string, or a publication time that is not ISO 8601.
    """
    found: dict[str, str] = {}
    for key, value in values.items():
        if key not in META_KEYS:
            raise DataError(f"unknown key {key!r} in 'meta'", where=where, fix=did_you_mean(key, META_KEYS))
        if value is None:
            continue
        if isinstance(value, datetime):
            value = value.isoformat()
        elif isinstance(value, int) and not isinstance(value, bool) and key != "published":
            value = str(value)
        if not isinstance(value, str):
            raise DataError(f"{key!r} is {shown(value)}, not a string", where=where, fix=f"give {key!r} as a string or leave it out")
        found[key] = value
    if "published" in found:
        _check_time(found["published"], where)
    return Meta(**found)


def _check_time(value: str, where: str) -> None:
    try:
        datetime.fromisoformat(value)
    except ValueError as error:
        raise DataError(f"'published' is {shown(value)}", where=where, why="not an ISO 8601 time",
                        fix="write it like 2024-03-31 or 2024-03-31T16:05:00Z") from error  # fmt: skip


def shown(value: object) -> str:
    """A value in a message: short, on one line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def listed(names: list[str]) -> str:
    """Names in a message: at most twelve of them."""
    some = ", ".join(name if len(name) <= 40 else f"{name[:37]}..." for name in names[:12])
    return some + (f" and {len(names) - 12} more" if len(names) > 12 else "")
