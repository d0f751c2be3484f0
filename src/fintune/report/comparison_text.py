"""The comparison as Markdown for a document and as CSV for a spreadsheet: the figures of the page, one row for each pair and score.

CSV has full precision; text that a spreadsheet would take for a formula begins with an apostrophe there.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fintune.report import comparison_words as words
from fintune.report.figures import counted, decimal, score
from fintune.report.study_csv import escaped
from fintune.report.visible import visible
from fintune.report.wording import kind_words

COLUMNS = (
    "first", "second", "metric", "value", "low", "high", "se", "se_examples", "se_seeds", "test", "p_value", "p_holm", "p_bootstrap",
    "p_randomisation", "p_mcnemar", "minimum_detectable", "wins", "losses", "ties", "verdict",
)  # fmt: skip


def csv_text(document: Mapping[str, Any]) -> str:
    """A row for each pair and score, with the names of the JSON document; nothing where it has null."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for pair in document["pairs"]:
        for metric, entry in pair["metrics"].items():
            row = {**entry, "first": pair["first"], "second": pair["second"], "metric": metric}
            writer.writerow([_cell(row[column]) for column in COLUMNS])
    return out.getvalue()


def _cell(value: object) -> object:
    return escaped(value) if isinstance(value, str) else "" if value is None else value


def markdown(document: Mapping[str, Any]) -> str:
    """Sentences, scores, differences and the command."""
    titles, main = words.titles(document), words.metrics_of(document)[0]
    unit = kind_words(str(document.get("kind"))).unit
    size = f"{counted(document['examples'], unit)} in {counted(document['documents'], 'document')}"
    parts = [
        f"# Comparison on {_safe(document['task'])}",
        f"{size}; {words.level_words(document)}s.",
        "\n".join(f"- {_safe(line)}" for line in words.sentences(document, most=len(document["pairs"]))),
        "## Scores",
        _table(["system", "runs", *titles.values()], (_scores(system, titles) for system in document["systems"])),
        *(_differences(document, metric, title) for metric, title in titles.items()),
        f"## Won and lost\n\nBy {titles[main]}.",
        _table(["first − second", "won", "alike", "lost"], (_won(pair, main) for pair in document["pairs"])),
        "\n".join(f"- {_safe(note)}" for note in document["notes"]),
        f"## Repeat it\n\n```bash\n{visible(document['command'])}\n```",
        f"Gold: {_safe(document['data']['source'])}, fingerprint {document['data']['fingerprint']}.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _scores(system: Mapping[str, Any], titles: Iterable[str]) -> list[str]:
    found = [score(system["metrics"], name) for name in titles]
    return [system["name"], str(len(system["runs"])), *(f"{decimal(of.value)} ({of.interval})" if of else "–" for of in found)]


def _differences(document: Mapping[str, Any], metric: str, title: str) -> str:
    columns = ["first − second", "difference", "interval", "test", "p", "corrected", "detectable", "shown"]
    rows = []
    for pair in document["pairs"]:
        entry = pair["metrics"][metric]
        figures = [words.signed(entry["value"]), words.between(entry), entry["test"], words.p_words(entry["p_value"])]
        figures += [words.p_words(entry["p_holm"]), decimal(entry["minimum_detectable"]), words.verdict_words(pair, entry)]
        rows.append([f"{pair['first']} − {pair['second']}", *figures])
    return f"## {title}: differences\n\n{_table(columns, rows)}"


def _won(pair: Mapping[str, Any], main: str) -> list[str]:
    entry = pair["metrics"][main]
    return [f"{pair['first']} − {pair['second']}", *(f"{entry[name]:,}" for name in ("wins", "ties", "losses"))]


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    listed = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(_safe(cell) for cell in row) + " |" for row in listed)


_MARKS = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_[]<>|#"} | {"\n": " "})


def _safe(text: object) -> str:
    """Text that Markdown takes for nothing but text, in one line."""
    return visible(str(text)).translate(_MARKS)
