"""The report of a study beside its table: `report.html`, `report.md`, `cells.csv` and `effects.csv`, written from `study.json` alone.

`write_study_report(folder)`; the page is one file that asks nothing of any other file or host and runs no script. Refuses a folder without
a readable `study.json`; a study in any state has a report, which says what is missing. Exercised by `fintune ablate`.
"""

from __future__ import annotations

from pathlib import Path

from fintune.report import figures, svg
from fintune.report.facts import is_digest
from fintune.report.html import COLOURS, asset, policy, template
from fintune.report.study_context import Told, identity, told
from fintune.report.study_csv import cells, effects_table
from fintune.report.study_front import COSTS
from fintune.report.study_markdown import markdown
from fintune.report.study_reading import read
from fintune.report.study_words import VERDICTS, ends, setting, signed
from fintune.run import REPORT_HTML, read_json, write_file

STUDY, REPORT_MD, CELLS_CSV, EFFECTS_CSV = "study.json", "report.md", "cells.csv", "effects.csv"
# Commands of cells that stand open; those of larger studies unfold.
OPEN = 4


def write_study_report(folder: Path) -> list[Path]:
    """Write the report of the study in a folder, and return its files: page, Markdown, cells and effects.

    Raises:
        ArtifactError: where `study.json` is missing or is no JSON object.
        ResourceError: where the disk does not take the files.
    """
    study = read(read_json(folder / STUDY))
    found = told(study)
    documents = {
        REPORT_HTML: render(found),
        REPORT_MD: markdown(found),
        CELLS_CSV: cells(study),
        EFFECTS_CSV: effects_table(study),
    }
    for name, document in documents.items():
        write_file(folder / name, document)
    return [folder / name for name in documents]


def render(found: Told) -> str:
    """The page, complete."""
    from markupsafe import Markup

    style = asset("page.css") + asset("study.css")
    labels = [row.name for table in found.labels[:1] for row in table.rows if not row.summary]
    colours = {label: f"c{index % COLOURS}" for index, label in enumerate(labels)}
    return template("study.html").render(
        style=Markup(style),
        policy=policy(style),
        told=found,
        study=found.study,
        identity=identity(found.study),
        done=len(found.study.done),
        failed=[row for row in found.rows if row.cell.status == "failed"],
        verdicts=VERDICTS,
        colour=lambda label: colours.get(label, ""),
        setting=lambda labels: setting(found.study, labels),
        decimal=figures.decimal,
        counted=figures.counted,
        signed=signed,
        ends=ends,
        is_digest=is_digest,
        svg=svg,
        COSTS=COSTS,
        OPEN=OPEN,
    )
