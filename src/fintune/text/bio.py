"""Token tags to spans and back, for the schemes BIO (IOB2), IOB (IOB1), IO and BIOES.

Decoding is as lenient as the CoNLL scorer: a broken sequence still gives spans, an `I-` after `O` starts one. `breaks`
lists what does not follow a scheme, for readers that want to be strict. Unknown tags are refused, never taken for `O`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

Scheme = Literal["BIO", "IOB", "IO", "BIOES"]
SchemeChoice = Literal["auto", "BIO", "IOB", "IO", "BIOES"]

OUTSIDE = "O"
# `auto` reads every prefix: the lenient rule gives the right spans for all four schemes alike.
PREFIXES: dict[SchemeChoice, str] = {"auto": "BIES", "BIO": "BI", "IOB": "BI", "IO": "I", "BIOES": "BIES"}


class TokenSpan(NamedTuple):
    """A label on the tokens `[start, end)`."""

    start: int
    end: int
    label: str


class Break(NamedTuple):
    """A tag that does not follow its scheme: `at` counts tokens from zero."""

    at: int
    tag: str
    reason: str


class TagError(ValueError):
    """A tag that no scheme, or not the given one, knows; `at` counts tokens from zero."""

    def __init__(self, at: int, tag: str, reason: str) -> None:
        self.at, self.tag, self.reason = at, tag, reason
        super().__init__(f"token {at + 1}: {reason}")


def split_tag(tag: str, scheme: SchemeChoice = "auto") -> tuple[str, str]:
    """Prefix and label of a tag, `("O", "")` for outside. Under `IO` a bare label such as `PER` counts as `I-PER`.

    Raises:
        ValueError: no prefix of the scheme, or no label after it.
    """
    if tag == OUTSIDE:
        return OUTSIDE, ""
    prefix, dash, label = tag.partition("-")
    if prefix in ("B", "I", "E", "S"):
        if not label:
            raise ValueError(f"tag {tag!r} has no label")
        if dash and prefix not in PREFIXES[scheme]:
            raise ValueError(f"tag {tag!r} is not of the scheme {scheme}")
        return prefix, label
    if scheme == "IO" and tag.strip():
        return "I", tag
    raise ValueError(f"unknown tag {tag!r}")


def decode(tags: Sequence[str], scheme: SchemeChoice = "auto") -> list[TokenSpan]:
    """Spans of a tag sequence by the rules of the CoNLL scorer, in order.

    A span starts at `B-` and `S-`, and at `I-` or `E-` after `O`, after `E-` or `S-`, or where the label changes.

    Raises:
        TagError: an unknown tag, one of another scheme, or one without a label.
    """
    spans: list[TokenSpan] = []
    start, last_prefix, last_label = 0, OUTSIDE, ""
    for index, (prefix, label) in enumerate(_parts(tags, scheme)):
        if last_prefix != OUTSIDE and (prefix == OUTSIDE or _starts(last_prefix, last_label, prefix, label)):
            spans.append(TokenSpan(start, index, last_label))
        if _starts(last_prefix, last_label, prefix, label):
            start = index
        last_prefix, last_label = prefix, label
    if last_prefix != OUTSIDE:
        spans.append(TokenSpan(start, len(tags), last_label))
    return spans


def encode(spans: Iterable[TokenSpan], length: int, scheme: Scheme) -> list[str]:
    """Tags of `length` tokens. Under `IO`, neighbours with one label melt into one span: the scheme cannot part them.

    Raises:
        ValueError: spans that overlap, are empty or reach beyond the tokens.
    """
    tags = [OUTSIDE] * length
    last = TokenSpan(0, 0, "")
    for span in sorted(spans):
        if not last.end <= span.start < span.end <= length:
            raise ValueError(f"span {tuple(span)} overlaps, is empty or leaves the {length} tokens")
        touches = last.end == span.start and last.label == span.label and last.end > 0
        tags[span.start : span.end] = _tags(span, scheme, touches)
        last = span
    return tags


def breaks(tags: Sequence[str], scheme: Scheme) -> list[Break]:
    """What does not follow the scheme, in order; empty for whatever `encode` writes.

    Raises:
        TagError: as `decode`.
    """
    parts = [*_parts(tags, scheme)]
    found: list[Break] = []
    for index, (prefix, label) in enumerate(parts):
        before = parts[index - 1] if index else (OUTSIDE, "")
        after = parts[index + 1] if index + 1 < len(parts) else (OUTSIDE, "")
        reason = _break(scheme, before, (prefix, label), after)
        if reason:
            found.append(Break(index, tags[index], reason))
    return found


def _parts(tags: Sequence[str], scheme: SchemeChoice) -> Iterator[tuple[str, str]]:
    for index, tag in enumerate(tags):
        try:
            yield split_tag(tag, scheme)
        except ValueError as error:
            raise TagError(index, tag, str(error)) from error


def _starts(last_prefix: str, last_label: str, prefix: str, label: str) -> bool:
    return prefix != OUTSIDE and (prefix in "BS" or last_prefix in "OES" or last_label != label)


def _tags(span: TokenSpan, scheme: Scheme, touches: bool) -> list[str]:
    """The tags of one span; `touches` says that a span of the same label ends where it starts."""
    size = span.end - span.start
    match scheme:
        case "IO":
            prefixes = "I" * size
        case "IOB":
            prefixes = ("B" if touches else "I") + "I" * (size - 1)
        case "BIO":
            prefixes = "B" + "I" * (size - 1)
        case "BIOES":
            prefixes = "S" if size == 1 else "B" + "I" * (size - 2) + "E"
    return [f"{prefix}-{span.label}" for prefix in prefixes]


def _break(scheme: Scheme, before: tuple[str, str], here: tuple[str, str], after: tuple[str, str]) -> str:
    """Why `here` may not stand between its neighbours, or ""."""
    prefix, label = here
    goes_on = before[1] == label and before[0] in ("BI" if scheme == "BIOES" else "BIES")
    if scheme == "IOB" and prefix == "B" and not goes_on:
        return f"B-{label} separates nothing: no span of {label} ends before it"
    if scheme == "BIO" and prefix == "I" and not goes_on:
        return f"I-{label} continues nothing: B-{label} is missing before it"
    if scheme == "BIOES":
        if prefix in ("I", "E") and not goes_on:
            return f"{prefix}-{label} continues nothing: B-{label} is missing before it"
        if prefix in ("B", "I") and after not in (("I", label), ("E", label)):
            return f"{prefix}-{label} is never ended by E-{label}"
    return ""
