"""Whether spans and answers lie where they say, and are cut as a reader would cut them.

Offsets count Unicode code points of the text. Where they do not fit, the finding says what they fit instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from fintune.data.checks.base import Context, finding, many, quoted
from fintune.records import Answer, Example, Finding, Span

QUOTES = "\"'`´‘’‚“”„«»‹›「」『』"
OPENING, CLOSING = "([{<（［｛", ")]}>）］｝"
STOPS = ",;:?、。，；：？"

# Words that are written with a period: company forms, titles, addresses, months, states, units.
ABBREVIATIONS = frozenset(
    """
    inc corp co cos ltd llc llp lp plc bros assn dept div est bancorp ind inds mfg intl natl dist
    cie gmbh bhd sdn pty pte pvt oy ltda cia kft zrt nyrt hf ehf
    jr sr mr mrs ms dr prof hon gen gov sen rep st ave blvd mt ft no nos vs etc al approx ca incl ext avg
    jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thur thurs fri sat sun
    ala ariz ark calif colo conn del fla ga ill kan ky la md mass mich minn miss mo mont neb nev okla ore pa penn tenn
    tex va vt wash wis wisc wyo ont que alta
    sq mil bil mln bln tn yr yrs qtr hr hrs min lb lbs oz bbl kg km cf u.s u.k a.m p.m
    """.split()  # noqa: SIM905 a list of so many short strings is hard to read
)
_LAST_WORD = re.compile(r"[\w.&]*\w(?=\.$)")

Offset = Callable[[str, int], int]


def _in_bytes(text: str, offset: int) -> int:
    return len(text.encode("utf-8", "replace")[: max(offset, 0)].decode("utf-8", "ignore"))


def _in_utf16(text: str, offset: int) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")[: 2 * max(offset, 0)].decode("utf-16-le", "ignore"))


def _as_given(text: str, offset: int) -> int:
    return offset


# What offsets may count instead of code points from zero up to an exclusive end; what start and end then mean.
READINGS: dict[str, tuple[Offset, Offset]] = {
    "the end is inclusive": (_as_given, lambda text, offset: offset + 1),
    "they count from one": (lambda text, offset: offset - 1, lambda text, offset: offset - 1),
    "they count from one and the end is inclusive": (lambda text, offset: offset - 1, _as_given),
    "they count UTF-8 bytes": (_in_bytes, _in_bytes),
    "they count UTF-16 units": (_in_utf16, _in_utf16),
}


def _pairs(context: Context) -> Iterator[tuple[Example, Span]]:
    return ((example, span) for example in context.examples for span in example.spans or ())


def _fits(example: Example, span: Span) -> bool:
    return 0 <= span.start < span.end <= len(example.text)


def _unique(pairs: list[tuple[Example, Span]]) -> list[Example]:
    """The examples of these pairs, each once, in order."""
    return list({id(example): example for example, _ in pairs}.values())


def outside(context: Context) -> Iterator[Finding]:
    """A span is empty, begins before the text or ends after it."""
    bad = [(example, span) for example, span in _pairs(context) if not _fits(example, span)]
    if bad:
        example, span = bad[0]
        message = (
            f"{many(len(bad), 'span')} outside the text or empty, such as [{span.start}, {span.end}) of {len(example.text):,} characters"
        )
        yield finding("D301", message, _unique(bad), fix=_offset_fix(bad))


def other_surface(context: Context) -> Iterator[Finding]:
    """The surface that a span names is not what stands at its offsets."""
    bad = [
        (example, span)
        for example, span in _pairs(context)
        if span.text and example.text[span.start : span.end] != span.text and _fits(example, span)
    ]
    if bad:
        example, span = bad[0]
        found = example.text[span.start : span.end]
        message = f"{many(len(bad), 'span')} whose offsets give another text, such as {quoted(found)} for {quoted(span.text)}"
        yield finding("D302", message, _unique(bad), fix=_offset_fix(bad))


def _offset_fix(bad: list[tuple[Example, Span]]) -> str:
    """Names the reading of the offsets that explains most of the spans, if it explains the better part of them."""
    named = [(example.text, span) for example, span in bad if span.text]
    explained = {reading: sum(_stands(text, span, *reads) for text, span in named) for reading, reads in READINGS.items()}
    reading = max(explained, key=lambda name: explained[name])
    if 2 * explained[reading] > len(named):
        return f"it seems that {reading}: give offsets in Unicode code points from zero, the end exclusive"
    return "give offsets in Unicode code points from zero, the end exclusive"


def _stands(text: str, span: Span, start: Offset, end: Offset) -> bool:
    """Whether the surface stands where the offsets say in this reading; an answer, whose end is unknown, has label ""."""
    begin = start(text, span.start)
    until = end(text, span.end) if span.label else begin + len(span.text)
    return begin >= 0 and text[begin:until] == span.text


def overlapping(context: Context) -> Iterator[Finding]:
    """Two spans of an example share characters, which a tag for each word cannot express."""
    bad = []
    for example in context.examples:
        spans = sorted(span for span in example.spans or () if _fits(example, span))
        furthest = None
        for span in spans:
            if furthest is not None and span.start < furthest.end:
                bad.append((example, furthest, span))
                break
            furthest = span
    if bad:
        example, one, other = bad[0]
        message = f"{many(len(bad), 'example')} with overlapping spans, such as {_shown(example, one)} and {_shown(example, other)}"
        concerned = [example for example, _, _ in bad]
        yield finding("D303", message, concerned, fix="keep the longer of the two, or choose a head that writes text")


def _shown(example: Example, span: Span) -> str:
    return f"{span.label} {quoted(example.text[span.start : span.end])}"


def edges(context: Context) -> Iterator[Finding]:
    """A span begins or ends with a blank, a quote or punctuation that is no part of a name."""
    bad = []
    for example, span in _pairs(context):
        surface = example.text[span.start : span.end] if _fits(example, span) else ""
        if surface and not (surface[0].isalnum() and surface[-1].isalnum()) and ragged(surface, example.text[span.end : span.end + 8]):
            bad.append((example, span))
    if bad:
        example, span = bad[0]
        message = f"{many(len(bad), 'span')} with blanks or punctuation at an edge, such as {_shown(example, span)}"
        yield finding("D304", message, _unique(bad), fix="move the offsets to the first and last character of the name")


def ragged(surface: str, after: str = "") -> bool:
    """Whether a surface should be cut: a blank, quote, comma or lone bracket at an edge, or a period that ends a sentence.

    A closing bracket at the end, the period of an abbreviation, an exclamation mark (Yahoo!), a sign, a currency and an
    inch mark after a number are parts of the surface. `after` is the text that follows: where the sentence goes on, a
    period is that of an abbreviation.
    """
    first, last = surface[0], surface[-1]
    if first.isspace() or last.isspace() or first in STOPS + CLOSING or last in STOPS + OPENING:
        return True
    if first in QUOTES and not (len(surface) > 1 and surface[1].isdecimal()):  # '90s
        return True
    if last in QUOTES and not (len(surface) > 1 and surface[-2].isdecimal() and not any(c in QUOTES for c in surface[:-1])):  # 15"
        return True
    if first in OPENING and CLOSING[OPENING.index(first)] not in surface:
        return True
    if first == "." and not surface[1:2].isalnum():
        return True
    goes_on = after.lstrip()[:1]
    return last == "." and not (goes_on.islower() or (goes_on and goes_on in ",;:)")) and not _is_abbreviation(surface)


def _is_abbreviation(surface: str) -> bool:
    """Whether the period at the end belongs to the word before it: initials, words with periods inside, known ones."""
    match = _LAST_WORD.search(surface)
    if match is None:
        return False
    word = match.group()
    parts = word.split(".")
    initials = all(len(part) <= 2 and part.isalpha() for part in parts) and (len(parts) > 1 or len(word) == 1)
    return initials or word.casefold() in ABBREVIATIONS


def unaligned(context: Context) -> Iterator[Finding]:
    """A listed surface occurs nowhere in the text, so that it has no offsets and cannot be learnt as a span."""
    bad = [example for example in context.examples if example.unaligned]
    if bad:
        label, surface = bad[0].unaligned[0]
        total = sum(len(example.unaligned) for example in bad)
        message = f"{many(total, 'listed surface')} of {many(len(bad), 'example')} not found in the text, such as {label} {quoted(surface)}"
        yield finding("D305", message, bad, fix="write the surfaces exactly as in the text, once for each mention")


def answers(context: Context) -> Iterator[Finding]:
    """The text of an answer is not what stands at its start, or it is empty. Computed answers have no start."""
    bad: list[tuple[Example, Span]] = []
    for example in context.examples:
        answer = example.answer
        if answer is not None and not _answered(example.text, answer):
            start = answer.start or 0
            bad.append((example, Span(start, start + len(answer.text), "", answer.text)))
    if bad:
        example, span = bad[0]
        found = example.text[max(span.start, 0) : max(span.end, 0)]
        message = f"{many(len(bad), 'answer')} not at the given start, such as {quoted(span.text)} where the text has {quoted(found)}"
        yield finding("D306", message, _unique(bad), fix=_offset_fix(bad))


def _answered(text: str, answer: Answer) -> bool:
    stands = answer.start is None or (answer.start >= 0 and text.startswith(answer.text, answer.start))
    return bool(answer.text) and stands
