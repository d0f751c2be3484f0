"""Checks on the bundled corpus; the tests run them, and so can whoever extends it.

python -m fintune.data.corpus.validate [FILE ...]      (all source files when none is named)
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

from fintune.data.corpus import conventions
from fintune.data.corpus.source import HERE, SCHEMA, Entry, MarkupError, read

EDGES = set(" \t,;:\u3001\u3002\uff0c")
SHINGLE_LIMIT = 0.5
OPENING_LIMIT = 0.02
_NUMBER = r"-?\d+(?:\.\d+)?"
_RANGE = rf"{_NUMBER}(?:\.\.{_NUMBER})?"
_MONEY = re.compile(rf"[A-Z]{{3}} {_RANGE}")
_QUANTITY = re.compile(rf"{_RANGE} \S[^=]*")


def structure(entry: Entry) -> Iterator[str]:
    """Register, language, time, topic and sentiment are of the schema; the text is clean."""
    for field, allowed in (("register", "registers"), ("language", "languages"), ("topic", "topics"), ("sentiment", "sentiments")):
        if getattr(entry, field) not in SCHEMA[allowed]:
            yield f"{field} {getattr(entry, field)!r} is not one of {SCHEMA[allowed]}"
    try:
        datetime.fromisoformat(entry.published)
    except ValueError:
        yield f"publication time {entry.published!r} is not ISO 8601"
    if "  " in entry.text or entry.text != entry.text.strip():
        yield "double or outer blanks in the text"
    if len(entry.text) < 15:
        yield "text shorter than 15 characters"


def spans(entry: Entry) -> Iterator[str]:
    """Labels are of the schema, edges are clean, values follow their notation."""
    for mention in entry.mentions:
        surface = entry.text[mention.start : mention.end]
        if mention.label not in SCHEMA["types"] + SCHEMA["anchors"]:
            yield f"label {mention.label!r} of {surface!r} is not of the schema"
        if surface[0] in EDGES or surface[-1] in EDGES:
            yield f"blank or punctuation at the edge of {surface!r}"
        if mention.value is not None and (complaint := _value(mention.label, mention.value)):
            yield f"value of {surface!r}: {complaint}"
    keys = [m.key for m in entry.mentions if m.key]
    if len(keys) != len(set(keys)):
        yield f"a key is used twice: {keys}"


def _value(label: str, value: str) -> str | None:
    if label == "Money":
        return None if _MONEY.fullmatch(value) else f"{value!r} is not 'CUR amount', e.g. 'GBP 412000000'"
    if label == "Quantity":
        return None if _QUANTITY.fullmatch(value) else f"{value!r} is not 'number unit', e.g. '0.12 fraction'"
    if label == "Date":
        try:
            days = [date.fromisoformat(part) for part in value.split("/")]
        except ValueError:
            return f"{value!r} is not an ISO day or 'start/end'"
        return None if len(days) in (1, 2) and days == sorted(days) else f"{value!r} ends before it starts"
    return f"{label} takes no value"


def relations(entry: Entry) -> Iterator[str]:
    """Relation types are FIRE's and join what they may join."""
    for relation in entry.relations:
        signature = SCHEMA["relations"].get(relation.type)
        head, tail = entry.mentions[relation.head].label, entry.mentions[relation.tail].label
        if signature is None:
            yield f"relation {relation.type!r} is not one of {list(SCHEMA['relations'])}"
        elif head not in signature["head"] or tail not in signature["tail"]:
            yield f"{relation.type} may not join {head} to {tail} (head {signature['head']}, tail {signature['tail']})"
        elif relation.head == relation.tail:
            yield f"{relation.type} joins a span to itself"


def unmarked_repeats(entry: Entry) -> Iterator[str]:
    """A surface marked once is marked at each of its whole-word occurrences (or it is another type there)."""
    covered = [(m.start, m.end) for m in entry.mentions]
    for mention in entry.mentions:
        surface = entry.text[mention.start : mention.end]
        if mention.label not in SCHEMA["types"] or not surface[0].isupper():
            continue
        for match in re.finditer(rf"(?<!\w){re.escape(surface)}(?!\w)", entry.text):
            if not any(start < match.end() and match.start() < end for start, end in covered):
                yield f"{surface!r} is marked once but not at character {match.start()}"


