"""What the span head makes of questions and texts: windows, gold, loss, answers with their places, and the bases it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

import small_bases
from fintune.errors import ArtifactError, DataError, GateError, RecipeError
from fintune.heads.base import IGNORED, Assembled, Fitted
from fintune.heads.margins import NO_ANSWER, files, margin_in
from fintune.heads.reader import Reader
from fintune.heads.span import ALWAYS, Found, SpanHead, assemble
from fintune.models.catalog import locate
from fintune.recipe import Adapter, Data, Head, Model, Recipe, Train
from fintune.records import Answer, Example
from fintune.tasks.base import load_task
from fintune.train import preflight_figures

TASK = load_task("financial-questions")
TEXT = "Corvane sold its Malmö plant for €214 million . The buyer , Tidewell Foods , paid in cash on Monday ."
QUESTION = "Who bought the plant ?"
ASKED = Example("1", TEXT, question=QUESTION, answer=Answer(TEXT.index("Tidewell"), "Tidewell Foods"))
UNANSWERED = Example("2", TEXT, question="Who audits Corvane ?")


@pytest.fixture(scope="module", params=["minilm", "distilbert", "roberta-base"])
def base(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small encoder of each family."""
    return small_bases.write(tmp_path_factory.mktemp("base"), request.param, [TEXT, QUESTION, str(UNANSWERED.question)])


@pytest.fixture(scope="module")
def tokenizer(base: Path) -> Any:
    return AutoTokenizer.from_pretrained(base)


def recipe_on(base: Path, **changes: Any) -> Recipe:
    parts: dict[str, Any] = {"adapter": Adapter(rank=4, alpha=8), "data": Data(max_tokens=48, overlap_tokens=8), **changes}
    return Recipe(
        name="tiny", task=TASK.name, model=Model(base=str(base), dropout=0.0), head=Head(type="span", dropout=0.0), **parts
    )  # fmt: skip


def assembled(base: Path, **changes: Any) -> Assembled:
    torch.manual_seed(0)
    return assemble(recipe_on(base, **changes), TASK, locate(str(base)))


def head_of(tokenizer: Any, *, max_tokens: int = 128, overlap: int = 8, answer: int = 20, margin: float = 0.0) -> SpanHead:
    return SpanHead(tokenizer, max_tokens=max_tokens, overlap_tokens=overlap, answer_tokens=answer, margin=margin)


def test_a_short_text_is_what_the_tokenizer_makes_of_the_pair(tokenizer: Any) -> None:
    (window,) = head_of(tokenizer).encode([ASKED], "train")
    pair = tokenizer(QUESTION, TEXT, return_token_type_ids=True, return_offsets_mapping=True)
    owners = pair.sequence_ids(0)
    assert (window.tokens, window.types, window.length) == (pair["input_ids"], pair["token_type_ids"], len(pair["input_ids"]))
    assert window.begin == owners.index(1)
    assert window.offsets == [spot for spot, owner in zip(pair["offset_mapping"], owners, strict=True) if owner == 1]


def test_gold_positions_hold_the_answer(tokenizer: Any) -> None:
    head = head_of(tokenizer)
    (window,) = head.encode([ASKED], "train")
    first, last = window.gold or (0, 0)
    spots = window.offsets[first - window.begin : last - window.begin + 1]
    assert TEXT[spots[0][0] : spots[-1][1]].strip() == "Tidewell Foods"
    assert head.encode([UNANSWERED], "train")[0].gold == (0, 0)
    assert head.encode([ASKED], "predict")[0].gold is None
    assert "labels" not in head.collate(head.encode([ASKED], "predict"))


