"""The runner gives the findings of all tables in code order, and its page of reference is in step."""

from __future__ import annotations

import ast
import csv
import os
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from fintune.data import check as runner
from fintune.data.check import check, codes, function, summary, worst
from fintune.data.checks import CHECKS, SEVERITIES
from fintune.data.checks.base import Context
from fintune.data.checks.reference import FAMILIES, meanings, reference
from fintune.data.near import Index
from fintune.data.split import FINDINGS
from fintune.errors import UsageError
from fintune.records import Answer, Example, Finding, Span
from fintune.text.align import align

DATA = Path(os.environ.get("FINTUNE_DATA", "../shared/data"))
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "findings.md"
SEVEN = ("Company", "Date", "Location", "Money", "Person", "Product", "Quantity")


def broken() -> dict[str, list[Example]]:
    """A little data set with many kinds of defects."""
    text = "Altis Inc. of Bergen paid 5 million euro for Velmar in the third quarter."
    spans = (Span(0, 10, "Company", "Altis Inc."), Span(14, 21, "Location", "Bergen "), Span(14, 20, "place", "Bergen"))
    return {
        "train": [
            Example("1", text, spans=spans),
            Example("1", text + " ", spans=spans),
            Example("", "Quite another.", label="x"),
            Example("4", ""),
        ],
        "test": [
            Example("5", text, spans=(Span(3, 99, "Company"),)),
            Example("6", "Only\x07 here.", spans=(), unaligned=(("Date", "today"),)),
        ],
    }


def test_the_tables_speak_of_the_same_codes() -> None:
    assert SEVERITIES.keys() == CHECKS.keys() | FINDINGS.keys()
    assert all(re.fullmatch(r"[DS][1-9]\d\d", code) and code[:2] in FAMILIES for code in SEVERITIES)
    assert list(CHECKS) == sorted(CHECKS)
    assert len(set(CHECKS.values())) == len(CHECKS)


@pytest.mark.parametrize("code", CHECKS)
def test_every_check_explains_itself_in_one_line(code: str) -> None:
    assert meanings()[code].endswith("."), function(code)
    assert len(meanings()[code]) <= 110


def test_the_reference_page_is_in_step() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "run: python -m fintune.data.checks.reference > docs/reference/findings.md"


def test_findings_come_in_code_order_and_again_the_same() -> None:
    found = check(broken(), kind="spans", labels=SEVEN)
    assert [finding.code for finding in found] == sorted(finding.code for finding in found)
    assert {"D101", "D102", "D103", "D104", "D105", "D201", "D202", "D205", "D301", "D303", "D304", "D305", "D401", "D402", "D701"} <= {
        finding.code for finding in found
    }
    assert check(broken(), kind="spans", labels=SEVEN) == found


def test_every_finding_says_how_many_where_and_what_to_do() -> None:
    for finding in check(broken(), kind="spans", labels=SEVEN):
        assert finding.severity == SEVERITIES[finding.code]
        assert finding.message
        assert finding.fix
        assert "\n" not in finding.message + finding.fix
        assert len(finding.examples) == min(finding.count, 5), finding


def test_at_most_five_examples_are_named() -> None:
    (found,) = check({"train": [Example(str(at), "") for at in range(9)]}, kind="label", select=["D105"])
    assert (found.count, found.examples) == (9, ("0", "1", "2", "3", "4"))


def test_select_and_ignore_by_beginnings() -> None:
    assert [f.code for f in check(broken(), kind="spans", select=["D10", "D701"], ignore=["D101", "D103"])] == [
        "D102",
        "D104",
        "D105",
        "D701",
    ]
    assert codes(ignore=["D"]) == []
    assert codes() == list(CHECKS)


@pytest.mark.parametrize("beginning", ["D99", "E1", "d1", "", "D1011"])
def test_an_unknown_beginning_is_refused(beginning: str) -> None:
    for option in ("select", "ignore"):
        with pytest.raises(UsageError, match=f"--{option}: no check {beginning!r}"):
            codes(**{option: [beginning]})


def test_checks_of_other_packages_run_by_their_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("X101", f"{__name__}:shouting", "fintune.checks")
    found = EntryPoints([entry])
    monkeypatch.setattr(runner, "entry_points", lambda **asked: found.select(**asked))
    monkeypatch.setattr(EntryPoint, "load", lambda self: shouting)
    assert codes()[-1] == "X101"
    assert [f.code for f in check({"train": [Example("1", "BUY NOW")]}, kind="label", select=["X"])] == ["X101"]


def shouting(context: Context) -> Iterator[Finding]:
    """A text is in capitals."""
    for example in context.examples:
        if example.text.isupper():
            yield Finding("X101", "info", "shouted", 1, (example.id,))


