"""Tags, their likelihood and their best path, against twins that try every tag sequence."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fintune.heads.base import IGNORED
from fintune.heads.tagger import Transitions
from fintune.heads.tags import IMPOSSIBLE, Tagset, best_path
from fintune.text import bio

SCHEMES = ["BIO", "BIOES"]
LABELS = ("Company", "Money", "Date")

schemes = st.sampled_from(SCHEMES)
scores = st.floats(-50, 50, width=32)


@st.composite
def annotated(draw: st.DrawFn) -> tuple[int, list[tuple[int, int, str]]]:
    """A number of words, and spans over them that do not overlap; they may touch, and share a label when they do."""
    length = draw(st.integers(0, 12))
    bounds = sorted(draw(st.sets(st.integers(0, length), max_size=8)))
    pieces = draw(st.lists(st.sampled_from([*LABELS, None]), min_size=len(bounds), max_size=len(bounds)))
    return length, [(a, b, label) for (a, b), label in zip(itertools.pairwise(bounds), pieces, strict=False) if label is not None]


@given(annotated(), schemes)
def test_spans_survive_the_tags(case: tuple[int, list[tuple[int, int, str]]], scheme: str) -> None:
    length, spans = case
    tagset = Tagset(LABELS, scheme)
    path = tagset.encode(length, spans)
    assert len(path) == length
    assert tagset.decode(path) == spans


@given(annotated(), schemes)
def test_tags_are_those_of_the_readers(case: tuple[int, list[tuple[int, int, str]]], scheme: str) -> None:
    """What a CoNLL file of the same scheme would hold."""
    length, spans = case
    tagset = Tagset(LABELS, scheme)
    names = [tagset.tags[tag] for tag in tagset.encode(length, spans)]
    assert names == bio.encode([bio.TokenSpan(*span) for span in spans], length, scheme)  # type: ignore[arg-type]


@given(annotated(), schemes)
def test_gold_tags_are_a_legal_path(case: tuple[int, list[tuple[int, int, str]]], scheme: str) -> None:
    length, spans = case
    tagset = Tagset(LABELS, scheme)
    assert legal(tagset, tagset.encode(length, spans))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_legal_is_what_no_reader_complains_of(scheme: str) -> None:
    """The constraints against the breaks that `fintune check` lists, over every sequence of up to four tags of two labels."""
    tagset = Tagset(("A", "B"), scheme)
    for length in range(1, 5):
        for path in itertools.product(range(len(tagset.tags)), repeat=length):
            broken = bio.breaks([tagset.tags[tag] for tag in path], scheme)  # type: ignore[arg-type]
            assert legal(tagset, path) == (not broken), [tagset.tags[tag] for tag in path]


def legal(tagset: Tagset, path: list[int] | tuple[int, ...]) -> bool:
    moves, start, end = tagset.constraints
    if not path:
        return True
    return start[path[0]] + end[path[-1]] + sum(moves[a, b] for a, b in itertools.pairwise(path)) == 0


@pytest.mark.parametrize("scheme", SCHEMES)
def test_tag_ids_follow_the_order_of_the_labels(scheme: str) -> None:
    tagset = Tagset(("X", "Y"), scheme)
    assert tagset.tags[0] == "O"
    assert [tag[2:] for tag in tagset.tags[1:]] == sorted(tag[2:] for tag in tagset.tags[1:])
    assert [tagset.ids[tag] for tag in tagset.tags] == list(range(len(tagset.tags)))


@st.composite
def scored(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Emissions of up to five words and scores of transitions between up to four tags."""
    words, tags = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    shapes = ((words, tags), (tags, tags), (tags,), (tags,))
    return tuple(draw(arrays.arrays(np.float32, shape, elements=scores)) for shape in shapes)  # type: ignore[return-value]


def path_score(path: tuple[int, ...], emissions: np.ndarray, moves: np.ndarray, start: np.ndarray, end: np.ndarray) -> float:
    wide = [a.astype(np.float64) for a in (emissions, moves, start, end)]
    total = wide[2][path[0]] + wide[3][path[-1]] + sum(wide[0][i, tag] for i, tag in enumerate(path))
    return float(total + sum(wide[1][a, b] for a, b in itertools.pairwise(path)))


@given(scored())
def test_the_best_path_is_the_best_of_all(case: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]) -> None:
    found = best_path(*case)
    everything = itertools.product(range(case[0].shape[1]), repeat=len(case[0]))
    best = max(path_score(path, *case) for path in everything)
    assert len(found) == len(case[0])
    assert path_score(tuple(found), *case) == pytest.approx(best, abs=1e-3)


def test_no_words_have_no_path() -> None:
    assert best_path(np.zeros((0, 3), np.float32), *(np.zeros(s, np.float32) for s in ((3, 3), 3, 3))) == []


wild = st.floats(-(2.0**100), 2.0**100, width=32)


