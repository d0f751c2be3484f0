"""Parquet tables through pyarrow: the columns of CSV, and lists or structs where CSV has literals.

Only the columns that are needed are read, a few hundred rows at a time. Class names that the `datasets` library stored
with the file are used. A row is named by its number, counted from one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fintune.data.formats.base import ReadOptions, Rejected, Row, Source, as_source
from fintune.data.formats.columns import choose
from fintune.data.formats.opening import MAX_RATIO, RATIO_FLOOR, opened
from fintune.data.formats.rows import Layout, example_of
from fintune.errors import DataError, UsageError

_BATCH = 256  # rows; a thousand long reports would be a gigabyte


def read(source: Path | Source, options: ReadOptions) -> Iterator[Row]:
    """Examples of a Parquet file in order.

    Raises:
        DataError: not a readable Parquet file, no rows, or a column is missing.
        UsageError: pyarrow is not installed.
    """
    source = as_source(source)
    try:
        import pyarrow as arrow  # type: ignore[import-untyped]
        import pyarrow.parquet as parquet  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        raise UsageError("Parquet files need pyarrow", where=source.name, fix="pip install 'fintune[parquet]'") from error
    with opened(source) as stream:
        number = 0
        try:
            table = parquet.ParquetFile(stream)
            _refuse_bomb(table.metadata, source)
            schema = table.schema_arrow
            layout = Layout(columns=choose(schema.names, options, where=source.name), options=options, classes=_classes(schema.metadata))
            for batch in table.iter_batches(batch_size=_BATCH, columns=layout.columns.used):
                for cells in batch.to_pylist():
                    number += 1
                    yield _row(cells, layout, number, source)
        except (arrow.ArrowException, ValueError, OSError) as error:  # ValueError: text that is not UTF-8
            reason = str(error).split("\n")[0]
            raise DataError("not a whole Parquet file", where=source.name, why=reason, fix="write or download the file again") from error
    if number == 0:
        raise DataError("a table without rows", where=source.name, fix="give a table with at least one row")


def _row(cells: dict[str, Any], layout: Layout, number: int, source: Source) -> Row:
    try:
        return example_of(cells, layout, where=f"{source.name}:{number}", fallback_id=f"{source.stem}:{number}")
    except DataError as error:
        return Rejected(error)


def _refuse_bomb(metadata: Any, source: Source) -> None:
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    unpacked = sum(group.total_byte_size for group in groups)
    packed = sum(group.column(index).total_compressed_size for group in groups for index in range(group.num_columns))
    if unpacked > RATIO_FLOOR and unpacked > MAX_RATIO * max(packed, 1):
        raise DataError(f"the table unpacks to more than {MAX_RATIO} times its size", where=source.name,
                        why="it may be made to fill the memory", fix="export it as JSONL if you trust it")  # fmt: skip


def _classes(metadata: dict[bytes, bytes] | None) -> dict[str, list[str]]:
    """Class names by column, from the schema that the `datasets` library writes beside its tables."""
    try:
        features = json.loads((metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}  # a table that another program wrote
    found: dict[str, list[str]] = {}
    for column, feature in features.items() if isinstance(features, dict) else ():
        inner = feature
        while isinstance(inner, dict) and "names" not in inner and isinstance(inner.get("feature"), dict):
            inner = inner["feature"]
        names = inner.get("names") if isinstance(inner, dict) else None
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            found[str(column)] = names
    return found
