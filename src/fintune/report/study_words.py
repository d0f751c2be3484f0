"""What a study shows, in sentences: one for each axis, and every reason to trust it less.

"No difference shown" is said wherever an interval spans zero; values are named in the order of the study, never ranked by their scores.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from fintune.report.figures import Score, counted, duration, scaled, size
from fintune.report.study_contrast import Difference, Labels
from fintune.report.study_effects import Effect, Level
from fintune.report.study_interactions import Interaction
from fintune.report.study_student import LEVEL
from fintune.report.study_table import Study
from fintune.report.wording import metric_words

VERDICTS: Mapping[str, str] = {
    "higher": "higher",
    "lower": "lower",
    "none": "no difference shown",
    "identical": "identical scores",
    "constant": "the same in all seeds",
    "one seed": "one seed: no difference shown",
    "missing": "not finished",
}
_STATUSES = ("finished", "failed", "running", "waiting")
_MOST, _PLACES = 8, 6


def signed(value: float) -> str:
    """A difference with its sign: `+0.012`, `−0.0004`, `0`."""
    if value == 0:
        return "0"
    places = 3 if abs(value) >= 0.0005 else -math.floor(math.log10(abs(value)))
    shown = f"{value:+.{places}f}" if places <= _PLACES else f"{value:+.0e}"
    return shown.replace("-", "−")


def ends(found: Score | tuple[float, float] | None) -> str:
    """`−0.002 to +0.010`, or empty."""
    low, high = (found.low, found.high) if isinstance(found, Score) else found or (None, None)
    return "" if low is None or high is None else f"{signed(low)} to {signed(high)}"


def money(amount: float, currency: str) -> str:
    """A price."""
    return f"{amount:,.4g} {currency}"


def costs(name: str, value: float, *, currency: str) -> str:
    """One figure of a cost."""
    if name.endswith("_seconds"):
        return duration(value)
    if name.endswith("_bytes"):
        return size(value)
    if name == "price":
        return money(value, currency)
    units = {"flop": "FLOP", "energy_joules": "J"}
    return scaled(value, units[name]) if name in units else f"{value:,.0f}"


def metric(study: Study) -> str:
    """The metric of the study for people."""
    return metric_words(study.metric, study.kind) or "score"


def setting(study: Study, labels: Labels) -> str:
    """A combination of factors: `rank 8, noise 0.1`; axes of one value are left out."""
    varied = [f"{axis.name} {label}" for axis, label in zip(study.factors, labels, strict=True) if len(axis.values) > 1]
    return ", ".join(varied) or "all cells"


def listed(names: Sequence[str]) -> str:
    """`4, 8 and 16`."""
    shown = [*names[:_MOST], *([f"{len(names) - _MOST} more"] if len(names) > _MOST else [])]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else ""


def sentence(effect: Effect) -> str:
    """What the study shows of one axis."""
    start, compared = effect.levels[0].value, effect.compared
    if not compared:
        return "one value, nothing to compare."
    by_verdict: dict[str, list[tuple[Level, Difference]]] = {}
    for level, difference in compared:
        by_verdict.setdefault(difference.verdict, []).append((level, difference))
    said = [words(start, by_verdict[verdict]) for verdict, words in _SAID.items() if verdict in by_verdict]
    return "; ".join(said) + "."


def _one(level: Level, difference: Difference) -> str:
    shown = difference.score
    return f"{level.value}: {signed(shown.value)}{f' ({ends(shown)})' if ends(shown) else ''}" if shown else level.value


def _any(found: Sequence[tuple[Level, Difference]]) -> str:
    return ("any of " if len(found) > 1 else "") + listed([level.value for level, _ in found])


def _seeds(found: Sequence[tuple[Level, Difference]]) -> str:
    numbers = sorted({len(difference.by_seed) for _, difference in found})
    return counted(numbers[0], "seed") if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]} seeds"


def _clear(direction: str, start: str, found: Sequence[tuple[Level, Difference]]) -> str:
    """Differences shown, and which of them might not be there on other texts."""
    words = f"{direction} than at {start}, over {_seeds(found)}, at {listed([_one(*one) for one in found])}"
    unsure = [level.value for level, _ in found if level.examples and level.examples[0] <= 0 <= level.examples[1]]
    if unsure:
        words += f", on these test examples; whether on others too is not shown for {listed(unsure)}"
        words += " ('fintune compare' pairs the runs example by example)"
    return words


def _none(start: str, found: Sequence[tuple[Level, Difference]]) -> str:
    """No difference, with what the intervals leave room for, and those that only the correction took back."""
    scores = [difference.score for _, difference in found if difference.score]
    low, high = (pick(end for end in side if end is not None) for pick, side in (
        (min, [score.low for score in scores]), (max, [score.high for score in scores])))  # fmt: skip
    words = f"no difference shown between {start} and {_any(found)}: the intervals over {_seeds(found)} leave room for {ends((low, high))}"
    taken = [level.value for level, difference in found if difference.p is not None and difference.p < 1 - LEVEL]
    if taken:
        words += f" ({listed(taken)} would differ alone, but not with Holm's correction for the values of the axis)"
    return words


def _identical(start: str, found: Sequence[tuple[Level, Difference]]) -> str:
    values = listed([start, *(level.value for level, _ in found)])
    return f"identical scores at {values}, which is more likely a setting without influence than a finding: was it applied?"


def _constant(start: str, found: Sequence[tuple[Level, Difference]]) -> str:
    values = listed([_one(*one) for one in found])
    return (
        f"the same difference from {start} in all seeds at {values}, so the seeds did not vary what they should, and there is no interval"
    )


def _single(start: str, found: Sequence[tuple[Level, Difference]]) -> str:
    return f"no difference shown between {start} and {_any(found)}: there is one seed, and another seed alone may move a score as far"


def _missing(start: str, found: Sequence[tuple[Level, Difference]]) -> str:
    return f"not yet known for {listed([level.value for level, _ in found])}: cells there or at {start} are not finished"


_SAID = {
    "higher": lambda start, found: _clear("higher", start, found),
    "lower": lambda start, found: _clear("lower", start, found),
    "none": _none,
    "identical": _identical,
    "constant": _constant,
    "one seed": _single,
    "missing": _missing,
}


def interplay(found: Interaction) -> str:
    """Whether the effect of one axis depends on the other."""
    names = f"{found.first.name} and {found.second.name}"
    shown = [f"{one}, {other}" for (one, other), contrast in found.contrasts.items() if contrast.verdict in ("higher", "lower")]
    if shown:
        return f"The effect of {found.second.name} depends on {found.first.name} at {listed(shown)}."
    tested = [contrast for contrast in found.contrasts.values() if contrast.p is not None]
    why = "" if tested else ": that takes at least two seeds of all four corners"
    return f"No interaction of {names} is shown{why}."


def depending(found: Sequence[Interaction]) -> Iterator[tuple[str, str]]:
    """For each two axes of which one's effect is shown to depend on the other: their names, and how to read the means of either."""
    for one in found:
        if any(contrast.verdict in ("higher", "lower") for contrast in one.contrasts.values()):
            mixed = f"The means of {one.first.name} and of {one.second.name} above mix what differs: read the two at once."
            yield f"{one.first.name} and {one.second.name}", f"{interplay(one)} {mixed}"


