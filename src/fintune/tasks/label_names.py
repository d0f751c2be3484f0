"""Whether a label of data or of a prediction is one of a task's; what else it may have meant stands in the error.

A class number is refused with the name that the task gives it, or with how to find out. `tests/tasks/test_label_task.py` exercises it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from fintune.errors import DataError, did_you_mean, nearest

_NUMBER = re.compile(r"[+-]?\d+(\.0+)?")


def require(label: str, labels: Sequence[str], *, numbers: Mapping[str, str], task: str, where: str) -> None:
    """Refuses a label outside the set.

    Args:
        label: as the data or the prediction has it.
        labels: the task's.
        numbers: class numbers of data and the labels they stand for.
        task: its name.
        where: file and line, or the prediction.

    Raises:
        DataError: with the label that was most likely meant.
    """
    if label in labels:
        return
    if label in numbers:
        fix = f"--rename {label}={numbers[label]!r}"
        raise DataError(f"class number {label!r} instead of a label", where=where, fix=fix)
    if _NUMBER.fullmatch(label):
        why = f"task {task!r} does not number its labels, as data sets do so differently"
        fix = f"look up what each number means in the data and give it a name: --rename {label}=NAME with one of {', '.join(labels)}"
        raise DataError(f"class number {label!r} instead of a label", where=where, why=why, fix=fix)
    close = nearest(label, labels, alike=0.65)
    fix = f"{did_you_mean(label, labels)} Then --rename {label}={close or 'LABEL'}"
    raise DataError(f"unknown label {label!r}", where=where, why=f"not a label of task {task!r}", fix=fix)
