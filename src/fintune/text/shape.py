"""The look of a word, which an uncased vocabulary forgets: casing, digits, length, and whether a blank stands before it."""

from __future__ import annotations

_CASES = ("none", "digits", "with digits", "symbol", "lower", "initial", "upper", "title", "upper inside", "mixed")
SHAPES = 1 + 2 * len(_CASES)
"""Number of shape ids; 0 stands for no word (special tokens and padding)."""
LENGTHS = 12
"""Number of length ids: 0 for no word, then 1 to 10 characters, and more."""


def shape(text: str, start: int, end: int) -> int:
    """Shape id of the word `text[start:end]`, in `range(1, SHAPES)`."""
    spaced = start == 0 or text[start - 1].isspace()
    return 1 + 2 * _CASES.index(_case(text[start:end])) + spaced


def length(start: int, end: int) -> int:
    """Length id of a word of `end - start` characters, in `range(1, LENGTHS)`."""
    return min(end - start, LENGTHS - 1)


def _case(word: str) -> str:
    if word.isdigit():
        return "digits"
    if any(c.isdigit() for c in word):
        return "with digits"
    if not any(c.isalpha() for c in word):
        return "symbol"
    if word.islower():
        return "lower"
    if word.isupper():
        return "initial" if len(word) == 1 else "upper"
    if word[0].isupper():
        return "title" if word[1:].islower() else "upper inside"
    return "mixed" if any(c.isupper() for c in word) else "none"
