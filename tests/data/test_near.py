"""The index finds exactly the pairs that comparing all texts with all texts finds, whatever the batches it works in."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fintune.data import near
from fintune.data.near import Index, Joined, Pair, normalise, words
from fintune.errors import UsageError

# Few words and many repetitions of whole texts, so that near duplicates, copies and short texts are all frequent.
WORD = st.sampled_from(["a", "b", "c", "Ab", "7", "x-y", "銀行", "é"])
TEXTS = st.lists(st.lists(WORD, max_size=9).map(" ".join), max_size=14)
THRESHOLDS = st.sampled_from([0.1, 0.3, 0.5, 0.6, 0.7, 2 / 3, 0.75, 0.9, 1.0])


def shingles(text: str) -> set[tuple[str, ...]]:
    """The definition, written as plainly as can be."""
    found = [character for word in re.findall(r"\w+", text.lower()) for character in re.findall("[\u4e00-\u9fff]|[^\u4e00-\u9fff]+", word)]
    if 0 < len(found) < 3:
        return {tuple(found)}
    return {tuple(found[at : at + 3]) for at in range(len(found) - 2)}


def brute(texts: list[str], threshold: float, sets: list[int] | None = None) -> list[Pair]:
    known = [shingles(text) for text in texts]
    return [
        Pair(i, j, len(known[i] & known[j]) / len(known[i] | known[j]))
        for i in range(len(texts))
        for j in range(i + 1, len(texts))
        if (sets is None or sets[i] != sets[j]) and known[i] and len(known[i] & known[j]) / len(known[i] | known[j]) >= threshold
    ]


def brute_groups(size: int, pairs: list[Pair]) -> list[int]:
    """Smallest reachable index of each text, by flooding."""
    first = list(range(size))
    while True:
        before = list(first)
        for pair in pairs:
            first[pair.first] = first[pair.second] = min(first[pair.first], first[pair.second])
        if before == first:
            return first


@settings(max_examples=300, deadline=None)
@given(texts=TEXTS, threshold=THRESHOLDS)
def test_pairs_are_those_of_comparing_all_with_all(texts: list[str], threshold: float) -> None:
    assert Index.of(texts).pairs(threshold=threshold) == brute(texts, threshold)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), texts=TEXTS, threshold=THRESHOLDS)
def test_sets_restrict_pairs_groups_and_twins(data: st.DataObject, texts: list[str], threshold: float) -> None:
    sets = data.draw(st.lists(st.integers(0, 2), min_size=len(texts), max_size=len(texts)))
    index = Index.of(texts)
    across = brute(texts, threshold, sets)
    assert index.pairs(threshold=threshold, sets=sets) == across
    everything = brute(texts, threshold)
    assert index.groups(threshold=threshold).firsts() == brute_groups(len(texts), everything)
    inside = [pair for pair in everything if sets[pair.first] == sets[pair.second]]
    assert index.groups(threshold=threshold, sets=sets).firsts() == brute_groups(len(texts), inside)
    twins = index.elsewhere(sets, threshold=threshold)
    later = {pair.second if sets[pair.second] > sets[pair.first] else pair.first for pair in across}
    assert set(twins) == later
    assert all(any({text, twin} == {p.first, p.second} for p in across) and sets[twin] < sets[text] for text, twin in twins.items())


@pytest.mark.parametrize(("pending", "probes"), [(1, 1), (3, 7), (1 << 16, 1 << 21)])
def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch, pending: int, probes: int) -> None:
    """Hundreds of copies and variants of few texts: long lists, many repeats of a pair, groups that close early."""
    monkeypatch.setattr(near, "_PENDING", pending)
    monkeypatch.setattr(near, "_PROBES", probes)
    rng = random.Random(1)
    base = [[rng.choice("abcdefghijklmnopqrstuvwxyz") * rng.randint(1, 2) for _ in range(20)] for _ in range(6)]
    texts = []
    for _ in range(150):
        own = list(rng.choice(base))
        for _ in range(rng.choice([0, 0, 1, 2, 5])):
            own[rng.randrange(len(own))] = rng.choice("0123456789")
        texts.append(" ".join(own[: rng.choice([20, 20, 18, 2])]))
    sets = [rng.randrange(3) for _ in texts]
    index, expected = Index.of(texts), brute(texts, 0.6)
    assert len(expected) > 300
    assert index.pairs(threshold=0.6) == expected
    assert index.groups(threshold=0.6).firsts() == brute_groups(len(texts), expected)
    across = brute(texts, 0.6, sets)
    assert set(index.elsewhere(sets, threshold=0.6)) == {max(p[:2], key=lambda t: sets[t]) for p in across}


def test_a_threshold_is_reached_and_not_missed_by_rounding() -> None:
    """7 of 10 shingles is exactly .7, and so near; the union of the two texts has 10 shingles, 7 of them common."""
    one, other = "a b c d e f g h i x y", "a b c d e f g h i z"
    assert brute([one, other], 0) == [Pair(0, 1, 0.7)]
    assert Index.of([one, other]).pairs(threshold=0.7) == [Pair(0, 1, 0.7)]
    assert Index.of([one, other]).pairs(threshold=0.7000001) == []


def test_short_texts_are_compared_as_a_whole() -> None:
    texts = ["Net loss", "net LOSS!", "loss net", "net", "net", "net loss widened", "", "...", "..."]
    assert [pair[:2] for pair in Index.of(texts).pairs(threshold=0.1)] == [(0, 1), (3, 4)]


def test_ideographs_are_words() -> None:
    assert words("央行 raised Rates，2024") == ["央", "行", "raised", "rates", "2024"]
    assert Index.of(["央行宣布降息二十五个基点", "央行宣布降息二十五个基点了"]).pairs(threshold=0.9)[0].similarity == 10 / 11


def test_no_text_and_one_text_have_no_pair() -> None:
    for texts in ([], ["a b c d"], ["", ""]):
        index = Index.of(texts)
        assert (index.pairs(threshold=0.1), index.groups().firsts(), index.elsewhere([0] * len(texts))) == ([], list(range(len(texts))), {})


@pytest.mark.parametrize("threshold", [0.0, -0.5, 1.01, float("nan")])
def test_a_threshold_out_of_range_is_refused(threshold: float) -> None:
    with pytest.raises(UsageError, match="above 0 and up to 1"):
        Index.of(["a b c", "a b c"]).pairs(threshold=threshold)


@given(st.text(max_size=40))
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


def test_normalise_composes_and_evens_blanks() -> None:
    assert normalise(" Cafe\u0301 \u00a0 SA\n") == "Caf\u00e9 SA"
    assert normalise("Apple") != normalise("apple")


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12), st.lists(st.sampled_from(["p", "q", None]), max_size=10))
def test_joined_sets_are_those_of_flooding(pairs: list[tuple[int, int]], keys: list[str | None]) -> None:
    joined = Joined(10)
    for one, other in pairs:
        joined.join(one, other)
    joined.join_equal(keys)
    equal = [(i, j) for i in range(len(keys)) for j in range(i) if keys[i] is not None and keys[i] == keys[j]]
    firsts = brute_groups(10, [Pair(i, j, 1.0) for i, j in pairs + equal])
    assert joined.firsts() == firsts
    assert joined.sets() == [[i for i in range(10) if firsts[i] == first] for first in sorted(set(firsts))]
