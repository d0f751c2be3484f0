import itertools
import json
import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintune.records import Span
from fintune.text.align import align, at_boundary

FIRE = Path(os.environ.get("FINTUNE_DATA", "../shared/data")) / "ner" / "fire_dev_relations.jsonl"

# Few letters, so that surfaces occur, repeat, nest and touch; two scripts, numbers, marks and four kinds of blank.
alphabet = "ab1.,- \t\n\u00a0東\u0301"
texts = st.text(alphabet, max_size=24)
surface_lists = st.dictionaries(st.sampled_from("XYZ"), st.lists(st.text(alphabet, max_size=5), max_size=4), max_size=3)
modes = st.sampled_from(["all", "first"])


def may_end_at(text, at):
    """The boundary rule again, in the words of the decision record."""
    left, right = text[:at], text[at:]
    if not left or not right:
        return True
    if unicodedata.category(right[0]).startswith("M"):
        return False
    digits = "".join(c if c.isdecimal() else "x" for c in right[1:])
    if right[0] in ".," and left[-1].isdecimal() and digits[:1] not in ("", "x"):
        return right[0] == "," and len(digits.split("x")[0]) != 3
    if left[-1] in ".," and left[-2:-1].isdecimal() and right[0].isdecimal():
        run = len("".join(c if c.isdecimal() else "x" for c in right).split("x")[0])
        return left[-1] == "," and run != 3
    while len(left) > 1 and unicodedata.category(left[-1]).startswith("M"):
        left = left[:-1]
    return not (left[-1].isalnum() and right[0].isalnum() and "東" not in (left[-1], right[0]))


def align_slowly(text, surfaces, occurrences):
    """The rule by brute force: every pair of offsets, every surface, no folding of the text and no search."""
    pairs = sorted((label, surface) for label, listed in surfaces.items() for surface in listed)
    wanted = sorted({" ".join(surface.split()) for _, surface in pairs}, key=lambda s: (-len(s), s))
    taken, spans, unaligned = set(), [], []
    for surface in wanted:
        listed = [pair for pair in pairs if " ".join(pair[1].split()) == surface]
        places, at = [], 0
        while surface and at < len(text):
            ends = [
                end for end in range(at + 1, len(text) + 1)
                if " ".join(text[at:end].split()) == surface and text[at:end].strip() == text[at:end]
            ]  # fmt: skip
            free = [
                end for end in ends
                if not taken & set(range(at, end)) and may_end_at(text, at) and may_end_at(text, end)
            ]  # fmt: skip
            if free:
                places.append((at, free[0]))
                taken |= set(range(at, free[0]))
                at = free[0]
            else:
                at += 1
        exact = [place for place in places if text[slice(*place)] == surface]
        places = exact + [place for place in places if place not in exact]
        count = len(places) if occurrences == "all" else len(listed)
        spans += [Span(*place, listed[turn % len(listed)][0]) for turn, place in enumerate(places[:count])]
        unaligned += listed[len(places) :]
    return tuple(sorted(spans)), tuple(sorted(unaligned))


@given(texts, surface_lists, modes)
def test_equals_brute_force(text, surfaces, occurrences):
    assert align(text, surfaces, occurrences=occurrences) == align_slowly(text, surfaces, occurrences)


@given(texts, surface_lists, modes)
def test_spans_are_slices_that_never_overlap(text, surfaces, occurrences):
    spans, _ = align(text, surfaces, occurrences=occurrences)
    for span in spans:
        assert text[span.start : span.end] == span.text
        wanted = {" ".join(surface.split()) for surface in surfaces[span.label]}
        assert " ".join(span.text.split()) in wanted
        assert (span.text in wanted) == (span.alignment == "exact")
        assert span.text.strip() == span.text != ""
    assert all(before.end <= after.start for before, after in itertools.pairwise(spans))


@given(texts, surface_lists, modes, st.randoms())
def test_order_of_lists_and_labels_never_matters(text, surfaces, occurrences, random):
    shuffled = [(label, random.sample(listed, len(listed))) for label, listed in surfaces.items()]
    random.shuffle(shuffled)
    assert align(text, dict(shuffled), occurrences=occurrences) == align(text, surfaces, occurrences=occurrences)


