"""Texts that occur twice: inside a split they weigh double, across splits they make a score too good.

Exact means equal characters after composing them (NFC) and taking each run of blanks as one; near is defined in
`fintune.data.near`. Examples of the same text with different questions are no duplicates inside a split.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from fintune.data.checks.base import Context, finding, listing, many, place, quoted
from fintune.data.near import normalise
from fintune.records import Example, Finding, Kind

Gold = tuple[tuple[str, str], ...]


def exact_inside(context: Context) -> Iterator[Finding]:
    """A split holds the same text (and question) more than once."""
    for name, examples in context.splits.items():
        first: dict[tuple[str, str], Example] = {}
        repeats = []
        for example in examples:
            key = (normalise(example.text), normalise(example.question or ""))
            if first.setdefault(key, example) is not example and key[0]:
                repeats.append((example, first[key]))
        if repeats:
            example, original = repeats[0]
            message = (
                f"{many(len(repeats), 'example')} of {name} with the text of an earlier one, such as {place(example)} of {place(original)}"
            )
            fix = "delete the repeats; D205 tells where they are annotated differently"
            yield finding("D201", message, [repeat for repeat, _ in repeats], fix=fix)


def exact_across(context: Context) -> Iterator[Finding]:
    """A text occurs in two splits, so that a score would measure memory."""
    names = list(context.splits)
    for at, later in enumerate(names):
        for earlier in names[:at]:
            known = context.texts[earlier]
            leaked = [(example, known[text]) for example in context.splits[later] if (text := normalise(example.text)) in known]
            if leaked:
                example, original = leaked[0]
                message = (
                    f"{many(len(leaked), 'example')} of {later} with a text of {earlier}, such as {place(example)} of {place(original)}"
                )
                fix = f"delete them from {earlier}, or split anew: copies are kept together"
                yield finding("D202", message, [example for example, _ in leaked], fix=fix)


def near_inside(context: Context) -> Iterator[Finding]:
    """A split holds different texts that share most of their wording."""
    numbers = [number for number, _ in context.places]
    sets = context.index.groups(threshold=context.limits.near, sets=numbers).sets()
    groups = defaultdict(list)
    for members in sets:
        if len(members) > 1:
            groups[numbers[members[0]]].append(members)
    for number, name in enumerate(context.splits):
        if groups[number]:
            concerned = [context.places[member][1] for members in groups[number] for member in members]
            message = (
                f"{many(len(concerned), 'text')} of {name} in {many(len(groups[number]), 'group')} of near duplicates, "
                f"such as {place(concerned[0])} and {place(concerned[1])}"
            )
            yield finding("D203", message, concerned, fix="keep one of each group, or see that groups stay in one split")


def near_across(context: Context) -> Iterator[Finding]:
    """A text has a near duplicate in another split, so that a score would partly measure memory."""
    names = list(context.splits)
    twins = context.index.elsewhere([number for number, _ in context.places], threshold=context.limits.near)
    pairs = [(*context.places[text], context.places[twin][1]) for text, twin in twins.items()]
    for number, later in enumerate(names):
        exact = {text for earlier in names[:number] for text in context.texts[earlier]}
        leaked = [(example, twin) for at, example, twin in pairs if at == number and normalise(example.text) not in exact]
        if leaked:
            example, twin = leaked[0]
            message = (
                f"{many(len(leaked), 'text')} of {later} with near duplicates in earlier splits, such as {place(example)} of {place(twin)}"
            )
            fix = "delete them, or split anew: near duplicates are kept together"
            yield finding("D204", message, [example for example, _ in leaked], fix=fix)


def gold_of(example: Example, kind: Kind) -> Gold | None:
    """The gold annotation without offsets, to be compared between copies of a text; None where there is none."""
    if kind == "label":
        return None if example.label is None else (("", example.label),)
    if kind == "labels":
        return None if example.labels is None else tuple(("", label) for label in sorted(example.labels))
    if kind == "spans":
        if example.spans is None:
            return None
        found = [(span.label, normalise(example.text[span.start : span.end])) for span in example.spans]
        return tuple(sorted(found + [(label, normalise(surface)) for label, surface in example.unaligned]))
    if example.question is None:
        return None
    return () if example.answer is None else (("", normalise(example.answer.text)),)


def conflicting(context: Context) -> Iterator[Finding]:
    """Copies of a text (and question) are annotated differently, in one split or in two."""
    copies: dict[tuple[str, str], list[Example]] = defaultdict(list)
    for example in context.examples:
        if text := normalise(example.text):
            copies[text, normalise(example.question or "")].append(example)
    bad: list[list[Example]] = []
    for examples in copies.values():
        if len(examples) > 1 and len({gold for example in examples if (gold := gold_of(example, context.kind)) is not None}) > 1:
            bad.append(examples)
    if bad:
        places = listing([place(example) for example in bad[0]])
        message = f"{many(len(bad), 'text')} annotated in more than one way, such as {_difference(bad[0], context.kind)} at {places}"
        concerned = [example for examples in bad for example in examples]
        yield finding("D205", message, concerned, fix="decide which annotation is right, and delete the copies")


def _difference(examples: list[Example], kind: Kind) -> str:
    golds = [gold for example in examples if (gold := gold_of(example, kind)) is not None]
    other = next(gold for gold in golds if gold != golds[0])
    shown = []
    for one, two in ((golds[0], other), (other, golds[0])):
        only = next((item for item in one if one.count(item) > two.count(item)), None)
        shown.append("nothing" if only is None else " ".join([*([only[0]] if only[0] else []), quoted(only[1])]))
    return " against ".join(shown)


def documents_across(context: Context) -> Iterator[Finding]:
    """Examples of one document or group, by their provenance, stand in two splits."""
    home: dict[tuple[str, str], str] = {}
    bad, shared = [], set()
    for name, examples in context.splits.items():
        for example in examples:
            keys = [("document", example.meta.document), ("group", example.meta.group)]
            foreign = {(what, key) for what, key in keys if key is not None and home.setdefault((what, key), name) != name}
            if foreign:
                bad.append(example)
                shared |= foreign
    if bad:
        what, key = min(shared)
        message = f"{many(len(bad), 'example')} of documents or groups of an earlier split, such as {what} {quoted(key)}"
        yield finding("D206", message, bad, fix="split by group")
