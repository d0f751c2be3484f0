"""The targets of span tasks as grammars of one text: a dictionary of lists whose strings stand in the text.

A string is a stretch of the text from one word boundary to another, in the escaped form of its format; it neither begins nor
ends with a blank. Grammars are in llguidance's dialect of Lark. `tests/heads/generative/test_constrain.py` exercises it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import dropwhile, groupby
from types import MappingProxyType
from typing import Literal

from fintune.text.align import at_boundary

Target = Literal["literal", "json", "compact"]

_TOKEN = re.compile(r"""[ ,:{}]+|(?P<mark>[\[\]])|None|null|(?P<string>"(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+')""")


@dataclass(frozen=True, slots=True)
class Style:
    """How a target is written: its marks, how a label looks, and how a string looks between which quotes.

    `nothing` is what a label without spans has, or None where the label is left out.
    """

    comma: str
    colon: str
    nothing: str | None
    key: Callable[[str], str]
    strings: tuple[tuple[str, Callable[[str], str]], ...]

    def marks(self, labels: Sequence[str]) -> str:
        """Everything that is written beside the surfaces."""
        return "{[" + self.comma + self.colon + (self.nothing or "") + self.strings[0][0] + "]}" + "".join(map(self.key, labels))

    def grammar(self, text: str, labels: Sequence[str], *, writes: Callable[[str], bool], spell: Callable[[str], str] = str) -> str:
        """The right side of a rule for every target of `text`, and the further rules it needs.

        Args:
            text: where the strings come from.
            labels: in the order of the target.
            writes: whether a character can be written; stretches with others are not offered.
            spell: how the vocabulary is given a text, character by character.
        """
        strings = self._terminal(text, writes, spell)
        return (self._some if strings else self._none)(labels, spell) + strings

    def completed(self, written: str, labels: Sequence[str]) -> str:
        """The beginning of a target as a whole one: finished strings stay, and all else is empty."""
        keys = {self.key(label): label for label in labels}
        lists: dict[str, list[str]] = {label: [] for label in labels}
        current, inside, at = "", False, 0
        while token := _TOKEN.match(written, at):
            at = token.end()
            if token["mark"]:
                inside = token["mark"] == "["
            elif token["string"] and inside:
                lists[current].append(token["string"])
            elif token["string"]:
                current = keys[token["string"]]
        values = {label: f"[{self.comma.join(strings)}]" if strings else self.nothing for label, strings in lists.items()}
        return "{" + self.comma.join(self.key(k) + self.colon + value for k, value in values.items() if value is not None) + "}"

    def _none(self, labels: Sequence[str], spell: Callable[[str], str]) -> str:
        """The one target without any string."""
        return _quoted(spell(self.completed("", labels))) + "\n"

    def _some(self, labels: Sequence[str], spell: Callable[[str], str]) -> str:
        """The rules of a dictionary of lists over the terminal `STRING`."""
        opening, closing, first, last, comma = (_quoted(spell(mark)) for mark in ("{", "}", "[", "]", self.comma))
        keys = [_quoted(spell(self.key(label) + self.colon)) for label in labels]
        listed = f"{first} STRING ({comma} STRING)* {last}"
        if self.nothing is not None:
            items = f" {comma} ".join(f"{key} value" for key in keys)
            return f"{opening} {items} {closing}\nvalue: {_quoted(spell(self.nothing))} | {listed}\n"
        rules = [f"{opening} first_0 {closing}", f"value: {listed}", f'first_{len(keys)}: ""', f'more_{len(keys)}: ""']
        for n, key in enumerate(keys):  # the first label written has no comma before it
            rules += [f"first_{n}: {key} value more_{n + 1} | first_{n + 1}", f"more_{n}: {comma} {key} value more_{n + 1} | more_{n + 1}"]
        return "\n".join([*rules, ""])

    def _terminal(self, text: str, writes: Callable[[str], bool], spell: Callable[[str], str]) -> str:
        """The terminal `STRING`, or nothing where the text has no string to offer."""
        quotes = self.strings if "'" in text else self.strings[:1]  # Python takes double quotes for strings with single ones only
        lines, wholes = list[str](), list[str]()
        for quote, escape in quotes:
            shown = _Chain(escape, spell)
            for run in _runs(text, shown, writes):
                n = len(lines)
                wholes.append(f"{_quoted(spell(quote))} (BODY_{n} & EDGED_{n}) {_quoted(spell(quote))}")
                lines.append(f"BODY_{n}: %regex {json.dumps({'substring_chunks': list(map(shown, run))})}\n{_edged(n, run, shown)}")
        return "\n".join([*lines, f"STRING: {' | '.join(wholes)}", ""]) if lines else ""


@dataclass(frozen=True, slots=True)
class _Chain:
    """A character of a text as it is written: escaped, then spelt."""

    escape: Callable[[str], str]
    spell: Callable[[str], str]

    def __call__(self, text: str) -> str:
        return self.spell(self.escape(text))


def _runs(text: str, shown: Callable[[str], str], writes: Callable[[str], bool]) -> Iterator[list[str]]:
    """Stretches of pieces that can be written, without blanks at their ends: a string that was begun can always be finished."""
    lacking = {character for character in set(shown(text)) if not writes(character)}
    halves = {character for character in text if "\ud800" <= character <= "\udfff"}  # of surrogate pairs, which are no text

    def able(piece: str) -> bool:
        return halves.isdisjoint(piece) and lacking.isdisjoint(shown(piece))

    for good, stretch in groupby(_pieces(text), key=able):
        run = list(dropwhile(lambda piece: piece[0].isspace(), stretch)) if good else []
        while run and run[-1][-1].isspace():
            run.pop()
        if run:
            yield run


def _edged(n: int, run: Sequence[str], shown: Callable[[str], str]) -> str:
    """The terminal `EDGED_n`: characters of a run of pieces, neither the first nor the last one a blank."""
    found = sorted(set("".join(run)))
    solid, blank = (" | ".join(_quoted(shown(c)) for c in found if c.isspace() is wanted) for wanted in (False, True))
    inner = f"(SOLID_{n} | {blank})" if blank else f"SOLID_{n}"
    return f"SOLID_{n}: {solid}\nEDGED_{n}: SOLID_{n} | SOLID_{n} {inner}* SOLID_{n}"


def _pieces(text: str) -> Iterator[str]:
    """The text cut at every word boundary."""
    start = 0
    for at in range(1, len(text) + 1):
        if at_boundary(text, at):
            yield text[start:at]
            start = at


def _quoted(text: str) -> str:
    """A string of a grammar; its lexer takes no raw control characters."""
    return json.dumps(text)


def _single(text: str) -> str:
    """As Python writes it between single quotes."""
    return repr('"' + text)[2:-1]  # a double quote makes it choose single ones


def _double(text: str) -> str:
    """As Python writes it between double quotes."""
    return _single(text).replace("\\'", "'").replace('"', '\\"')


def _json(text: str) -> str:
    """As JSON writes it between quotes."""
    return _json_key(text)[1:-1]


def _json_key(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


STYLES: Mapping[Target, Style] = MappingProxyType({
    "literal": Style(", ", ": ", "None", repr, (("'", _single), ('"', _double))),
    "json": Style(", ", ": ", "null", _json_key, (('"', _json),)),
    "compact": Style(",", ":", None, _json_key, (('"', _json),)),
})  # fmt: skip
"""The formats of `prompt.target`, as `tasks.spans` writes them."""
