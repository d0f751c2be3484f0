"""Layouts: text with places such as `{text}` that values are put into once, so that no value is ever read as a layout.

A place is a lower-case word in braces; all other braces are text. A line whose places are all empty is left out, which is
how a prompt without labels has no line for them. `tests/tasks/test_prompts.py` exercises it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_PLACE = re.compile(r"\{([a-z]+)\}")


@dataclass(frozen=True, slots=True)
class Layout:
    """Lines of pieces; in each line literal text and names of places take turns, beginning and ending with literal text."""

    lines: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, text: str) -> Layout:
        """The layout that a text writes down."""
        return cls(tuple(tuple(_PLACE.split(line)) for line in text.split("\n")) if text else ())

    @property
    def places(self) -> frozenset[str]:
        """The names of all places."""
        return frozenset(name for line in self.lines for name in line[1::2])

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with the value of each place in it; values are copied as they are.

        Raises:
            KeyError: for a place without a value.
        """
        filled = []
        for line in self.lines:
            found = [values[name] for name in line[1::2]]
            if any(found) or not found:
                filled.append("".join(values[piece] if at % 2 else piece for at, piece in enumerate(line)))
        return "\n".join(filled)
