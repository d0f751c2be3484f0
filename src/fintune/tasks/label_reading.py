"""Reading a label out of what a model wrote: exactly, or mended where only one label can have been meant.

Nothing is guessed: a misspelt name, two labels, a label that is denied or buried in longer text is no label. Linear in the length
of the text, and never raises. `tests/tasks/test_label_task.py` exercises it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_THINKING, _THOUGHT = "<think>", "</think>"
_SENTENCES = re.compile(r"[.!?]\s+\S")
_DENIAL = re.compile(r"\b(?:not|no|nor|never|neither|none|without|cannot)\b|n['’]t\b", re.IGNORECASE)


class Reader:
    """Reads the labels of one set."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = frozenset(labels)
        self._known = _unique(labels)
        self._longest = sorted(labels, key=lambda label: (-len(label), label))
        groups = "|".join("(" + r"\s+".join(map(re.escape, label.split())) + ")" for label in self._longest)
        self._mention = re.compile(rf"(?<![\w-])(?:{groups})(?![\w-])", re.IGNORECASE)

    def read(self, raw: str, *, reasons: bool) -> tuple[str | None, str]:
        """The label in a model's text or None, and what had to be mended or was wrong.

        Args:
            raw: what was written.
            reasons: whether a block of thinking before the label was asked for, and is nothing to mend.
        """
        body = raw.strip()
        if body in self.labels:
            return body, ""
        answer = after_thinking(body)
        if answer is None:
            return None, "thinking that never ends"
        label, reason = self._within(answer)
        if label is None or reasons or _THOUGHT not in body:
            return label, reason
        return label, f"thinking before the label; {reason}" if reason else "thinking before the label"

    def _within(self, body: str) -> tuple[str | None, str]:
        if body in self.labels:
            return body, ""
        if not body:
            return None, "nothing was written"
        if label := self.marked(body):
            return label, f"{shown(body)} read as {label!r}"
        named = self._named(body)
        if len(named) > 1:
            return None, f"{len(named)} labels in {shown(body)}"
        lines = [line for line in body.splitlines() if line.strip()]
        label = next((found for line in lines if (found := self.marked(line))), None)
        if label and named <= {label}:
            return label, f"text around the line {label!r}"
        if not named:
            return None, f"no label in {shown(body)}"
        if len(lines) > 1 or _SENTENCES.search(body):
            return None, f"a label among other text: {shown(body)}"
        if _DENIAL.search(self._mention.sub(" ", body)):
            return None, f"a label that is denied: {shown(body)}"
        return named.pop(), f"text around the label: {shown(body)}"

    def marked(self, text: str) -> str | None:
        """The label that a text is, but for case, blanks and marks around it."""
        joined = _joined(text)
        return self._known.get(joined) or self._known.get(_bare(joined))

    def _named(self, text: str) -> set[str]:
        """The labels that stand in a text as whole words, the longest at each place."""
        return {self._longest[int(match.lastindex or 1) - 1] for match in self._mention.finditer(text)}


def after_thinking(text: str) -> str | None:
    """What stands after a model's thinking, without blanks around it; the text where there is none, None where it never ends."""
    if _THOUGHT in text:
        return text.rpartition(_THOUGHT)[2].strip()
    return None if text.startswith(_THINKING) else text


def _joined(text: str) -> str:
    """The text without case and blanks."""
    return "".join(text.casefold().split())


def _bare(text: str) -> str:
    """The text without what is neither letter nor digit at its ends."""
    return text.strip("".join({character for character in text if not character.isalnum()}))


def _unique(labels: Sequence[str]) -> dict[str, str]:
    """Labels by what is left without case and blanks, then also without marks at the ends; forms that two share are left out."""
    known: dict[str, str] = {}
    for form_of in (_joined, lambda label: _bare(_joined(label))):
        forms: dict[str, list[str]] = {}
        for label in labels:
            forms.setdefault(form_of(label), []).append(label)
        known = {form: found[0] for form, found in forms.items() if form and len(found) == 1} | known
    return known


def shown(text: str) -> str:
    """What was written, quoted and short."""
    short = text if len(text) <= 40 else f"{text[:37]}..."
    return repr(short)
