"""Text of unknown origin as a reader may safely see it: what would act on a page or a terminal is shown as a sign instead.

Every character becomes exactly one character, so offsets into a text hold in what is shown of it.
"""

from __future__ import annotations

# Control characters become their Unicode pictures. Tabs and line feeds are layout, and stay.
_SIGNS: dict[int, int] = {code: 0x2400 + code for code in range(0x20) if code not in (0x09, 0x0A)} | {0x7F: 0x2421}
# C1 controls start terminal sequences; embeddings, overrides and isolates let a text read other than it is written; a lone
# surrogate has no UTF-8. None has a picture of its own.
_SIGNS |= dict.fromkeys((*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000)), 0xFFFD)
_SIGNS |= {0x2028: 0x2424, 0x2029: 0x00B6}


def visible(text: str) -> str:
    """The text with each acting character replaced by one sign."""
    return text.translate(_SIGNS)
