"""Is one system better than another, by how much, and how sure: `fintune compare`, from files to a document of figures.

    {"schema_version": 1, "task", "kind": str, "labels": [str], "examples", "documents": int, "data": {"source", "fingerprint"},
     "bootstrap": {"replicates", "seed": int, "level": float}, "alpha", "power": float, "tests": int, "command": str, "notes": [str],
     "systems": [{"name", "runs": [path], "malformed": int, "metrics": {NAME: {"value", "low", "high", "se", "se_examples", "se_seeds",
       "runs": [float]}}}],
     "pairs": [{"first", "second", "metrics": {NAME: {... as of systems ..., "p_value", "test", "p_holm", "p_bootstrap", "p_randomisation",
       "p_mcnemar", "exact", "verdict", "minimum_detectable", "wins", "losses", "ties"}}, "per_label": {LABEL: {"value", "low", "high",
       "first", "second", "support"}}}],
     "disagreements": [{"first", "second", "better", "points", "id", "text", "outputs": [prediction, prediction]}]}

A difference is first minus second. Refuses systems whose gold, ids, texts or tasks differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fintune import run as folders
from fintune.data import predictions as seam
from fintune.metrics.paired import POWER
from fintune.report.comparison_entries import Disagreement
from fintune.report.headline import FEW_DOCUMENTS
from fintune.study.compare_counts import chosen_scores, counts_of, yardstick_of
from fintune.study.compare_disagreements import PAIRS, disagreements
from fintune.study.compare_figures import Measured, measure, pair_figures, system_figures
from fintune.study.compare_gold import gold_of, matched
from fintune.study.compare_request import Request
from fintune.study.compare_systems import System, read_systems, reference_of, task_of
from fintune.tasks.base import documents_of

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Comparison:
    """The document of figures, and the examples on which systems differ most."""

    document: dict[str, Any]
    disagreements: tuple[Disagreement, ...]

    def write(self, folder: Path) -> list[Path]:
        """Write `comparison.html`, `.md`, `.csv` and `.json` into a folder, which is made where it is not there.

        Raises:
            ResourceError: where the disk does not take them.
        """
        from fintune.report.comparison import render
        from fintune.report.comparison_text import csv_text, markdown

        page = render(self.document, self.disagreements)
        texts = {"comparison.html": page, "comparison.md": markdown(self.document), "comparison.csv": csv_text(self.document)}
        folders.make(folder)
        for name, text in texts.items():
            folders.write_file(folder / name, text)
        folders.write_json(folder / "comparison.json", self.document)
        return [folder / name for name in (*texts, "comparison.json")]


def compare(request: Request | Sequence[str | Path], *, output: str | Path | None = None) -> Comparison:
    """Compare systems on the same examples: `compare(["runs/a", "runs/b"])`.

    Args:
        request: everything that may be asked, or run folders and prediction files alone.
        output: folder for `comparison.html`, `.md`, `.csv` and `.json`; none are written where None.

    Raises:
        FintuneError: where they cannot be compared, with what differs, where and how to mend it.
    """
    asked = request if isinstance(request, Request) else Request(systems=tuple(map(str, request)))
    found = _compared(asked)
    if output is not None:
        found.write(Path(output))
    return found


def _compared(request: Request) -> Comparison:
    systems, notes = read_systems(request)
    against = reference_of(request, systems)
    task = task_of(systems, request.task)
    yardstick = yardstick_of(task)
    names = chosen_scores(yardstick, request.metrics)
    gold, more = gold_of(systems, request, task)
    examples, outputs, rest = matched(gold, systems, request)
    clusters = documents_of(examples)
    counts = {
        system.name: [
            counts_of(task, run.task or task, examples, found, file=run.file)
            for run, found in zip(system.runs, outputs[system.name], strict=True)
        ]
        for system in systems
    }
    measured = measure(counts, yardstick, names, clusters=clusters, plan=request.plan)
    pairs = pair_figures(measured, against=against)
    compared = [(pair["first"], pair["second"]) for pair in pairs]
    points = {system.name: measured.points(system.name, names[0]) for system in systems}
    telling = disagreements(compared, points, outputs, examples)
    unread = {name: sum(p.status == "malformed" for run in runs for p in run) for name, runs in outputs.items()}
    document = {
        "schema_version": SCHEMA_VERSION,
        "task": task.name,
        "kind": task.kind,
        "labels": list(task.labels),
        "examples": len(examples),
        "documents": len(set(clusters)),
        "data": {"source": gold.source, "fingerprint": gold.fingerprint},
        "bootstrap": asdict(request.plan),
        "alpha": round(1 - request.plan.level, 12),
        "power": POWER,
        "tests": len(pairs) * len(names),
        "command": request.command(),
        "notes": [*notes, *more, *rest, *_remarks(measured, systems, len(compared))],
        "systems": [_system(measured, system, unread[system.name]) for system in systems],
        "pairs": pairs,
        "disagreements": [_record(found) for found in telling],
    }
    return Comparison(document, tuple(telling))


def _system(measured: Measured, system: System, unread: int) -> dict[str, Any]:
    runs = [run.path for run in system.runs]
    return {"name": system.name, "runs": runs, "malformed": unread, "metrics": system_figures(measured, system.name)}


def _record(found: Disagreement) -> dict[str, Any]:
    place = {"first": found.first, "second": found.second, "better": found.better, "points": found.points}
    outputs = [seam.record(output) for output in found.outputs]
    return {**place, "id": found.example.id, "text": found.example.text, "outputs": outputs}


def _remarks(measured: Measured, systems: list[System], pairs: int) -> list[str]:
    """What limits the claims: few documents, few seeds, examples that are not independent."""
    found, documents, examples = [], len(set(measured.clusters)), len(measured.clusters)
    if documents < FEW_DOCUMENTS:
        found.append(f"{documents} documents only: the intervals are themselves uncertain, and rather too narrow than too wide")
    sizes = [len(system.runs) for system in systems]
    if max(sizes) == 1:
        found.append("one run of each system: what another seed would change is not in the intervals; groups of runs show it")
    else:
        listed = ", ".join(f"{system.name} {len(system.runs)}" for system in systems)
        found.append(f"runs that differ in their seed: {listed}; with few of them the intervals over seeds are wide")
        if 1 in sizes:
            found.append("a system of one run is taken to vary with its seed as the one it is compared with; two such not at all")
    if documents < examples and any(measured.yardstick.scores[name].shares for name in measured.names):
        found.append(f"{examples:,} examples in {documents:,} documents are not independent: randomisation by document instead of McNemar")
    if pairs > PAIRS:
        found.append(f"examples are shown of the first {PAIRS} of {pairs} pairs")
    return found
