"""The comparison for a terminal, as rich renderables: what is shown in sentences, scores, differences, and telling examples.

Everything can be read without colour. Text from data or models is never taken for markup or terminal sequences.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from fintune.report import comparison_words as words
from fintune.report.cells import plain, table
from fintune.report.comparison_entries import Disagreement, Shown, shown
from fintune.report.entry import Line
from fintune.report.figures import counted, decimal, score
from fintune.report.visible import visible
from fintune.report.wording import VERDICTS, kind_words

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

EXAMPLES = 2
"""Examples of each direction of a pair."""
PAIRS = 3
"""Pairs of which examples are shown."""
_STYLES = {"first": "bold green", "second": "bold red", "none": "dim"}


def comparison(document: Mapping[str, Any], disagreements: Sequence[Disagreement]) -> Group:
    """All of it, the sentences last, where a terminal stops."""
    from rich.console import Group

    labels = tuple(map(str, document.get("labels") or ()))
    return Group(
        _scores(document),
        *(_differences(document, metric, title) for metric, title in words.titles(document).items()),
        *(line for entry in _chosen(disagreements, labels) for line in _entry(entry)),
        *(plain(sentence, "bold") for sentence in words.sentences(document, most=len(document["pairs"]))),
        *(plain(f"note: {note}", "yellow") for note in document["notes"]),
        plain(document["command"], "dim"),
    )


def _scores(document: Mapping[str, Any]) -> Table:
    titles = words.titles(document)
    found = table(str(document["task"]))
    for name in ("system", "runs", *titles.values()):
        found.add_column(name, justify="left" if name == "system" else "right", overflow="fold")
    for system in document["systems"]:
        scores = [score(system["metrics"], name) for name in titles]
        cells = ["–" if of is None else f"{decimal(of.value)} {of.interval.replace(' to ', '–')}" for of in scores]
        found.add_row(plain(system["name"]), str(len(system["runs"])), *cells)
    unit = kind_words(str(document.get("kind"))).unit
    size = f"{counted(document['examples'], unit)} · {counted(document['documents'], 'document')} · {words.level_words(document)}"
    found.caption = plain(size, "dim")
    return found


def _differences(document: Mapping[str, Any], metric: str, title: str) -> Table:
    found = table(f"{title}: first − second")
    for name in ("", "difference", "interval", "p", "corrected", "detectable", "won:lost", "shown"):
        found.add_column(name, justify="left" if name in ("", "shown") else "right", overflow="fold")
    for pair in document["pairs"]:
        entry = pair["metrics"][metric]
        found.add_row(
            plain(f"{pair['first']} − {pair['second']}"),
            words.signed(entry["value"]),
            words.between(entry),
            words.p_words(entry["p_value"]),
            words.p_words(entry["p_holm"]),
            decimal(entry["minimum_detectable"]),
            f"{entry['wins']:,}:{entry['losses']:,}",
            plain(words.verdict_words(pair, entry), _STYLES[words.verdict_class(entry)]),
        )
    tests = sorted({pair["metrics"][metric]["test"] for pair in document["pairs"]})
    found.caption = plain(f"p by {' and '.join(tests)}; corrected for {counted(int(document['tests']), 'test')} (Holm)", "dim")
    return found


def _chosen(disagreements: Sequence[Disagreement], labels: Sequence[str]) -> Iterator[Shown]:
    """The first few of each direction, of the first pairs."""
    for number, (_, of_pair) in enumerate(groupby(disagreements, key=lambda found: found.names)):
        for _, direction in groupby(of_pair, key=lambda found: found.better):
            yield from (shown(found, labels) for found in list(direction)[:EXAMPLES] if number < PAIRS)


def _entry(entry: Shown) -> Iterator[Text]:
    yield plain(f"\n{entry.of.example.id}: {entry.words}", "bold")
    width = max(len(visible(row.name)) for row in entry.lines)
    yield from (_line(row, width) for row in entry.lines)


def _line(row: Line, width: int) -> Text:
    """A line of an entry: `‹Acme›[Company] rose`, with what is wrong said behind the label."""
    found = plain(f"  {visible(row.name):{width}}  ", "dim")
    if row.labels:
        return found.append(", ".join(f"{visible(label)} {value}".strip() for label, value in row.labels))
    if row.words is not None:
        return found.append(visible(row.words))
    for passage in row.passages:
        if passage.skipped:
            found.append(f" … {counted(passage.skipped, 'character')} left out … ", "dim italic")
        for piece in passage.segments:
            found.append("‹" * len(piece.opening))
            found.append(visible(piece.text), "bold" if piece.inside else "")
            for mark in piece.ending:
                said = VERDICTS.get(mark.verdict, "")
                found.append(f"›[{visible(mark.label)}{f': {said}' if said else ''}]", "red" if said else "dim")
    if row.left:
        found.append(f" … {counted(row.left, 'character')} left out", "dim italic")
    return found
