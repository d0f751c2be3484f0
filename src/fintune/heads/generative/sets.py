"""The targets of tasks with several labels as a grammar: labels in the order of the set, each at most once, or that there is none.

The grammar is in llguidance's dialect of Lark and has two rules a label, however many sets there are. A text that runs out of budget
keeps the labels that are whole. `tests/heads/generative/test_sets.py` exercises it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from fintune.tasks.several_reading import NONE, SEPARATOR, write


def marks(labels: Sequence[str]) -> str:
    """Everything that is written."""
    return NONE + SEPARATOR + "".join(labels)


def grammar(labels: Sequence[str], *, spell: Callable[[str], str] = str) -> str:
    """The right side of a rule for every target, and the further rules it needs.

    Args:
        labels: in the order of the set.
        spell: how the vocabulary is given a text, character by character.
    """

    def quoted(text: str) -> str:
        return json.dumps(spell(text))

    rules = [f"{quoted(NONE)} | first_0", f'more_{len(labels)}: ""']
    for n, label in enumerate(labels):  # the first label written has no separator before it, and there is one
        later = f" | first_{n + 1}" if n + 1 < len(labels) else ""
        rules += [
            f"first_{n}: {quoted(label)} more_{n + 1}{later}",
            f"more_{n}: {quoted(SEPARATOR + label)} more_{n + 1} | more_{n + 1}",
        ]
    return "\n".join([*rules, ""])


def completed(written: str, labels: Sequence[str]) -> str:
    """The beginning of a target as a whole one: of its pieces those that are labels."""
    pieces = written.split(SEPARATOR)
    return write([label for label in labels if label in pieces])
