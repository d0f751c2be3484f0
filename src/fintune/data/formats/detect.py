"""Tells the format of a source from its content; the file name decides only where the content does not."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from fintune.data.formats.base import ReadOptions, Source
from fintune.data.formats.columns import USUAL, known_names
from fintune.data.formats.delimited import sniff
from fintune.data.formats.lines import UTF8_MARK, check_encoding, refuse_foreign
from fintune.data.formats.opening import head
from fintune.errors import DataError
from fintune.text.bio import split_tag

_BY_ENDING = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet",
    ".conll": "conll", ".bio": "conll", ".iob": "conll", ".iob2": "conll", ".txt": "text",
}  # fmt: skip
_CONLL_LINES = 50


def detect(source: Source, options: ReadOptions) -> str:
    """The name of the format, a key of `FORMATS`.

    Raises:
        DataError: the source cannot be opened, is another kind of file, or has no format that is known.
    """
    if options.format != "auto":
        return options.format
    if (source.path is None and source.data is None) or (source.path is not None and source.path.is_dir()):
        return "hub"
    start = head(source)
    if start.startswith(b"PAR1"):
        return "parquet"
    check_encoding(options.encoding)
    refuse_foreign(start, source.name, options.encoding)
    if not start:
        raise DataError("the file is empty", where=source.name, fix="give a file with at least one example")
    return _of_text(_first_lines(start, options.encoding), source, options)


def _first_lines(start: bytes, encoding: str) -> list[str]:
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")  # the last character may be cut
    text = decoder.decode(start.removeprefix(UTF8_MARK)).removeprefix("\ufeff")
    return [line.removesuffix("\r") for line in text.split("\n")]


def _of_text(lines: Sequence[str], source: Source, options: ReadOptions) -> str:
    texts_only = options.gold == "none"
    filled = [line for line in lines if line.strip()]
    first = filled[0] if filled else ""
    ending = _ending(source)
    if _has_tags(filled, options):
        return "conll"
    if first.lstrip().startswith(("{", "[")) and _BY_ENDING.get(ending, "jsonl") in ("jsonl", "text"):
        return "finqa" if _has_programs(filled) else "entities" if _has_entities(first) else _of_pages(filled) or "jsonl"
    plain = texts_only and (ending == ".txt" or source.data is not None)
    if not plain and _has_header(first, ending, options):
        return "csv"
    name = "text" if plain else _BY_ENDING.get(ending, "text" if texts_only else "")
    if name and (name != "text" or texts_only):
        return name
    raise DataError("the format is not recognised", where=f"{source.name}:1",
                    why="neither JSON objects, a CSV header with known columns, nor tokens with tags",
                    fix="give --format jsonl, csv, parquet or conll, and --text-column for a CSV with other names")  # fmt: skip


def _has_programs(filled: Sequence[str]) -> bool:
    """Whether it is an array with the keys of FinQA, or an object a line with those of ConvFinQA."""
    if filled[0].lstrip().startswith("["):
        return any('"pre_text"' in line for line in filled)
    return '"questions"' in filled[0] and '"programs"' in filled[0]


def _has_entities(first: str) -> bool:
    """Whether it is an object with a list of labelled entities."""
    return first.lstrip().startswith("{") and '"text"' in first and '"entities"' in first and '"sentiment"' in first


def _of_pages(filled: Sequence[str]) -> str:
    """SQuAD, an object with paragraphs and their questions, or TAT-QA, an array of pages; "" where it is neither."""
    opening = " ".join(filled)
    for name, bracket, keys in (("squad", "{", ("data", "paragraphs", "qas")), ("tatqa", "[", ("table", "paragraphs", "questions"))):
        if opening.lstrip().startswith(bracket) and all(f'"{key}"' in opening for key in keys):
            return name
    return ""


def _ending(source: Source) -> str:
    name = source.name.lower().removesuffix(".gz")
    return name[name.rfind(".") :] if "." in name else ""


def _has_header(line: str, ending: str, options: ReadOptions) -> bool:
    """Whether the line names a known column. In texts to predict, which may be prose, it must be a column of text."""
    known = known_names(options)
    cells = [cell.strip().strip('"').strip().lower() for cell in line.split(sniff(line, known))]
    if options.gold == "none" and _BY_ENDING.get(ending) != "csv":
        known = [options.text_column] if options.text_column else ["text", *(USUAL["text"] if len(cells) > 1 else ())]
    return any(cell in {name.lower() for name in known} for cell in cells)


def _has_tags(filled: Sequence[str], options: ReadOptions) -> bool:
    """Whether the first lines are token lines: equally many columns, at least two, one of them all tags."""
    lines = [line for line in filled[: _CONLL_LINES + 1] if not line.startswith(("# ", "-DOCSTART-"))]
    if len(lines) > 1:
        lines = lines[:-1]  # the last one may be cut
    cells = [line.split("\t") if "\t" in lines[0] else line.split() for line in lines]
    if not cells or len(cells[0]) < 2 or any(len(row) != len(cells[0]) for row in cells):
        return False
    column = int(options.tag_column or -1) if (options.tag_column or "").lstrip("-").isdecimal() else -1
    return -len(cells[0]) <= column < len(cells[0]) and all(_is_tag(row[column].strip()) for row in cells)


def _is_tag(cell: str) -> bool:
    try:
        split_tag(cell)
    except ValueError:
        return False
    return True
