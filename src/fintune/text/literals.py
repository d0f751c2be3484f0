"""Reads an annotation cell: a dictionary of lists of strings, as a Python literal or as JSON.

`{'Company': ['Acme'], 'Date': None}` and `{"Company": ["Acme"], "Date": null}` give the same value. The grammar is so
small that a linear scan reads it: nothing nests, so no input can exhaust the stack, and every fault has its column.
Only single string tokens reach `json` or `ast.literal_eval`. Nothing is repaired here and nothing is ever evaluated.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator
from typing import NamedTuple

MAX_CHARS = 1 << 20  # a cell beyond a mebi-character is no annotation of one text

TOKEN = re.compile(
    r"""(?P<blank>[ \t\r\n]+)
      | (?P<mark>[{}\[\]():,])
      | (?P<string>[uU]?(?:"(?:[^"\\\n]|\\.)*+"|'(?:[^'\\\n]|\\.)*+'))
      | (?P<word>[A-Za-z0-9_.+-]+)""",
    re.VERBOSE | re.DOTALL,
)
"""Every token, in linear time; a string holds no line end unless it is escaped."""

_NOTHING = ("None", "null")


class LiteralError(ValueError):
    """A cell that is not a dictionary of lists of strings.

    Args:
        reason: what is wrong, in a few words.
        offset: code points before the fault; `column` counts from one.
    """

    def __init__(self, reason: str, offset: int) -> None:
        self.reason, self.offset, self.column = reason, offset, offset + 1
        super().__init__(f"{reason} at column {self.column}")


class _Token(NamedTuple):
    kind: str  # mark, string, word or end
    text: str
    offset: int


class _Tokens:
    """The tokens of a cell, cut as they are asked for, so that the first fault from the left is the one reported."""

    def __init__(self, cell: str) -> None:
        self._rest = _scan(cell)
        self._ahead: list[_Token] = []  # at most one

    def next(self) -> _Token:
        return self._ahead.pop() if self._ahead else next(self._rest)

    def skip(self, mark: str) -> bool:
        """Steps over `mark` where it comes next, and says whether it did."""
        token = self.next()
        if token[:2] == ("mark", mark):
            return True
        self._ahead.append(token)
        return False

    def expect(self, mark: str, after: str) -> None:
        token = self.next()
        if token[:2] != ("mark", mark):
            raise LiteralError(f"{mark!r} expected after {after}, found {_shown(token)}", token.offset)


def parse_lists(cell: str) -> dict[str, list[str]]:
    """The lists of an annotation cell; None and null become empty lists, order and repetition are kept.

    Raises:
        LiteralError: not a dictionary of lists of strings, a key twice, or longer than `MAX_CHARS`.
    """
    if len(cell) > MAX_CHARS:
        raise LiteralError(f"longer than {MAX_CHARS} characters", MAX_CHARS)
    tokens = _Tokens(cell)
    first = tokens.next()
    if first.text != "{":
        raise LiteralError(f"a dictionary is expected, found {_shown(first)}", first.offset)
    lists: dict[str, list[str]] = {}
    while not tokens.skip("}"):
        key_token = tokens.next()
        key = _string(key_token, "a label in quotes")
        if key in lists:
            raise LiteralError(f"label {_shown(key_token)} stands twice", key_token.offset)
        tokens.expect(":", f"label {_shown(key_token)}")
        lists[key] = _values(tokens, _shown(key_token))
        if not tokens.skip(","):
            tokens.expect("}", f"the list of {_shown(key_token)}")
            break
    rest = tokens.next()
    if rest.kind != "end":
        raise LiteralError(f"the dictionary ends before {_shown(rest)}", rest.offset)
    return lists


def _scan(cell: str) -> Iterator[_Token]:
    at = 0
    while at < len(cell):
        match = TOKEN.match(cell, at)
        if match is None:
            quoted = cell[at] in "'\""
            raise LiteralError("a string that is never closed" if quoted else f"unexpected {cell[at]!r}", at)
        if match.lastgroup != "blank":
            yield _Token(str(match.lastgroup), match.group(), at)
        at = match.end()
    yield _Token("end", "", len(cell))


def _values(tokens: _Tokens, key: str) -> list[str]:
    """The list of `key`, which is written as in the cell."""
    first = tokens.next()
    if first.kind == "word" and first.text in _NOTHING:
        return []
    if first.text != "[":
        raise LiteralError(f"{key} must hold a list of strings or None, found {_shown(first)}", first.offset)
    values: list[str] = []
    while not tokens.skip("]"):
        token = tokens.next()
        values.append(_string(token, f"a string in the list of {key}"))
        if not tokens.skip(","):
            tokens.expect("]", _shown(token))
            break
    return values


def _string(token: _Token, wanted: str) -> str:
    if token.kind != "string":
        raise LiteralError(f"{wanted} is expected, found {_shown(token)}", token.offset)
    return unquote(token.text, token.offset)


def unquote(quoted: str, offset: int) -> str:
    """The value of a string token. Double quotes are JSON first: only there do surrogate pairs make one character.

    Raises:
        LiteralError: at `offset`, for a broken escape or half of a surrogate pair.
    """
    if "\\" not in quoted:
        return quoted[quoted.index(quoted[-1]) + 1 : -1]
    value = _escaped(quoted, offset)
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise LiteralError("half of a surrogate pair", offset)
    return value


def _escaped(quoted: str, offset: int) -> str:
    if quoted.startswith('"'):
        try:
            return str(json.loads(quoted))
        except json.JSONDecodeError:
            pass  # escapes that only Python knows, such as \x41
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an unknown escape keeps its backslash, as Python reads it
            return str(ast.literal_eval(quoted))
    except (SyntaxError, ValueError) as error:
        raise LiteralError("a string with a broken escape", offset) from error


def _shown(token: _Token) -> str:
    if token.kind == "end":
        return "the end"
    return token.text if len(token.text) <= 24 else token.text[:21] + "..."
