import datetime
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintune.data.formats.base import ReadOptions, Source
from fintune.data.formats.parquet import read
from fintune.data.formats.table import read as read_csv
from fintune.records import Example

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def packed(columns, **options):
    buffer = io.BytesIO()
    parquet.write_table(arrow.table(columns), buffer, **options)
    return buffer.getvalue()


def rows_of(columns, **options):
    found = [*read(Source("rows.parquet", data=packed(columns)), ReadOptions(**options))]
    assert all(isinstance(row, Example) for row in found), found
    return found


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["A", "B"]), st.none() | st.lists(st.sampled_from(["x", "y z"]), max_size=2)),
        min_size=1,
        max_size=4,
    )
)
def test_strings_structs_and_csv_read_alike(lists):
    """The same annotation as a literal in CSV, as a string column and as a column of structs."""
    texts = ["x, y z and x again"] * len(lists)
    quoted = "".join(f'"{text}","{value}"\n' for text, value in zip(texts, lists, strict=True))
    by_csv = [*read_csv(Source("rows.csv", data=f"text,ground_truth\n{quoted}".encode()), ReadOptions())]
    by_string = rows_of({"text": texts, "ground_truth": [repr(value) for value in lists]})
    struct = arrow.array(
        [{"A": value.get("A"), "B": value.get("B")} for value in lists], arrow.struct({k: arrow.list_(arrow.string()) for k in "AB"})
    )
    by_struct = rows_of({"text": texts, "ground_truth": struct})
    pairs = arrow.array([[*value.items()] for value in lists], arrow.map_(arrow.string(), arrow.list_(arrow.string())))
    by_map = rows_of({"text": texts, "ground_truth": pairs})
    gold = [(row.spans, row.unaligned) for row in by_csv]
    assert gold == [(row.spans, row.unaligned) for row in by_string]
    assert gold == [(row.spans, row.unaligned) for row in by_struct]
    assert gold == [(row.spans, row.unaligned) for row in by_map]
    assert [row.where for row in by_string] == [f"rows.parquet:{number}" for number in range(1, len(lists) + 1)]


def test_tokens_with_tags_and_with_class_numbers():
    tokens = [["Acme", "Inc", "rose"]]
    (plain,) = rows_of({"tokens": tokens, "ner_tags": [["B-ORG", "I-ORG", "O"]]})
    assert [(span.text, span.label) for span in plain.spans] == [("Acme Inc", "ORG")]
    schema = arrow.schema([("tokens", arrow.list_(arrow.string())), ("ner_tags", arrow.list_(arrow.int64())), ("label", arrow.int64())])
    features = '{"info": {"features": {"ner_tags": {"feature": {"names": ["O", "B-ORG", "I-ORG"]}}, "label": {"names": ["down", "up"]}}}}'
    table = arrow.table({"tokens": tokens, "ner_tags": [[1, 2, 0]], "label": [1]}, schema=schema.with_metadata({"huggingface": features}))
    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    (numbered,) = [*read(Source("rows.parquet", data=buffer.getvalue()), ReadOptions())]
    assert (numbered.text, numbered.spans, numbered.label) == ("Acme Inc rose", plain.spans, "up")


def test_lists_over_tokens_and_spans_with_offsets():
    (listed,) = rows_of({"tokens": [["Acme", "rose"]], "ground_truth": ["{'A': ['Acme']}"]})
    (given_,) = rows_of({"text": ["Acme rose"], "spans": [[{"start": 0, "end": 4, "label": "A"}]]})
    assert listed.spans == given_.spans
    assert listed.text == given_.text


def test_times_ids_and_labels_of_other_types():
    when = datetime.datetime(2024, 1, 31, 16, 5)
    (row,) = rows_of({"text": ["a"], "label": [3], "id": [7], "published": [when], "document": ["d"]})
    assert (row.label, row.id, row.meta.published, row.meta.document) == ("3", "7", "2024-01-31T16:05:00", "d")


def test_batches_keep_the_row_numbers():
    rows = rows_of({"text": [f"t{number}" for number in range(600)], "label": ["a"] * 600})
    assert [(row.id, row.text) for row in rows] == [(f"rows:{number + 1}", f"t{number}") for number in range(600)]


