"""What the sequence head makes of texts: windows, batches, one label with the probabilities of all; and the bases it refuses."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from fintune.errors import ArtifactError, GateError, RecipeError
from fintune.heads import calibrated
from fintune.heads.base import IGNORED, Assembled
from fintune.heads.calibrated import Calibration
from fintune.heads.classifier import Classifier
from fintune.heads.noise import Noise
from fintune.heads.sequence import SequenceHead, Window, assemble
from fintune.models.catalog import locate
from fintune.recipe import Adapter, Data, Head, Model, Recipe, Train
from fintune.records import Example
from fintune.tasks.base import load_task

TASK = load_task("sentiment-3")


def recipe_on(base: Path, *, train: Train = Train(), data: Data = Data(max_tokens=32, overlap_tokens=8)) -> Recipe:
    return Recipe(
        name="tiny", task="sentiment-3", model=Model(base=str(base), dropout=0.0), adapter=Adapter(rank=4, alpha=8),
        head=Head(type="sequence", dropout=0.0), data=data, train=train,
    )  # fmt: skip


def assembled(base: Path, **parts: Any) -> Assembled:
    torch.manual_seed(0)
    return assemble(recipe_on(base, **parts), TASK, locate(str(base)))


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_base)


def head_of(tokenizer: Any, *, max_tokens: int = 16, overlap: int = 4, **more: Any) -> SequenceHead:
    return SequenceHead(TASK.labels, tokenizer, max_tokens=max_tokens, overlap_tokens=overlap, **more)


def test_a_short_text_is_one_window_with_its_gold(tokenizer: Any) -> None:
    head = head_of(tokenizer)
    (window,) = head.encode([Example("1", "Shares fell .", label="negative")], "train")
    assert window.tokens == tokenizer("Shares fell .")["input_ids"]
    assert (window.example, window.label, window.length, window.weight) == (0, 0, len(window.tokens), len(window.tokens) - 2)


@pytest.mark.parametrize("address", ["https://t.co/x9Fa", "HTTP://a.example/b?c=d#e", "www.example.com/shares"])
def test_web_addresses_are_read_as_they_stand_or_left_out(tokenizer: Any, address: str) -> None:
    text = f"Shares {address} fell {address}"
    kept, dropped = head_of(tokenizer, max_tokens=64), head_of(tokenizer, max_tokens=64, links="drop")
    assert [w.tokens for w in kept.encode([Example("1", text)], "predict")] == [tokenizer(text)["input_ids"]]
    assert [w.tokens for w in dropped.encode([Example("1", text)], "predict")] == [tokenizer("Shares fell")["input_ids"]]
    assert [w.tokens for w in dropped.encode([Example("1", address)], "predict")] == [tokenizer("")["input_ids"]]


def test_gold_is_for_training_alone(tokenizer: Any) -> None:
    head = head_of(tokenizer)
    texts = [Example("1", "Shares fell .", label="negative"), Example("2", "Shares fell .", label="of another set")]
    assert [window.label for window in head.encode(texts, "predict")] == [None, None]
    assert "labels" not in head.collate(head.encode(texts, "predict"))


def test_no_token_of_a_long_text_is_lost_and_windows_begin_at_words(tokenizer: Any, examples: list[Example]) -> None:
    text = " ".join(example.text for example in examples[:6])
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    windows = head_of(tokenizer).encode([Example("1", text, label="neutral")], "train")
    assert len(windows) > 3
    bodies = [window.tokens[1:-1] for window in windows]
    assert all(len(window.tokens) <= 16 for window in windows)
    assert all((window.tokens[0], window.tokens[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id) for window in windows)
    rebuilt: list[int] = list(bodies[0])
    for body in bodies[1:]:
        shared = next(size for size in range(4, -1, -1) if rebuilt[len(rebuilt) - size :] == body[:size])
        rebuilt += body[shared:]
    assert rebuilt == ids
    assert all(not tokenizer.convert_ids_to_tokens(body[0]).startswith("##") for body in bodies)
    assert {window.label for window in windows} == {1}
    assert [window.weight for window in windows] == [len(body) for body in bodies]


@pytest.mark.parametrize("text", ["\u0000", "a", "₦", "名" * 200])
def test_every_text_has_a_window(tokenizer: Any, text: str) -> None:
    windows = head_of(tokenizer).encode([Example("1", text), Example("2", text)], "predict")
    assert {window.example for window in windows} == {0, 1}
    assert all(window.weight >= 1 and window.length >= 2 for window in windows)


def test_no_examples_have_no_windows(tokenizer: Any) -> None:
    head = head_of(tokenizer)
    assert head.encode([], "train") == []
    assert head.decode(None, [], [], []) == []


def test_a_batch_is_padded_to_its_own_longest_window(tokenizer: Any) -> None:
    head = head_of(tokenizer)
    items = head.encode([Example("1", "Shares fell .", label="negative"), Example("2", "Nothing", label="neutral")], "train")
    batch = head.collate(items)
    assert batch["tokens"].shape == batch["mask"].shape == (2, max(item.length for item in items))
    assert batch["labels"].tolist() == [0, 1]
    for row, mask, item in zip(batch["tokens"].tolist(), batch["mask"].tolist(), items, strict=True):
        assert row == item.tokens + [tokenizer.pad_token_id] * (len(row) - item.length)
        assert mask == [1] * item.length + [0] * (len(row) - item.length)


def test_scores_of_windows_are_averaged_by_their_length(tokenizer: Any) -> None:
    head = head_of(tokenizer)
    items = [Window(0, [2, 9, 3], 10, None), Window(1, [2, 9, 3], 5, None), Window(0, [2, 9, 3], 30, None)]
    scores = [np.array(row, np.float32) for row in ([4.0, 0.0, 0.0], [0.0, 1.0, 2.0], [0.0, 2.0, 0.0])]
    first, second = head.decode(None, [Example("1", "a"), Example("2", "b")], items, scores)
    mean = np.array([1.0, 1.5, 0.0])
    assert first.probabilities == pytest.approx(tuple(np.exp(mean) / np.exp(mean).sum()))
    assert (first.id, first.text, first.label, second.label) == ("1", "a", "neutral", "positive")
    for found in (first, second):
        assert found.probabilities is not None
        assert sum(found.probabilities) == pytest.approx(1.0)
        assert found.confidence == max(found.probabilities) == found.probabilities[TASK.labels.index(found.label)]
        assert found.status == "ok"


def test_a_temperature_softens_probabilities_and_keeps_the_label(tokenizer: Any) -> None:
    items, scores = [Window(0, [2, 3], 1, None)], [np.array([3.0, 1.0, 0.0], np.float32)]
    (plain,) = head_of(tokenizer).decode(None, [Example("1", "a")], items, scores)
    (soft,) = head_of(tokenizer, calibration=Calibration(2.0)).decode(None, [Example("1", "a")], items, scores)
    assert soft.label == plain.label == "negative"
    assert soft.probabilities == pytest.approx(tuple(np.exp([1.5, 0.5, 0.0]) / np.exp([1.5, 0.5, 0.0]).sum()))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_scores_that_are_not_finite_are_refused_with_the_example(tokenizer: Any, bad: float) -> None:
    items = [Window(0, [2, 3], 1, None)]
    with pytest.raises(GateError, match=r"example 7: .*not finite"):
        head_of(tokenizer).decode(None, [Example("7", "a")], items, [np.array([bad, 0.0, 0.0], np.float32)])


def test_a_share_without_gold_teaches_nothing(tiny_base: Path) -> None:
    parts = assembled(tiny_base)
    batch = parts.head.collate(parts.head.encode([Example("1", "Shares fell .", label="negative")], "train"))
    batch["labels"] = torch.full_like(batch["labels"], IGNORED)
    summed, count = parts.head.loss(parts.model, batch)
    summed.backward()
    assert (summed.item(), int(count)) == (0.0, 0)
    assert all((p.grad == 0).all() for p in parts.model.parameters() if p.grad is not None)


def test_label_smoothing_is_that_of_torch(tiny_base: Path, examples: list[Example]) -> None:
    parts = assembled(tiny_base, train=Train(label_smoothing=0.2))
    gold = [Example(e.id, e.text, label=TASK.labels[i % 3]) for i, e in enumerate(examples[:6])]
    batch = parts.head.collate(parts.head.encode(gold, "train"))
    parts.model.eval()
    logits = torch.log_softmax(parts.model(batch["tokens"], batch["mask"]), 1)
    target = torch.full_like(logits, 0.2 / 3).scatter_add(1, batch["labels"][:, None], torch.full((len(logits), 1), 0.8))
    assert parts.head.loss(parts.model, batch)[0].item() == pytest.approx(-(logits * target).sum().item(), rel=1e-5)


def test_there_is_noise_in_training_and_none_in_prediction(tiny_base: Path) -> None:
    parts = assembled(tiny_base, train=Train(noise="neftune", noise_alpha=50.0))
    assert isinstance(parts.model.noise, Noise)
    items = parts.head.encode([Example("1", "Shares fell 3 % .")], "predict")
    batch = parts.head.collate(items)
    parts.model.eval()
    with torch.no_grad():
        quiet = Classifier(parts.model.adapted).eval()(batch["tokens"], batch["mask"])
        assert torch.equal(parts.model(batch["tokens"], batch["mask"]), quiet)
        parts.model.train()
        assert not torch.equal(parts.model(batch["tokens"], batch["mask"]), quiet)


def test_tokens_are_hidden_in_training_and_none_in_prediction(tiny_base: Path) -> None:
    parts, plain = assembled(tiny_base, train=Train(masking=1.0)), assembled(tiny_base)
    tokens = parts.head.collate(parts.head.encode([Example("1", "Shares fell 3 % .")], "predict"))["tokens"]
    mask = torch.ones_like(tokens)
    every = torch.full_like(tokens, parts.head.tokenizer.mask_token_id)
    every[:, 0], every[:, -1] = tokens[:, 0], tokens[:, -1]
    with torch.no_grad():
        assert torch.equal(parts.model.train()(tokens, mask), plain.model.eval()(every, mask))
        assert torch.equal(parts.model.eval()(tokens, mask), plain.model(tokens, mask))


def test_a_base_without_a_mask_token_hides_nothing(tiny_llama: Path) -> None:
    with pytest.raises(RecipeError, match=r"train\.masking=0\.1.*no mask token"):
        assembled(tiny_llama, train=Train(masking=0.1))


def test_what_prediction_must_share_with_training_is_told(tiny_base: Path) -> None:
    parts = assembled(tiny_base)
    told = parts.head.describe()
    assert json.loads(json.dumps(told)) == told == {
        "head": "sequence", "labels": ["negative", "neutral", "positive"], "prefix": [2], "suffix": [3], "links": "keep",
    }  # fmt: skip
    assert parts.model.adapted.config.id2label == {0: "negative", 1: "neutral", 2: "positive"}


@pytest.mark.parametrize(("pooling", "mend"), [("first", "last"), ("mean", "last")])
def test_a_decoder_is_read_at_its_last_token_alone(tiny_llama: Path, pooling: str, mend: str) -> None:
    recipe = recipe_on(tiny_llama)
    recipe = recipe.model_copy(update={"head": Head(type="sequence", pooling=pooling)})  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match=rf"head\.pooling={pooling} on 'llama'.*head\.pooling={mend}"):
        assemble(recipe, TASK, locate(str(tiny_llama)))
    assert assembled(tiny_llama).model.pooling == assembled(tiny_llama).head.pooling == "last"


def test_an_encoder_has_no_last_token_to_read(tiny_base: Path) -> None:
    recipe = recipe_on(tiny_base).model_copy(update={"head": Head(type="sequence", pooling="last")})
    with pytest.raises(RecipeError, match=r"head\.pooling=last on 'bert'.*head\.pooling=mean or first"):
        assemble(recipe, TASK, locate(str(tiny_base)))
    assert assembled(tiny_base).model.pooling == "first"


def test_windows_longer_than_the_base_has_positions_are_refused(tiny_base: Path) -> None:
    with pytest.raises(RecipeError, match=r"data\.max_tokens=128"):
        assembled(tiny_base, data=Data(max_tokens=129, overlap_tokens=8))


def test_a_tokenizer_without_offsets_is_refused() -> None:
    class Slow:
        is_fast, name_or_path, pad_token_id = False, "slow", 0

        def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
            return {"input_ids": [1], "special_tokens_mask": [0]}

    with pytest.raises(ArtifactError, match="no fast tokenizer"):
        head_of(Slow())


def test_the_temperature_is_kept_and_read_back(tiny_base: Path, tokenizer: Any, tmp_path: Path) -> None:
    assert head_of(tokenizer).keep() == {}
    for name, text in head_of(tokenizer, calibration=Calibration(1.75, 0.5)).keep().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    again = assemble(recipe_on(tiny_base), TASK, locate(str(tiny_base)), tmp_path)
    assert again.head.calibration == Calibration(1.75, 0.5)
    assert calibrated.read(None) == calibrated.read(tmp_path / "elsewhere") == Calibration()


DAMAGED = ("{}", '{"schema_version": 1, "temperature": 0}', '{"schema_version": 2, "temperature": 1.5}',
           '{"schema_version": 1, "temperature": 1.5, "threshold": 1.5}',
           '{"schema_version": 1, "temperature": true}', '{"schema_version": 1, "temperature": NaN}', "nothing")  # fmt: skip


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_temperature_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / calibrated.CALIBRATION).write_text(text, encoding="utf-8")
    with pytest.raises(ArtifactError):
        calibrated.read(tmp_path)


def test_encoding_many_examples_is_encoding_each(tokenizer: Any, examples: list[Example]) -> None:
    head = head_of(tokenizer)
    several = head.encode(examples[:8], "predict")
    for i, group in itertools.groupby(several, key=lambda window: window.example):
        alone = head.encode([examples[i]], "predict")
        assert [window.tokens for window in group] == [window.tokens for window in alone]
