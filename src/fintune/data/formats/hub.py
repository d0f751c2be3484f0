"""Data sets of the Hugging Face hub and folders of data, as one split of examples.

A folder written by `save_to_disk` and a hub name are read through the `datasets` library, imported only then, with its
telemetry off; code that comes with a data set is never run. A folder of data files is read file by file with our own
readers, which name the line of a fault.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fintune.data.formats import reader
from fintune.data.formats.base import ReadOptions, Rejected, Row, Source, as_source, listed
from fintune.data.formats.columns import choose
from fintune.data.formats.detect import detect
from fintune.data.formats.rows import Layout, example_of
from fintune.errors import DataError, UsageError, did_you_mean

ENDINGS = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".conll", ".bio", ".iob", ".iob2")
SPLITS = ("train", "validation", "valid", "val", "dev", "test")
DEFAULT_SPLIT = "train"
_SAVED = ("dataset_dict.json", "state.json")


def read(source: Path | Source, options: ReadOptions) -> Iterator[Row]:
    """Examples of one split, in order. Rows of the library are named by their number, counted from one.

    Raises:
        DataError: no such data set, split or column, or nothing readable in the folder.
        UsageError: the `datasets` library is needed and not installed.
    """
    source = as_source(source)
    if source.path is not None and not any((source.path / name).exists() for name in _SAVED):
        yield from _files(source, source.path, options)
        return
    table = _split(_dataset(source, options), source, options)
    classes = {name: names for name, feature in table.features.items() if (names := _class_names(feature))}
    columns = choose(list(table.column_names), options, where=source.name)
    layout = Layout(columns=columns, options=options, classes=classes)
    number = 0
    for number, cells in enumerate(table.select_columns(columns.used), 1):
        yield _row(cells, layout, number, source)
    if number == 0:
        raise DataError("a split without rows", where=source.name, fix="name another one with --hub-split")


def _row(cells: Mapping[str, Any], layout: Layout, number: int, source: Source) -> Row:
    try:
        return example_of(cells, layout, where=f"{source.name}:{number}", fallback_id=f"{source.stem}:{number}")
    except DataError as error:
        return Rejected(error)


def _dataset(source: Source, options: ReadOptions) -> Any:
    """What the library gives: a data set, or a dictionary of splits."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read when the library is imported
    try:
        import datasets  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        raise UsageError("this data set needs the datasets library", where=source.name, fix="pip install 'fintune[hub]'") from error
    datasets.disable_progress_bars()
    try:
        if source.path is not None:
            return datasets.load_from_disk(str(source.path))
        return datasets.load_dataset(source.name)
    # The library has no common base class; a data set that brings code is a RuntimeError, a bad one often a ValueError.
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, datasets.exceptions.DatasetsError) as error:
        reason = str(error).strip().split("\n")[0]
        where = "the folder" if source.path is not None else "the name, the network and HF_HUB_OFFLINE"
        raise DataError("the data set cannot be read", where=source.name, why=reason,
                        fix=f"check {where}, or download its files and give their folder") from error  # fmt: skip


def _split(loaded: Any, source: Source, options: ReadOptions) -> Any:
    if not isinstance(loaded, dict):
        return loaded
    return loaded[_chosen([*loaded], source, options)]


def _chosen(splits: Sequence[str], source: Source, options: ReadOptions) -> str:
    """The split asked for, else train, else the only one."""
    if options.split is None and len(splits) == 1:
        return splits[0]
    wanted = options.split or DEFAULT_SPLIT
    if wanted in splits:
        return wanted
    known = listed(sorted(splits))
    if options.split is None:
        raise DataError(f"no split {wanted!r}", where=source.name, why=f"splits found: {known}", fix="choose one with --hub-split")
    raise DataError(f"no split {wanted!r}", where=source.name, why=f"splits found: {known}", fix=did_you_mean(wanted, splits))


def _class_names(feature: Any) -> list[str]:
    """The names of a class-number column, or of a list of class numbers; [] for other columns."""
    while not hasattr(feature, "names") and hasattr(feature, "feature"):
        feature = feature.feature
    return [str(name) for name in getattr(feature, "names", None) or []]


def _files(source: Source, folder: Path, options: ReadOptions) -> Iterator[Row]:
    """The rows of the data files of a folder in the order of their paths: of one split where their names speak of splits."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and _is_data(path, folder))
    if not found:
        raise DataError("no data files in the folder", where=source.name, why=f"looked for {', '.join(ENDINGS)}, plain or .gz",
                        fix="give a folder with data files, or the path of one file")  # fmt: skip
    by_split: dict[str, list[Path]] = {}
    for path in found:
        by_split.setdefault(_split_of(path), []).append(path)
    if options.split is not None or any(split in SPLITS for split in by_split):
        found = by_split[_chosen([*by_split], source, options)]
    for path in found:
        part = Source(str(path), path)
        yield from reader(detect(part, options))(part, options)


def _is_data(path: Path, folder: Path) -> bool:
    hidden = any(name.startswith((".", "_")) for name in path.relative_to(folder).parts)
    return not hidden and path.name.lower().removesuffix(".gz").endswith(ENDINGS)


def _split_of(path: Path) -> str:
    """The split a file name speaks of, as in `train-00000-of-00002.parquet`, or its stem."""
    stem = path.name.split(".")[0].lower()
    words = stem.replace("-", "_").split("_")
    return next((split for split in SPLITS if split in words), stem)
