"""What the token head makes of texts: words, tokens, tags, batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

import tiny
from fintune.errors import ArtifactError
from fintune.heads.base import IGNORED
from fintune.heads.tags import Tagset
from fintune.heads.token import TokenHead
from fintune.records import Example, Span
from fintune.text.shape import LENGTHS, SHAPES
from fintune.text.words import words

LABELS = ("Company", "Money")


@pytest.fixture(scope="module")
def wordpiece(tiny_base: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_base)


@pytest.fixture(scope="module")
def byte_level(tiny_llama: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_llama)


def head_of(tokenizer: Any, *, scheme: str = "BIO", max_tokens: int = 128) -> TokenHead:
    return TokenHead(Tagset(LABELS, scheme), tokenizer, max_tokens=max_tokens, overlap_tokens=8)


def surfaces(head: TokenHead, text: str) -> list[tuple[str, str]]:
    """Each word with the text of the token it reads."""
    (window,) = head.encode([Example("1", text)])
    tokens = head.tokenizer.convert_ids_to_tokens(window.tokens)
    return [(text[slice(*words(text)[window.first + k])], tokens[position]) for k, position in enumerate(window.heads)]


def test_a_word_reads_its_first_token(wordpiece: Any) -> None:
    read = surfaces(head_of(wordpiece), "Norvane Bank paid Quixotically .")
    assert [word for word, _ in read] == ["Norvane", "Bank", "paid", "Quixotically", "."]
    assert all(word.lower().startswith(token) for word, token in read)


def test_special_tokens_stand_around_every_window(wordpiece: Any, byte_level: Any) -> None:
    (window,) = head_of(wordpiece).encode([Example("1", "paid")])
    assert (window.tokens[0], window.tokens[-1]) == (wordpiece.cls_token_id, wordpiece.sep_token_id)
    (window,) = head_of(byte_level).encode([Example("1", "paid")])
    assert window.tokens == byte_level("paid")["input_ids"]


class Spanning:
    """A tokenizer whose tokens are given, with their offsets; `"a"`, by which special tokens are found, is one token."""

    is_fast, name_or_path, pad_token_id = True, "spanning", 0

    def __init__(self, offsets: list[tuple[int, int]]) -> None:
        self.offsets = offsets

    def __call__(self, text: Any, **_: Any) -> dict[str, Any]:
        if text == "a":
            return {"input_ids": [7], "special_tokens_mask": [0]}
        return {"input_ids": [list(range(10, 10 + len(self.offsets)))] * len(text), "offset_mapping": [self.offsets] * len(text)}


@pytest.mark.parametrize(
    ("text", "offsets", "read"),
    [
        ("£22m", [(0, 2), (2, 4)], [0, 1]),  # £2|2m: the number has a token that starts in it
        ("₦18 bn", [(0, 3), (4, 6)], [0, 0, 1]),  # one unknown token for sign and number, which both read
        ("a b", [(0, 1), (1, 3)], [0, 1]),  # the blank belongs to the token after it
        ("a)", [(0, 2)], [0, 0]),
        ("📈 up", [(0, 1), (0, 1), (1, 4)], [0, 2]),  # several tokens of bytes for one character
        ("a\u0000b", [(0, 1), (2, 3)], [0, 0, 1]),  # the control character has none: the first position of the window
        ("ab", [(0, 0), (0, 2)], [0]),  # a token of no character
    ],
)
def test_words_that_share_a_token_read_it(text: str, offsets: list[tuple[int, int]], read: list[int]) -> None:
    (window,) = head_of(Spanning(offsets)).encode([Example("1", text)])
    assert window.heads == read


def test_a_money_sign_in_an_unknown_token_is_not_read_off_the_special_one(wordpiece: Any) -> None:
    (window,) = head_of(wordpiece).encode([Example("1", "paid ₦97.4 bn")])
    assert 0 not in window.heads


@pytest.mark.parametrize(
    ("spans", "tags"),
    [
        ([(0, 4, "Company")], ["B-Company", "O", "O", "O"]),
        ([(0, 9, "Company")], ["B-Company", "I-Company", "O", "O"]),
        ([(0, 4, "Company"), (5, 9, "Company")], ["B-Company", "B-Company", "O", "O"]),
        ([(6, 8, "Company")], ["O", "B-Company", "O", "O"]),  # inside a word: the word
        ([(3, 6, "Company")], ["B-Company", "I-Company", "O", "O"]),  # across two: both
        ([(4, 5, "Company")], ["O", "O", "O", "O"]),  # a blank
        ([(0, 4, "Money"), (0, 14, "Company")], ["B-Company", "I-Company", "I-Company", "O"]),  # the longest stays
        ([(0, 9, "Money"), (5, 14, "Company")], ["B-Money", "I-Money", "O", "O"]),  # as long: the first
        ([], ["O", "O", "O", "O"]),
    ],
)
def test_gold_spans_become_tags_of_the_words_they_touch(wordpiece: Any, spans: list[tuple[int, int, str]], tags: list[str]) -> None:
    head = head_of(wordpiece)
    (window,) = head.encode([Example("1", "aaaa bbbb cccc dddd", spans=tuple(Span(*span) for span in spans))])
    assert window.tags is not None
    assert [head.tagset.tags[tag] for tag in window.tags] == tags


def test_schemes_differ_in_the_tags_alone(wordpiece: Any) -> None:
    example = Example("1", "aaaa bbbb cccc dddd", spans=(Span(0, 14, "Company"), Span(15, 19, "Money")))
    named = {}
    for scheme in ("BIO", "BIOES"):
        head = head_of(wordpiece, scheme=scheme)
        (window,) = head.encode([example])
        assert window.tags is not None
        named[scheme] = [head.tagset.tags[tag] for tag in window.tags]
    assert named == {
        "BIO": ["B-Company", "I-Company", "I-Company", "B-Money"],
        "BIOES": ["B-Company", "I-Company", "E-Company", "S-Money"],
    }


def test_unlabelled_text_has_no_tags_and_neither_has_its_batch(wordpiece: Any) -> None:
    head = head_of(wordpiece)
    bare, annotated = head.encode([Example("1", "aaaa"), Example("2", "bbbb", spans=())])
    assert (bare.tags, annotated.tags) == (None, [0])
    assert "labels" not in head.collate([bare, annotated])
    assert "labels" in head.collate([annotated])


def test_a_batch_is_as_wide_as_its_longest_item(wordpiece: Any) -> None:
    head = head_of(wordpiece)
    items = head.encode([Example("1", "aaaa"), Example("2", "paid the board", spans=()), Example("3", "", spans=())])
    batch = head.collate(items)
    assert batch["tokens"].shape == batch["mask"].shape == batch["shapes"].shape == (3, max(w.length for w in items))
    assert batch["heads"].shape == (3, 3)
    assert batch["mask"].sum(1).tolist() == [w.length for w in items]
    assert (batch["tokens"][batch["mask"] == 0] == wordpiece.pad_token_id).all()
    assert (batch["shapes"][batch["mask"] == 0] == 0).all()
    batch = head.collate(items[1:])
    assert (batch["labels"][1] == IGNORED).all()
    assert (batch["labels"][0] != IGNORED).all()


def test_shapes_and_lengths_go_with_tokens(wordpiece: Any) -> None:
    """All tokens of a word have its shape; special tokens have none."""
    head = head_of(wordpiece)
    text = "IBM paid USD 12bn in Q3 ; ﬁne 数字 €"
    (window,) = head.encode([Example("1", text)])
    assert (window.shapes[0], window.shapes[-1], window.lengths[0], window.lengths[-1]) == (0, 0, 0, 0)
    assert all(0 < shape < SHAPES for shape in window.shapes[1:-1])
    assert all(0 < length < LENGTHS for length in window.lengths[1:-1])
    one, two = (head.encode([Example("1", t)])[0] for t in ("Bank", "BANK"))
    assert one.tokens == two.tokens, "the vocabulary knows no case"
    assert one.shapes != two.shapes


def test_no_examples_are_no_items(wordpiece: Any) -> None:
    assert head_of(wordpiece).encode([]) == []


def test_ideographs_are_words_of_their_own(wordpiece: Any) -> None:
    head = head_of(wordpiece)
    text = "中国银行第三季度"
    (window,) = head.encode([Example("1", text, spans=(Span(0, 4, "Company"),))])
    assert len(window.heads) == 8
    assert window.tags == head.tagset.encode(8, [(0, 4, "Company")])


def test_a_tokenizer_without_offsets_is_refused() -> None:
    slow = Spanning([])
    slow.is_fast = False  # type: ignore[misc]
    with pytest.raises(ArtifactError, match="no fast tokenizer"):
        head_of(slow)


def test_confidence_is_the_lowest_probability_on_the_path(wordpiece: Any) -> None:
    head = head_of(wordpiece)
    example = Example("1", "aaaa bbbb")
    scores = np.zeros((2, 5), np.float32)
    scores[0, 0], scores[1, 1] = np.log(16), np.log(4)  # 16 of 20, and 4 of 8
    (found,) = head.decode(type("Model", (), {"transitions": None}), [example], head.encode([example]), [scores])
    assert found.confidence == pytest.approx(0.5)
    assert [span.label for span in found.spans or ()] == ["Company"]


def test_label_smoothing_spreads_over_all_tags(wordpiece: Any) -> None:
    class Fixed(torch.nn.Module):
        transitions = None

        def forward(self, tokens: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
            draw = torch.Generator().manual_seed(0)
            return torch.randn(len(tokens), rest[-1].shape[1], 5, generator=draw)

    head = TokenHead(Tagset(LABELS), wordpiece, max_tokens=64, overlap_tokens=8, label_smoothing=0.2)
    items = head.encode([Example("1", "aaaa bbbb", spans=(Span(0, 4, "Money"),)), Example("2", "cccc", spans=())])
    batch = head.collate(items)
    total, count = head.loss(Fixed(), batch)
    there = batch["labels"] != IGNORED
    logits = Fixed()(batch["tokens"], batch["heads"])[there].log_softmax(-1)
    expected = -(0.8 * logits.gather(1, batch["labels"][there][:, None])[:, 0] + 0.2 * logits.mean(1)).sum()
    assert int(count) == 3
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_corpus_of_the_tests_loses_no_span(wordpiece: Any, byte_level: Any) -> None:
    for tokenizer in (wordpiece, byte_level):
        head = TokenHead(Tagset(tuple(tiny.SLOTS)), tokenizer, max_tokens=128, overlap_tokens=8)
        for example, window in zip(tiny.examples(), head.encode(tiny.examples()), strict=True):
            assert window.tags is not None
            assert len(head.tagset.decode(window.tags)) == len(example.spans or ())
