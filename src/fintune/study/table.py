"""`study.json`: one row for each cell, with its state, scores and cost; written whole after every change.

Scores are read from the cells' own run folders, where `fintune train` and `fintune evaluate` would have put them, and count
only where the report is of the data that the study is scored on. `pytest tests/study/test_engine.py`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fintune import run as folders
from fintune.study.cells import Cell, Point, named
from fintune.study.sources import Sources
from fintune.study.spec import Spec, role

STUDY_JSON, STUDY_YAML, SLICES, BASELINES, VALIDATION = "study.json", "study.yaml", "slices", "baselines", "validation"
Status = Literal["finished", "failed", "waiting", "running"]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Data that a cell is scored on: their name among the parts of the study, and where below the run folder the report goes."""

    name: str
    source: str
    fingerprint: str
    place: str


def evaluations(data: Sources, *, validated: bool) -> list[Evaluation]:
    """What every cell is scored on: test or validation data, the slices, and where a search goes by it the validation data."""
    scored = Evaluation("test" if data.test is not None else "validation", data.scored.source, data.scored.fingerprint, "")
    found = [scored]
    if validated and data.test is not None and data.validation is not None:
        found.append(Evaluation("validation", data.validation.source, data.validation.fingerprint, VALIDATION))
    for name, part in data.slices.items():
        found.append(Evaluation(f"slice-{name}", part.source, part.fingerprint, f"{SLICES}/{name}"))
    return found


def reports(run: Path, wanted: Sequence[Evaluation]) -> dict[str, dict[str, Any]] | None:
    """The reports of a cell by the name of their data; None where the run or one of them is not there, or is of other data.

    Raises:
        ArtifactError: where a file is damaged.
    """
    if not folders.finished(run):
        return None
    found = {}
    for one in wanted:
        place = run / one.place / folders.REPORT_JSON
        report = folders.read_json(place) if place.is_file() else {}
        if report.get("data", {}).get("fingerprint") != one.fingerprint:
            return None
        found[one.name] = report
    return found


def results(run: Path, found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What a row says of a finished cell."""
    main = next(iter(found.values()))
    slices = {name.removeprefix("slice-"): report["metrics"] for name, report in found.items() if name.startswith("slice-")}
    cost = dict(folders.read_json(run / folders.MANIFEST).get("cost") or {})
    if "per_1000" in main.get("cost", {}):
        cost["per_1000"] = main["cost"]["per_1000"]
    held = {VALIDATION: found["validation"]["metrics"]} if "validation" in found else {}
    return {
        "metrics": main["metrics"], "slices": slices, "per_label": main.get("per_label", {}), "examples": main["examples"], "cost": cost,
        **held,
    }  # fmt: skip


def circumstances(run: Path) -> dict[str, Any]:
    """The hardware and the versions that a finished run says it had."""
    manifest = folders.read_json(run / folders.MANIFEST)
    return {name: manifest.get(name, {}) for name in ("hardware", "versions")}


class Table:
    """The rows of a study, by the id of their cell."""

    def __init__(self, folder: Path, spec: Spec, data: Sources, *, task: Mapping[str, str], command: str) -> None:
        self.folder = folder
        earlier = folders.read_json(folder / STUDY_JSON) if (folder / STUDY_JSON).is_file() else {}
        self._before = {row["id"]: row for row in earlier.get("cells", [])}
        self.rows: dict[str, dict[str, Any]] = {}
        self.document: dict[str, Any] = {
            "schema_version": 1, "name": spec.name, "description": " ".join(filter(None, [spec.question, spec.description])),
            "question": spec.question, "recipe": spec.recipe, "task": task["name"], "kind": task["kind"],
            "metric": task["metric"] if spec.metric == "auto" else spec.metric, "command": command,
            "created": earlier.get("created") or moment(), "finished": None, "search": spec.search.model_dump(mode="json"),
            "axes": [{"name": name, "values": [], "settings": {}, "role": role(axis)} for name, axis in spec.axes.items()],
            "data": data.record(), "cells": [], "baselines": earlier.get("baselines", {}),
            "faults": [], "hardware": {}, "versions": {},
        }  # fmt: skip

    def add(self, cells: Sequence[Cell], points: Sequence[Point], output: Path, data: Sources) -> None:
        """Rows for cells, as they are: state and attempts are those of the table that stood there before."""
        for point in points:
            for axis in self.document["axes"]:
                chosen, settings = point[axis["name"]]
                if chosen not in axis["settings"]:
                    axis["values"].append(chosen)
                    axis["settings"][chosen] = dict(settings)
        for cell in cells:
            before = self._before.get(cell.id, {})
            kept = {name: before.get(name, usual) for name, usual in _STATE.items()}
            self.rows[cell.id] = {
                "id": cell.id, "labels": dict(cell.labels), "overrides": dict(cell.overrides), "recipe": cell.recipe_name, **kept,
                "status": "waiting", "folder": cell.folder, "training_examples": len(cell.train.examples), "base": cell.recipe.model.base,
                "command": cell.command(data.validation, output / cell.folder),
                "metrics": {}, "slices": {}, "per_label": {}, "examples": 0, "cost": {},
            }  # fmt: skip

    def update(self, cell: str, **values: Any) -> None:
        """Change a row and write the table."""
        self.rows[cell] |= values
        self.save()

    def save(self) -> None:
        """Write the table."""
        folders.write_json(self.folder / STUDY_JSON, {**self.document, "cells": list(self.rows.values())})

    def having(self, status: Status) -> list[dict[str, Any]]:
        """Rows in a state."""
        return [row for row in self.rows.values() if row["status"] == status]


_STATE: dict[str, Any] = {"attempts": 0, "error": None, "started": None, "ended": None, "threads": None}


class Study:
    """A study folder that `fintune.api.ablate` has worked off; `table` is its `study.json`."""

    def __init__(self, folder: str | Path) -> None:
        """Open a study folder.

        Raises:
            ArtifactError: where there is none.
        """
        self.folder = Path(folder)
        self.table = folders.read_json(self.folder / STUDY_JSON)

    def __repr__(self) -> str:
        return f"Study({str(self.folder)!r})"

    @property
    def cells(self) -> list[dict[str, Any]]:
        """The rows."""
        rows: list[dict[str, Any]] = self.table["cells"]
        return rows

    @property
    def failed(self) -> list[str]:
        """A line for each cell that failed, and for baselines that did."""
        rows = [f"{named(row['labels'])} ({row['id']}): {row['error']}" for row in self.cells if row["status"] == "failed"]
        return rows + list(self.table["faults"])


def moment() -> str:
    """Now, in ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
