"""Words of a text: the units that are tagged, that gazetteers match and whose shape is looked at.

A word is a run of letters, digits and combining marks, one ideograph, or one other visible character.
"""

from __future__ import annotations

import re

# Han, kana and hangul are written without blanks between words, so that each character stands alone.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f"
_WORD = re.compile(rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}_])[\w\u0300-\u036f])+|[^\s]")


def words(text: str) -> list[tuple[int, int]]:
    """`[start, end)` of each word, in order; blanks belong to none."""
    return [match.span() for match in _WORD.finditer(text)]
