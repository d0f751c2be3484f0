"""Examples from wherever a user points: a file, a folder, standard input, the bundled corpus, a hub name, or a list.

`load` reads annotated data for one kind of prediction, `load_texts` texts to predict on. Bad rows stop the reading or
are counted and listed, as the options say; they are never dropped silently. Repeated ids are kept for `check`.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import cast

from fintune.data.formats import reader
from fintune.data.formats.base import STDIN, ReadOptions, Rejected, Row, Source
from fintune.data.formats.detect import detect
from fintune.data.formats.hub import ENDINGS
from fintune.data.formats.opening import missing
from fintune.errors import DataError
from fintune.records import Example, Kind
from fintune.tasks.base import Task

BUNDLED = "bundled"
MAX_STDIN = 1 << 30  # bytes held in memory
_CORPUS = "fintune.data.corpus.bundle"  # its `load(slice, kind)` gives the bundled examples
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_WANTED = {
    "spans": ("no spans", 'give "spans", [] where the text has none, or choose another kind'),
    "label": ("no label", 'give a "label", or choose another kind'),
    "labels": ("no labels", 'give a list "labels", [] where none applies, or choose another kind'),
    "answer": ("no question", 'give a "question" and its "answer", or choose another kind'),
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A data set in memory.

    `format` is the name of the reader. `fingerprint` is a SHA-256 over ids, texts and gold, in order: it does not depend
    on the format or the place of the file.
    """

    examples: tuple[Example, ...]
    rejected: tuple[DataError, ...]
    format: str
    fingerprint: str

    @property
    def unaligned(self) -> int:
        """How many listed surfaces occur nowhere in their texts."""
        return sum(len(example.unaligned) for example in self.examples)


def load(source: str | Path | Source | Sequence[Example], options: ReadOptions = ReadOptions(), *, kind: Kind) -> Loaded:
    """The annotated examples of a source.

    Args:
        source: a path, `-`, `bundled[:slice[/part]]`, `org/name` on the hub, bytes that were read, or examples.
        options: how to read; `gold` is set here.
        kind: the gold that every example must have.

    Raises:
        DataError: the first bad row with `on_bad="stop"`; always a file that cannot be read or has no good row.
        UsageError: options that do not exist or do not fit the format.
    """
    options = replace(options, gold=kind)
    name, rows = _rows(source, options, kind)
    return _collected(source, name, (_with_gold(row, kind) for row in rows), options)


def load_for(task: Task, source: str | Path | Sequence[Example], options: ReadOptions = ReadOptions()) -> Loaded:
    """The annotated examples of a source for a task: `load` for its kind, with its class numbers read as labels.

    What the user renames goes before the task's own numbers.
    """
    return load(source, replace(options, rename={**task.numbers, **options.rename}), kind=task.kind)


def load_labelled(source: str | Path, options: ReadOptions = ReadOptions()) -> Loaded:
    """The examples of a source with one label each, or with any number of them where the data say so.

    They do where they have lists, or cells that part into labels which stand alone elsewhere.

    Raises:
        DataError, UsageError: as `load`; of data with neither, for the label.
    """
    place = _place(source, options) if str(source) == STDIN else source
    try:
        one = load(place, options, kind="label")
    except DataError as error:
        try:
            return load(place, options, kind="labels")
        except DataError as other:
            absent = other.what == _WANTED["labels"][0] or other.what.startswith("no column")
            raise (error if absent else other) from None
    return load(place, options, kind="labels") if _composed(one, options) else one


def _composed(loaded: Loaded, options: ReadOptions) -> bool:
    """Whether some label of a table is made of others, or all are lists."""
    mark, labels = options.label_delimiter, {example.label or "" for example in loaded.examples}
    if loaded.format not in ("csv", "parquet", "hub"):
        return False
    parts = [[part.strip() for part in label.split(mark)] for label in labels if mark in label]
    return any(set(own) <= labels for own in parts) or all(label.startswith("[") and label.endswith("]") for label in labels)


def load_texts(source: str | Path | Sequence[Example], options: ReadOptions = ReadOptions()) -> list[Example]:
    """Texts to predict on: any format, gold ignored, or plain text with one text a line.

    Raises:
        DataError: the first row that cannot be read; a prediction for part of the input would hide the rest.
        UsageError: options that do not exist or do not fit the format.
    """
    options = replace(options, gold="none", on_bad="stop")
    name, rows = _rows(source, options, "spans")
    return list(_collected(source, name, (_without_gold(row) for row in rows), options).examples)


