"""Files that are broken, foreign, in another encoding, explosive or not there at all."""

import gzip
import json
import os
import random

import pytest

from fintune.data.formats.base import ReadOptions
from fintune.data.load import load
from fintune.errors import DataError

ROW = '{"id": "%d", "text": "Société Générale rose %d", "spans": []}\n'
ROWS = "".join(ROW % (number, number) for number in range(200))
PACKED = gzip.compress(ROWS.encode(), mtime=0)
# Random bytes pack badly, so that a packed row ends where the archive is cut.
NOISE = "".join(json.dumps({"text": random.Random(seed).randbytes(600).hex(), "spans": []}) + "\n" for seed in range(400)).encode()


def damaged(packed, at):
    return packed[:at] + bytes([packed[at] ^ 0xFF]) + packed[at + 1 :]


BAD_FILES = [
    # archives
    ("rows.jsonl.gz", PACKED[: len(PACKED) // 2], "the gzip archive is cut off", None),
    ("rows.jsonl.gz", PACKED[:-4], "the gzip archive is cut off", 201),
    ("rows.jsonl.gz", PACKED[:12], "the gzip archive is cut off", None),
    ("rows.jsonl.gz", damaged(PACKED, len(PACKED) - 6), "the gzip archive is damaged", 201),
    ("rows.jsonl.gz", PACKED[:2] + b"\xff" * 40, "the gzip archive is damaged", None),
    ("rows.jsonl.gz", PACKED + b"trailing", "the gzip archive is damaged", 201),
    ("rows.jsonl.gz", gzip.compress(PACKED), "gzipped twice", None),
    ("rows.jsonl.gz", gzip.compress(b""), "the file is empty", None),
    ("rows.jsonl.gz", gzip.compress(b" " * (17 << 20)), "unpacks to more than 100 times its size", 1),
    ("rows.jsonl.gz", gzip.compress((b" " * 99 + b"\n") * (1 << 18)), "unpacks to more than 100 times its size", None),
    ("rows.jsonl.gz", gzip.compress(ROWS.encode("cp1252")), "--encoding cp1252", 1),
    # other kinds of file
    ("rows.jsonl", b"PK\x03\x04" + b"\0" * 60, "a zip archive or an Excel workbook", None),
    ("rows.csv", b"\xd0\xcf\x11\xe0" + b"\0" * 60, "an old Excel or Word file", None),
    ("rows.txt", b"%PDF-1.7\n", "a PDF file", None),
    ("rows.arrow", b"ARROW1\0\0", "an Arrow file", None),
    ("rows.jsonl", b"BZh91AY", "a bzip2 archive", None),
    ("rows.jsonl", b"\xfd7zXZ\0", "an xz archive", None),
    ("rows.jsonl", b"\x28\xb5\x2f\xfd\x04", "a zstd archive", None),
    ("rows.db", b"SQLite format 3\0", "an SQLite database", None),
    ("rows.md", b"# Results\n\nAcme rose.\n", "the format is not recognised", 1),
    ("rows.xml", b"<rows><row/></rows>", "the format is not recognised", 1),
    ("rows", b"", "the file is empty", None),
    ("rows.jsonl", b"\xef\xbb\xbf", "no examples", None),
    # encodings
    ("rows.jsonl", ROWS.encode("utf-16"), "the file is in UTF-16, not in utf-8", 1),
    ("rows.jsonl", ROWS.encode("utf-16-le"), "give --encoding utf-16-le", 1),
    ("rows.jsonl", ROWS.encode("utf-16-be"), "give --encoding utf-16-be", 1),
    ("rows.jsonl", ROWS.encode("utf-32"), "the file is in UTF-32", 1),
    ("rows.jsonl", b'{"text": "a", "spans": []}\n{"text": "\xe9tat", "spans": []}\n', "in cp1252 it is 'é'", 2),
    ("rows.jsonl", b'{"text": "a", "spans": []}\n{"text": "\x9d", "spans": []}\n', "give --encoding latin-1", 2),
    ("rows.jsonl", b'{"text": "\xed\xa0\x80", "spans": []}\n', "byte 0xED is not UTF-8", 1),
    ("rows.jsonl", b'{"text": "\xc0\xaf", "spans": []}\n', "byte 0xC0 is not UTF-8", 1),
    ("rows.jsonl", ROWS.encode()[:-40] + "é".encode()[:1] + b"\n", "byte 0xC3 is not UTF-8", 200),
    ("rows.jsonl", b'{"text": "a", "spans": []}\n' + b"x" * ((16 << 20) + 1) + b"\n", "line longer than 16 MiB", 2),
    ("rows.jsonl", b'{"text": "a", "spans": []}\r{"text": "b", "spans": []}\r', "bare carriage returns", 1),
]


@pytest.mark.parametrize(("name", "content", "says", "line"), BAD_FILES, ids=[f"{n}: {case[2]}" for n, case in enumerate(BAD_FILES)])
def test_a_bad_file_is_refused(refused, name, content, says, line):
    refused(content, name, says, line=line)


def test_a_cut_archive_is_no_row_to_skip(refused):
    packed = gzip.compress(NOISE)
    error = refused(packed[: len(packed) // 2], "rows.jsonl.gz", "is cut off", on_bad="skip")
    line = int(error.where.rpartition(":")[2])
    assert NOISE.count(b"\n") // 3 < line < NOISE.count(b"\n")


@pytest.mark.parametrize(
    ("encoding", "content", "says"),
    [
        ("cp1252", b"\xef\xbb\xbf" + ROWS.encode(), "leave --encoding out"),
        ("cp1252", ROWS.encode("utf-16"), "give --encoding utf-16"),
        ("utf-16", ROWS.encode(), "no byte order mark"),
        ("utf-16-le", b'{"text"', "not utf-16-le text"),
        ("ascii", ROWS.encode(), "is not ascii"),
        ("utf-16", ROWS.encode("utf-16")[:-1] + b"\xd8", "not utf-16 text"),
    ],
)
def test_the_stated_encoding_is_held_to(refused, encoding, content, says):
    refused(content, "rows.jsonl", says, encoding=encoding, format="jsonl")


def test_a_missing_file_names_its_neighbour(refused, tmp_path):
    (tmp_path / "train.jsonl").write_text(ROWS)
    assert "train.jsonl" in refused(None, "trian.jsonl", "no such file; did you mean").fix
    refused(None, "qqq", "no such file; check the path")
    refused(None, "nowhere/train.jsonl", "there is no folder")


@pytest.mark.parametrize("format_name", ["jsonl", "csv", "conll", "parquet"])
def test_a_folder_is_no_file(refused, tmp_path, format_name):
    (tmp_path / "rows").mkdir()
    refused(None, "rows", "is a folder, not a file", format=format_name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(refused, tmp_path):
    (tmp_path / "rows.jsonl").write_text(ROWS)
    (tmp_path / "rows.jsonl").chmod(0)
    refused(None, "rows.jsonl", "cannot be opened (Permission denied)")


def test_a_name_with_nul_is_refused():
    with pytest.raises(DataError) as caught:
        load("rows\0.jsonl", ReadOptions(), kind="spans")
    assert caught.value.exit_status == 3
    assert "cannot be opened" in str(caught.value)
