"""How well lists of strings can be turned back into character spans: every rule against true spans.

Data: FIRE development set with true spans (454 sentences, 7 types), as published and with the blanks around
punctuation closed as in ordinary text. The lists are the distinct true surfaces of each sentence, by label.

    python benchmarks/align_rules.py [path/to/fire_dev_relations.jsonl]
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from fintune.text.align import Occurrences, align, at_boundary

Marked = tuple[str, set[tuple[int, int, str]]]

_CLOSED = re.compile(r" (?=[,.;:)%]|'s\b)|(?<=[$(]) ")
BOUNDARIES: dict[str, Callable[[str, int], bool]] = {"none": lambda text, at: True, "word": at_boundary}


def read(path: Path) -> list[Marked]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    return [(row["text"], {(start, end, label) for start, end, label in row["spans"]}) for row in rows]


def close_blanks(marked: Marked) -> Marked:
    """The text as people write it (`$2.0 million,` for `$ 2.0 million ,`), with the spans carried along."""
    text, spans = marked
    dropped = [match.start() for match in _CLOSED.finditer(text)]
    moved = {at: at - sum(drop < at for drop in dropped) for span in spans for at in span[:2]}
    return _CLOSED.sub("", text), {(moved[start], moved[end], label) for start, end, label in spans}


def measure(data: list[Marked], occurrences: Occurrences, boundary: Callable[[str, int], bool]) -> tuple[int, int, int, int]:
    """Hits, spans too many, spans missed, and listings without a place."""
    hits = extra = missed = unaligned = 0
    for text, true in data:
        lists: dict[str, list[str]] = {}
        for label, surface in sorted({(label, text[start:end]) for start, end, label in true}):
            lists.setdefault(label, []).append(surface)
        spans, left = align(text, lists, occurrences=occurrences, boundary=boundary)
        found = {(span.start, span.end, span.label) for span in spans}
        hits, extra, missed = hits + len(found & true), extra + len(found - true), missed + len(true - found)
        unaligned += len(left)
    return hits, extra, missed, unaligned


def main() -> None:
    default = Path(os.environ.get("FINTUNE_DATA", "../shared/data")) / "ner" / "fire_dev_relations.jsonl"
    published = read(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
    print("text       occurrences  boundary  hits  extra  missed  unaligned  precision  recall  F1")
    for name, data in (("published", published), ("closed", [close_blanks(row) for row in published])):
        for occurrences in get_args(Occurrences):
            for rule, boundary in BOUNDARIES.items():
                hits, extra, missed, unaligned = measure(data, occurrences, boundary)
                precision, recall = hits / (hits + extra), hits / (hits + missed)
                counts = f"{hits:5}  {extra:5}  {missed:6}  {unaligned:9}"
                rates = f"{precision:9.4f}  {recall:6.4f}  {2 * hits / (2 * hits + extra + missed):.4f}"
                print(f"{name:10} {occurrences:12} {rule:8} {counts}  {rates}")


if __name__ == "__main__":
    main()
