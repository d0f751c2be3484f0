"""Checks, splits, demonstrations, cards, the queue, predictions and inferred task files with any number of labels a text."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import pytest

from fintune.data import predictions as seam
from fintune.data.card import card
from fintune.data.check import check
from fintune.data.demonstrations import Demonstrations
from fintune.data.infer import task_file
from fintune.data.load import load_for, load_labelled
from fintune.data.review import certainty, queue, right, stands
from fintune.data.split import split
from fintune.errors import DataError
from fintune.records import Example, Prediction
from fintune.tasks.base import load_task

LABELS = ("deal", "people", "results")
VERBS = {"deal": "buys", "people": "hires", "results": "earns"}


def news(count: int) -> list[Example]:
    """Every set of labels in turn, in words that differ."""
    made = []
    for n in range(count):
        own = tuple(label for place, label in enumerate(LABELS) if n % 8 >> place & 1)
        text = (
            f"Firm {n * 7919 % 997} in town {n * 31 % 89} {' and '.join(VERBS[label] for label in own) or 'waits'} for {n * 13 % 71} days"
        )
        made.append(Example(str(n), text, labels=own, where=f"events.jsonl:{n + 1}"))
    return made


def found(examples: list[Example], *codes: str, labels: tuple[str, ...] = LABELS) -> dict[str, str]:
    return {one.code: one.message for one in check({"train": examples}, kind="labels", labels=labels, select=codes)}


def test_clean_lists_have_no_finding_but_the_floor() -> None:
    assert found(news(64), "D1", "D4", "D6") == {"D404": "always giving the most frequent set of labels is right in 12.5% of train (deal)"}


def test_faults_of_labels_are_found() -> None:
    examples = [*news(64), Example("a", "x y z", labels=("Deal", "people")), Example("b", "q", label="deal"), Example("c", "r s")]
    told = found(examples, "D1", "D4", labels=(*LABELS, "rumour"))
    assert "label 'Deal' (1 time) is not in the task's set" in told["D401"]
    assert "rumour" in told["D403"]
    assert told["D103"] == "1 example annotated with label, not with labels"
    assert told["D104"] == "1 example without a gold annotation"
    assert "deal" in found([e for e in news(64) if int(e.id) < 8], "D402")["D402"]


def test_copies_with_other_sets_conflict_whatever_the_order() -> None:
    pair = [Example("a", "same", labels=("deal", "people")), Example("b", "same", labels=("people", "deal"))]
    assert not found(pair, "D205")
    assert "'people' against nothing" in found([*pair, Example("c", "same", labels=("deal",))], "D205")["D205"]


def test_a_word_that_gives_the_set_away_is_found() -> None:
    told = [Example(e.id, f"{'-'.join(e.labels or ()) or 'nothing'}x {e.text}", labels=e.labels) for e in news(80)]
    assert (
        "the first word decides" in found([Example(e.id, f"code{int(e.id) % 8} {e.text}", labels=e.labels) for e in told], "D603")["D603"]
    )


def test_a_stratified_split_has_every_label_in_its_share() -> None:
    parts = split(news(160), method="stratified")
    for label in LABELS:
        counts = [sum(label in (e.labels or ()) for e in part) for part in (parts.train, parts.validation, parts.test)]
        assert counts == pytest.approx([64, 8, 8], abs=2)


def test_fixed_demonstrations_cover_the_labels_and_their_absence() -> None:
    shown = Demonstrations(news(40), count=3, choose="fixed").of(Example("x", "unheard of"))
    assert {label for e in shown for label in e.labels or ("",)} == {*LABELS, ""}
    assert Demonstrations.load(Demonstrations(news(9), count=2, choose="similar").dump(), count=2, choose="similar", where="d").examples


def test_the_card_counts_each_label() -> None:
    counts = card(news(16), source="s")
    assert counts["labels"] == dict.fromkeys(LABELS, 8)
    assert counts["without_annotation"] == 0, "no label is a gold annotation"


def test_predictions_survive_their_file(tmp_path: Path) -> None:
    made = [
        Prediction("1", "a", labels=("deal", "people"), probabilities=(0.9, 0.8, 0.1), confidence=0.8),
        Prediction("2", "b", labels=(), confidence=0.75),
        Prediction("3", "c", status="malformed", reason="no list", raw="?"),
    ]
    (tmp_path / "p.jsonl").write_text(seam.dump(made), encoding="utf-8")
    assert seam.read(tmp_path / "p.jsonl") == made
    (tmp_path / "p.jsonl").write_text('{"id": "1", "text": "a", "labels": ["x", 3]}\n', encoding="utf-8")
    with pytest.raises(DataError, match="'labels' holds 3, not a string"):
        seam.read(tmp_path / "p.jsonl")


def test_the_queue_has_what_its_least_certain_decision_leaves_open() -> None:
    sure = Prediction("a", "t", labels=("people", "deal"), probabilities=(0.95, 0.95, 0.02), confidence=0.95)
    open_ = Prediction("b", "t", labels=(), probabilities=(0.45, 0.1, 0.1), confidence=0.55)
    unread = Prediction("c", "t", status="malformed", raw="?", confidence=0.99)
    examples = [Example("a", "t", labels=("deal", "people")), Example("b", "t"), Example("c", "t", labels=())]
    rows = [json.loads(line) for line in queue(examples, [sure, open_, unread], labels=LABELS, least=0.9).splitlines()]
    assert [(row["id"], row["labels"], row["gold"]) for row in rows if row["id"] != "c"] == [("b", [], None)]
    assert {row["id"] for row in rows} == {"b", "c"}
    assert (stands(sure, 0.9), certainty(unread)) == (True, None)
    assert [right(e, p) for e, p in zip(examples, [sure, open_, unread], strict=True)] == [True, False, False]


def inferred(data: Path | str, folder: Path) -> str:
    loaded = load_labelled(data)
    text = task_file(loaded.examples, name="mine", source="data")
    (folder / "mine.toml").write_text(text, encoding="utf-8")
    task = load_task(folder / "mine.toml")
    for example in load_for(task, loaded.examples).examples:
        task.require_gold(example)
    return task.kind


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("a.jsonl", '{"text": "x", "labels": ["a", "b"]}\n{"text": "y", "labels": []}\n', "labels"),
        ("a.jsonl", '{"text": "x", "label": "a;b"}\n{"text": "y", "label": "a"}\n{"text": "z", "label": "b"}\n', None),
        ("a.csv", "text,labels\nx,a;b\ny,a\n", "labels"),
        ("a.csv", "text,label\nx,a;b\ny,a\nz,b\n", "labels"),
        ("a.csv", "text,label\nx,\"['a', 'b']\"\ny,\"['a']\"\n", "labels"),
        ("a.csv", "text,labels\nx,0;4\ny,[]\n", "labels"),
        ("a.csv", "text,label\nx,a; b\ny,c\n", "label"),
        ("a.csv", "text,label\nx,a\ny,b\n", "label"),
    ],
)
def test_lists_are_told_from_single_labels(tmp_path: Path, name: str, text: str, kind: str | None) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    if kind is None:
        assert {e.label for e in load_labelled(tmp_path / name).examples} == {"a;b", "a", "b"}, "JSON has lists of its own"
    else:
        assert inferred(tmp_path / name, tmp_path) == kind


def test_a_fault_in_a_list_is_told_and_not_that_there_is_no_label(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "x", "labels": ["a"]}\n{"text": "y", "labels": ["b", "b"]}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.jsonl:2: 'labels' has 'b' twice"):
        load_labelled(tmp_path / "a.jsonl")
    (tmp_path / "b.jsonl").write_text('{"text": "x"}\n', encoding="utf-8")
    with pytest.raises(DataError, match="no label"):
        load_labelled(tmp_path / "b.jsonl")


def test_standard_input_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = io.BytesIO(b'{"text": "x", "labels": ["a", "b"]}\n')
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(data))
    assert [e.labels for e in load_labelled("-").examples] == [("a", "b")]


def test_the_file_says_how_many_texts_have_no_label() -> None:
    text = task_file(news(16), name="mine", source="data")
    assert "# A text may have any number of the labels; 2 examples have none.\nmultiple = true\n" in text
    assert "[shares]" not in text
    assert re.search(r'# 8 examples, such as: Firm \d+ in town \d+ buys for \d+ days\n"deal" = ""\n', text)
