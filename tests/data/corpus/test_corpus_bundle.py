"""Slices partition the corpus by document, keep out-of-distribution text out of the split, and give each kind its gold."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from fintune.data.corpus import bundle
from fintune.data.corpus.source import SCHEMA, read_all
from fintune.data.formats.base import ReadOptions
from fintune.data.formats.jsonl import read
from fintune.errors import DataError

HOMES = (*bundle.SPLIT, *bundle.OUT_OF_DISTRIBUTION)
ENTRIES = {entry.id: entry for entry in read_all()}


def ids(name: str) -> set[str]:
    return {example.id for example in bundle.load(name, "spans")}


def test_slices_partition_the_corpus():
    parts = [ids(home) for home in HOMES]
    assert sum(map(len, parts)) == len(ENTRIES)
    assert set().union(*parts) == set(ENTRIES)


def test_no_document_is_in_two_slices():
    documents = [{ENTRIES[i].document for i in ids(home)} for home in HOMES]
    assert sum(map(len, documents)) == len(set().union(*documents))


def test_the_split_is_english_without_social_text_and_has_its_proportions():
    everything = ids("all")
    assert {(ENTRIES[i].language, ENTRIES[i].register == "social") for i in everything} == {("en", False)}
    assert ids("") == everything == ids("train") | ids("validation") | ids("test")
    for name, share in (("train", 0.70), ("validation", 0.15), ("test", 0.15)):
        assert abs(len(ids(name)) / len(everything) - share) < 0.02
        assert {ENTRIES[i].register for i in ids(name)} == set(SCHEMA["registers"]) - {"social"}
        assert {ENTRIES[i].topic for i in ids(name)} == set(SCHEMA["topics"])


def test_out_of_distribution_slices_are_large_enough():
    assert ids("ood") == set().union(*(ids(name) for name in bundle.OUT_OF_DISTRIBUTION))
    assert ids("ood").isdisjoint(ids("all"))
    assert all(len(ids(name)) >= 40 for name in bundle.OUT_OF_DISTRIBUTION)
    assert {ENTRIES[i].register for i in ids("social")} == {"social"}


def test_the_home_of_a_document_never_changes():
    """Frozen: scores on the test split are only comparable while the split stays."""
    homes = {entry.document: home for home, entry in bundle.entries()}
    known = {"fil-tolland-10k11": "train", "ern-varnik": "validation", "nws-torvane": "test", "soc-dusk-dip": "social"}
    assert {name: homes[name] for name in known} == known


@pytest.mark.parametrize("register", SCHEMA["registers"])
def test_a_register_is_a_slice_and_a_part_of_one(register):
    expected = {i for i in (ids("social") if register == "social" else ids("all")) if ENTRIES[i].register == register}
    assert ids(register) == expected
    if register != "social":
        assert ids(f"train/{register}") == expected & ids("train")
        assert ids(f"all/{register}") == ids(f"/{register}") == expected


@pytest.mark.parametrize("home", HOMES)
def test_spans_are_the_seven_types_at_valid_offsets(home):
    for example in bundle.load(home, "spans"):
        entry = ENTRIES[example.id]
        assert [(s.start, s.end, s.label) for s in example.spans] == [
            (m.start, m.end, m.label) for m in entry.mentions if m.label in SCHEMA["types"]
        ]
        assert all(0 <= s.start < s.end <= len(example.text) and example.text[s.start : s.end] == s.text for s in example.spans)
        assert all(a.end <= b.start for a, b in zip(example.spans, example.spans[1:], strict=False))
        assert (example.label, example.question, example.answer) == (None, None, None)
        assert (example.meta.document, example.meta.group) == (entry.document, entry.document)
        assert (example.meta.published, example.meta.source) == (entry.published, f"bundled/{entry.register}")
        assert example.where == entry.where


@pytest.mark.parametrize(("suffix", "field"), [("", "topic"), ("#topic", "topic"), ("#sentiment", "sentiment")])
def test_labels_are_topics_or_sentiments(suffix, field):
    for example in bundle.load(f"ood{suffix}", "label"):
        assert example.label == getattr(ENTRIES[example.id], field)
        assert (example.spans, example.question) == (None, None)


def test_there_is_an_example_for_each_question():
    loaded = bundle.load("test", "answer")
    asked = [question for i, entry in ENTRIES.items() if i in ids("test") for question in entry.questions]
    assert [example.question for example in loaded] == [question.text for question in asked]
    assert len({example.id for example in loaded}) == len(loaded)
    for example, question in zip(loaded, asked, strict=True):
        owner, _, number = example.id.rpartition("-q")
        assert ENTRIES[owner].questions[int(number) - 1] == question
        if question.answer is None:
            assert example.answer is None
        else:
            assert (example.answer.text, example.answer.start) == (question.answer, question.start)
    assert {example.answer is None for example in loaded} == {True, False}


@pytest.mark.parametrize(
    ("name", "what", "fix"),
    [
        ("trian", "unknown slice 'trian'", "did you mean 'train'?"),
        ("filng", "unknown slice 'filng'", "did you mean 'filing'?"),
        ("test/filng", "unknown register 'filng'", "did you mean 'filing'?"),
        ("test/", "unknown register ''", "known: "),
        ("test#topc", "unknown label 'topc'", "did you mean 'topic'?"),
        ("test#", "unknown label ''", "known: topic, sentiment"),
        ("train/social", "no social example in 'train'", "choose another"),
        ("train/filing/more", "unknown register 'filing/more'", "did you mean 'filing'?"),
    ],
)
def test_an_unknown_slice_is_refused_with_the_nearest(name, what, fix):
    for view in (lambda: bundle.load(name, "label"), lambda: list(bundle.records(name))):
        with pytest.raises(DataError) as caught:
            view()
        assert caught.value.what == what
        assert fix in caught.value.fix
        assert caught.value.where == f"bundled:{name}"


@pytest.mark.parametrize("kind", ["spans", "label", "answer"])
def test_what_is_written_is_read_back(kind, tmp_path: Path):
    stream = io.StringIO()
    loaded = bundle.load("zh", kind)
    assert bundle.write("zh", kind, stream) == len(loaded) == len(stream.getvalue().splitlines())
    path = tmp_path / "zh.jsonl"
    path.write_text(stream.getvalue(), encoding="utf-8")
    again = list(read(path, ReadOptions(gold=kind)))
    fields = ("id", "text", "spans", "label", "question", "answer", "meta")
    assert [[getattr(e, f) for f in fields] for e in again] == [[getattr(e, f) for f in fields] for e in loaded]


def test_records_hold_everything():
    found = list(bundle.records("social"))
    assert [record["id"] for record in found] == [example.id for example in bundle.load("social", "spans")]
    for record in found:
        entry = ENTRIES[record["id"]]
        assert json.loads(json.dumps(record)) == record
        for field in ("text", "register", "language", "document", "published", "topic", "sentiment"):
            assert record[field] == getattr(entry, field)
        assert record["slice"] == "social"
        assert [(s["start"], s["end"], s["label"], s["value"]) for s in record["spans"]] == [
            (m.start, m.end, m.label, m.value) for m in entry.mentions
        ]
        assert all(record["text"][s["start"] : s["end"]] == s["text"] for s in record["spans"])
        for relation in record["relations"]:
            signature = SCHEMA["relations"][relation["type"]]
            assert record["spans"][relation["head"]]["label"] in signature["head"]
            assert record["spans"][relation["tail"]]["label"] in signature["tail"]
        for question, asked in zip(record["questions"], entry.questions, strict=True):
            assert (question["question"], (question["answer"] or {}).get("text")) == (asked.text, asked.answer)
