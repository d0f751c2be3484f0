"""Whether every example can be told from the others, has a text, and has the gold annotation that the task needs."""

from __future__ import annotations

from collections.abc import Iterator

from fintune.data.checks.base import Context, finding, listing, many, quoted
from fintune.data.near import normalise
from fintune.records import Example, Finding, Kind

UNSEEN = " \u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"


def empty_ids(context: Context) -> Iterator[Finding]:
    """An id is empty or blank, so that no prediction can be matched to it."""
    bad = [example for example in context.examples if not example.id.strip()]
    if bad:
        fix = "give each an id, or leave the key out of the file to get file:line"
        yield finding("D101", f"{many(len(bad), 'example')} without an id", bad, fix=fix)


def duplicate_ids(context: Context) -> Iterator[Finding]:
    """An id occurs again in the same split, so that predictions cannot be matched to examples."""
    for name, examples in context.splits.items():
        seen: set[str] = set()
        bad = []
        for example in examples:
            if example.id in seen and example.id.strip():
                bad.append(example)
            seen.add(example.id)
        if bad:
            message = f"{many(len(bad), 'example')} of {name} with the id of an earlier one, such as {quoted(bad[0].id)}"
            yield finding("D102", message, bad, fix="give each example an id of its own")


def kinds_of(example: Example) -> list[Kind]:
    """The kinds for which an example has a gold annotation."""
    kinds: list[Kind] = []
    if example.label is not None:
        kinds.append("label")
    if example.labels is not None:
        kinds.append("labels")
    if example.spans is not None:
        kinds.append("spans")
    if example.question is not None:
        kinds.append("answer")
    return kinds


def other_kinds(context: Context) -> Iterator[Finding]:
    """An example is annotated for another kind of task only."""
    bad = [example for example in context.examples if (kinds := kinds_of(example)) and context.kind not in kinds]
    if bad:
        found = listing(sorted({kind for example in bad for kind in kinds_of(example)}))
        message = f"{many(len(bad), 'example')} annotated with {found}, not with {context.kind}"
        yield finding("D103", message, bad, fix="choose a task of that kind, or take these examples out")


def unannotated(context: Context) -> Iterator[Finding]:
    """An example has no gold annotation at all; an empty list of spans or labels is one."""
    bad = [example for example in context.examples if not kinds_of(example)]
    if bad:
        fix = "annotate them (no spans: an empty list), or keep them for prediction only"
        yield finding("D104", f"{many(len(bad), 'example')} without a gold annotation", bad, fix=fix)


def empty_texts(context: Context) -> Iterator[Finding]:
    """A text has no visible character."""
    bad = [example for example in context.examples if not normalise(example.text).strip(UNSEEN)]
    if bad:
        yield finding("D105", f"{many(len(bad), 'example')} with an empty text", bad, fix="delete them or give them a text")
