"""Target and parse are inverse, parse never raises and never guesses, and the score is what the metrics say."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fintune.data.formats.base import ReadOptions
from fintune.data.load import load
from fintune.errors import ArtifactError, DataError
from fintune.metrics.intervals import Bootstrap
from fintune.recipe import Prompt
from fintune.records import Example, Meta, Prediction
from fintune.tasks.base import documents_of, load_task
from fintune.tasks.label_reading import Reader

DATA = Path(os.environ.get("FINTUNE_DATA", "../shared/data"))
SENTIMENT: Any = load_task("sentiment-3")
TOPIC: Any = load_task("topic-20")
PLAN = Bootstrap(replicates=50)
EXAMPLE = Example(id="e1", text="Acme rose", label="positive")
NAMES = st.text(min_size=1, max_size=8).map(str.strip).filter(bool)
LABEL_SETS = st.lists(NAMES | st.text("aA -.!+<>/thinkot", min_size=1, max_size=8).map(str.strip).filter(bool), min_size=1, max_size=5,
                      unique_by=str.casefold)  # fmt: skip


@pytest.mark.parametrize("task", [SENTIMENT, TOPIC])
def test_parse_gives_back_the_target(task):
    for label in task.labels:
        gold = replace(EXAMPLE, label=label)
        found = task.parse(task.target(gold), gold)
        assert (found.label, found.status, found.reason) == (label, "ok", "")


@settings(max_examples=300, deadline=None)
@given(LABEL_SETS, st.data())
def test_any_label_of_any_set_is_read_as_itself(labels, data):
    label = data.draw(st.sampled_from(labels))
    assert Reader(labels).read(label, reasons=False) == (label, "")
    blank = data.draw(st.sampled_from(["", " ", "\n", "\t \n"]))
    assert Reader(labels).read(f"{blank}{label}{blank}", reasons=False) == (label, "")


PIECES = st.sampled_from(
    ["positive", "Negative", "NEUTRAL", "not", "n't", "<think>", "</think>", " ", "\n", ". ", '"', "**", ":", "é", "-"]
)


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=30) | st.lists(PIECES, max_size=8).map("".join))
def test_parse_never_raises_and_reads_no_label_that_is_not_there(raw):
    found = SENTIMENT.parse(raw, EXAMPLE)
    assert found.raw == raw
    assert (found.status == "ok") == (found.reason == "")
    assert (found.status == "malformed") == (found.label is None)
    after = raw.rpartition("</think>")[2]
    written = "".join(after.casefold().split())
    if found.label is not None:
        assert found.label in SENTIMENT.labels
        assert found.label in written
    if found.status == "ok":
        assert raw.strip() == found.label
    elif len(set(SENTIMENT.labels).intersection(re.split(r"[^\w-]+", after.lower()))) > 1:
        assert found.status == "malformed"


@pytest.mark.parametrize(
    ("raw", "label", "reason"),
    [
        ("Positive", "positive", "'Positive' read as 'positive'"),
        ("  POSITIVE\n", "positive", "read as"),
        ("pos itive", "positive", "read as"),
        ('"neutral"', "neutral", "read as"),
        ("**Negative**.", "negative", "read as"),
        ("`negative`", "negative", "read as"),
        ("Sentiment: positive", "positive", "text around the label"),
        ("The sentiment of this text is neutral.", "neutral", "text around the label"),
        ("positive positive positive", "positive", "text around the label"),
        ("Positive\n\nProfit went up.", "positive", "text around the line"),
        ("The answer:\n- negative", "negative", "text around the line"),
        ("<think>\nIs it negative?\n</think>\n\npositive", "positive", "thinking before the label"),
        ("so it is.</think>Positive", "positive", "thinking before the label; 'Positive' read as 'positive'"),
    ],
)
def test_what_only_one_label_can_mean_is_mended_and_said(raw, label, reason):
    found = SENTIMENT.parse(raw, EXAMPLE)
    assert (found.label, found.status) == (label, "repaired")
    assert reason in found.reason


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", "nothing was written"),
        (" \n", "nothing was written"),
        ("<think>positive", "thinking that never ends"),
        ("<think>positive</think>", "nothing was written"),
        ("positive or neutral", "2 labels"),
        ("positive\nnegative", "2 labels"),
        ("It is not positive.", "a label that is denied"),
        ("It isn't negative", "a label that is denied"),
        ("It isn’t negative", "a label that is denied"),
        ("non-positive", "no label"),
        ("positively", "no label"),
        ("positiv", "no label"),
        ("up", "no label"),
        ("Profit fell. The outlook is positive. Sales were flat.", "a label among other text"),
        ("Profit rose, which is\npositive for holders", "a label among other text"),
        ("2", "no label"),
    ],
)
def test_what_could_mean_another_label_is_malformed(raw, reason):
    found = SENTIMENT.parse(raw, EXAMPLE)
    assert (found.label, found.status) == (None, "malformed")
    assert reason in found.reason


@pytest.mark.parametrize(
    ("raw", "label"),
    [
        ("fed|central banks", "Fed | Central Banks"),
        ("M&A|Investments.", "M&A | Investments"),
        ("Topic: Stock Movement", "Stock Movement"),
        ("the topic is Fed |  Central Banks", "Fed | Central Banks"),
        ("Macro", "Macro"),
        ("IPO", "IPO"),
    ],
)
def test_names_of_several_words_are_read_whole(raw, label):
    assert TOPIC.parse(raw, EXAMPLE).label == label


def test_the_longest_name_is_meant_where_one_holds_another():
    reader = Reader(["stock", "stock movement", "no change"])
    assert reader.read("this is stock movement", reasons=False)[0] == "stock movement"
    assert reader.read("this is stock", reasons=False)[0] == "stock"
    assert reader.read("this is no change", reasons=False)[0] == "no change"
    assert reader.read("this is stock movement of a stock", reasons=False)[0] is None


def test_names_that_differ_in_blanks_or_marks_alone_are_read_exactly_or_not_at_all():
    reader = Reader(["a b", "ab", "+up", "up"])
    assert [reader.read(raw, reasons=False)[0] for raw in ("a b", "ab", "+up", "up", "+UP", "UP")] == [
        "a b",
        "ab",
        "+up",
        "up",
        "+up",
        "up",
    ]
    assert reader.read("a  b", reasons=False)[0] == "a b"  # as it stands in a text, where "ab" does not
    assert reader.read("'AB'", reasons=False)[0] == "ab"


def test_thinking_that_was_asked_for_is_nothing_to_mend():
    asked = load_task("sentiment-3", Prompt(thinking="reason"))
    found = asked.parse("<think>\nup\n</think>\n\npositive", EXAMPLE)
    assert (found.label, found.status, found.reason) == ("positive", "ok", "")


@pytest.mark.parametrize("raw", ["!" * 300_000, "a" + "!" * 300_000 + "a", "not " * 100_000, "positive " * 50_000, "a\n" * 100_000])
def test_long_texts_are_read_in_linear_time(raw):
    """A quadratic reader would take minutes here."""
    assert SENTIMENT.parse(raw, EXAMPLE).status in ("repaired", "malformed")


def test_messages_are_the_instruction_and_the_text_with_solved_examples_before_it():
    first = [{"role": "user", "content": "What is the sentiment of the following financial text?\nAcme rose"}]
    assert SENTIMENT.messages(EXAMPLE, purpose="predict") == first
    shown = Example(id="s", text="Globex met", label="neutral")
    turns = SENTIMENT.messages(EXAMPLE, purpose="train", demonstrations=[shown])
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert turns[1]["content"] == "neutral"
    assert "Globex met" in turns[0]["content"]
    named = load_task("topic-20", Prompt(labels="meanings")).messages(EXAMPLE, purpose="predict")[-1]["content"]
    assert all(f"{label}: {meaning}" in named for label, meaning in zip(TOPIC.labels, TOPIC.meanings, strict=True))


def test_the_topics_are_those_of_the_data_set():
    path = DATA / "topic" / "classes.txt"
    if not path.exists():
        pytest.skip("no topic data; set FINTUNE_DATA")
    assert list(TOPIC.labels) == path.read_text(encoding="utf-8").split("\n")[:20]
    assert TOPIC.numbers == {str(number): label for number, label in enumerate(TOPIC.labels)}


def test_the_description_is_plain_json_and_tells_tasks_apart():
    described = SENTIMENT.describe()
    assert json.loads(json.dumps(described)) == described
    assert described["kind"] == SENTIMENT.kind == "label"
    assert replace(SENTIMENT, labels=SENTIMENT.labels[::-1], meanings=SENTIMENT.meanings[::-1]).describe() != described
    assert replace(SENTIMENT, numbers={"0": "negative"}).describe() != described


@pytest.mark.parametrize(
    ("task", "label", "message"),
    [
        (SENTIMENT, None, "d.csv:3: example 'e1' has no label"),
        (SENTIMENT, "positiv", r"d.csv:3: unknown label 'positiv' .*did you mean 'positive'\? Then --rename positiv=positive"),
        (SENTIMENT, "bullish", "unknown label 'bullish' .*--rename bullish=LABEL"),
        (SENTIMENT, "1", "class number '1' .*does not number its labels.*--rename 1=NAME with one of negative, neutral, positive"),
        (TOPIC, "7", "class number '7' instead of a label; --rename 7='Financials'"),
        (TOPIC, "20", "class number '20' .*"),
    ],
)
def test_gold_that_does_not_fit_is_refused_with_the_mend(task, label, message):
    bad = replace(EXAMPLE, label=label, where="d.csv:3")
    for refuse in (task.require_gold, task.target):
        with pytest.raises(DataError, match=message):
            refuse(bad)
    task.require_gold(replace(EXAMPLE, label=task.labels[0]))


def test_numbers_of_the_set_are_a_renaming_of_the_data(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "a", "label": 7}\n{"text": "b", "label": "Macro"}\n', encoding="utf-8")
    loaded = load(path, ReadOptions(rename=TOPIC.numbers), kind="label")
    assert [TOPIC.target(example) for example in loaded.examples] == ["Financials", "Macro"]


def predicted(example: Example, label: str | None, *shares: float) -> Prediction:
    return Prediction(example.id, example.text, label=label, probabilities=shares or None)


def test_the_score_counts_what_could_not_be_read_and_puts_floors_beside_it():
    gold = [
        replace(EXAMPLE, id=str(n), label=label, meta=Meta(document=f"d{n // 2}")) for n, label in enumerate(["positive"] * 3 + ["neutral"])
    ]
    found = [SENTIMENT.parse(raw, example) for raw, example in zip(["positive", "dunno", "Positive", "negative"], gold, strict=True)]
    floors = SENTIMENT.learn_floors(gold)
    report = SENTIMENT.score(list(zip(gold, found, strict=True)), documents=documents_of(gold), floors=floors, plan=PLAN)
    assert report["metrics"][SENTIMENT.main_metric]["value"] == 0.5
    assert report["malformed"] == {"count": 1, "share": 0.25}
    assert report["documents"] == 2
    assert report["floors"]["majority"]["accuracy"]["value"] == 0.75
    assert set(report["floors"]) == {"majority", "words"}
    again = SENTIMENT.read_floors(json.loads(json.dumps({name: floor.record() for name, floor in floors.items()})), where="f")
    assert [floor.find("Acme rose") for floor in again.values()] == [floor.find("Acme rose") for floor in floors.values()]
    for other in ([], {"gazetteer": {"floor": "gazetteer"}}, {"majority": {}, "words": {}}):
        with pytest.raises(ArtifactError, match=r"floors\.json: not "):
            SENTIMENT.read_floors(other, where="floors.json")


def test_probabilities_are_scored_where_every_prediction_has_them():
    one, two = replace(EXAMPLE, id="1"), replace(EXAMPLE, id="2", label="negative")
    sure = [(one, predicted(one, "positive", 0.1, 0.2, 0.7)), (two, predicted(two, "neutral", 0.2, 0.5, 0.3))]
    report = SENTIMENT.score(sure, documents=["1", "2"], plan=PLAN)
    assert report["metrics"]["brier"]["value"] == pytest.approx((0.14 + 0.98) / 2)
    assert report["calibration"]["examples"] == 2
    mixed = [sure[0], (two, predicted(two, "neutral"))]
    assert "ece" not in SENTIMENT.score(mixed, documents=["1", "2"], plan=PLAN)["metrics"]


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.5, 0.6, 0.3), (-0.1, 0.6, 0.5), (float("nan"), 0.5, 0.5)])
def test_numbers_that_are_no_probabilities_are_refused(shares):
    with pytest.raises(DataError, match=r"prediction 'e1': .* probabilities that are none"):
        SENTIMENT.score([(EXAMPLE, predicted(EXAMPLE, "positive", *shares))], documents=["1"], plan=PLAN)


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        (Prediction("other", EXAMPLE.text, label="positive"), "is not about example"),
        (Prediction("e1", "another text", label="positive"), "is not about example"),
        (Prediction("e1", EXAMPLE.text, spans=()), "prediction 'e1' has no label"),
        (Prediction("e1", EXAMPLE.text, label="up"), "prediction 'e1': unknown label 'up'"),
    ],
)
def test_predictions_that_cannot_be_scored_are_refused(prediction, message):
    with pytest.raises(DataError, match=message):
        SENTIMENT.score([(EXAMPLE, prediction)], documents=["1"], plan=PLAN)


def test_real_topics_have_the_numbers_of_the_set():
    path = DATA / "topic" / "twitter_topic20_train.jsonl.gz"
    if not path.exists():
        pytest.skip("no topic data; set FINTUNE_DATA")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        counts = Counter(str(json.loads(line)["label"]) for line in lines)
    assert set(counts) == set(TOPIC.numbers)
