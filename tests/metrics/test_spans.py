"""Counts and error classes equal a slow, readable twin on generated spans; conventions are held by hand-made cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fintune.errors import DataError
from fintune.metrics.mistakes import CLASSES, assign, mistakes
from fintune.metrics.spans import MEASURES, RULES, SpanPair, count, f1, macro, micro, precision, recall
from fintune.records import Span

LABELS = ("A", "B", "C")


@st.composite
def span_pairs(draw: st.DrawFn) -> SpanPair:
    text = draw(st.text(alphabet="ab \n", min_size=1, max_size=12))

    def spans() -> tuple[Span, ...]:
        places = st.tuples(st.integers(0, len(text) - 1), st.integers(0, 6), st.sampled_from(LABELS))
        return tuple(Span(start, min(start + size, len(text)), label) for start, size, label in draw(st.lists(places, max_size=6)))

    outside = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(["zz", "z  z", "z z", "Z z"])), max_size=2).map(tuple)
    return SpanPair(text, spans(), spans(), draw(outside), draw(outside))


def unique(spans: tuple[Span, ...]) -> list[tuple[int, int, str]]:
    return sorted({(span.start, span.end, span.label) for span in spans})


def written(pairs: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    return sorted({(label, " ".join(surface.split())) for label, surface in pairs})


def invented(pair: SpanPair) -> list[tuple[str, str]]:
    return [item for item in written(pair.predicted_unaligned) if item not in written(pair.gold_unaligned)]


def share_a_character(one: tuple[int, int, str], other: tuple[int, int, str]) -> bool:
    return bool(set(range(one[0], one[1])) & set(range(other[0], other[1])))


def greedy(gold: list, predicted: list, fits) -> list[tuple]:
    """One to one: each prediction in order takes the first gold item that fits; both lists lose what was matched."""
    found = []
    for guess in list(predicted):
        for item in gold:
            if fits(item, guess):
                found.append((item, guess))
                gold.remove(item)
                predicted.remove(guess)
                break
    return found


def twin_count(pair: SpanPair, rule: str) -> np.ndarray:
    table = {label: [0, 0, 0] for label in LABELS}
    if rule == "surface":
        gold = {(s.label, " ".join(pair.text[s.start : s.end].split())) for s in pair.gold} | set(written(pair.gold_unaligned))
        predicted = {(s.label, " ".join(pair.text[s.start : s.end].split())) for s in pair.predicted}
        predicted |= set(written(pair.predicted_unaligned))
        for label in LABELS:
            mine, theirs = {s for x, s in gold if x == label}, {s for x, s in predicted if x == label}
            table[label] = [len(mine & theirs), len(theirs - mine), len(mine - theirs)]
        return np.array([table[label] for label in LABELS])
    gold, predicted = unique(pair.gold), unique(pair.predicted)
    whole = 2 if rule == "partial" else 1
    for span, _ in greedy(gold, predicted, lambda g, p: g == p):
        table[span[2]][0] += whole
    if rule == "boundary":
        for span, _ in greedy(gold, predicted, lambda g, p: g[:2] == p[:2]):
            table[span[2]][0] += 1
    if rule in ("partial", "type"):
        for span, _ in greedy(gold, predicted, lambda g, p: g[2] == p[2] and share_a_character(g, p)):
            table[span[2]] = [a + b for a, b in zip(table[span[2]], (1, 1, 1) if rule == "partial" else (1, 0, 0), strict=True)]
    for span in gold:
        table[span[2]][2] += whole
    for span in predicted:
        table[span[2]][1] += whole
    for label, _ in invented(pair):
        table[label][1] += whole
    return np.array([table[label] for label in LABELS])


def twin_classes(pair: SpanPair) -> dict[str, int]:
    gold, predicted = unique(pair.gold), unique(pair.predicted)
    greedy(gold, predicted, lambda g, p: g == p)
    classes = {"wrong_type": len(greedy(gold, predicted, lambda g, p: g[:2] == p[:2]))}
    classes["wrong_boundary"] = len(greedy(gold, predicted, lambda g, p: g[2] == p[2] and share_a_character(g, p)))
    classes["wrong_type_and_boundary"] = len(greedy(gold, predicted, share_a_character))
    return classes | {"missed": len(gold), "spurious": len(predicted) + len(invented(pair))}


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=300, deadline=None)
@given(pairs=st.lists(span_pairs(), max_size=3))
def test_counts_equal_the_twin(rule, pairs):
    counts = count(pairs, labels=LABELS, rule=rule)
    assert counts.shape == (len(pairs), len(LABELS), 3)
    assert counts.dtype == np.int64
    for row, pair in zip(counts, pairs, strict=True):
        assert np.array_equal(row, twin_count(pair, rule))


@settings(max_examples=300, deadline=None)
@given(pair=span_pairs())
def test_error_classes_equal_the_twin_and_fill_the_confusion_matrix(pair):
    found = mistakes([pair], labels=LABELS)
    assert found.errors == twin_classes(pair)
    assert set(found.errors) == set(CLASSES)
    strict = count([pair], labels=LABELS, rule="strict")[0]
    assert np.array_equal(found.confusion[:-1].sum(axis=1), strict[:, 0] + strict[:, 2])
    assert np.array_equal(found.confusion[:, :-1].sum(axis=0), strict[:, 0] + strict[:, 1])
    off_diagonal = found.errors["wrong_type"] + found.errors["wrong_type_and_boundary"]
    assert found.confusion[:-1, :-1].sum() - np.trace(found.confusion[:-1, :-1]) == off_diagonal


@settings(max_examples=200, deadline=None)
@given(pair=span_pairs())
def test_every_span_is_assigned_once(pair):
    triples = list(assign(pair))
    assert sorted(span for _, span, _ in triples if span is not None) == sorted(set(pair.gold))
    assert sorted(guess for _, _, guess in triples if guess is not None) == sorted(set(pair.predicted))


@settings(max_examples=200, deadline=None)
@given(pairs=st.lists(span_pairs(), min_size=1, max_size=3))
def test_looser_rules_never_score_lower(pairs):
    score = {rule: float(micro(f1, count(pairs, labels=LABELS, rule=rule).sum(axis=0))) for rule in RULES}
    assert score["strict"] <= score["partial"] <= score["type"]
    assert score["strict"] <= score["boundary"]


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=100, deadline=None)
@given(pair=span_pairs(), seed=st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_count(rule, pair, seed):
    gold, predicted = list(pair.gold) * 2, list(pair.predicted) * 2
    seed.shuffle(gold)
    seed.shuffle(predicted)
    other = SpanPair(pair.text, tuple(gold), tuple(predicted), pair.gold_unaligned[::-1], pair.predicted_unaligned * 2)
    assert np.array_equal(count([pair], labels=LABELS, rule=rule), count([other], labels=LABELS, rule=rule))


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=100, deadline=None)
@given(pairs=st.lists(span_pairs(), max_size=2), text=st.text(max_size=5))
def test_examples_without_gold_and_predictions_contribute_nothing(rule, pairs, text):
    with_empty = count([*pairs, SpanPair(text, (), ())], labels=LABELS, rule=rule)
    assert np.array_equal(with_empty.sum(axis=0), count(pairs, labels=LABELS, rule=rule).sum(axis=0))


def test_zero_divisions_are_zero():
    nothing = np.zeros((2, 3), dtype=np.int64)
    for measure in MEASURES.values():
        assert micro(measure, nothing) == 0.0
        assert macro(measure, nothing) == 0.0
    assert precision(np.array([0, 0, 4])) == 0.0
    assert recall(np.array([0, 4, 0])) == 0.0


def test_macro_averages_labels_with_gold_only():
    totals = np.array([[1, 0, 0], [1, 0, 3], [0, 5, 0]])
    assert macro(recall, totals) == pytest.approx((1 + 0.25) / 2)
    assert macro(precision, totals) == pytest.approx(1.0)
    assert macro(f1, totals) == pytest.approx((1 + 0.4) / 2)
    assert micro(precision, totals) == pytest.approx(2 / 7)


def test_gold_that_is_not_in_the_text_counts_for_the_surface_rule_alone():
    pair = SpanPair("Acme rose", (Span(0, 4, "A"),), (Span(0, 4, "A"),), (("A", "Genuine (GPC)"),), ())
    assert count([pair], labels=LABELS, rule="strict")[0, 0].tolist() == [1, 0, 0]
    assert count([pair], labels=LABELS, rule="surface")[0, 0].tolist() == [1, 0, 1]


def test_a_predicted_surface_that_is_nowhere_is_a_false_positive_unless_gold_has_it_too():
    pair = SpanPair("Acme rose", (), (), (("A", "Genuine  (GPC)"),), (("A", "Genuine (GPC)"), ("B", "Bogus")))
    for rule in ("strict", "type", "boundary"):
        assert count([pair], labels=LABELS, rule=rule)[0].tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert count([pair], labels=LABELS, rule="surface")[0].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert mistakes([pair], labels=LABELS).errors["spurious"] == 1


def test_a_partial_match_is_worth_a_half():
    pair = SpanPair("Acme Corp of Ohio", (Span(0, 9, "A"), Span(13, 17, "B")), (Span(0, 4, "A"), Span(13, 17, "B")))
    totals = count([pair], labels=LABELS, rule="partial").sum(axis=0)
    assert micro(precision, totals) == pytest.approx(1.5 / 2)
    assert micro(recall, totals) == pytest.approx(1.5 / 2)


def test_a_label_outside_the_set_is_refused_with_the_nearest():
    pair = SpanPair("Acme", (Span(0, 4, "Compny"),), ())
    with pytest.raises(DataError, match=r"unknown label 'Compny'.*did you mean 'Company'"):
        count([pair], labels=("Company", "Date"), rule="strict")
