"""The corpus card with its tables: prose from `CARD.md`, every count computed from the corpus.

python -m fintune.data.corpus.card > docs/reference/corpus.md
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from fintune.data.corpus import bundle, validate
from fintune.data.corpus.source import HERE, SCHEMA, Entry

MARK = "<!-- tables -->"
HOMES = (*bundle.SPLIT, *bundle.OUT_OF_DISTRIBUTION)
_QUANTILES = (("shortest", 0.0), ("median", 0.5), ("95 %", 0.95), ("longest", 1.0))


def card() -> str:
    """The whole card as Markdown."""
    return (HERE / "CARD.md").read_text(encoding="utf-8").replace(MARK, tables())


def tables() -> str:
    """The section with every table."""
    entries = bundle.entries()
    texts = [entry for _, entry in entries]
    everything = validate.counts(texts)
    parts = [
        "## Counts\n\nEverything in this section is computed from the corpus.",
        _table(
            "Slices (an example belongs to one of them)", ["", *_SIZES],
            ([home, *(measure(_of(home)) for measure in _SIZES.values())] for home in HOMES),
            ["all", *(measure(texts) for measure in _SIZES.values())],
        ),
        _by_home("Registers", "registers", SCHEMA["registers"]),
        _by_home("Spans of the seven types", "types", SCHEMA["types"]),
        _by_home("Anchors", "types", SCHEMA["anchors"]),
        _by_home("Topics", "topics", SCHEMA["topics"]),
        _by_home("Sentiments", "sentiments", SCHEMA["sentiments"]),
        _by_home("Relations", "relations", list(SCHEMA["relations"])),
        _by_home("Examples with", "examples with", sorted(everything["examples with"])),
        _table("Normal values", ["", "spans", "with a value", "share"], _values(texts)),
        _table("Lengths of the texts in words (Chinese: characters)", ["", *(name for name, _ in _QUANTILES)], map(_lengths, HOMES)),
        _table("Documents of", ["", "documents"], everything["documents of"].most_common()),
        _table(
            "Commonest openings (two words; Chinese: characters)", ["", "examples", "share"],
            ([pair, count, f"{count / len(texts):.1%}"] for pair, count in validate.openings(texts).most_common(5)),
        ),
    ]  # fmt: skip
    return "\n\n".join(parts)


def _of(home: str) -> list[Entry]:
    return [entry for at, entry in bundle.entries() if at == home]


_SIZES: dict[str, Callable[[Sequence[Entry]], int]] = {
    "examples": len,
    "documents": lambda entries: len({entry.document for entry in entries}),
    "spans": lambda entries: sum(m.label in SCHEMA["types"] for entry in entries for m in entry.mentions),
    "relations": lambda entries: sum(len(entry.relations) for entry in entries),
    "answerable questions": lambda entries: sum(q.answer is not None for entry in entries for q in entry.questions),
    "unanswerable questions": lambda entries: sum(q.answer is None for entry in entries for q in entry.questions),
}


def _by_home(title: str, axis: str, names: Sequence[str]) -> str:
    """A table of one axis of `validate.counts`, a column for each home and one for all."""
    columns = {home: validate.counts(_of(home))[axis] for home in HOMES}
    rows = ([name, *(column[name] for column in columns.values()), sum(c[name] for c in columns.values())] for name in names)
    return _table(title, ["", *HOMES, "all"], rows)


def _values(entries: Sequence[Entry]) -> Iterable[list[object]]:
    mentions = [mention for entry in entries for mention in entry.mentions]
    spans, valued = Counter(m.label for m in mentions), Counter(m.label for m in mentions if m.value)
    return ([label, spans[label], valued[label], f"{valued[label] / spans[label]:.0%}"] for label in sorted(valued))


def _lengths(home: str) -> list[object]:
    lengths = sorted(len(entry.text if entry.language == "zh" else entry.text.split()) for entry in _of(home))
    return [home, *(lengths[int(share * (len(lengths) - 1))] for _, share in _QUANTILES)]


def _table(title: str, header: Sequence[str], rows: Iterable[Iterable[object]], *last: Iterable[object]) -> str:
    """A Markdown table under a heading; a bar inside a cell is escaped, because topics have them."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows, *last]
    cells = (" | ".join(str(cell).replace("|", "\\|") for cell in line) for line in lines)
    return f"### {title}\n\n" + "\n".join(f"| {line} |" for line in cells)


if __name__ == "__main__":
    sys.stdout.write(card())
