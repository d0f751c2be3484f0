"""Training data whose texts give the gold away: refused, or named in the run's certificate and report where the recipe accepts them.

It looks for the findings D6 of `fintune check`. A score on such data says nothing of what a model has learnt: of one published system's
questions the first word of the text answers every one. `pytest tests/train/test_leaks.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from fintune.data.check import check
from fintune.errors import DataError
from fintune.recipe import Recipe
from fintune.records import Example, Finding
from fintune.tasks.base import Task

_FAMILY = "D6"


def refuse(recipe: Recipe, task: Task, examples: Sequence[Example]) -> None:
    """See that the text does not give the gold away.

    Raises:
        DataError: for the last of the findings, which names the rule that scores without a model; the mend stands in it.
    """
    found = [] if recipe.data.leaks == "accept" else _found(task, examples)
    if found:
        worst = found[-1]
        raise DataError(
            f"the text gives the gold away ({', '.join(dict.fromkeys(one.code for one in found))}): {worst.message}",
            where=worst.where or examples[0].where or "--data", why="a score on such data says nothing of what was learnt",
            fix=f"{worst.fix}; --set data.leaks=accept trains on it all the same, and the report says so",
        )  # fmt: skip


def notes(recipe: Recipe, task: Task, examples: Sequence[Example]) -> tuple[str, ...]:
    """What the certificate and the report say of leaks that the recipe accepts."""
    if recipe.data.leaks == "refuse":
        return ()
    return tuple(f"trained with data.leaks=accept although {one.message} ({one.code}): do not trust any score on this data"
                 for one in _found(task, examples))  # fmt: skip


def _found(task: Task, examples: Sequence[Example]) -> list[Finding]:
    return check({"train": examples}, kind=task.kind, labels=task.labels or None, select=[_FAMILY])
