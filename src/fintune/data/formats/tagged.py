"""Tokens with tags to a text with spans: what CoNLL files and tokenised tables share. Tokens are joined by one blank."""

from __future__ import annotations

from collections.abc import Sequence

from fintune.records import Span
from fintune.text.bio import SchemeChoice, TagError, breaks, decode


def joined(tokens: Sequence[str], tags: Sequence[str], scheme: SchemeChoice) -> tuple[str, tuple[Span, ...]]:
    """The text and its spans in characters.

    Tags are decoded as the CoNLL scorer does; with a named scheme a sequence that breaks it is refused.

    Raises:
        TagError: an unknown tag, or one that breaks the named scheme.
    """
    token_spans = decode(tags, scheme)
    if scheme != "auto":
        for fault in breaks(tags, scheme):
            raise TagError(fault.at, fault.tag, fault.reason)
    starts: list[int] = []
    length = 0
    for token in tokens:
        starts.append(length)
        length += len(token) + 1
    text = " ".join(tokens)
    spans: list[Span] = []
    for first, end, label in token_spans:
        start, stop = starts[first], starts[end - 1] + len(tokens[end - 1])
        spans.append(Span(start, stop, label, text[start:stop]))
    return text, tuple(spans)
