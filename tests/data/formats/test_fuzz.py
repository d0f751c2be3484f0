"""Whatever the bytes, reading ends in examples that hold together or in errors that follow the contract."""

import contextlib
import gzip
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fintune.data.formats import FORMATS, reader
from fintune.data.formats.base import ReadOptions, Rejected, Source
from fintune.data.formats.detect import detect
from fintune.data.formats.lines import text_lines
from fintune.errors import DataError

VALID = {
    "jsonl": '{"id": 1, "text": "Acmé rose", "spans": [{"start": 0, "end": 4, "label": "C", "text": "Acmé"}]}\n{"text": "b"}\n',
    "csv": 'id,text,ground_truth,label\n1,"Acmé, ""rose""\nagain","{\'C\': [\'Acmé\'], \'D\': None}",up\n2,b,{},down\n',
    "conll": "-DOCSTART- O\n\n# c\nAcmé B-C\nInc I-C\n\nrose O\n",
    "text": "Acmé rose\n\nAjax fell\n",
}
PIECES = [
    b"",
    b"\0",
    b"\xff",
    b"\n",
    b"\r",
    b'"',
    b"'",
    b"{",
    b"}",
    b"[",
    b",",
    b"\t",
    b" ",
    b"\\",
    b"\\ud800",
    b"null",
    b"NaN",
    b"-1",
    b"9" * 30,
]
BYTES = {name: text.encode() for name, text in VALID.items()}


def valid_parquet():
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    buffer = io.BytesIO()
    parquet.write_table(
        arrow.table({"text": ["Acmé rose", "b"], "ground_truth": ["{'C': ['Acmé']}", "{}"], "label": ["up", "down"]}), buffer
    )
    return buffer.getvalue()


@st.composite
def mutated(draw, original):
    content = original
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.integers(start, min(len(content), start + 12)))
        content = content[:start] + draw(st.sampled_from(PIECES) | st.binary(max_size=3)) + content[end:]
    return content


def assert_reads_or_refuses(content, name, options):
    source = Source("rows.data", data=content)
    try:
        rows = [*reader(name)(source, options)]
    except DataError as error:
        rows = [Rejected(error)]
    for row in rows:
        if isinstance(row, Rejected):
            assert row.error.fix
            assert row.error.where.startswith("rows.data")
            assert "\n" not in str(row.error)
            continue
        assert row.text.strip()
        assert row.id
        for span in row.spans or ():
            assert 0 <= span.start < span.end <= len(row.text)
            assert span.text == row.text[span.start : span.end]
        row.text.encode("utf-8")


@pytest.mark.parametrize("name", [name for name in FORMATS if name in BYTES])
@given(data=st.data(), gold=st.sampled_from(["any", "none"]))
@settings(max_examples=300)
def test_mutated_text_files(name, data, gold):
    content = data.draw(mutated(BYTES[name]))
    assert_reads_or_refuses(content, name, ReadOptions(gold=gold))


@given(st.data())
def test_mutated_parquet(data):
    assert_reads_or_refuses(data.draw(mutated(valid_parquet())), "parquet", ReadOptions())


@given(st.data())
def test_mutated_archives(data):
    assert_reads_or_refuses(data.draw(mutated(gzip.compress(BYTES["jsonl"], mtime=0))), "jsonl", ReadOptions())


@given(st.binary(max_size=60), st.sampled_from(["utf-8", "utf-16", "utf-32-le", "cp1252", "ascii", "shift-jis"]))
def test_arbitrary_bytes_give_lines_or_errors(content, encoding):
    try:
        lines = [*text_lines(Source("rows.data", data=content), encoding)]
    except DataError:
        return
    assert [line.number for line in lines] == [*range(1, len(lines) + 1)]
    assert all(isinstance(line.text, DataError) or not set(line.text) & {"\n", "\0"} for line in lines)


@given(st.sampled_from([*BYTES.values()]).flatmap(mutated), st.sampled_from(["any", "none"]))
def test_detection_never_fails_otherwise(content, gold):
    with contextlib.suppress(DataError):
        assert detect(Source("rows.data", data=content), ReadOptions(gold=gold)) in FORMATS
