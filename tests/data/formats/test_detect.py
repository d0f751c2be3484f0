import gzip

import pytest

from fintune.data.formats import FORMATS, reader
from fintune.data.formats.base import ReadOptions, Source
from fintune.data.formats.detect import detect
from fintune.errors import DataError, UsageError

CONTENTS = [
    ('{"text": "a"}\n', "jsonl"),
    ('\ufeff\n {"text": "a"}\n', "jsonl"),
    ("[\n", "jsonl"),
    ("text,ground_truth\na,{}\n", "csv"),
    ('"Text";"ground_truth"\n', "csv"),
    ("id\ttext\tlabel\n", "csv"),
    ("id,txt,label\n", "csv"),
    ("Acme B-ORG\nrose O\n\n", "conll"),
    ("-DOCSTART- -X- O\n\nAcme NNP B-ORG\nrose VBD O\n", "conll"),
    ("# newdoc\nAcme\tB-ORG\n", "conll"),
    ("[ O\n1 O\n", "conll"),
]


@pytest.mark.parametrize("name", ["rows", "rows.txt", "rows.data"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(("content", "expected"), CONTENTS)
def test_the_content_decides(tmp_path, name, pack, content, expected):
    (tmp_path / name).write_bytes(pack(content.encode()))
    assert detect(Source(name, tmp_path / name), ReadOptions(gold="spans")) == expected


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("rows.jsonl", "not JSON\n", "jsonl"),
        ("rows.csv", "a,b\n", "csv"),
        ("rows.tsv.gz", "a\tb\n", "csv"),
        ("rows.conll", "Acme\n", "conll"),
        ("rows.csv", "{a},text\n", "csv"),
    ],
)
def test_the_ending_decides_where_the_content_does_not(name, content, expected):
    assert detect(Source(name, data=content.encode()), ReadOptions()) == expected


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("rows.txt", "text\nAcme rose\n", "text"),
        ("rows.txt", "Acme rose\n", "text"),
        ("rows.log", "News\nAcme rose\n", "text"),
        ("rows", "In the news, Acme rose\n", "text"),
        ("rows", "text\nAcme rose\n", "csv"),
        ("rows", "id,headline\n1,Acme rose\n", "csv"),
        ("rows.csv", "headline\nAcme rose\n", "csv"),
        ("rows.txt", '{"text": "a"}\n', "jsonl"),
        ("rows.txt", "Acme B-ORG\nrose O\n", "conll"),
    ],
)
def test_texts_to_predict_may_be_plain(tmp_path, name, content, expected):
    (tmp_path / name).write_text(content)
    assert detect(Source(name, tmp_path / name), ReadOptions(gold="none")) == expected


def test_plain_text_is_no_annotated_data():
    with pytest.raises(DataError, match="the format is not recognised"):
        detect(Source("rows.txt", data=b"Acme rose\n"), ReadOptions(gold="spans"))


def test_a_stated_format_is_believed_without_looking():
    assert detect(Source("nowhere"), ReadOptions(format="conll")) == "conll"


def test_every_format_of_the_table_has_a_reader():
    assert all(callable(reader(name)) for name in FORMATS)


def test_an_unknown_format_or_encoding_is_a_usage_error():
    with pytest.raises(UsageError, match=r"did you mean 'jsonl'\?"):
        reader("json")
    with pytest.raises(UsageError, match="unknown encoding 'utf-9'"):
        detect(Source("rows", data=b"a"), ReadOptions(encoding="utf-9"))
    with pytest.raises(UsageError, match="unknown encoding 'hex'"):
        detect(Source("rows", data=b"a"), ReadOptions(encoding="hex"))


@pytest.mark.parametrize(("name", "value"), [("scheme", "bio"), ("occurrences", "last"), ("on_bad", "ignore"), ("limit", 0)])
def test_options_out_of_range_are_usage_errors(name, value):
    with pytest.raises(UsageError, match=f"--{name}: ") as caught:
        ReadOptions(**{name: value})
    assert caught.value.fix
