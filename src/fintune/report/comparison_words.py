"""What a comparison says in sentences, and how its figures are written: signs, p values, verdicts.

Nothing is called better on the ground of a point value: where the interval spans zero it says that no difference is shown, and how large
a difference would have to be to be found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fintune.report.figures import counted, decimal, number, part
from fintune.report.wording import metric_words

CLASSES = {"first better": "first", "second better": "second", "no difference shown": "none"}
"""How a verdict is drawn, by its words in the document; others as none."""


def signed(value: float) -> str:
    """A difference with its sign and three decimals; 0 means exactly this."""
    return "0.000" if value == 0 else f"{'−' if value < 0 else '+'}{decimal(abs(value))}"


def between(entry: Mapping[str, Any]) -> str:
    """The ends of the interval of a difference."""
    low, high = number(entry.get("low")), number(entry.get("high"))
    return "" if low is None or high is None else f"{signed(low)} to {signed(high)}"


def p_words(value: object) -> str:
    """A p value with three decimals, small ones as smaller than 0.001."""
    p = number(value)
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def verdict_words(pair: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    """What is said of a difference, with the name of the better system."""
    verdict = str(entry.get("verdict"))
    name = {"first better": "first", "second better": "second"}.get(verdict)
    return f"{pair[name]} better" if name else verdict


def verdict_class(entry: Mapping[str, Any]) -> str:
    """`first`, `second` or `none`."""
    return CLASSES.get(str(entry.get("verdict")), "none")


def metrics_of(document: Mapping[str, Any]) -> list[str]:
    """The scores of a comparison in order, the main one first."""
    systems = document.get("systems") or [{}]
    return list(part(systems[0], "metrics"))


def titles(document: Mapping[str, Any]) -> dict[str, str]:
    """Each score in words."""
    return {name: metric_words(name, str(document.get("kind"))) for name in metrics_of(document)}


def level_words(document: Mapping[str, Any]) -> str:
    """`95 % interval`."""
    return f"{100 * float(part(document, 'bootstrap').get('level', 0.95)):g} % interval"


def sentence(document: Mapping[str, Any], pair: Mapping[str, Any], metric: str) -> str:
    """One pair by one score: which is better and by how much, or that no difference is shown and what could have been."""
    entry, tests = pair["metrics"][metric], int(document.get("tests", 1))
    value, interval = float(entry["value"]), f"{level_words(document)} {between(entry)}"
    corrected = f", corrected for {counted(tests, 'test')}" if tests > 1 else ""
    verdict = verdict_class(entry)
    if verdict != "none":
        names = (pair["first"], pair["second"]) if verdict == "first" else (pair["second"], pair["first"])
        sign = 1 if verdict == "first" else -1
        ends = f"{level_words(document)} {' to '.join(signed(end) for end in sorted(sign * float(entry[key]) for key in ('low', 'high')))}"
        return f"{names[0]} is better than {names[1]} by {decimal(abs(value))} ({ends}; p {_equals(entry['p_holm'])}{corrected})."
    if entry["verdict"] == "no difference shown":
        return (
            f"No difference shown between {pair['first']} and {pair['second']}: {signed(value)} ({interval}). "
            f"At this size a true difference of {decimal(float(entry['minimum_detectable']))} would be found "
            f"{round(100 * float(document.get('power', 0.8)))} times in 100."
        )
    return (
        f"No difference shown between {pair['first']} and {pair['second']} after correction for {counted(tests, 'test')}: "
        f"{signed(value)} ({interval}), p {_equals(entry['p_value'])} alone, {p_words(entry['p_holm'])} corrected."
    )


def _equals(p: object) -> str:
    words = p_words(p)
    return words if words.startswith("<") else f"= {words}"


def sentences(document: Mapping[str, Any], *, most: int) -> list[str]:
    """A sentence for each pair by the main score; of those beyond `most`, how many there are."""
    pairs: Sequence[Mapping[str, Any]] = document.get("pairs") or ()
    main = metrics_of(document)[0]
    found = [sentence(document, pair, main) for pair in pairs[:most]]
    return [*found, *([f"{counted(len(pairs) - most, 'more pair')} in the table below."] if len(pairs) > most else [])]


def seeds_known(document: Mapping[str, Any]) -> bool:
    """Whether a system has several runs."""
    return any(len(system["runs"]) > 1 for system in document.get("systems") or ())


def method(document: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What the columns mean, in the order of the page."""
    power = round(100 * float(document.get("power", 0)))
    return (
        ("Difference", "The score of the first system less that of the second, on the same examples."),
        (
            "Interval",
            "Documents are drawn anew at random, with repetition, the same for all systems, and every score is computed again from what "
            "was drawn; the interval holds the middle of these differences.",
        ),
        (
            "Seeds",
            "Where a system has several runs, each replicate also moves by what their spread says of other seeds: a draw of Student's "
            "distribution, with the standard error of the means, pooled over the two systems. The interval is never narrower than "
            "over documents alone.",
        ),
        (
            "p",
            "How often a difference as large comes about where there is none. By swapping the two systems' outputs at random, document "
            "by document; by McNemar's exact test for shares of independent examples; from the interval where there are several seeds.",
        ),
        ("Corrected", "Holm's correction for all pairs and scores of this comparison: all claims together err at the level of one."),
        (
            "Detectable",
            f"The true difference that is shown {power} times in 100 on as many examples: half the interval and, for that power, a part "
            "of a standard error more (at 95 % and 80 times 2.80 standard errors together). What is smaller may be there unshown.",
        ),
        ("Won, lost", "Examples on which the first system makes fewer errors or earns more points than the second, and the other way."),
    )
