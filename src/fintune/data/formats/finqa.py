"""Questions about financial reports with programs that compute their answers: FinQA's JSON and ConvFinQA as JSON Lines.

The text is the paragraphs before the table, the table with a row a line and `|` around its cells, and the paragraphs after it. The answer
is the executed one (`exe_ans`), in percent where the annotator's answer is, and stands nowhere in the text; `reasoning` is the
program with the result of each step. Of a conversation the last question is answered, and those before stand above it, one a line.

FinQA's annotators round, and sometimes slip: of the 20 rows of its `sample` the annotator's answer equals the executed one in 10, and in 15
when rounded. A row whose program does not give its answer is refused. Exercised by `pytest tests/data/formats/test_finqa.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fintune.data.formats.base import ReadOptions, Rejected, Row, Source, as_source, checked_id, checked_text, shown
from fintune.data.formats.objects import records
from fintune.data.formats.programs import DECIMALS, ProgramError, Result, Trace, run_assignments, run_calls, same_result
from fintune.errors import DataError
from fintune.records import Answer, Example, Meta
from fintune.text.numbers import Value, plain
from fintune.text.numbers import read as read_number

_CONVERSATION_ID = re.compile(r"(?:Single_|Double_)?(?P<document>.*?)(?:-\d+)?")


def read(source: Path | Source, options: ReadOptions) -> Iterator[Row]:
    """Examples of a FinQA or ConvFinQA file in order; each is named by the line it begins on.

    Raises:
        DataError: the file as a whole cannot be read.
    """
    source = as_source(source)
    for where, record in records(source, options.encoding, fix="give an object with 'qa' or 'questions'"):
        try:
            if isinstance(record, DataError):
                raise record
            yield _conversation(record, options, where) if "questions" in record else _question(record, options, where)
        except DataError as error:
            yield Rejected(error)


def _question(record: Mapping[str, Any], options: ReadOptions, where: str) -> Example:
    """One row of FinQA."""
    qa = record.get("qa")
    if not isinstance(qa, dict):
        raise DataError(f"'qa' is {shown(qa)}, not an object", where=where, fix="give the question with its answer under 'qa'")
    table = _table(record.get("table"), where)
    before, after = (_paragraphs(record.get(key), key, where) for key in ("pre_text", "post_text"))
    example = Example(
        id=checked_id(record.get("id"), where=where),
        text=checked_text("\n".join(part for part in (before, drawn(table), after) if part), key="pre_text", where=where),
        question=checked_text(qa.get("question"), key="question", where=where),
        meta=Meta(document=None if record.get("filename") is None else checked_text(record["filename"], key="filename", where=where)),
        where=where,
    )
    if options.gold == "none":
        return example
    program, stated = checked_text(qa.get("program"), key="program", where=where), _result(qa, "exe_ans", where)
    try:
        return _answered(example, run_calls(program, table), stated, _percent(qa.get("answer")))
    except ProgramError as error:
        raise _unusable(program, error, where) from error


def _conversation(record: Mapping[str, Any], options: ReadOptions, where: str) -> Example:
    """One row of ConvFinQA."""
    questions, programs = (_strings(record.get(key), key, where) for key in ("questions", "programs"))
    if not questions:
        raise DataError("'questions' is empty", where=where, fix="give at least one question, or delete the row")
    identifier = checked_id(record.get("id"), where=where)
    table = [[cell.strip() for cell in line.split("|")] for line in _string(record, "table", where).splitlines() if line.strip()]
    text = "\n".join(part for part in (_string(record, "text", where).strip(), drawn(table)) if part)
    match = _CONVERSATION_ID.fullmatch(identifier)
    example = Example(
        id=identifier,
        text=checked_text(text, key="text", where=where),
        question=checked_text("\n".join(questions), key="questions", where=where),
        meta=Meta(document=match["document"] if match else identifier),
        where=where,
    )
    if options.gold == "none":
        return example
    if len(programs) != len(questions):
        raise DataError(f"{len(questions)} questions and {len(programs)} programs", where=where, fix="give every question its program")
    stated = _result(record, "answer", where)
    try:
        return _answered(example, run_assignments(programs[-1]), stated, None)
    except ProgramError as error:
        raise _unusable(programs[-1], error, where) from error


def _answered(example: Example, trace: Trace, stated: Result, percent: Value | None) -> Example:
    """The example with its answer: in percent where that is how the annotator wrote the same number.

    Raises:
        ProgramError: where the program gives something else.
    """
    if not same_result(trace.result, stated):
        raise ProgramError(f"it gives {_written(trace.result)}, and the answer is {_written(stated)}")
    text = _written(stated)
    if percent is not None and not isinstance(stated, str) and abs(percent.amount - stated) <= _last_decimal(percent):
        text = f"{plain(round(stated * 100, DECIMALS - 2))}%"
    return replace(example, answer=Answer(None, text), reasoning="\n".join(trace.steps))


def _unusable(program: str, error: ProgramError, where: str) -> DataError:
    return DataError(f"the program {shown(program)} cannot be used", where=where, why=str(error),
                     fix="correct the program or the answer, or leave such rows out with --skip-bad")  # fmt: skip


def _written(result: Result) -> str:
    return result if isinstance(result, str) else plain(result)


def _percent(written: object) -> Value | None:
    """The annotator's answer, where it is a percentage."""
    value = read_number(written) if isinstance(written, str) else None
    return value if value is not None and value.unit == "percent" else None


def _last_decimal(percent: Value) -> float:
    """What the last written decimal of a percentage is worth: annotators round it or cut it off."""
    return 10.0 ** -len(plain(percent.number).partition(".")[2]) / 100


def _result(record: Mapping[str, Any], key: str, where: str) -> Result:
    value = record.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and value.strip():
        return value.strip()
    raise DataError(
        f"{key!r} is {shown(value)}", where=where, why="an answer is a number, yes or no", fix="give the answer or delete the row"
    )


def _table(value: object, where: str) -> list[list[str]]:
    if not isinstance(value, list):
        raise DataError(f"'table' is {shown(value)}, not a list", where=where, fix="give a list of rows, [] for no table")
    return [_strings(row, "table", where) for row in value]


def _strings(value: object, key: str, where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise DataError(f"{key!r} holds {shown(value)}, not a list of strings", where=where, fix="write it like the published files")
    return value


def _string(record: Mapping[str, Any], key: str, where: str) -> str:
    value = record.get(key)
    if not isinstance(value, str):
        raise DataError(f"{key!r} is {shown(value)}, not a string", where=where, fix=f"give {key!r} as a string, empty where there is none")
    return value


def _paragraphs(value: object, key: str, where: str) -> str:
    """The sentences of a part of the text, without the full stops that stand for what was cut out of the page."""
    return " ".join(sentence for sentence in _strings(value, key, where) if sentence.strip() not in ("", "."))


def drawn(table: Sequence[Sequence[str]]) -> str:
    """The rows of a table, as Markdown has them, without the rule under the header."""
    return "\n".join(f"| {' | '.join(' '.join(cell.split()) for cell in row)} |" for row in table)
