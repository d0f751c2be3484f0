"""Long texts: windows cover every word, none is too long, and where the model looks at nothing but the token they change nothing."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import AutoTokenizer

import tiny
from fintune.errors import GateError
from fintune.heads.tagger import Transitions
from fintune.heads.tags import Tagset
from fintune.heads.token import TokenHead, Window, stitch
from fintune.heads.windows import cut
from fintune.predict.run import batches, predict
from fintune.records import Example, Prediction, Span
from fintune.text.words import Grain, words

LABELS = tuple(tiny.SLOTS)
VOCABULARY = [
    *" ".join(e.text for e in tiny.examples()).split(), "金融機構", "株式会社", "\u0000", "\u200b", "\u00ad", "e\u0301", "x" * 300,
    "€310,000", "3.5%", "snake_case", "...", "\U0001f4c8", "\n", "[SEP]", "<s>",
]  # fmt: skip

texts = st.lists(st.sampled_from(VOCABULARY), max_size=120).flatmap(lambda ws: st.sampled_from([" ", ""]).map(lambda glue: glue.join(ws)))
anything = st.text(max_size=200)
sizes: st.SearchStrategy[tuple[int, int, Grain]] = st.sampled_from(
    [(16, 0, "fine"), (16, 7, "coarse"), (24, 8, "fine"), (40, 19, "coarse")]
)
"""Tokens of a window, tokens that neighbours share, and the words to tag."""


class Local(nn.Module):
    """Emissions that depend on nothing but the token; a word without a token of its own is outside."""

    def __init__(self, tokenizer: Any, tags: int, *, learned: bool) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(4)
        self.table = nn.Parameter(3 * torch.randn(len(tokenizer), tags, generator=draw))
        self.transitions = Transitions(tags) if learned else None
        if self.transitions is not None:
            nn.init.normal_(self.transitions.moves, generator=draw)

    def forward(self, tokens: Tensor, mask: Tensor, shapes: Tensor, lengths: Tensor, heads: Tensor) -> Tensor:
        emissions = self.table[tokens].gather(1, heads[:, :, None].expand(-1, -1, self.table.shape[1]))
        outside = torch.zeros(self.table.shape[1])
        outside[0] = 50
        return torch.where((heads == 0)[:, :, None], outside, emissions)


@pytest.fixture(scope="module", params=["tiny_base", "tiny_llama"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    """WordPiece with [CLS] and [SEP], or bytes with no special tokens at all."""
    return AutoTokenizer.from_pretrained(request.getfixturevalue(request.param))


def head_of(tokenizer: Any, max_tokens: int, overlap: int, grain: Grain = "fine") -> TokenHead:
    return TokenHead(Tagset(LABELS, "BIO"), tokenizer, max_tokens=max_tokens, overlap_tokens=overlap, grain=grain)


def predicted(head: TokenHead, model: nn.Module, examples: list[Example]) -> list[Prediction]:
    return list(predict(model, head, examples, batch_tokens=512, precision="fp32"))


@given(st.lists(texts, min_size=1, max_size=4), sizes, st.booleans())
def test_windows_change_nothing_where_the_model_is_local(
    tokenizer: Any, many: list[str], size: tuple[int, int, Grain], learned: bool
) -> None:
    examples = [Example(str(i), text) for i, text in enumerate(many)]
    model = Local(tokenizer, 15, learned=learned)
    whole, windowed = head_of(tokenizer, 100_000, 0, size[2]), head_of(tokenizer, *size)
    if not whole.prefix:  # without special tokens position 0 is a word's own, and the stand-in above has no room
        model.forward = lambda tokens, mask, shapes, lengths, heads: model.table[tokens].gather(1, heads[:, :, None].expand(-1, -1, 15))  # type: ignore[method-assign]
    assert predicted(windowed, model, examples) == predicted(whole, model, examples)


@given(st.one_of(texts, anything), sizes)
def test_every_window_fits_and_every_token_is_in_one(tokenizer: Any, text: str, size: tuple[int, int, Grain]) -> None:
    head = head_of(tokenizer, *size)
    windows = head.encode([Example("1", text)])
    bare = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert windows
    inside: list[list[int]] = []
    for window in windows:
        assert 1 <= window.length <= size[0]
        assert len(window.tokens) == len(window.shapes) == len(window.lengths)
        assert all(0 <= position < window.length for position in window.heads)
        assert window.tokens[: len(head.prefix)] == head.prefix or not bare
        inside.append(window.tokens[len(head.prefix) : len(window.tokens) - len(head.suffix)])
    if bare:
        assert inside[0] == bare[: len(inside[0])]
        assert inside[-1] == bare[len(bare) - len(inside[-1]) :]
        assert sum(map(len, inside)) >= len(bare)


@given(st.one_of(texts, anything), sizes)
def test_every_word_that_has_a_token_is_scored(tokenizer: Any, text: str, size: tuple[int, int, Grain]) -> None:
    head = head_of(tokenizer, *size)
    windows = head.encode([Example("1", text)])
    count = len(words(text, size[2]))
    held = {window.first + k for window in windows for k in range(len(window.heads))}
    assert held <= set(range(count))
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    with_token = {i for i, (start, end) in enumerate(words(text, size[2])) if any(a < end and start < b for a, b in offsets)}
    assert with_token <= held
    stitched = stitch([(w, np.ones((len(w.heads), 15), np.float32)) for w in windows], count, 15)
    assert all((stitched[word] == 1).all() for word in held)
    assert all(stitched[word].argmax() == 0 for word in set(range(count)) - held)


@given(st.integers(0, 400), st.integers(8, 60), st.data())
def test_cuts_cover_all_positions_go_forward_and_share(tokens: int, room: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, room // 2))
    breaks = sorted(data.draw(st.sets(st.integers(0, max(tokens - 1, 0)), max_size=tokens)))
    windows = cut(tokens, room, overlap, breaks=breaks)
    assert windows[0][0] == 0
    assert windows[-1][1] == tokens
    assert all(end - start <= room for start, end in windows)
    for (start, end), (next_start, next_end) in itertools.pairwise(windows):
        assert start < next_start <= end < next_end
        assert end - next_start <= overlap
        inside = [b for b in breaks if end - overlap <= b < end]
        assert next_start == (inside[0] if inside else end - overlap)


def test_a_word_is_scored_where_most_is_seen_around_it() -> None:
    """Of two windows that share a word, the one that has it further from its edges."""

    def window(first: int, heads: list[int]) -> Window:
        return Window(0, first, [0] * 10, [0] * 10, [0] * 10, heads, None)

    left, right = window(0, [1, 3, 5, 8]), window(2, [1, 4, 6])
    found = stitch([(left, np.full((4, 2), 1, np.float32)), (right, np.full((3, 2), 2, np.float32))], 5, 2)
    assert found[:, 0].tolist() == [1, 1, 1, 2, 2]


@given(st.lists(st.one_of(texts, anything), max_size=5))
def test_there_is_one_prediction_for_each_text_in_order(tokenizer: Any, many: list[str]) -> None:
    examples = [Example(str(i), text) for i, text in enumerate(many)]
    found = predicted(head_of(tokenizer, 24, 8), Local(tokenizer, 15, learned=False), examples)
    assert [(p.id, p.text) for p in found] == [(e.id, e.text) for e in examples]
    for prediction in found:
        assert prediction.spans is not None
        ends = 0
        for span in prediction.spans:
            assert ends <= span.start < span.end <= len(prediction.text)
            assert prediction.text[span.start : span.end] == span.text
            assert span.label in LABELS
            ends = span.end
        assert prediction.confidence is not None
        assert 0 <= prediction.confidence <= 1


@pytest.mark.parametrize("text", ["", " ", "\n\t\u3000", "\u0000", "\u200b\u200b"])
def test_texts_without_a_word_have_no_spans(tokenizer: Any, text: str) -> None:
    head = head_of(tokenizer, 16, 4)
    assert len(head.encode([Example("1", text)])) >= 1
    assert predicted(head, Local(tokenizer, 15, learned=True), [Example("1", text), Example("2", "Norvane Bank")])[0].text == text
    if not words(text):
        found = predicted(head, Local(tokenizer, 15, learned=True), [Example("1", text)])
        assert found == [Prediction("1", text, spans=(), confidence=1.0)]


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(1, 30), st.sampled_from(LABELS)), max_size=6), texts, sizes)
def test_gold_tags_of_windows_agree_with_those_of_the_whole(
    tokenizer: Any, raw: list[tuple[int, int, str]], text: str, size: tuple[int, int, Grain]
) -> None:
    """Whatever the spans: overlapping, cutting words, beyond a window."""
    spans = tuple(Span(start, start + length, label) for start, length, label in raw if start + length <= len(text))
    example = Example("1", text, spans=spans)
    (whole,) = head_of(tokenizer, 100_000, 0, size[2]).encode([example])
    assert whole.tags is not None
    for window in head_of(tokenizer, *size).encode([example]):
        begin = window.first - whole.first
        if window.heads:
            assert window.tags == whole.tags[begin : begin + len(window.heads)]


def test_gold_spans_come_back_through_perfect_scores(tokenizer: Any) -> None:
    """Encode, score each gold tag highest, decode: the spans of the corpus, whatever the window size."""
    examples = tiny.examples(30)
    for size in ((16, 7), (64, 16)):
        head = head_of(tokenizer, *size)  # fine words, which cut no span
        items = head.encode(examples)
        scores = [9 * np.eye(15, dtype=np.float32)[window.tags] for window in items]
        model = Local(tokenizer, 15, learned=False)
        assert [p.spans for p in head.decode(model, examples, items, scores)] == [e.spans for e in examples]


def test_scores_that_are_not_finite_are_an_error_and_no_prediction(tokenizer: Any) -> None:
    head = head_of(tokenizer, 64, 16)
    examples = [Example("first", "Norvane Bank fell ."), Example("second", "Ines Dahl left .")]
    items = head.encode(examples)
    for poison in (np.nan, np.inf):
        scores = [np.zeros((len(w.heads), 15), np.float32) for w in items]
        scores[1][2, 3] = poison
        with pytest.raises(GateError, match="example second"):
            head.decode(Local(tokenizer, 15, learned=False), examples, items, scores)


@given(st.lists(st.integers(1, 300), max_size=100), st.integers(64, 2048))
def test_prediction_batches_hold_each_item_once_within_the_budget(lengths: list[int], budget: int) -> None:
    found = list(batches(lengths, batch_tokens=budget))
    assert sorted(i for batch in found for i in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget for batch in found)
    longest = [max(lengths[i] for i in batch) for batch in found]
    assert longest == sorted(longest, reverse=True)


def test_predictions_do_not_depend_on_what_else_is_in_the_batch(tiny_base: Path) -> None:
    """A real network, whose padding must not be seen: alone, together, and in another order."""
    from fintune.heads.build import build
    from fintune.tasks.base import load_task

    recipe = tiny.recipe(tiny_base, {})
    built = build(recipe, load_task(recipe.task))
    with torch.no_grad():
        for parameter in built.model.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(2))
    examples = tiny.examples(20)
    together = predicted(built.head, built.model, examples)
    alone = [predicted(built.head, built.model, [e])[0] for e in examples]
    backwards = predicted(built.head, built.model, examples[::-1])[::-1]
    assert any(p.spans for p in together)
    for one, two, three in zip(together, alone, backwards, strict=True):
        assert one.spans == two.spans == three.spans
        assert one.confidence == pytest.approx(two.confidence, abs=1e-4)
