"""Runs the checks on the splits of a data set: `check(splits, kind=...)` gives findings in the order of their codes.

Nothing is changed and nothing is trained; the same data gives the same findings in the same order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import cast

from fintune.data.checks import CHECKS
from fintune.data.checks.base import Context, Limits
from fintune.errors import UsageError, did_you_mean
from fintune.records import Example, Finding, Kind, Severity

Check = Callable[[Context], Iterator[Finding]]

ENTRY_POINTS = "fintune.checks"  # checks of other packages, named by their codes, under the same contract
_RANK: tuple[Severity, ...] = ("info", "warning", "error")


def check(
    splits: Mapping[str, Sequence[Example]],
    *,
    kind: Kind,
    labels: Sequence[str] | None = None,
    shares: Mapping[str, float] = MappingProxyType({}),
    limits: Limits = Limits(),
    tokens: Callable[[str], int] | None = None,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
) -> list[Finding]:
    """What is remarkable about a data set.

    Args:
        splits: examples by the name of their split, in the order training, validation, test.
        kind: what the task predicts.
        labels: the task's label set; None where any label will do.
        shares: fraction of each label in usual data; empty where nothing is known of it.
        limits: from where on something is found.
        tokens: counts the tokens of a text; estimated from words where None.
        select: beginnings of codes (`D2`, `D301`) to look for; all where empty.
        ignore: beginnings of codes to leave out, whatever is selected.

    Raises:
        UsageError: a beginning that no code has.
    """
    context = Context(
        {name: tuple(examples) for name, examples in splits.items()},
        kind, None if labels is None else tuple(labels), limits, tokens, shares,
    )  # fmt: skip
    return [found for code in codes(select, ignore) for found in function(code)(context)]


def codes(select: Sequence[str] = (), ignore: Sequence[str] = ()) -> list[str]:
    """The codes that these beginnings choose, in order.

    Raises:
        UsageError: a beginning that no code has.
    """
    known = sorted({*CHECKS, *entry_points(group=ENTRY_POINTS).names})
    for option, beginnings in (("--select", select), ("--ignore", ignore)):
        for beginning in beginnings:
            if not beginning or not any(code.startswith(beginning) for code in known):
                raise UsageError(f"no check {beginning!r}", where=option, fix=did_you_mean(beginning, known))
    return [code for code in known if code.startswith(tuple(select or ("",))) and not code.startswith(tuple(ignore))]


def function(code: str) -> Check:
    """The check behind a code.

    Raises:
        UsageError: no such code.
    """
    if code in CHECKS:
        module, _, name = CHECKS[code].partition(":")
        return cast(Check, getattr(import_module(module), name))
    for entry in entry_points(group=ENTRY_POINTS, name=code):
        return cast(Check, entry.load())
    raise UsageError(f"no check {code!r}", fix=did_you_mean(code, CHECKS))


def worst(findings: Sequence[Finding]) -> Severity | None:
    """The gravest severity among findings; None where there are none."""
    return max((found.severity for found in findings), key=_RANK.index, default=None)


def summary(findings: Sequence[Finding]) -> str:
    """One line: how many findings of each severity, the gravest first, with their codes."""
    if not findings:
        return "no findings"
    parts = []
    for severity in reversed(_RANK):
        count = Counter(found.code for found in findings if found.severity == severity)
        if count:
            noun = severity if severity == "info" or count.total() == 1 else f"{severity}s"
            parts.append(f"{count.total()} {noun} ({', '.join(sorted(count))})")
    return ", ".join(parts)
