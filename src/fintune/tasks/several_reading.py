"""Any number of labels as a text, `mergers; results`, and read out of what a model wrote; `none` where no label applies.

Written in the order of the label set. Reading mends order, repetition, case, marks, and lists with other separators; nothing is guessed:
a piece that is no label makes the whole unreadable. Names that could not be told apart so are refused.
`tests/tasks/test_several_task.py` exercises it.
"""

from __future__ import annotations

from collections.abc import Sequence

from fintune.errors import RecipeError
from fintune.tasks.label_reading import Reader, after_thinking, shown

SEPARATOR, NONE = "; ", "none"
_SEPARATORS = (";", "\n", ",")


def write(labels: Sequence[str]) -> str:
    """The labels as a text, in the order given."""
    return SEPARATOR.join(labels) or NONE


def require_names(labels: Sequence[str], *, where: str) -> None:
    """Refuses labels that could not be read back from such a text.

    Raises:
        RecipeError: for a name with a semicolon or a line end, or one that says that there is none.
    """
    for label in labels:
        if ";" in label or len(label.splitlines()) > 1 or label.casefold() == NONE:
            why = f"labels are written with {SEPARATOR!r} between them, and as {NONE!r} where there are none"
            raise RecipeError(f"label {label!r} in a task with multiple = true", where=where, why=why, fix="rename it")


class SeveralReader:
    """Reads labels of one set."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        self._one = Reader(labels)
        self._separators = [mark for mark in _SEPARATORS if not any(mark in label for label in labels)]

    def read(self, raw: str, *, reasons: bool) -> tuple[tuple[str, ...] | None, str]:
        """The labels in a model's text, in the order of the set, or None; and what had to be mended or was wrong.

        Args:
            raw: what was written.
            reasons: whether a block of thinking before the labels was asked for, and is nothing to mend.
        """
        body = raw.strip()
        if (found := self._exact(body)) is not None:
            return found, ""
        answer = after_thinking(body)
        if answer is None:
            return None, "thinking that never ends"
        found, reason = self._within(answer)
        if found is None or reasons or answer == body:
            return found, reason
        return found, f"thinking before the labels; {reason}" if reason else "thinking before the labels"

    def _exact(self, body: str) -> tuple[str, ...] | None:
        """The labels of a text that is as `write` has it."""
        pieces = () if body == NONE else tuple(body.split(SEPARATOR))
        return pieces if pieces == tuple(label for label in self.labels if label in pieces) else None

    def _within(self, body: str) -> tuple[tuple[str, ...] | None, str]:
        if not body:
            return None, "nothing was written"
        if (found := self._exact(body)) is not None:
            return found, ""
        bare = body.casefold().strip(" .\"'`*[]()")
        if bare == NONE or body == "[]":
            return (), f"{shown(body)} read as no label"
        for mark in self._separators:
            named = [self._one.marked(piece) for piece in body.split(mark) if piece.strip()]
            if named and all(named):
                return tuple(label for label in self.labels if label in named), f"{shown(body)} read as labels"
        return None, f"no list of labels in {shown(body)}"
