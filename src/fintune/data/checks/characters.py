"""Characters that are not seen but are read by a tokenizer: controls, direction overrides, zero widths, broken ones."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

from fintune.data.checks.base import Context, finding, listing, many
from fintune.records import Finding

# Joiners are letters' companions in Arabic, Indic scripts and emoji, and odd only after a Latin letter, digit or blank.
_ODD = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # controls, without tab and line ends
    "\u00ad\u200b\u2060\ufeff"  # soft hyphen, zero width space, word joiner, byte order mark
    "\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction marks, embeddings, overrides, isolates
    "\u2028\u2029\ufff9-\ufffd\ufdd0-\ufdef\ufffe\uffff"  # line separators, interlinear, replacement, no characters
    "\ud800-\udfff\ue000-\uf8ff\U000e0000-\U000e007f]"  # lone surrogates, private use, tags
    "|(?<![^\x00-\u024f])[\u200c\u200d]"
)
_NAMES = {0x00: "null", 0x1A: "substitute", 0x1B: "escape", 0x7F: "delete"}  # controls have no Unicode name


def odd(context: Context) -> Iterator[Finding]:
    """A text holds control characters, direction overrides, zero-width or replacement characters."""
    counts: Counter[str] = Counter()
    bad = []
    for example in context.examples:
        if _ODD.search(example.text):
            bad.append(example)
            counts.update(_ODD.findall(example.text))
    if bad:
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        shown = listing([f"{_name(character)} ({count:,})" for character, count in ordered])
        message = f"{many(len(bad), 'example')} with invisible or broken characters: {shown}"
        yield finding("D701", message, bad, fix="clean the texts, unless they must be read as they are; offsets change with them")


def _name(character: str) -> str:
    code = ord(character)
    name = unicodedata.name(character, "").lower() or _NAMES.get(code, "")
    return f"U+{code:04X}" + (f" {name}" if name else "")