@given(texts, surface_lists)
def test_first_is_part_of_all_and_nothing_is_lost(text, surfaces):
    everywhere, left_all = align(text, surfaces, occurrences="all")
    first, left_first = align(text, surfaces, occurrences="first")
    assert {(span.start, span.end) for span in first} <= {(span.start, span.end) for span in everywhere}
    assert left_all == left_first
    assert len(first) + len(left_first) == sum(map(len, surfaces.values()))


@given(texts, st.integers(0, 24))
def test_boundary_rule_in_other_words(text, at):
    assert at_boundary(text, at) == (at > len(text) or may_end_at(text, at))


def found(text, *surfaces, occurrences="all"):
    spans, unaligned = align(text, {"X": surfaces}, occurrences=occurrences)
    return [span.text for span in spans], [surface for _, surface in unaligned]


@pytest.mark.parametrize(
    ("text", "surface", "expected"),
    [
        ("Apples from Apple", "Apple", ["Apple"]),
        ("Apple's share", "Apple", ["Apple"]),
        ("e-Apple", "Apple", ["Apple"]),
        ("grew 2.5 % to 5 units", "5", ["5"]),
        ("grew 1,200 to 200", "200", ["200"]),
        ("in 2011,2012", "2012", ["2012"]),
        ("EUR131m", "131", []),
        ("at 5.", "5", ["5"]),
        ("cafe\u0301 cafe", "cafe", ["cafe"]),
        ("x\u0301cafe cafe", "cafe", ["cafe"]),
        ("東京都の会社", "東京", ["東京"]),
        ("삼성전자는 3% 올랐다", "삼성전자", ["삼성전자"]),
        ("iPhoneの売上", "iPhone", ["iPhone"]),
        ("ธนาคารกรุงเทพ", "กรุงเทพ", ["กรุงเทพ"]),
        ("Ёлка и Ёлкаа", "Ёлка", ["Ёлка"]),
        ("ABC, ABC and ABC", "ABC", ["ABC", "ABC", "ABC"]),
    ],
)
def test_where_a_surface_is_found(text, surface, expected):
    assert found(text, surface)[0] == expected


def test_a_name_inside_a_longer_one_is_no_mention_of_its_own():
    assert found("New York Times, New York Times", "York", "New York Times", occurrences="first") == (["New York Times"], ["York"])


def test_blanks_are_normalised_and_said_so():
    spans, unaligned = align("New\u00a0 York and New York", {"Location": ["New York"]}, occurrences="all")
    assert [(span.text, span.alignment) for span in spans] == [("New\u00a0 York", "normalised"), ("New York", "exact")]
    assert unaligned == ()
    spans, _ = align("New\u00a0 York and New York", {"Location": ["New  York "]}, occurrences="first")
    assert [(span.start, span.alignment) for span in spans] == [(14, "exact")]


def test_one_surface_of_two_labels_is_dealt_in_turn():
    spans, unaligned = align("Ford Ford Ford", {"Person": ["Ford"], "Company": ["Ford"]}, occurrences="all")
    assert [span.label for span in spans] == ["Company", "Person", "Company"]
    spans, unaligned = align("Ford", {"Person": ["Ford"], "Company": ["Ford"]}, occurrences="all")
    assert [span.label for span in spans] == ["Company"]
    assert unaligned == (("Person", "Ford"),)


def test_long_texts_stay_linear():
    spans, unaligned = align("a " * 50_000, {"X": ["a", "b"]}, occurrences="all")
    assert (len(spans), unaligned) == (50_000, (("X", "b"),))


@pytest.mark.skipif(not FIRE.exists(), reason="needs ner/fire_dev_relations.jsonl of the shared data")
@pytest.mark.parametrize(("occurrences", "hits", "extra", "missed"), [("all", 1457, 1, 0), ("first", 1399, 1, 58)])
def test_figures_of_the_decision_record(occurrences, hits, extra, missed):
    counts = [0, 0, 0]
    for line in FIRE.read_text(encoding="utf-8").split("\n")[:-1]:
        row = json.loads(line)
        true = {tuple(span) for span in row["spans"]}
        surfaces = {}
        for label, surface in sorted({(label, row["text"][start:end]) for start, end, label in true}):
            surfaces.setdefault(label, []).append(surface)
        spans, unaligned = align(row["text"], surfaces, occurrences=occurrences)
        aligned = {(span.start, span.end, span.label) for span in spans}
        counts = [a + b for a, b in zip(counts, (len(aligned & true), len(aligned - true), len(true - aligned)), strict=True)]
        assert unaligned == ()
    assert counts == [hits, extra, missed]
