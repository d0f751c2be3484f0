"""The card counts what is there, says no number of its own, and the page in the documentation is the current card."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fintune.data.corpus import bundle, card
from fintune.data.corpus.source import HERE, SCHEMA, read_all

ENTRIES = read_all()
PROSE = (HERE / "CARD.md").read_text(encoding="utf-8")
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "corpus.md"
NAMES_WITH_DIGITS = ("CC0-1.0", "LICENSE-CC0", "NAACL 2024")


def table(title: str) -> dict[str, dict[str, str]]:
    """A table of the card as row -> column -> cell."""
    section = next(part for part in card.card().split("\n### ") if part.startswith(title)).split("\n\n")[1]
    rows = [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in section.strip().split("\n")]
    return {row[0]: dict(zip(rows[0][1:], row[1:], strict=True)) for row in rows[2:]}


def test_the_prose_states_no_number_by_itself():
    """Figures come from the tables, or from what is pasted below the mark for the transfer."""
    prose = re.split(r"<!-- transfer -->.*?(?=\n## )", PROSE, flags=re.S)
    for text in prose:
        for name in NAMES_WITH_DIGITS:
            text = text.replace(name, "")
        assert re.findall(r"[^\n]*\d[^\n]*", text) == []
    assert PROSE.count(card.MARK) == 1
    assert card.MARK not in card.card()


def test_the_prose_tells_what_a_user_must_know():
    prose = " ".join(PROSE.replace("*", "").split())
    for words in ("synthetic", "language model", "second annotator", "may cover a place name", "out of distribution", "## Transfer"):
        assert words in prose
    licence = (HERE / "LICENSE-CC0.txt").read_text(encoding="utf-8")
    assert "CC0-1.0" in licence
    assert "https://creativecommons.org/publicdomain/zero/1.0/legalcode" in licence


def test_slices_are_counted():
    found = table("Slices")
    for home in (*bundle.SPLIT, *bundle.OUT_OF_DISTRIBUTION):
        examples, answers = bundle.load(home, "spans"), bundle.load(home, "answer")
        assert found[home] == {
            "examples": str(len(examples)),
            "documents": str(len({e.meta.document for e in examples})),
            "spans": str(sum(len(e.spans) for e in examples)),
            "relations": str(sum(len(record["relations"]) for record in bundle.records(home))),
            "answerable questions": str(sum(e.answer is not None for e in answers)),
            "unanswerable questions": str(sum(e.answer is None for e in answers)),
        }
    assert found["all"]["examples"] == str(len(ENTRIES))


@pytest.mark.parametrize(
    ("title", "names", "of"),
    [
        ("Registers", SCHEMA["registers"], lambda e: [e.register]),
        ("Spans of the seven types", SCHEMA["types"], lambda e: [m.label for m in e.mentions]),
        ("Anchors", SCHEMA["anchors"], lambda e: [m.label for m in e.mentions]),
        ("Topics", SCHEMA["topics"], lambda e: [e.topic]),
        ("Sentiments", SCHEMA["sentiments"], lambda e: [e.sentiment]),
        ("Relations", list(SCHEMA["relations"]), lambda e: [r.type for r in e.relations]),
    ],
)
def test_axes_are_counted(title, names, of):
    found = table(title)
    assert list(found) == names
    for name in names:
        columns = {home: int(cell) for home, cell in found[name].items()}
        assert columns.pop("all") == sum(of(e).count(name) for e in ENTRIES) == sum(columns.values())
        for home, count in columns.items():
            assert count == sum(of(e).count(name) for at, e in bundle.entries() if at == home)


def test_values_lengths_and_openings_are_counted():
    for label, row in table("Normal values").items():
        mentions = [m for e in ENTRIES for m in e.mentions if m.label == label]
        assert (int(row["spans"]), int(row["with a value"])) == (len(mentions), sum(m.value is not None for m in mentions))
    lengths = table("Lengths")
    assert int(lengths["zh"]["longest"]) == max(len(e.text) for e in ENTRIES if e.language == "zh")
    assert int(lengths["de"]["shortest"]) == min(len(e.text.split()) for e in ENTRIES if e.language == "de")
    assert sum(int(row["documents"]) for row in table("Documents of").values()) == len({e.document for e in ENTRIES})
    opening, row = next(iter(table("Commonest openings").items()))
    assert int(row["examples"]) == sum(re.findall(r"[\w'’-]+", e.text.lower())[:2] == opening.split() for e in ENTRIES)


def test_the_page_in_the_documentation_is_the_current_card():
    assert PAGE.read_text(encoding="utf-8") == card.card(), "run: python -m fintune.data.corpus.card > docs/reference/corpus.md"
