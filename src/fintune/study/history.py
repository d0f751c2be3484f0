"""Runs below a folder, as entries of a history: read from manifests and reports alone, a study's cells among them.

Nothing that stands in a folder stops the reading: a run that is damaged is an entry that says so. Adapters are hashed on request
only. `fintune history runs` shows it, `history_filter` chooses and sorts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from fintune import run as folders
from fintune.errors import ArtifactError, ResourceError, UsageError, did_you_mean
from fintune.report.figures import Score, number, part, score
from fintune.report.wording import kind_words

STUDY, CELLS = "study.json", "cells"
SCHEMA_VERSION = 1
Status = Literal["finished", "unfinished", "failed", "damaged"]
Value = str | float
DIGEST = 8
"""Characters of a fingerprint that are shown and can be asked for."""


COLUMNS = frozenset({
    "folder", "status", "study", "task", "kind", "base", "date", "scored_on", "data", "scored_data", "training_examples", "examples",
    "score", "seed", "steps", "trainable", "wall_seconds", "cpu_seconds", "gpu_seconds", "peak_memory_bytes", "peak_gpu_memory_bytes",
    "tokens", "supervised_tokens", "flop", "energy_joules", "price", "seconds_per_1000", "price_per_1000",
})  # fmt: skip
"""Keys that every entry might have; metrics, settings and axes are those of the runs."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One run.

    Attributes:
        folder: relative to the one that was asked for.
        status: `finished` has its manifest, `failed` is what its study says of a cell, `damaged` cannot be relied on.
        why: what is damaged, or how a cell failed.
        study: folder of the study that it is a cell of, or "".
        labels: of a cell, by axis.
        metrics: of its report, or without one those of the last validation, which have no interval.
        metric: that of `score`.
        scored_on: the data of the report; `validation` without one, "" where nothing was scored.
        values: everything that it can be filtered and sorted by: columns, metrics, cost, labels and settings.
    """

    folder: str
    status: Status
    why: str = ""
    study: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Score] = field(default_factory=dict)
    metric: str = ""
    scored_on: str = ""
    values: Mapping[str, Value] = field(default_factory=dict)

    @property
    def score(self) -> Score | None:
        """By its `metric`."""
        return self.metrics.get(self.metric)

    def record(self) -> dict[str, Any]:
        """Everything as plain JSON."""
        metrics = {name: {"value": s.value, "low": s.low, "high": s.high} for name, s in self.metrics.items()}
        return {
            "folder": self.folder, "status": self.status, "why": self.why, "study": self.study, "labels": dict(self.labels),
            "metric": self.metric, "scored_on": self.scored_on, "metrics": metrics, "values": dict(self.values),
        }  # fmt: skip


def read(root: Path, *, metric: str = "", verify: bool = False) -> list[Entry]:
    """Every run below a folder, or in it, by path.

    Args:
        root: such as `runs`.
        metric: that of the entries' `score`; the main one of a run's kind where empty.
        verify: compare every file with the hash that the manifest has of it.

    Raises:
        ArtifactError: where there is no such folder.
        ResourceError: where the folder itself cannot be read.
        UsageError: where no run has the metric.
    """
    if not root.is_dir():
        raise ArtifactError(f"no folder {str(root)!r}", fix="give one that holds runs")
    try:
        os.scandir(root).close()
    except OSError as error:
        raise ResourceError(f"cannot read {str(root)!r}", why=error.strerror or str(error), fix="check its permissions") from None
    entries = [_entry(place, root, cell, metric=metric, verify=verify) for place, cell in _runs(root, {}, "")]
    if metric and entries and not any(entry.score for entry in entries):
        raise UsageError(
            f"no run has {metric!r}", where="--metric", fix=did_you_mean(metric, {name for e in entries for name in e.metrics})
        )
    return entries


@dataclass(frozen=True, slots=True)
class _Cell:
    """What a study says of a run: its own folder, and the row of its table; `why` where the folder cannot be read."""

    study: str = ""
    row: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""


def _runs(place: Path, rows: Mapping[Path, Mapping[str, Any]], study: str) -> Iterator[tuple[Path, _Cell]]:
    """Run folders at and below a place, each with its cell; below a run there are none."""
    try:
        with os.scandir(place) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        yield place, _Cell(why=f"cannot be read: {error.strerror or error}")
        return
    names = {entry.name for entry in entries}
    if names & {folders.MANIFEST, folders.STARTED}:
        yield place, _Cell(study, rows.get(place, {}))
        return
    if STUDY in names:
        rows, study = _rows(place), str(place)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
            yield from _runs(place / entry.name, rows, study)


def _rows(study: Path) -> dict[Path, Mapping[str, Any]]:
    """The rows of a study by the folder of their run; none where its table is damaged, and the cells speak for themselves."""
    try:
        cells = folders.read_json(study / STUDY).get("cells")
    except (ArtifactError, RecursionError):
        return {}
    rows = cells if isinstance(cells, list) else []
    return {study / str(row["folder"]): row for row in rows if isinstance(row, Mapping) and "folder" in row}


def _entry(place: Path, root: Path, cell: _Cell, *, metric: str, verify: bool) -> Entry:
    """The entry of a run folder."""
    finished = folders.finished(place)
    document, why = ({}, cell.why) if cell.why else _document(place / (folders.MANIFEST if finished else folders.STARTED))
    report, wrong = _document(place / folders.REPORT_JSON) if finished and (place / folders.REPORT_JSON).is_file() else ({}, "")
    why = why or (_missing(place, document, verify=verify) if finished else "") or wrong
    told = _told(cell)
    status: Status = "damaged" if why else "finished" if finished else "failed" if told else "unfinished"
    labels = {str(axis): str(label) for axis, label in part(cell.row, "labels").items()}
    validated = {str(name): Score(value) for name, found in part(document, "validation").items() if (value := number(found)) is not None}
    reported = {str(name): found for name in part(report, "metrics") if (found := score(part(report, "metrics"), name)) is not None}
    metrics, task = reported or validated, part(document, "task")
    kind = str(report.get("kind") or task.get("kind") or "")
    on = str(part(report, "data").get("source") or "") if reported else "validation" if validated else ""
    folder, main = _relative(place, root), metric or kind_words(kind).main
    columns = {
        "folder": folder, "status": status, "study": cell.study and _relative(Path(cell.study), root), "task": task.get("name"),
        "kind": kind, "base": _base(document), "date": _date(place, document, finished=finished), "scored_on": on,
        "data": str(part(part(document, "data"), "train").get("fingerprint") or "")[:DIGEST],
        "scored_data": str(part(report, "data").get("fingerprint") or "")[:DIGEST] if reported else "",
        "training_examples": part(part(document, "data"), "train").get("examples"), "examples": report.get("examples"),
        "score": metrics[main].value if main in metrics else None, "seed": document.get("seed"), "steps": document.get("steps"),
        "trainable": part(document, "parameters").get("trainable"),
    }  # fmt: skip
    scores = {name: found.value for name, found in metrics.items()}
    values = _plain({**dict(_flat(part(document, "settings"))), **_figures(labels), **scores, **_cost(document, report), **columns})
    return Entry(folder, status, why or told, str(columns["study"]), labels, metrics, main, on, values)


def _document(path: Path) -> tuple[Mapping[str, Any], str]:
    """A JSON document of a run, and what is wrong with it, or ""."""
    try:
        document = folders.read_json(path)
    except ArtifactError as error:
        return {}, f"{path.name}: {error.what}"
    except RecursionError:
        return {}, f"{path.name}: nested too deeply"
    version = document.get("schema_version")
    return document, "" if version == SCHEMA_VERSION else f"{path.name}: version {version!r} is not known"


def _missing(place: Path, manifest: Mapping[str, Any], *, verify: bool) -> str:
    """What a finished run should have and has not, or ""."""
    if not part(manifest, "task") or not part(manifest, "settings"):
        return f"{folders.MANIFEST}: it names no task or no settings"
    if not (place / folders.ADAPTER).is_dir():
        return f"{folders.ADAPTER} is missing"
    files = part(manifest, "files")
    return (folders.verify_files(place, files) if files else f"{folders.MANIFEST}: it has no hashes") if verify else ""


def _told(cell: _Cell) -> str:
    """How the study says that its cell failed, or ""."""
    return str(cell.row.get("error") or "failed") if cell.row.get("status") == "failed" else ""


def _base(document: Mapping[str, Any]) -> str:
    """Name of the base model: what was found, or of an unfinished run what was asked for."""
    asked = part(part(document, "settings"), "model").get("base")
    return str(part(document, "base").get("name") or part(document, "base").get("id") or asked or "")


def _date(place: Path, document: Mapping[str, Any], *, finished: bool) -> str:
    """When the run finished, or last wrote to its log; in UTC as ISO 8601."""
    if finished and isinstance(document.get("finished"), str):
        return str(document["finished"])
    for name in (folders.LOG, folders.MANIFEST, folders.STARTED):
        try:
            return datetime.fromtimestamp((place / name).stat().st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        except OSError:
            continue
    return ""


def _cost(manifest: Mapping[str, Any], report: Mapping[str, Any]) -> dict[str, Any]:
    """Of training, and `seconds_per_1000` and `price_per_1000` of the evaluation."""
    each = part(part(report, "cost"), "per_1000")
    return {**part(manifest, "cost"), "seconds_per_1000": each.get("seconds"), "price_per_1000": each.get("price")}


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", ",".join(map(str, value)) if isinstance(value, list) else value


def _figures(labels: Mapping[str, str]) -> dict[str, Value]:
    """Labels of axes, as numbers where they are some: a rank can be more than another."""
    found: dict[str, Value] = {}
    for axis, label in labels.items():
        try:
            found[axis] = float(label)
        except ValueError:
            found[axis] = label
    return found


def _plain(values: Mapping[str, Any]) -> dict[str, Value]:
    """Texts and finite numbers; what is not there, or is neither, is left out."""
    found: dict[str, Value] = {}
    for name, value in values.items():
        figure = number(value)
        if figure is not None:
            found[name] = value if isinstance(value, int) else figure
        elif isinstance(value, str) and value:
            found[name] = value
    return found


def _relative(place: Path, root: Path) -> str:
    return "." if place == root else place.relative_to(root).as_posix()