def fingerprint(examples: Iterable[Example]) -> str:
    """SHA-256 (hexadecimal) over id, text and gold of the examples, in order; spans and unaligned pairs in sorted order.

    Reasoning and alternative answers count where there are some, so that data without them keep their fingerprint.
    """
    digest = hashlib.sha256()
    for example in examples:
        spans = example.spans if example.spans is None else [[span.start, span.end, span.label] for span in sorted(example.spans)]
        answer = None if example.answer is None else [example.answer.start, example.answer.text]
        canonical: list[object] = [example.id, example.text, spans, example.label, example.question, answer, sorted(example.unaligned)]
        if example.reasoning is not None:
            canonical.append(example.reasoning)
        if example.alternatives:
            canonical.append([[other.start, other.text] for other in example.alternatives])
        if example.labels is not None:
            canonical.append({"labels": sorted(example.labels)})
        digest.update(json.dumps(canonical, ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n")
    return digest.hexdigest()


def _rows(source: str | Path | Source | Sequence[Example], options: ReadOptions, kind: Kind) -> tuple[str, Iterator[Row]]:
    """The name of the format and the rows."""
    if not isinstance(source, str | Path | Source):
        return "examples", iter(source)
    name = str(source)
    if isinstance(source, str) and (name == BUNDLED or name.startswith(f"{BUNDLED}:")):
        corpus = import_module(_CORPUS)
        return BUNDLED, iter(cast(list[Example], corpus.load(name.removeprefix(BUNDLED).removeprefix(":"), kind)))
    place = source if isinstance(source, Source) else _place(source, options)
    found = detect(place, options)
    return found, reader(found)(place, options)


def _place(source: str | Path, options: ReadOptions) -> Source:
    """Where a path, `-` or a hub name points."""
    name = str(source)
    if name == STDIN:
        data = sys.stdin.buffer.read(MAX_STDIN + 1)
        if len(data) > MAX_STDIN:
            raise DataError(f"more than {MAX_STDIN >> 20} MiB", where="stdin", why="standard input is held in memory",
                            fix="write it to a file and give its path")  # fmt: skip
        return Source("stdin", data=data)
    path = Path(source)
    try:
        exists = path.exists()
    except OSError:
        exists = True  # not permitted or too long a name: opening it says which
    if exists or "\0" in name:
        return Source(name, path)
    if isinstance(source, str) and (options.format == "hub" or (_HUB_NAME.fullmatch(name) and not _names_file(path))):
        return Source(name)
    raise missing(name, path)


def _names_file(path: Path) -> bool:
    """Whether a path that is not there was meant as one: by its ending, or because its folder is there."""
    ending = path.name.lower().removesuffix(".gz").endswith((*ENDINGS, ".txt"))
    return ending or (path.parent.is_dir() and path.parent != Path("."))


def _collected(source: object, format_name: str, rows: Iterator[Row], options: ReadOptions) -> Loaded:
    """Takes rows up to the limit; stops at the first bad one unless they are to be skipped."""
    examples: list[Example] = []
    rejected: list[DataError] = []
    for row in rows:
        if isinstance(row, Rejected):
            if options.on_bad == "stop":
                raise row.error
            rejected.append(row.error)
            continue
        examples.append(_renamed(row, options))
        if len(examples) == options.limit:
            break
    if not examples:
        if rejected:
            raise rejected[0]
        where = "" if format_name == "examples" else str(source)
        raise DataError("no examples", where=where, why="the source holds nothing to read", fix="give at least one example")
    return Loaded(tuple(examples), tuple(rejected), format_name, fingerprint(examples))


def _renamed(example: Example, options: ReadOptions) -> Example:
    names = options.rename
    if not names:
        return example
    spans = example.spans
    return replace(
        example,
        spans=None if spans is None else tuple(replace(span, label=names.get(span.label, span.label)) for span in spans),
        label=None if example.label is None else names.get(example.label, example.label),
        labels=None if example.labels is None else tuple(dict.fromkeys(names.get(label, label) for label in example.labels)),
        unaligned=tuple((names.get(label, label), surface) for label, surface in example.unaligned),
    )


def _with_gold(row: Row, kind: Kind) -> Row:
    """The row, or its refusal where the example lacks the gold of the kind."""
    if isinstance(row, Rejected):
        return row
    present = {
        "spans": row.spans is not None, "label": row.label is not None, "labels": row.labels is not None,
        "answer": row.question is not None,
    }  # fmt: skip
    if present[kind]:
        return replace(row, label=None) if kind == "labels" else replace(row, labels=None) if row.labels is not None else row
    what, fix = _WANTED[kind]
    return Rejected(DataError(what, where=row.where or f"example {row.id!r}", why=f"gold of kind {kind} is needed", fix=fix))


def _without_gold(row: Row) -> Row:
    if isinstance(row, Rejected):
        return row
    return replace(row, spans=None, label=None, labels=None, answer=None, alternatives=(), reasoning=None, unaligned=())