def test_worst_and_summary() -> None:
    def finding(code: str) -> Finding:
        return Finding(code, SEVERITIES[code], "", 1)

    found = [finding("D404"), finding("D203"), finding("D203"), finding("D101")]
    assert (worst(found), worst(found[:3]), worst(found[:1]), worst([])) == ("error", "warning", "info", None)
    assert summary(found) == "1 error (D101), 2 warnings (D203), 1 info (D404)"
    assert summary([]) == "no findings"


def test_counts_do_not_depend_on_the_order_of_examples() -> None:
    splits = broken()
    turned = {name: examples[::-1] for name, examples in splits.items()}
    assert [(f.code, f.count) for f in check(turned, kind="spans")] == [(f.code, f.count) for f in check(splits, kind="spans")]


def test_lone_surrogates_and_nothing_at_all_are_checked() -> None:
    strange = [Example("\ud800", "\ud800 \U0001f600" * at, spans=(Span(0, 1, "\ud800", "?"),)) for at in range(3)]
    assert {"D302", "D701"} <= {f.code for f in check({"train": strange}, kind="spans")}
    assert check({}, kind="spans", labels=SEVEN) == []
    assert check({"train": []}, kind="answer") == []


def fire(name: str) -> list[Example]:
    """The papers' corpus, read and aligned as plainly as can be."""
    path = DATA / "ner" / name
    if not path.is_file():
        pytest.skip(f"{path} is not here; set FINTUNE_DATA to the folder with the data")
    examples = []
    with open(path, encoding="utf-8", newline="") as lines:
        for line, row in enumerate(csv.DictReader(lines), start=2):
            listed = {label: surfaces or [] for label, surfaces in ast.literal_eval(row["ground_truth"]).items()}
            spans, unaligned = align(row["text"], listed, occurrences="all")
            examples.append(Example(f"{name}:{line}", row["text"], spans=spans, unaligned=unaligned, where=f"{name}:{line}"))
    return examples


def test_the_papers_corpus_has_small_blemishes_only() -> None:
    """One copy, three groups of near duplicates and nine ragged spans in train, one surface that is not in its text."""
    found = {f.code: f for f in check({"train": fire("fire7_train.csv"), "validation": fire("fire7_val.csv")}, kind="spans", labels=SEVEN)}
    assert list(found) == ["D201", "D203", "D304", "D305"]
    assert {code: finding.count for code, finding in found.items()} == {"D201": 1, "D203": 9, "D304": 9, "D305": 1}
    assert worst(list(found.values())) == "warning"


def test_near_pairs_of_the_papers_corpus_are_those_of_comparing_all_with_all() -> None:
    train, validation = ([example.text for example in fire(name)] for name in ("fire7_train.csv", "fire7_val.csv"))
    index = Index.of(train + validation)

    def shingles(text: str) -> frozenset[tuple[str, ...]]:
        words = re.findall(r"\w+", text.lower())
        return frozenset(zip(words, words[1:], words[2:], strict=False)) if len(words) > 2 else frozenset([tuple(words)])

    known, other = [shingles(text) for text in train], [shingles(text) for text in validation]
    found = {}
    for i, one in enumerate(known):
        for j, two in enumerate(other):
            common = len(one & two)
            if common and common / len(one | two) >= 0.3:
                found[i, len(train) + j] = common / len(one | two)
    sets = [0] * len(train) + [1] * len(validation)
    assert {pair[:2]: pair.similarity for pair in index.pairs(threshold=0.3, sets=sets)} == found
    assert index.pairs(sets=sets) == [], "nothing of train is near to validation"
    assert sum(similarity >= 0.5 for similarity in found.values()) == 4


def test_the_leak_of_the_published_question_answering_model_is_caught() -> None:
    """Context `<label>. <sentence>`, answer at character 0: 99.5 % exact match that says nothing."""
    rng = random.Random(0)
    rows = [(rng.choice(["positive", "negative", "neutral", "neutral"]), example.text) for example in fire("fire7_val.csv")]
    question = "What is the financial sentiment of this statement?"
    leaking = [Example(str(at), f"{label}. {text}", question=question, answer=Answer(0, label)) for at, (label, text) in enumerate(rows)]
    found = {f.code: f for f in check({"train": leaking}, kind="answer")}
    assert {"D601", "D603"} <= found.keys()
    assert worst(list(found.values())) == "error"
    honest = [
        replace(example, text=text, label=label, question=None, answer=None) for example, (label, text) in zip(leaking, rows, strict=True)
    ]
    assert not {"D601", "D602", "D603"} & {f.code for f in check({"train": honest}, kind="label")}
