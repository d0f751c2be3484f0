"""Reads the dictionary of lists that a model wrote, mends what can be mended without guessing, and says what it mended.

Accepted with a note: text and code fences around it, a dictionary that is not closed because writing stopped, a string or
nothing where a list belongs, labels without quotes or written twice, values that are no strings (dropped). Thinking before
it is passed over. A surface is only ever a whole string that was written as one. Time is linear in the text.
`parse_lists` stays the strict reader of data; `tests/text/test_lenient.py` exercises this one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from fintune.text.literals import MAX_CHARS, TOKEN, LiteralError, parse_lists, unquote

_THINKING, _THOUGHT, _FENCE = "<think>", "</think>", "```"
_NOTHING = ("none", "null")
_NO_TEXT = re.compile(r"true|false|[+-]?[0-9]+(\.[0-9]+)?", re.IGNORECASE)
# A brace with something after it that a dictionary may begin with; of the rest a hostile text may hold a million.
_OPENING = re.compile(r"""\{(?=[ \t\r\n]*+["'}A-Za-z0-9_.+-])""")
_CLOSING = {"[": "]", "(": ")"}

_Lists = dict[str, list[str]]


class _Token(NamedTuple):
    kind: str  # mark, string, word, end (of the text or a code fence) or partial (a string that the text ends in)
    text: str
    offset: int


def read_lists(raw: str) -> tuple[_Lists, list[str]]:
    """The lists of the dictionary in a model's text, by label as written, and what had to be mended to read them.

    The first dictionary that has entries counts. Thinking is passed over without a note, where it ends.

    Raises:
        LiteralError: where there is no dictionary, or none that can be read without guessing; mostly the reason is that of
            the strict reading.
    """
    body = raw.strip()
    try:
        return parse_lists(body), []
    except LiteralError as error:
        if len(body) > MAX_CHARS:
            raise
        answer = _after_thinking(body)
        if answer is body:
            return _mended(body, error)
    try:
        return parse_lists(answer), []
    except LiteralError as error:
        return _mended(answer, error)


def _after_thinking(body: str) -> str:
    """What follows the thinking, or the body itself where there is none. Some templates open the block in the prompt.

    A surface may hold the mark that ends thinking; a mark inside of a dictionary is text.

    Raises:
        LiteralError: thinking begins and never ends.
    """
    mark = body.find(_THOUGHT)
    if body.startswith(_THINKING):
        if mark < 0:
            raise LiteralError("thinking that never ends", 0)
    elif mark < 0 or body.startswith("{") or ((found := _find(body)) is not None and found.start < mark < found.at):
        return body
    return body[mark + len(_THOUGHT) :].strip()


def _mended(text: str, error: LiteralError) -> tuple[_Lists, list[str]]:
    found = _find(text)
    if found is None or not (found.closed or found.complete):
        raise error
    around = text[: found.start].strip() or text[found.at :].strip()
    return found.lists, ["text around the dictionary"] * bool(around) + list(found.notes)


def _find(text: str) -> _Dictionary | None:
    """The first dictionary with entries, else the first empty one, else none.

    Once a label and its colon are read, the dictionary is found: should it break after that, no other is looked for, as what
    stands in its strings is not the model's answer. Only where it breaks at an inner dictionary is that one read instead.
    """
    empty: _Dictionary | None = None
    at = 0
    while opening := _OPENING.search(text, at):
        found = _Dictionary(text, opening.start())
        try:
            found.read()
        except LiteralError as fault:
            if found.begun and text[fault.offset : fault.offset + 1] != "{":
                return None
            at = max(fault.offset, opening.end())
            continue
        if found.begun:
            return found
        empty = empty or (found if found.closed else None)
        at = found.at if found.closed else opening.end()
    return empty


@dataclass(slots=True)
class _Dictionary:
    """A dictionary that is being read from the brace at `start`; `at` is where reading has come to."""

    text: str
    start: int
    at: int = 0
    lists: _Lists = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)  # in order, each once
    begun: bool = False  # a label and its colon were read
    complete: bool = False  # a surface, or all that belongs to a label, was read
    closed: bool = True  # false once the text ended before the dictionary did

    def read(self) -> None:
        """Reads to the closing brace or the end of the text.

        Raises:
            LiteralError: what stands there cannot be read without guessing.
        """
        self.at = self.start + 1
        token = self._next()
        while token.text != "}" or token.kind != "mark":
            if not self._entry(token):
                self.closed = False
                self.notes["the dictionary is not closed"] = None
                return
            token = self._next()
            if token[:2] == ("mark", ","):
                token = self._next()
            elif token.kind in ("string", "partial"):
                self.notes["a comma between labels is missing"] = None
            elif token.kind != "end" and token[:2] != ("mark", "}"):
                raise _unexpected(token)

    def _entry(self, token: _Token) -> bool:
        """Reads a label that begins with `token`, and its list; False where the text ends before they do."""
        if token.kind == "string":
            label = unquote(token.text, token.offset)
        elif token.kind == "word":
            label = token.text
            self.notes["a label has no quotes"] = None
        else:
            return self._within_string(token)
        colon = self._next()
        if colon[:2] != ("mark", ":"):
            return self._ends(colon)
        self.begun = True
        if label in self.lists:
            self.notes[f"label {label[:40]!r} stands twice"] = None
        return self._value(self.lists.setdefault(label, []))

    def _value(self, values: list[str]) -> bool:
        token = self._next()
        if token.kind == "mark" and token.text in _CLOSING:
            if token.text == "(":
                self.notes["round brackets read as square ones"] = None
            whole = self._items(values, _CLOSING[token.text])
        elif token.kind == "string":
            self.notes["a string stands for a list"] = None
            value = unquote(token.text, token.offset)
            values += [value] if value.strip() and value.strip().casefold() not in _NOTHING else []
            whole = True
        else:
            whole = self._bare(token, "nothing")
        self.complete |= whole
        return whole

    def _items(self, values: list[str], closing: str) -> bool:
        token = self._next()
        while token[:2] != ("mark", closing):
            if token.kind == "string":
                values.append(unquote(token.text, token.offset))
                self.complete = True
            elif not self._bare(token, "a list with nothing in it"):
                return False
            token = self._next()
            if token[:2] == ("mark", ","):
                token = self._next()
            elif token[:2] != ("mark", closing):
                return self._ends(token)
        return True

    def _bare(self, token: _Token, nothing: str) -> bool:
        """Passes over a word that stands for nothing or is no text, with a note; False where the text ends within it."""
        if token.kind == "word" and token.text.casefold() in _NOTHING:
            if nothing != "nothing" or token.text not in ("None", "null"):
                self.notes[f"{token.text} read as {nothing}"] = None
            return True
        if token.kind == "word" and token.offset + len(token.text) == len(self.text):
            self.notes["an unfinished word is dropped"] = None
            return False
        if token.kind == "word" and _NO_TEXT.fullmatch(token.text):
            self.notes[f"{token.text[:40]} is no string and dropped"] = None
            return True
        return self._within_string(token)

    def _within_string(self, token: _Token) -> bool:
        """As `_ends`, where a string may stand, which may be unfinished."""
        if token.kind == "partial":
            self.notes["an unfinished string is dropped"] = None
            return False
        return self._ends(token)

    def _ends(self, token: _Token) -> bool:
        """False at the end of the text.

        Raises:
            LiteralError: the token is something else, which does not belong here.
        """
        if token.kind != "end":
            raise _unexpected(token)
        return False

    def _next(self) -> _Token:
        while self.at < len(self.text):
            match = TOKEN.match(self.text, self.at)
            if match is None:
                return self._odd()
            start, self.at = self.at, match.end()
            if match.lastgroup != "blank":
                return _Token(str(match.lastgroup), match.group(), start)
        return _Token("end", "", self.at)

    def _odd(self) -> _Token:
        """What is no token: a code fence, or a string without its end."""
        rest = self.text[self.at : self.at + len(_FENCE)]
        if rest == _FENCE:
            return _Token("end", "", self.at)
        if rest[0] in "'\"" and self.text.find("\n", self.at) < 0:
            start, self.at = self.at, len(self.text)
            return _Token("partial", "", start)
        raise LiteralError("unexpected text", self.at)


def _unexpected(token: _Token) -> LiteralError:
    return LiteralError(f"unexpected {token.text[:24]}", token.offset)