def remarks(study: Study, found: Sequence[Effect]) -> list[str]:
    """Whatever a reader should know before quoting the study."""
    counts = Counter(cell.status for cell in study.cells)
    said = []
    if counts["finished"] < len(study.cells):
        others = [f"{counts[status]} {status}" for status in (*_STATUSES[1:], *sorted(set(counts) - set(_STATUSES))) if counts[status]]
        said.append(f"{counts['finished']} of {counted(len(study.cells), 'cell')} finished, {listed(others)}: everything here may change.")
    scoreless = counts["finished"] - len(study.done)
    if scoreless:
        said.append(f"{counted(scoreless, 'finished cell')} without {metric(study)}.")
    gaps = [effect.axis.name for effect in found if any(level.cells < level.planned for level in effect.levels)]
    if gaps and study.crossed:
        why = "differences are over the cells that are there on both sides, fewer than planned, and not those of the means"
        said.append(f"On {listed(gaps)}, {why}.")
    comparisons = max((len(effect.compared) for effect in found), default=0)
    if study.crossed and comparisons > 1:
        said.append("Each interval is for itself; what is called a difference also stands Holm's correction for the values of its axis.")
    faults = study.document.get("faults")
    said += [f"Not scored: {fault}" for fault in faults if isinstance(fault, str)] if isinstance(faults, list) else []
    if study.done and not study.tested:
        said.append("Scores are of the validation data; where a run also stops or chooses its epoch by them, they are optimistic.")
    return said
