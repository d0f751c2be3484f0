"""Data card and environment as rows of name and value, whatever keys a manifest has; known ones first and in plain words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fintune.report.figures import counted, duration, number, part, whole

Rows = tuple[tuple[str, str], ...]

_CARD = {
    "source": "Source", "licence": "Licence", "license": "Licence", "fingerprint": "Fingerprint (SHA-256)", "examples": "Texts",
    "documents": "Documents", "spans": "Spans", "without_annotation": "Texts without annotation",
    "unaligned": "Annotated surfaces not in the text", "exact_duplicates": "Repeated texts", "duplicates": "Repeated texts",
    "characters": "Characters of a text", "lengths": "Length of a text",
}  # fmt: skip
_OF_SPANS = ("spans", "without_annotation", "unaligned")
_GROUPS = {
    "Base model": {"base": "", "base_sha256": "weights (SHA-256)", "licence": "licence"},
    "Training": {
        "parameters": "", "trainable": "trainable parameters", "total": "all parameters", "steps": "steps", "tokens": "tokens",
        "seconds": "time", "timings": "", "kept_epoch": "epoch kept", "seed": "seed", "seeds": "seeds", "finished": "finished",
        "recipe_fingerprint": "recipe (SHA-256)",
    },
    "Training data": {"data": ""},
    "Hardware": {"hardware": ""},
    "Software": {"versions": "", "commit": "commit"},
}  # fmt: skip
# Shown elsewhere on the page, or of no use to a reader.
_ELSEWHERE = {"schema_version", "settings", "task", "validation", "files", "cost"}
_MOST = 12


@dataclass(frozen=True, slots=True)
class Group:
    """Rows under a heading."""

    title: str
    rows: Rows


def data_card(card: Mapping[str, Any], kind: str) -> Rows:
    """The card without its label counts, and for kinds other than spans without what is counted of spans."""
    left_out = () if kind in ("spans", "") else _OF_SPANS
    known = [(words, card[key]) for key, words in _CARD.items() if card.get(key) not in (None, "", {}) and key not in left_out]
    others = [(key.replace("_", " ").capitalize(), card[key]) for key in map(str, card) if key not in (*_CARD, "labels")]
    return tuple((words, said(value)) for words, value in (*known, *others))


def label_counts(card: Mapping[str, Any]) -> tuple[tuple[str, int, float], ...]:
    """(label, count, share of the largest), as the card orders them."""
    counts = [(str(label), count) for label, value in part(card, "labels").items() if (count := whole(value)) is not None]
    most = max((count for _, count in counts), default=0) or 1
    return tuple((label, count, count / most) for label, count in counts)


def environment(manifest: Mapping[str, Any]) -> tuple[Group, ...]:
    """Everything that made the run what it is, in groups; empty groups are left out."""
    groups = [
        Group(title, tuple(row for key, words in keys.items() if key in manifest for row in _rows(key, words, manifest[key])))
        for title, keys in _GROUPS.items()
    ]
    known = {key for keys in _GROUPS.values() for key in keys} | _ELSEWHERE
    rest = {key: value for key, value in manifest.items() if key not in known}
    groups.append(Group("Other", tuple(_flat("", rest))))
    return tuple(group for group in groups if group.rows)


def files(manifest: Mapping[str, Any]) -> Rows:
    """File names of the run with their hashes."""
    return tuple((str(name), str(sha)) for name, sha in part(manifest, "files").items())


def _rows(key: str, words: str, value: Any) -> Iterator[tuple[str, str]]:
    """The rows of one manifest key; objects give a row for each of their keys."""
    if key == "parameters" and isinstance(value, Mapping):
        yield from _parameters(value)
    elif isinstance(value, Mapping):
        yield from _flat(words, value)
    elif value not in (None, ""):
        seconds = number(value) if key == "seconds" else None
        # Epochs are counted from 0 in the files, from 1 for people.
        shown = value + 1 if key == "kept_epoch" and whole(value) is not None else str(value) if key == "seed" else value
        yield words or key, duration(seconds) if seconds is not None else said(shown)


def _parameters(value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    trainable, total = whole(value.get("trainable")), whole(value.get("total"))
    if trainable is not None and total:
        yield "trainable parameters", f"{trainable:,} of {total:,} ({100 * trainable / total:.2f} %)"
    rest = {k: v for k, v in value.items() if k not in ("trainable", "total", "matched_modules")}
    modules = value.get("matched_modules")
    if isinstance(modules, Sequence) and not isinstance(modules, str):
        yield "adapted modules", counted(len(modules), "linear layer")
    yield from _flat("", rest)


def _flat(prefix: str, value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Rows of nested objects, with the names of their keys put together."""
    for key, inner in value.items():
        name = f"{prefix} {key}".strip().replace("_", " ")
        if isinstance(inner, Mapping):
            yield from _flat(name, inner)
        elif inner not in (None, "", [], {}):
            yield name, said(inner)


def is_digest(value: str) -> bool:
    """Whether a value is a SHA-256 in hexadecimal digits, which the page sets in even letters."""
    return re.fullmatch(r"[0-9a-f]{64}", value) is not None


def said(value: Any) -> str:
    """A JSON value for people: separated thousands, lists and objects in one line, long ones cut with what is left out."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, Mapping):
        return said([f"{key} {said(inner)}" for key, inner in value.items()])
    if isinstance(value, list | tuple):
        shown = ", ".join(said(item) for item in value[:_MOST])
        return shown if len(value) <= _MOST else f"{shown} and {len(value) - _MOST:,} more"
    return str(value)
