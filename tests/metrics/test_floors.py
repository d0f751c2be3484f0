"""The gazetteer finds what training showed, longest first, and survives JSON."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fintune.errors import ArtifactError, DataError
from fintune.metrics.floors import EMPTY, Gazetteer, from_record, learn
from fintune.records import Example, Span


def example(text: str, *surfaces: tuple[str, str], unaligned: tuple[tuple[str, str], ...] = ()) -> Example:
    spans = tuple(Span(text.index(surface), text.index(surface) + len(surface), label) for label, surface in surfaces)
    return Example(id=text, text=text, spans=spans, unaligned=unaligned)


def found(gazetteer: Gazetteer, text: str) -> list[tuple[str, str]]:
    return [(span.label, span.text) for span in gazetteer.find(text)]


def test_the_longest_surface_wins_and_labels_go_by_majority():
    gazetteer = learn(
        [
            example("Bank of Ohio sold", ("Company", "Bank of Ohio")),
            example("Ohio", ("Company", "Ohio")),
            example("in Ohio", ("Location", "Ohio")),
            example("at Ohio", ("Location", "Ohio")),
        ]
    )
    assert found(gazetteer, "Bank of Ohio left Ohio.") == [("Company", "Bank of Ohio"), ("Location", "Ohio")]


def test_ties_go_to_the_first_label_by_name_whatever_the_order():
    one, two = example("Ohio", ("B", "Ohio")), example("Ohio", ("A", "Ohio"))
    assert learn([one, two]).labels == learn([two, one]).labels == {"Ohio": "A"}


@pytest.mark.parametrize("text", ["Ohioans", "in 12.50 terms", "12,000", "12th", "ohio", "1.12"])
def test_matches_keep_to_token_boundaries_and_case(text):
    assert found(learn([example("Ohio 12", ("L", "Ohio"), ("Q", "12"))]), text) == []


def test_blanks_do_not_matter_and_offsets_point_into_the_text():
    gazetteer = learn([example("$ 2.0 million", ("Money", "$ 2.0 million"))])
    text = "paid $2.0\nmillion, 銀行"
    assert gazetteer.find(text) == (Span(5, 17, "Money"),)
    assert learn([example("東京銀行", ("C", "銀行"))]).find(text) == (Span(19, 21, "C"),)


def test_pairs_that_were_not_in_their_text_are_learnt_too():
    assert found(learn([example("x", unaligned=(("C", "Genuine Parts (GPC)"),))]), "Genuine Parts ( GPC )") == [
        ("C", "Genuine Parts ( GPC )")
    ]


@settings(max_examples=100, deadline=None)
@given(
    surfaces=st.dictionaries(st.text(alphabet="a1., $é銀\n", max_size=5), st.sampled_from("AB"), max_size=6),
    text=st.text("a1., $é銀", max_size=30),
)
def test_json_keeps_every_match(surfaces, text):
    gazetteer = learn([Example(id="x", text="", spans=(), unaligned=tuple((label, surface) for surface, label in surfaces.items()))])
    again = from_record(json.loads(json.dumps(gazetteer.record())), where="x.json")
    assert again.find(text) == gazetteer.find(text)
    spans = gazetteer.find(text)
    assert all(before.end <= after.start for before, after in itertools.pairwise(spans))
    assert all(span.text == text[span.start : span.end] for span in spans)


def test_the_empty_floor_predicts_nothing():
    assert EMPTY.find("Acme rose 5 % in May") == ()


def test_foreign_records_are_refused():
    with pytest.raises(ArtifactError, match=r"run/floors\.json: not a gazetteer"):
        from_record([], where="run/floors.json")
    with pytest.raises(ArtifactError, match="version 9"):
        from_record({**EMPTY.record(), "schema_version": 9}, where="x")
    with pytest.raises(ArtifactError, match="without a map"):
        from_record({**EMPTY.record(), "labels": {"Ohio": 3}}, where="x")


def test_blank_surfaces_are_not_learnt():
    assert learn([example("x", unaligned=(("A", ""), ("A", " \n")))]) == EMPTY


def test_unannotated_examples_are_refused():
    with pytest.raises(DataError, match="example 'e7' has no spans"):
        learn([Example(id="e7", text="x")])
