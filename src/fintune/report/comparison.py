"""The comparison of systems as one HTML page, in the style of the report of a run, that asks nothing of any other file or host.

`render(document, disagreements)` takes what `fintune compare` found. Text reaches it escaped; its policy allows its own stylesheet alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from fintune.report import comparison_plot, comparison_words, figures, svg, wording
from fintune.report.comparison_entries import Disagreement, Shown, shown
from fintune.report.html import COLOURS, asset, policy, template

SENTENCES = 6
"""Pairs that the headline speaks of."""
OPEN = 3
"""Pairs whose tables and examples stand open; the others unfold."""


def render(document: Mapping[str, Any], disagreements: Sequence[Disagreement]) -> str:
    """The page, complete.

    Args:
        document: of `study.compare`.
        disagreements: the examples to show, those of a pair together.

    Raises:
        DataError: for a span that lies outside its text.
    """
    from markupsafe import Markup

    style = asset("page.css") + asset("comparison.css")
    return template("comparison.html").render(style=Markup(style), policy=policy(style), **_context(document, disagreements))


def _context(document: Mapping[str, Any], disagreements: Sequence[Disagreement]) -> dict[str, Any]:
    """What the template names."""
    pairs, names = document["pairs"], comparison_words.metrics_of(document)
    labels = tuple(map(str, document.get("labels") or ()))
    entries = [shown(found, labels) for found in disagreements]
    seen = dict.fromkeys((*labels, *sorted({label for entry in entries for label in entry.labels})))
    colours = {label: index % COLOURS for index, label in enumerate(seen)}
    return {
        "document": document,
        "systems": document["systems"],
        "pairs": pairs,
        "main": names[0],
        "titles": comparison_words.titles(document),
        "level": comparison_words.level_words(document),
        "sentences": comparison_words.sentences(document, most=SENTENCES),
        "words": wording.kind_words(str(document.get("kind"))),
        "scales": {name: comparison_plot.reach(pair["metrics"][name] for pair in pairs) for name in names},
        "label_scale": comparison_plot.reach(entry for pair in pairs for entry in pair["per_label"].values()),
        "several": comparison_words.seeds_known(document),
        "spread": _range(document, names[0]),
        "examples": _by_pair(entries),
        "method": comparison_words.method(document),
        "colour": lambda label: f"c{colours.get(label, COLOURS - 1)}",
        "score": figures.score,
        "decimal": figures.decimal,
        "counted": figures.counted,
        "signed": comparison_words.signed,
        "between": comparison_words.between,
        "p_words": comparison_words.p_words,
        "verdict_words": comparison_words.verdict_words,
        "verdict_class": comparison_words.verdict_class,
        "verdicts": wording.VERDICTS,
        "plot": comparison_plot,
        "svg": svg,
        "OPEN": OPEN,
    }


def _range(document: Mapping[str, Any], name: str) -> tuple[float, float]:
    """The lowest and the highest score of any run."""
    runs = [run for system in document["systems"] for run in system["metrics"][name]["runs"]]
    return min(runs), max(runs)


def _by_pair(entries: Sequence[Shown]) -> list[tuple[str, str, list[Shown]]]:
    """The entries of each pair, with its names."""
    return [(first, second, list(group)) for (first, second), group in groupby(entries, key=lambda entry: entry.of.names)]
