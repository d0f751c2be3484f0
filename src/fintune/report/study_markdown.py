"""`report.md` of a study: what it shows and its tables, for a repository or a note. No text of the study acts in it.

`markdown(told)`; drawings are on the page alone. Exercised by `fintune ablate`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from fintune.report.figures import decimal
from fintune.report.study_breakdown import Breakdown, Entry
from fintune.report.study_context import Told, identity
from fintune.report.study_effects import Effect
from fintune.report.study_interactions import Interaction, Mean
from fintune.report.study_words import VERDICTS, ends, setting, signed
from fintune.report.visible import visible

_ACTS = re.compile(r"([\\`*\[\]<>|#~&$])|(?<!\w)(_)|(_)(?!\w)")


def plain(text: str) -> str:
    """Text in which nothing is markup, in one line."""
    shown = _ACTS.sub(lambda found: f"\\{found.group()}", visible(text).replace("\n", "␊").replace("\t", " "))
    return re.sub(r"^(\s*)([-+=])(?=[-+=\s]|$)|^(\s*\d+)([.)])(?=\s|$)", r"\1\3\\\2\4", shown)


def markdown(told: Told) -> str:
    """The whole document."""
    study = told.study
    lines = [f"# {plain(told.title)}", "", " · ".join(map(plain, identity(study))), ""]
    lines += [line for words in (told.question, told.description) if words for line in (plain(words), "")]
    lines += [f"- **{plain(name)}**: {plain(words)}" for name, words in told.shows] + [""] * bool(told.shows)
    lines += [f"> {plain(words)}  " for words in (*told.remarks, told.warning) if words] + [""]
    for part in (_effects(told), _interactions(told), _learning(told), _best(told), _fronts(told), _spread(told)):
        lines += part
    for title, tables in (("Other metrics", told.metrics), ("By label", told.labels), ("On other data", told.slices)):
        lines += [line for table in tables for line in _breakdown(title, table)]
    for part in (_failed(told), _cells(told), _data(told)):
        lines += part
    if told.command:
        lines += ["## Repeat it", "", *_code(told.command)]
    return "\n".join(lines).rstrip() + "\n"


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table whose cells are already plain, and an empty line."""
    lines = [heading, ["---"] * len(heading), *rows]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]


def _code(command: str) -> list[str]:
    """A command as indented code, in which nothing acts."""
    return ["    " + visible(command).replace("\n", "␊"), ""]


def _effects(told: Told) -> Iterator[str]:
    for effect in (one for one in told.effects if one.compared):
        yield from (f"## {plain(effect.axis.name)}", "", f"{plain(told.metric)}; differences from {plain(effect.levels[0].value)}.", "")
        yield from table(["value", "mean", "difference", "95 % over seeds", "examples, unpaired", "cells", "shown"], list(_levels(effect)))


def _levels(effect: Effect) -> Iterator[list[str]]:
    for level in effect.levels:
        found = level.difference
        shown = signed(found.score.value) if found and found.score else ""
        over = ends(found.score) if found and found.score else ""
        mean = decimal(level.score.value) if level.score else "–"
        verdict = VERDICTS[found.verdict] if found else "first"
        yield [plain(level.value), mean, shown, over, ends(level.examples), f"{level.cells} of {level.planned}", verdict]


def _interactions(told: Told) -> Iterator[str]:
    for found, words in told.interactions:
        yield from (f"## {plain(found.first.name)} and {plain(found.second.name)}", "", plain(words), "")
        heading = [plain(found.first.name), *(plain(f"{found.second.name} {value}") for value in found.second.values)]
        yield from table(heading, list(_means(found)))


def _means(found: Interaction) -> Iterator[list[str]]:
    for value, line in zip(found.first.values, found.means, strict=True):
        yield [plain(value), *(_mean(one) for one in line)]


def _mean(one: Mean) -> str:
    return "–" if one.value is None else decimal(one.value) + ("" if one.spread is None else f" ± {one.spread:.4f}")


def _learning(told: Told) -> Iterator[str]:
    for found in told.learning:
        yield from (f"## Learning curve: {plain(found.panel.title)}", "", plain(found.sentence), "")
        rows = [
            [f"{found.sizes[level.value]:,.0f}", decimal(level.score.value) if level.score else "–"]
            + (
                [signed(one.score.value), ends(one.score), VERDICTS[one.verdict]]
                if (one := level.difference) and one.score
                else ["", "", ""]
            )
            for level in reversed(found.effect.levels)
        ]
        yield from table(["training examples", "mean", "difference from the largest", "95 % over seeds", "shown"], rows)


def _best(told: Told) -> Iterator[str]:
    if told.best:
        yield from (f"## Best of {told.best.count}", "", plain(told.warning), "")
        rows = [[plain(setting(told.study, one.labels)), _mean(one), str(one.cells)] for one in told.best.settings]
        yield from table(["setting", "score it was chosen by", "cells"], rows)


def _fronts(told: Told) -> Iterator[str]:
    for front in told.fronts:
        yield from (f"## {plain(front.title)}", "", "Settings that none beats in both, by point values alone.", "")
        yield from table(["", "setting", plain(told.metric), "cost"], [[a, plain(b), c, plain(d)] for a, b, c, d in front.best])


def _spread(told: Told) -> Iterator[str]:
    if told.pooled:
        words = f"Standard deviation of seeds, over all settings: {told.pooled[0]:.4f} ({told.pooled[1]} degrees of freedom)."
        yield from ("## Seeds", "", words, "")


def _breakdown(title: str, found: Breakdown) -> Iterator[str]:
    by = f", by {plain(found.axis.name)}" if found.axis.name else ""
    yield from (f"## {title}{by}", "")
    yield from table(["", *map(plain, found.axis.values)], [[plain(row.name), *map(_entry, row.entries)] for row in found.rows])


def _entry(entry: Entry) -> str:
    if entry.level.score is None:
        return "–"
    found = entry.difference
    shown = f" ({signed(found.score.value)})" if found and found.score and found.verdict in ("higher", "lower") else ""
    return decimal(entry.level.score.value) + shown


def _failed(told: Told) -> Iterator[str]:
    failed = [row for row in told.rows if row.cell.status == "failed"]
    if failed:
        yield from ("## Failed", "")
        yield from table(
            ["cell", "setting", "error"], [[plain(r.cell.id), plain(", ".join(r.labels)), plain(r.cell.error)] for r in failed]
        )


def _cells(told: Told) -> Iterator[str]:
    heading = ["cell", *(plain(axis.name) for axis in told.study.axes), "status", plain(told.metric), "95 %", *told.cost_names.values()]
    rows = [
        [plain(row.cell.id), *map(plain, row.labels), plain(row.cell.status)]
        + ([decimal(row.score.value), row.score.interval] if row.score else ["–", ""])
        + list(map(plain, row.costs))
        for row in told.rows
    ]
    yield from ("## Cells", "")
    yield from table(heading, rows)


def _data(told: Told) -> Iterator[str]:
    rows = [[plain(group.title), plain(name), plain(value)] for group in (*told.data, *told.environment) for name, value in group.rows]
    if rows:
        yield from ("## Data and environment", "")
        yield from table(["", "", ""], rows)