GOOD = {"id": ["a", "b", "c"], "text": ["one", "two", "three"], "ground_truth": ["{}", "{}", "{}"]}
BAD_ROWS = [
    ("text", ["one", None, "three"], "'text' is None"),
    ("text", ["one", "", "three"], "'text' is empty"),
    ("ground_truth", ["{}", None, "{}"], "'ground_truth' is None"),
    ("ground_truth", ["{}", "{'A': 3}", "{}"], "must hold a list"),
    ("ground_truth", ["{}", "", "{}"], "'ground_truth' is empty"),
    ("ground_truth", [{"A": ["one"]}, {"A": ["two", None]}, {"A": None}], "holds ['two', None] under 'A'"),
    ("ground_truth", [[], [{"start": 0, "end": 9, "label": "A"}], []], "outside the text"),
    ("id", ["a", None, "c"], "'id' is None"),
]


@pytest.mark.parametrize(("column", "values", "says"), BAD_ROWS, ids=[case[2] for case in BAD_ROWS])
def test_a_bad_row_is_named_and_may_be_skipped(refused, skipped, column, values, says):
    content = packed(GOOD | {column: values})
    error = refused(content, "rows.parquet", says, line=2)
    assert [str(one) for one in skipped(content, "rows.parquet", ["a", "c"])] == [str(error)]


PACKED = packed(GOOD)
BAD_FILES = [
    (PACKED[: len(PACKED) // 2], "not a whole Parquet file", {}),
    (PACKED[:-8], "not a whole Parquet file", {}),
    (b"PAR1", "not a whole Parquet file", {}),
    (b"PAR1" + b"\0" * 40 + b"PAR1", "not a whole Parquet file", {}),
    (b"not Parquet", "not a whole Parquet file", {"format": "parquet"}),
    (b"", "not a whole Parquet file", {"format": "parquet"}),
    (PACKED, "this is a Parquet file", {"format": "csv"}),
    (PACKED, "no column for the label", {"kind": "label"}),
    (PACKED, "did you mean --text-column text?", {"text_column": "txt"}),
    (packed({"text": [1, 2], "ground_truth": ["{}", "{}"]}), "'text' is 1, not a string", {}),
    (packed({"text": [["a"]], "ground_truth": ["{}"]}), "'text' is ['a'], not a string", {}),
    (packed({"text": ["a"], "ground_truth": [3]}), "'ground_truth' is 3, not a dictionary", {}),
    (packed({"text": ["a"], "ground_truth": [["Acme"]]}), "span 1 is 'Acme', not an object", {}),
    (packed({"text": ["a"], "label": [1.5]}), "'label' is 1.5", {"kind": "label"}),
    (packed({"text": ["a"], "label": [True]}), "'label' is True", {"kind": "label"}),
    (packed({"words": ["a b"], "tags": [["O"]]}), "'words' is 'a b'", {}),
    (packed({"tokens": [["a", ""]], "tags": [["O", "O"]]}), "none of them empty", {}),
    (packed({"tokens": [["a", None]], "tags": [["O", "O"]]}), "none of them empty", {}),
    (packed({"tokens": [["a"]], "tags": [["O", "O"]]}), "1 tokens and 2 tags", {}),
    (packed({"tokens": [["a"]], "tags": [[1]]}), "tag numbers need the names", {}),
    (packed({"tokens": [["a"]], "tags": [["X-A"]]}), "unknown tag 'X-A'", {}),
    (packed({"text": ["a"], "label": ["b"], "published": ["soon"]}), "not an ISO 8601 time", {"kind": "label"}),
    (packed({"text": arrow.array([], arrow.string()), "ground_truth": arrow.array([], arrow.string())}), "a table without rows", {}),
    (packed({"text": ["x" * (20 << 20)], "ground_truth": ["{}"]}, compression="zstd"), "unpacks to more than 100 times", {}),
]


@pytest.mark.parametrize(("content", "says", "options"), BAD_FILES, ids=[f"{n}: {case[1]}" for n, case in enumerate(BAD_FILES)])
def test_a_bad_table_is_refused(refused, content, says, options):
    refused(content, "rows.parquet", says, **options)
