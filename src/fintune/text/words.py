"""Words of a text: the units that are tagged, that gazetteers match and whose shape is looked at.

A fine word is a run of letters, digits and combining marks, one ideograph, or one other visible character. A coarse word keeps
together what stands between blanks, up to its outer punctuation: "Kennecott's", "coal-fired" and "$1.2bn" are three, three
and four fine words, and one, one and two coarse ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from fintune.records import Span

Grain = Literal["fine", "coarse"]

# Han, kana and hangul are written without blanks between words, so that each character stands alone.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f"
_LETTER = rf"(?![{_UNSPACED}_])[\w\u0300-\u036f]"
_WORD = {
    "fine": re.compile(rf"[{_UNSPACED}]|(?:{_LETTER})+|[^\s]"),
    "coarse": re.compile(rf"[{_UNSPACED}]|{_LETTER}(?:(?:(?![{_UNSPACED}])\S)*{_LETTER})?|[^\s]"),
}

CUT_SHARE = 0.001
"""Share of spans that may cut coarse words, as slips of the annotation, before `grain_of` calls the annotation fine."""


def words(text: str, grain: Grain = "fine") -> list[tuple[int, int]]:
    """`[start, end)` of each word, in order; blanks belong to none."""
    return [match.span() for match in _WORD[grain].finditer(text)]


def grain_of(annotated: Iterable[tuple[str, Iterable[Span]]]) -> Grain:
    """The coarsest words that the annotation respects: coarse where hardly a span begins or ends inside a coarse word."""
    total = cut = 0
    for text, spans in annotated:
        spots = words(text, "coarse")
        starts, ends = {start for start, _ in spots}, {end for _, end in spots}
        for span in spans:
            total += 1
            cut += span.start not in starts or span.end not in ends
    return "coarse" if total and cut <= CUT_SHARE * total else "fine"