def test_windows_hold_the_question_and_every_token_and_one_of_them_the_answer(tokenizer: Any) -> None:
    head = head_of(tokenizer, max_tokens=26, overlap=8)
    windows = head.encode([ASKED], "train")
    assert len(windows) > 1
    assert all(window.length <= 26 for window in windows)
    spots = tokenizer(TEXT, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    seen = {window.first + at: spot for window in windows for at, spot in enumerate(window.offsets)}
    assert [seen[i] for i in range(len(spots))] == spots
    for window in windows:
        first, last = (spot - window.begin for spot in window.gold or (0, 0))
        if window.gold != (0, 0):
            assert TEXT[window.offsets[first][0] : window.offsets[last][1]].strip() == "Tidewell Foods"
    assert any(window.gold not in ((0, 0), (IGNORED, IGNORED)) for window in windows)


def test_an_answer_that_no_window_holds_is_not_learnt_as_no_answer(tokenizer: Any) -> None:
    head = head_of(tokenizer, max_tokens=26, overlap=8)
    everything = Example("3", TEXT, question=QUESTION, answer=Answer(0, TEXT))
    windows = head.encode([everything, ASKED], "train")
    assert {window.gold for window in windows if window.example == 0} == {(IGNORED, IGNORED)}
    assert head.left_out == ("3",)


@pytest.mark.parametrize(
    ("example", "says"),
    [
        (Example("9", TEXT), "has no question"),
        (Example("9", TEXT, question=QUESTION, answer=Answer(None, "214")), "has no place in its text"),
        (Example("9", TEXT, question=QUESTION * 40), "leaves room for 0 tokens"),
    ],
)
def test_what_cannot_be_learnt_is_refused(tokenizer: Any, example: Example, says: str) -> None:
    with pytest.raises(DataError, match=says):
        head_of(tokenizer).encode([example], "train")


def test_the_loss_is_the_cross_entropy_of_both_ends_over_the_text_and_no_answer(base: Path) -> None:
    parts = assembled(base)
    items = parts.head.encode([ASKED, UNANSWERED], "train")
    batch = parts.head.collate(items)
    summed, count = parts.head.loss(parts.model.eval(), batch)
    rows = parts.head.scores(parts.model, items)
    expected = 0.0
    for item, row in zip(items, rows, strict=True):
        for scores, gold in zip(row, item.gold or (), strict=True):
            expected += float(np.logaddexp.reduce(scores) - scores[0 if gold == 0 else gold - item.begin + 1])
    assert summed.item() == pytest.approx(expected, rel=1e-4)
    assert count == 2 * len(items)


def test_a_batch_scores_as_its_examples_alone(base: Path) -> None:
    parts = assembled(base)
    items = parts.head.encode([ASKED, Example("s", "Cash .", question="How ?")], "predict")
    together = parts.head.scores(parts.model.eval(), items)
    for item, row in zip(items, together, strict=True):
        np.testing.assert_allclose(parts.head.scores(parts.model, [item])[0], row, atol=1e-5)


def test_the_reader_scores_as_the_stock_model_on_the_pair(base: Path) -> None:
    """Segments included, which peft's own class for question answering loses."""
    parts = assembled(base)
    items = parts.head.encode([ASKED], "predict")
    (row,) = parts.head.scores(parts.model.eval(), items)
    stock = AutoModelForQuestionAnswering.from_pretrained(base, attn_implementation="eager").eval()
    trained = parts.model.adapted.get_base_model().qa_outputs.modules_to_save["default"]
    stock.qa_outputs.load_state_dict(trained.state_dict())
    tokenizer = AutoTokenizer.from_pretrained(base)
    pair = tokenizer(QUESTION, TEXT, return_tensors="pt", return_token_type_ids=parts.model.typed)
    with torch.inference_mode():
        out = stock(**pair)
    inside = [i for i, owner in enumerate(pair.sequence_ids(0)) if owner == 1]
    expected = torch.stack([out.start_logits[0, [0, *inside]], out.end_logits[0, [0, *inside]]])
    np.testing.assert_allclose(row, expected.numpy(), atol=1e-5)


def pointing(head: SpanHead, example: Example, surface: str | None, *, null: float = 0.0) -> tuple[Any, Any]:
    """Items with scores that speak for one surface."""
    items = head.encode([example], "predict")
    rows = []
    for item in items:
        scores = np.zeros((2, 1 + len(item.offsets)), np.float32)
        scores[:, 0] = null / 2
        if surface is not None:
            at = example.text.index(surface)
            inside = [i for i, (a, b) in enumerate(item.offsets) if a < at + len(surface) and at < b]
            if inside and item.offsets[inside[0]][0] <= at and item.offsets[inside[-1]][1] >= at + len(surface):
                scores[0, 1 + inside[0]] = scores[1, 1 + inside[-1]] = 8.0
        rows.append(scores)
    return items, rows


@pytest.mark.parametrize("max_tokens", [128, 26])
def test_the_best_stretch_over_all_windows_is_the_answer(tokenizer: Any, max_tokens: int) -> None:
    head = head_of(tokenizer, max_tokens=max_tokens, overlap=8)
    items, scores = pointing(head, ASKED, "Tidewell Foods")
    (found,) = head.decode(None, [ASKED], items, scores)
    assert found.answer == ASKED.answer
    assert found.confidence is not None
    assert 0.5 < found.confidence <= 1


def test_no_answer_is_given_above_the_margin(tokenizer: Any) -> None:
    items, scores = pointing(head_of(tokenizer), ASKED, "Monday", null=17.0)
    for margin, answered in ((0.0, False), (0.9, False), (1.1, True)):
        (found,) = head_of(tokenizer, margin=margin).decode(None, [ASKED], items, scores)
        assert (found.answer is not None) == answered
    ranked = head_of(tokenizer).nbest([ASKED], items, scores, top=3)[0]
    assert ranked[0] == Found(None, None, "", ranked[0].probability)
    assert ranked[1].text == "Monday"
    assert TEXT[ranked[1].start : ranked[1].end] == "Monday"
    assert sum(one.probability for one in ranked) <= 1 + 1e-9


def test_the_margin_is_fitted_where_some_questions_have_no_answer(tokenizer: Any) -> None:
    head = head_of(tokenizer)
    assert isinstance(head, Fitted)
    sure, unsure = pointing(head, ASKED, "Tidewell Foods", null=18.0), pointing(head, UNANSWERED, "cash", null=21.0)
    head.fit([([ASKED], *sure), ([UNANSWERED], *unsure)])
    assert 2 < head.margin < 5
    assert head.decode(None, [ASKED], *sure)[0].answer == ASKED.answer
    assert head.decode(None, [UNANSWERED], *unsure)[0].answer is None
    fitted = head.margin
    head.fit([([ASKED], *sure)])
    assert head.margin == fitted


def test_without_questions_that_have_no_answer_it_always_answers(tokenizer: Any) -> None:
    """As SQuAD v1 is answered; one question without an answer in the training data changes that."""
    head = head_of(tokenizer)
    scored = pointing(head, ASKED, "Tidewell Foods", null=40.0)
    assert head.decode(None, [ASKED], *scored)[0].answer is None
    head.encode([ASKED], "train")
    assert head.margin == ALWAYS
    assert head.decode(None, [ASKED], *scored)[0].answer == ASKED.answer
    assert margin_in(None) == 0
    head.encode([ASKED, UNANSWERED], "train")
    assert head.margin == 0


def test_a_certificate_counts_both_ends_of_an_answer(tokenizer: Any) -> None:
    head = head_of(tokenizer, max_tokens=26, overlap=8)
    windows = head.encode([ASKED, Example("3", TEXT, question=QUESTION, answer=Answer(0, TEXT))], "train")
    assert [preflight_figures.learnt(window) for window in windows] == [2 if window.example == 0 else 0 for window in windows]
    assert preflight_figures.unit(windows) == "answer ends"


def test_the_margin_is_kept_and_read_back(tmp_path: Path) -> None:
    assert files(0.0) == {}
    assert margin_in(None) == margin_in(tmp_path) == 0
    (tmp_path / NO_ANSWER).write_text(files(-1.25)[NO_ANSWER])
    assert margin_in(tmp_path) == -1.25
    for broken in ({"schema_version": 2, "margin": 1.0}, {"schema_version": 1, "margin": True}, {"schema_version": 1}):
        (tmp_path / NO_ANSWER).write_text(json.dumps(broken))
        with pytest.raises(ArtifactError, match="no finite margin"):
            margin_in(tmp_path)


def test_scores_that_are_not_finite_stop_prediction(tokenizer: Any) -> None:
    head = head_of(tokenizer)
    items, scores = pointing(head, ASKED, None)
    scores[0][0, 2] = np.nan
    with pytest.raises(GateError, match="not finite"):
        head.decode(None, [ASKED], items, scores)


def test_what_has_no_two_way_reading_is_refused(tiny_llama: Path) -> None:
    with pytest.raises(RecipeError, match="span head on 'llama'"):
        assembled(tiny_llama)


def test_label_smoothing_is_refused(base: Path) -> None:
    with pytest.raises(RecipeError, match="label_smoothing"):
        assembled(base, train=Train(label_smoothing=0.1))


def test_only_the_adapter_and_the_output_layer_train(base: Path) -> None:
    model: Reader = assembled(base).model
    assert isinstance(model, nn.Module)
    assert all("lora_" in name or "qa_outputs.modules_to_save" in name for name, p in model.named_parameters() if p.requires_grad)


@pytest.mark.parametrize("rank", [4, 8, 16])
def test_counts_of_distilbert_follow_the_published_formula(rank: int, tmp_path: Path) -> None:
    """Layers x 2 modules x 2 x width x rank, and the output layer: 148,994 at full size (`tests/models/test_shapes.py`)."""
    base = small_bases.write(tmp_path, "distilbert-squad", [TEXT])
    found = assembled(base, adapter=Adapter(rank=rank, alpha=16, dropout=0.1, targets=["q_lin", "v_lin"])).matched
    assert found.trainable == 2 * 2 * 2 * 32 * rank + 2 * 32 + 2
    assert sorted(found.names) == ["q_lin", "v_lin"]
