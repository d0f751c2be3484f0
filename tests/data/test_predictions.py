"""The predictions file: what is written is read back, and each prediction meets its own example."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintune.data import predictions as seam
from fintune.errors import ArtifactError, DataError
from fintune.records import Answer, Example, Prediction, Span

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=12)


@st.composite
def some_predictions(draw: st.DrawFn) -> Prediction:
    text = draw(st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=30))
    cuts = draw(st.lists(st.tuples(st.integers(0, len(text) - 1), st.integers(1, len(text)), WORDS), max_size=4))
    chances = st.none() | st.floats(0, 1)
    spans = tuple(Span(a, b, label, text[a:b], "predicted", draw(chances)) for a, b, label in cuts if a < b)
    return Prediction(
        draw(WORDS), text,
        spans=draw(st.none() | st.just(spans)),
        label=draw(st.none() | WORDS),
        answer=draw(st.none() | st.builds(Answer, st.none() | st.integers(0, 30), WORDS)),
        probabilities=draw(st.none() | st.lists(st.floats(0, 1), max_size=3).map(tuple)),
        raw=draw(WORDS), status=draw(st.sampled_from(["ok", "repaired", "malformed"])), reason=draw(WORDS),
        confidence=draw(chances), prompt_hash=draw(WORDS),
    )  # fmt: skip


@given(found=st.lists(some_predictions(), max_size=4))
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, found: list[Prediction]) -> None:
    path = tmp_path_factory.getbasetemp() / "predictions.jsonl"
    path.write_text(seam.dump(found), encoding="utf-8", newline="")
    read = seam.read(path)
    assert read == found
    confidences = [[span.confidence for span in prediction.spans or ()] for prediction in read]
    assert confidences == [[span.confidence for span in prediction.spans or ()] for prediction in found]


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), True, "0.5", [0.5]])
@pytest.mark.parametrize("place", ["confidence", "probabilities", "spans"])
def test_what_is_no_probability_is_refused(tmp_path: Path, place: str, value: object) -> None:
    held = {"confidence": value, "probabilities": [value], "spans": [{"start": 0, "end": 1, "label": "A", "confidence": value}]}
    path = tmp_path / "predictions.jsonl"
    path.write_text(json.dumps({"id": "1", "text": "abc", place: held[place]}) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="not a probability"):
        seam.read(path)


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | WORDS
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=2), max_leaves=4)
KEYS = st.sampled_from(["id", "text", "spans", "label", "answer", "probabilities", "raw", "status", "confidence", "start", "end"])


@given(record=st.dictionaries(KEYS, VALUES | st.lists(st.dictionaries(KEYS, VALUES, max_size=4), max_size=2), max_size=6))
def test_any_other_line_is_refused_with_its_place(tmp_path_factory: pytest.TempPathFactory, record: dict[str, object]) -> None:
    path = tmp_path_factory.getbasetemp() / "other.jsonl"
    path.write_text(json.dumps(record) + "\n", encoding="utf-8")
    where = ""
    try:
        read = seam.read(path)
    except DataError as error:
        where = error.where
    else:
        assert [p.text for p in read] == [record["text"]]
    assert where in ("", f"{path}:1")


def test_predictions_meet_their_examples_by_id_and_then_in_order() -> None:
    examples = [Example("a", "1"), Example("b", "2"), Example("a", "3")]
    found = [Prediction("a", "1"), Prediction("a", "3"), Prediction("b", "2"), Prediction("z", "9")]
    assert [(e.text, p.text) for e, p in seam.pair(examples, found)] == [("1", "1"), ("2", "2"), ("3", "3")]
    with pytest.raises(DataError, match="no prediction for example 'b'"):
        seam.pair(examples, found[:2])


def test_a_folder_or_a_missing_file_is_no_predictions_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.jsonl"):
        with pytest.raises(ArtifactError):
            seam.read(path)
