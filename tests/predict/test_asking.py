"""Asking a run: shaped like the old question-answering pipeline, equal to what the run predicts, with the margin it was trained with."""

from __future__ import annotations

import json
from typing import Any

import pytest

import small_bases
import tiny
from fintune import api
from fintune import recipe as recipes
from fintune.data.questions import about_spans
from fintune.errors import UsageError
from fintune.records import Example

CHANGES = {
    "train.epochs": 60, "train.batch_size": 8, "train.learning_rate": 1e-2, "train.precision": "fp32", "predict.precision": "fp32",
    "data.max_tokens": 64, "data.overlap_tokens": 16, "head.dropout": 0.0, "model.dropout": 0.0, "train.keep": "best",
}  # fmt: skip


@pytest.fixture(scope="module")
def asked() -> list[Example]:
    return about_spans(tiny.examples(7))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, asked: list[Example]) -> Any:
    """A small encoder that has learnt a few questions by heart."""
    texts = [e.text for e in asked] + [str(e.question) for e in asked]
    base = small_bases.write(tmp_path_factory.mktemp("base"), "minilm", texts)
    recipe = recipes.load("qa-minilm", {"model.base": str(base), **CHANGES})
    return api.train(recipe, data=asked, validation=asked, output=tmp_path_factory.mktemp("run") / "run")


def test_training_learns_where_answers_stand_and_that_there_may_be_none(run: Any, asked: list[Example]) -> None:
    metrics = run.evaluate(asked)["metrics"]
    assert metrics["has_answer_f1"]["value"] > 0.8
    assert metrics["no_answer_accuracy"]["value"] > 0.7


def test_the_fitted_margin_is_the_one_that_validation_went_by(run: Any, asked: list[Example]) -> None:
    kept = run.folder / "adapter" / "no_answer.json"
    margin = json.loads(kept.read_text())["margin"] if kept.exists() else 0.0
    assert run.model.head.margin == margin
    scores = [json.loads(line)["metrics"]["f1"] for line in (run.folder / "log.jsonl").read_text().splitlines() if '"validation"' in line]
    assert run.evaluate(asked)["metrics"]["f1"]["value"] == pytest.approx(max(scores))


def test_answers_are_those_of_predict(run: Any, asked: list[Example]) -> None:
    replies = run.answer(question=[str(e.question) for e in asked], context=[e.text for e in asked])
    for reply, prediction in zip(replies, run.predict(asked), strict=True):
        assert set(reply) == {"answer", "score", "start", "end"}
        expected = (0, 0, "") if prediction.answer is None else (
            prediction.answer.start, prediction.answer.start + len(prediction.answer.text), prediction.answer.text
        )  # fmt: skip
        assert (reply["start"], reply["end"], reply["answer"]) == expected
        assert reply["score"] == pytest.approx(prediction.confidence, abs=1e-4)
        assert prediction.text[reply["start"] : reply["end"]] == reply["answer"]


def test_the_shapes_of_the_old_pipeline(run: Any) -> None:
    text = tiny.examples(1)[0].text
    one = run.answer(question="Which company is named?", context=text)
    assert isinstance(one, dict)
    several = run.answer(question="Which company is named?", context=text, top_k=4)
    assert several[0] == one
    assert len({(reply["start"], reply["end"]) for reply in several}) == 4
    assert sum(reply["score"] for reply in several) <= 1 + 1e-6
    batch = run.answer(question=["Who is named?", "Which company is named?"], context=text, top_k=2)
    assert [reply["answer"] for reply in batch[1]] == [reply["answer"] for reply in several[:2]]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"question": "Who?", "context": "a", "top_k": 0}, "top_k is 0"),
        ({"question": ["Who?"], "context": ["a", "b"]}, "1 questions and 2 contexts"),
        ({"question": " ", "context": "a"}, "blank"),
    ],
)
def test_what_cannot_be_asked_is_refused(run: Any, given: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        run.answer(**given)