@given(st.data(), schemes)
def test_whatever_the_scores_spans_are_valid(data: st.DataObject, scheme: str) -> None:
    """However much a model may prefer an illegal sequence, and whatever transitions it learned."""
    tagset = Tagset(("A", "B"), scheme)
    tags = len(tagset.tags)
    words = data.draw(st.integers(1, 12))
    elements = data.draw(st.sampled_from([scores, wild]))
    emissions = data.draw(arrays.arrays(np.float32, (words, tags), elements=elements))
    learned = [data.draw(arrays.arrays(np.float32, shape, elements=scores)) for shape in ((tags, tags), (tags,), (tags,))]
    path = best_path(emissions, *(fixed + part for fixed, part in zip(tagset.constraints, learned, strict=True)))
    assert legal(tagset, path)
    spans = tagset.decode(path)
    assert all(0 <= first < last <= words for first, last, _ in spans)
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(spans))
    assert tagset.encode(words, spans) == path


def test_impossible_is_never_outweighed() -> None:
    assert IMPOSSIBLE + 3e38 == IMPOSSIBLE


@st.composite
def crf_cases(draw: st.DrawFn) -> tuple[Transitions, torch.Tensor, torch.Tensor]:
    """Batches of up to three rows of different lengths, empty ones among them."""
    tags, rows, words = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 4))
    crf = Transitions(tags)
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.copy_(torch.tensor(draw(arrays.arrays(np.float32, tuple(parameter.shape), elements=st.floats(-5, 5, width=32)))))
    emissions = torch.tensor(draw(arrays.arrays(np.float32, (rows, words, tags), elements=st.floats(-5, 5, width=32))))
    gold = torch.tensor(draw(arrays.arrays(np.int64, (rows, words), elements=st.integers(0, tags - 1))))
    lengths = torch.tensor(draw(st.lists(st.integers(0, words), min_size=rows, max_size=rows)))
    return crf, emissions, gold.masked_fill(torch.arange(words)[None] >= lengths[:, None], IGNORED)


def enumerated(crf: Transitions, emissions: torch.Tensor, gold: torch.Tensor) -> torch.Tensor:
    """The same loss by summing over every tag sequence, row by row."""
    total = torch.zeros((), dtype=torch.float64)
    for row, tags in zip(emissions.double(), gold, strict=True):
        there = tags[tags != IGNORED]
        if not len(there):
            continue
        paths = torch.tensor(list(itertools.product(range(row.shape[-1]), repeat=len(there))))
        total = total + torch.logsumexp(scored_paths(crf, row, paths), 0) - scored_paths(crf, row, there[None])[0]
    return total


def scored_paths(crf: Transitions, row: torch.Tensor, paths: torch.Tensor) -> torch.Tensor:
    """Scores of tag sequences `(paths, words)` of one row."""
    moves, start, end = crf.moves.double(), crf.start.double(), crf.end.double()
    emitted = row[torch.arange(paths.shape[1]), paths].sum(1)
    return emitted + start[paths[:, 0]] + end[paths[:, -1]] + moves[paths[:, :-1], paths[:, 1:]].sum(1)


@given(crf_cases())
def test_the_likelihood_is_that_of_every_sequence_summed(case: tuple[Transitions, torch.Tensor, torch.Tensor]) -> None:
    crf, emissions, gold = case
    emissions.requires_grad_(True)
    ours, reference = crf(emissions, gold), enumerated(crf, emissions, gold)
    assert ours.item() == pytest.approx(reference.item(), abs=1e-4)
    wanted = [emissions, *crf.parameters()]
    gradients = torch.autograd.grad(ours, wanted, allow_unused=True)
    for one, other in zip(gradients, torch.autograd.grad(reference + 0 * sum(p.sum() for p in wanted), wanted), strict=True):
        assert one is not None
        assert torch.allclose(one, other.float(), atol=1e-4)


def test_transitions_start_without_an_opinion() -> None:
    """Before training, the loss is the plain cross-entropy of each word."""
    emissions = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
    gold = torch.tensor([[0, 1, 2, 3, 0], [1, 1, IGNORED, IGNORED, IGNORED]])
    plain = torch.nn.functional.cross_entropy(emissions.flatten(0, 1), gold.flatten(), reduction="sum", ignore_index=IGNORED)
    assert Transitions(4)(emissions, gold).item() == pytest.approx(plain.item(), rel=1e-6)


def test_the_likelihood_of_all_sequences_sums_to_one() -> None:
    draw = torch.Generator().manual_seed(0)
    crf = Transitions(3)
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.normal_(generator=draw)
        emissions = torch.randn(1, 4, 3, generator=draw)
        paths = torch.tensor(list(itertools.product(range(3), repeat=4)))
        losses = torch.stack([crf(emissions, path[None]) for path in paths])
    assert torch.exp(-losses).sum().item() == pytest.approx(1, abs=1e-5)
