"""Clean data is silent; each planted defect is found on exactly the planted examples, and nothing else is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fintune.records import Example


def test_clean_data_of_every_kind_is_silent(checked, spans, labelled, answered) -> None:
    for kind, examples in (("spans", spans), ("label", labelled), ("answer", answered)):
        assert checked(examples, kind) == {}
        assert checked({"train": examples[:60], "validation": examples[60:75], "test": examples[75:]}, kind) == {}
        assert checked([], kind, labels=None) == {}


@pytest.mark.parametrize("blank", ["", "  \t"])
def test_blank_ids(checked, spans, blank: str) -> None:
    for at in (4, 9):
        spans = [replace(example, id=blank) if place == at else example for place, example in enumerate(spans)]
    found = checked(spans, "spans")
    assert list(found) == ["D101"]
    assert (found["D101"].count, found["D101"].examples, found["D101"].where) == (2, (blank, blank), "data.jsonl:5")


def test_an_id_again_in_its_split_is_found_and_in_another_split_is_not(checked, spans) -> None:
    again = [*spans[:60], replace(spans[60], id="s3"), replace(spans[61], id="s3")]
    found = checked(again, "spans")
    assert list(found) == ["D102"]
    assert (found["D102"].count, found["D102"].where) == (2, "data.jsonl:61")
    assert checked({"train": spans[:60], "test": [replace(spans[60], id="s3")]}, "spans") == {}


def test_other_kinds(checked, spans, labelled, answered) -> None:
    found = checked([*spans, replace(labelled[0], text="Quite another text."), answered[5]], "spans", select=["D1"])
    assert list(found) == ["D103"]
    assert found["D103"].examples == ("l0", "a5")
    assert "answer, label, not with spans" in found["D103"].message
    both = [replace(example, label="x") for example in spans]
    assert checked(both, "spans") == {}, "a further annotation does no harm"


def test_unannotated_examples_but_not_those_without_spans(checked, spans) -> None:
    bare, none = Example("bare", "A text that nobody looked at."), Example("none", "Nothing was to be marked here.", spans=())
    found = checked([*spans, bare, none], "spans")
    assert list(found) == ["D104"]
    assert found["D104"].examples == ("bare",)


@pytest.mark.parametrize("text", ["", " \n\t ", "\u00a0\u2003", "\u200b\ufeff "])
def test_empty_texts(checked, spans, text: str) -> None:
    found = checked([*spans, Example("e", text, spans=())], "spans", ignore=["D7"])
    assert list(found) == ["D105"]
    assert found["D105"].examples == ("e",)