PER_ENTRY = (structure, spans, relations, unmarked_repeats, *conventions.PER_ENTRY)


def shingles(entry: Entry) -> frozenset[tuple[str, ...]]:
    """Three-word shingles, lower case; single characters stand for words in Chinese."""
    words = list(entry.text) if entry.language == "zh" else re.findall(r"\w+", entry.text.lower())
    return frozenset(zip(words, words[1:], words[2:], strict=False))


def near_duplicates(entries: list[Entry]) -> Iterator[str]:
    """Pairs whose shingle sets have a Jaccard index of at least `SHINGLE_LIMIT`."""
    index: dict[tuple[str, ...], list[int]] = {}
    sets = [shingles(entry) for entry in entries]
    for i, own in enumerate(sets):
        shared = Counter(j for shingle in own for j in index.get(shingle, ()))
        for j, count in shared.items():
            if count / (len(own) + len(sets[j]) - count) >= SHINGLE_LIMIT:
                yield f"{entries[j].where} and {entries[i].where}: near duplicates"
        for shingle in own:
            index.setdefault(shingle, []).append(i)


def openings(entries: list[Entry]) -> Counter[str]:
    """How often each pair of first words (in Chinese: characters) opens an example."""
    counts: Counter[str] = Counter()
    for entry in entries:
        words = list(entry.text) if entry.language == "zh" else re.findall(r"[\w$€£@#'’.-]+", entry.text.lower())
        counts[" ".join(words[:2])] += 1
    return counts


def duplicate_documents(entries: list[Entry]) -> Iterator[str]:
    """A document id that is opened twice, and so numbers two examples alike."""
    seen: dict[str, str] = {}
    for entry in entries:
        if entry.id in seen:
            yield f"{entry.where}: {entry.id} is at {seen[entry.id]} already; rename the document"
        seen[entry.id] = entry.where


def problems(entries: list[Entry]) -> list[str]:
    """Every complaint about these entries, each with `file:line`."""
    found = [f"{entry.where}: {text}" for entry in entries for check in PER_ENTRY for text in check(entry)]
    found += duplicate_documents(entries)
    found += near_duplicates(entries)
    if len(entries) >= 100:
        opening, count = openings(entries).most_common(1)[0]
        if count / len(entries) >= OPENING_LIMIT:
            found.append(f"{count} of {len(entries)} examples open with {opening!r}, {OPENING_LIMIT:.0%} or more")
    return found


def counts(entries: list[Entry]) -> dict[str, Counter[str]]:
    """What the corpus holds, along each of its axes."""
    documents = Counter(entry.document for entry in entries)
    return {
        "types": Counter(m.label for entry in entries for m in entry.mentions),
        "topics": Counter(entry.topic for entry in entries),
        "sentiments": Counter(entry.sentiment for entry in entries),
        "registers": Counter(entry.register for entry in entries),
        "languages": Counter(entry.language for entry in entries),
        "relations": Counter(r.type for entry in entries for r in entry.relations),
        "examples with": Counter(
            kind
            for entry in entries
            for kind, present in {
                "relations": bool(entry.relations),
                "an answerable question": any(q.answer for q in entry.questions),
                "an unanswerable question": any(not q.answer for q in entry.questions),
                "normal values": any(m.value for m in entry.mentions),
                "no span": not any(m.label in SCHEMA["types"] for m in entry.mentions),
            }.items()
            if present
        ),
        "documents of": Counter({1: "one example", 2: "two examples"}.get(size, "three or more") for size in documents.values()),
    }


def main(arguments: list[str]) -> int:
    """Print complaints and counts; 1 where there is a complaint."""
    paths = [Path(a) for a in arguments] or sorted((HERE / "source").glob("*.txt"))
    try:
        entries = [entry for path in paths for entry in read(path)]
    except MarkupError as error:
        print(error)
        return 1
    found = problems(entries)
    for complaint in found:
        print(complaint)
    print(f"{len(entries)} examples, {len(found)} problems")
    for axis, counter in counts(entries).items():
        print(f"{axis}: " + ", ".join(f"{name} {n}" for name, n in counter.most_common()))
    print("openings: " + ", ".join(f"{name!r} {n}" for name, n in openings(entries).most_common(5)))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
