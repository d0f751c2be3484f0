"""Every method divides all examples and tears nothing apart; each keeps its own promise on generated data."""

from __future__ import annotations

import csv
import hashlib
import os
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fintune.data.check import check
from fintune.data.methods import identity, strata
from fintune.data.near import Index, normalise
from fintune.data.split import FINDINGS, Split, split
from fintune.errors import DataError, UsageError
from fintune.records import Answer, Example, Meta, Span

DATA = Path(os.environ.get("FINTUNE_DATA", "../shared/data"))
GROUPED = ("stratified", "group", "time", "hash")
FRACTIONS = st.sampled_from([(0.8, 0.1, 0.1), (0.5, 0.25, 0.25), (0.34, 0.33, 0.33), (0.9, 0.1, 0.0), (0.7, 0.0, 0.3), (1.0, 0.0, 0.0)])
START = datetime(2023, 1, 1, tzinfo=UTC)


@st.composite
def examples(draw: st.DrawFn, *, size: int = 24) -> list[Example]:
    """Unique ids, texts of few words so that copies and near duplicates abound, documents and times that repeat."""
    found = []
    for at in range(draw(st.integers(1, size))):
        text = " ".join(draw(st.lists(st.sampled_from("abcdefgh"), min_size=3, max_size=7)))
        meta = Meta(
            document=draw(st.sampled_from([None, "d1", "d2", "d3"])),
            group=draw(st.sampled_from([None, None, "g1", "g2"])) if at else "g1",
            published=(START + timedelta(hours=draw(st.integers(0, 12)))).isoformat(),
        )
        found.append(Example(f"id{at}", text, label=draw(st.sampled_from("xxxyyz")), meta=meta))
    return found


def distinct(count: int, **changes: Callable[[int], object]) -> list[Example]:
    """Examples whose texts have nothing in common."""
    rows = [Example(f"e{at}", " ".join(hashlib.md5(f"{at}-{word}".encode()).hexdigest()[:6] for word in range(8))) for at in range(count)]
    return [replace(row, **{name: change(at) for name, change in changes.items()}) for at, row in enumerate(rows)]


def sides(divided: Split) -> dict[str, str]:
    return {example.id: name for name, part in divided.parts().items() for example in part}


@settings(max_examples=150, deadline=None)
@given(rows=examples(), fractions=FRACTIONS, seed=st.integers(0, 3), method=st.sampled_from(["paper", *GROUPED]))
def test_every_example_is_in_exactly_one_split(rows: list[Example], fractions: tuple[float, float, float], seed: int, method: str) -> None:
    divided = split(rows, method=method, fractions=fractions, seed=seed)
    assert sorted(map(id, [*divided.train, *divided.validation, *divided.test])) == sorted(map(id, rows))
    assert all(fraction or not part for fraction, part in zip(fractions, divided.parts().values(), strict=True))
    assert split(rows, method=method, fractions=fractions, seed=seed) == divided
    assert all(finding.code in FINDINGS or finding.code in ("D202", "D204") for finding in divided.findings)
    if method != "paper":
        order = {id(row): at for at, row in enumerate(rows)}
        assert all(list(part) == sorted(part, key=lambda row: order[id(row)]) for part in divided.parts().values())


@settings(max_examples=150, deadline=None)
@given(rows=examples(), fractions=FRACTIONS, threshold=st.sampled_from([0.4, 0.7, 1.0]), method=st.sampled_from(GROUPED))
def test_copies_and_near_duplicates_are_never_torn_apart(
    rows: list[Example], fractions: tuple[float, float, float], threshold: float, method: str
) -> None:
    divided = split(rows, method=method, fractions=fractions, threshold=threshold)
    side = sides(divided)
    for pair in Index.of(row.text for row in rows).pairs(threshold=threshold):
        assert side[rows[pair.first].id] == side[rows[pair.second].id]
    homes: dict[str, set[str]] = {}
    for row in rows:
        homes.setdefault(normalise(row.text), set()).add(side[row.id])
    assert all(len(found) == 1 for found in homes.values())
    if threshold == 0.7:
        assert check(divided.parts(), kind="label", select=["D202", "D204"]) == []


def test_texts_without_words_are_copies_too() -> None:
    rows = [*distinct(30, label=lambda at: "x"), *[Example(f"p{at}", "...", label="x") for at in range(6)]]
    for method in ("stratified", "hash"):
        assert len({sides(split(rows, method=method, fractions=(0.4, 0.3, 0.3)))[f"p{at}"] for at in range(6)}) == 1


@settings(max_examples=100, deadline=None)
@given(data=st.data(), rows=examples(), method=st.sampled_from(["stratified", "group", "time"]), seed=st.integers(0, 2))
def test_the_order_of_the_data_does_not_matter(data: st.DataObject, rows: list[Example], method: str, seed: int) -> None:
    turned = data.draw(st.permutations(rows))
    assert sides(split(turned, method=method, seed=seed)) == sides(split(rows, method=method, seed=seed))


def test_another_seed_is_another_split() -> None:
    rows = distinct(60, label=lambda at: "xy"[at % 2], meta=lambda at: Meta(document=f"d{at}"))
    for method in ("paper", "stratified", "group", "hash"):
        assert sides(split(rows, method=method, seed=1)) != sides(split(rows, method=method, seed=2)), method


# paper


def test_the_papers_shuffle_is_that_of_the_module() -> None:
    rows = distinct(50)
    expected = list(rows)
    random.seed(42)
    random.shuffle(expected)
    divided = split(rows, method="paper")
    assert [*divided.train, *divided.validation, *divided.test] == expected


def test_the_papers_sizes() -> None:
    """2,117 rows are cut at 1,693 and 1,904. (int(0.9 * 2117) would be 1,905: validation is int(0.1 * n) rows.)"""
    rows = [Example(str(at), str(at)) for at in range(2117)]
    divided = split(rows, method="paper")
    assert [len(part) for part in divided.parts().values()] == [1693, 211, 213]
    assert [len(part) for part in split(rows, method="paper", fractions=(0.8, 0.2, 0.0)).parts().values()] == [1693, 424, 0]
    assert [len(part) for part in split(rows[:1693], method="paper").parts().values()] == [1354, 169, 170]


def test_the_papers_split_reports_what_it_tears_apart() -> None:
    """One text ninety times and its near duplicates: wherever the cuts fall, copies stand on both sides."""
    text = "a b c d e f g h i j k l"
    rows = [Example(str(at), text if at % 2 else f"{text} {at}") for at in range(180)]
    found = {finding.code for finding in split(rows, method="paper").findings}
    assert {"D202", "D204"} <= found
    assert split(distinct(40), method="paper").findings == ()


def test_the_papers_validation_file_has_that_many_rows() -> None:
    path = DATA / "ner" / "fire7_val.csv"
    if not path.is_file():
        pytest.skip(f"{path} is not here; set FINTUNE_DATA to the folder with the data")
    with open(path, encoding="utf-8", newline="") as lines:
        published = len(list(csv.DictReader(lines)))
    assert len(split([Example(str(at), str(at)) for at in range(2117)], method="paper").validation) == published


# stratified


@settings(max_examples=100, deadline=None)
@given(labels=st.lists(st.sampled_from("aaaaabbbc"), min_size=1, max_size=60), fractions=FRACTIONS, seed=st.integers(0, 5))
def test_each_label_is_divided_as_asked(labels: list[str], fractions: tuple[float, float, float], seed: int) -> None:
    """Greedy filling of what is wanted most overshoots a split by less than one example."""
    rows = distinct(len(labels), label=lambda at: labels[at])
    divided = split(rows, method="stratified", fractions=fractions, seed=seed)
    total = Counter(labels)
    for part, fraction in zip(divided.parts().values(), fractions, strict=True):
        found = Counter(example.label for example in part)
        for label, count in total.items():
            assert -2 < found[label] - fraction * count < 1 + 1e-9


def test_rare_span_labels_reach_every_split() -> None:
    """Twenty examples of a rare label beside a thousand of a frequent one: chance alone would often leave a split without."""
    spans = [Span(0, 3, "Money")]
    rows = distinct(1000, spans=lambda at: tuple([*spans, Span(4, 6, "Product")] if at % 50 == 7 else spans if at % 4 else ()))
    for seed in range(5):
        divided = split(rows, method="stratified", seed=seed)
        products = [sum("Product" in strata(example) for example in part) for part in divided.parts().values()]
        assert products == [16, 2, 2]
        assert [len(part) for part in divided.parts().values()] == [800, 100, 100]
        assert divided.findings == ()


def test_what_is_balanced() -> None:
    assert strata(Example("1", "t", label="x", spans=(Span(0, 1, "A"),))) == {"x"}
    assert strata(Example("1", "t", spans=(Span(0, 1, "A"), Span(0, 1, "A")), unaligned=(("B", "?"),))) == {"A", "B"}
    assert strata(Example("1", "t", question="?")) == {"unanswerable"}
    assert strata(Example("1", "t", question="?", answer=Answer(0, "t"))) == {"answerable"}
    assert strata(Example("1", "t")) == set()


def test_a_label_that_a_split_lacks_is_told() -> None:
    rows = distinct(100, label=lambda at: "rare" if at < 2 else "often")
    divided = split(rows, method="stratified")
    lacking = [name for name, part in divided.parts().items() if all(example.label != "rare" for example in part)]
    assert lacking
    assert [finding.message.split()[0] for finding in divided.findings if finding.code == "S103"] == lacking


# group


@settings(max_examples=100, deadline=None)
@given(rows=examples(), fractions=FRACTIONS, seed=st.integers(0, 3))
def test_no_group_and_no_document_is_torn_apart(rows: list[Example], fractions: tuple[float, float, float], seed: int) -> None:
    divided = split(rows, method="group", fractions=fractions, seed=seed)
    assert check(divided.parts(), kind="label", select=["D206"]) == []
    alone = [row for row in rows if row.meta.group is None and row.meta.document is None]
    assert sum(finding.count for finding in divided.findings if finding.code == "S106") == len(alone)


@given(sizes=st.lists(st.integers(1, 6), min_size=20, max_size=40), seed=st.integers(0, 5))
@settings(max_examples=50, deadline=None)
def test_groups_fill_the_splits_to_within_a_group(sizes: list[int], seed: int) -> None:
    owners = [f"d{at}" for at, size in enumerate(sizes) for _ in range(size)]
    rows = distinct(len(owners), meta=lambda at: Meta(document=owners[at]))
    divided = split(rows, method="group", seed=seed)
    for part, fraction in zip(divided.parts().values(), (0.8, 0.1, 0.1), strict=True):
        assert abs(len(part) - fraction * len(rows)) < 2 * max(sizes)


def test_a_group_larger_than_a_split_is_told() -> None:
    rows = distinct(100, meta=lambda at: Meta(group="large" if at < 60 else f"g{at}"))
    for seed in range(8):  # whatever comes first by chance, the large one is placed while there is room
        divided = split(rows, method="group", seed=seed)
        assert {sides(divided)[f"e{at}"] for at in range(60)} == {"train"}
        assert [len(part) for part in divided.parts().values()] == [80, 10, 10]
    (found,) = divided.findings
    assert (found.code, found.count) == ("S101", 60)
    assert "60 examples, more than test should have (10)" in found.message


def test_groups_are_needed() -> None:
    with pytest.raises(DataError, match=r"f\.jsonl:1: no example has a group or a document; give meta\.group"):
        split([Example("1", "a", where="f.jsonl:1")], method="group")


# time


@settings(max_examples=150, deadline=None)
@given(rows=examples(), fractions=FRACTIONS)
def test_train_never_knows_the_future(rows: list[Example], fractions: tuple[float, float, float]) -> None:
    """Whatever stands together counts as its latest member: units are ordered, and only old members lag behind."""
    divided = split(rows, method="time", fractions=fractions)
    latest: dict[str, str] = {}
    joined = Index.of(row.text for row in rows).groups()
    joined.join_equal(normalise(row.text) for row in rows)
    joined.join_equal(row.meta.document for row in rows)
    for members in joined.sets():
        time = max(rows[member].meta.published or "" for member in members)
        latest |= {rows[member].id: time for member in members}
    parts = [part for part in divided.parts().values() if part]
    for at, later in enumerate(parts):
        for earlier in parts[:at]:
            assert max(latest[row.id] for row in earlier) < min(latest[row.id] for row in later)
    lagging = sum(
        any((row.meta.published or "") <= max(latest[other.id] for other in earlier) for earlier in parts[:at])
        for at, later in enumerate(parts)
        for row in later
    )
    assert sum(finding.count for finding in divided.findings if finding.code == "S105") == lagging


def test_cuts_are_as_near_to_the_fractions_as_equal_times_allow() -> None:
    hours = [0] * 75 + [1] * 10 + [2] * 6 + [3] * 9
    rows = distinct(100, meta=lambda at: Meta(published=(START + timedelta(hours=hours[at])).isoformat()))
    assert [len(part) for part in split(rows, method="time").parts().values()] == [75, 16, 9]
    assert [len(part) for part in split(rows, method="time", fractions=(0.9, 0.1, 0.0)).parts().values()] == [91, 9, 0]


def test_times_are_compared_in_utc_and_by_day_where_one_is_a_date() -> None:
    def published(*times: str) -> list[str]:
        rows = distinct(len(times), meta=lambda at: Meta(published=times[at]))
        return [sides(split(rows, method="time", fractions=(0.5, 0.0, 0.5)))[row.id] for row in rows]

    assert published("2024-01-02T00:30:00+02:00", "2024-01-01T23:00:00Z") == ["train", "test"]
    assert published("2024-01-01T12:00:00", "2024-01-01T11:59:59Z") == ["test", "train"]
    assert published("2024-01-01T12:00:00Z", "2024-01-01T13:00:00Z", "2024-01-02", "2024-01-03") == ["train", "train", "test", "test"]
    assert published("2024-01-02T12:00:00Z", "2024-01-02", "2024-01-01", "2024-01-02T13:00:00Z") == ["test", "test", "train", "test"]


def test_times_are_needed_and_must_be_readable() -> None:
    rows = distinct(4, meta=lambda at: Meta(published="2024-01-01" if at else None), where=lambda at: f"f.jsonl:{at + 1}")
    with pytest.raises(DataError, match=r"^f\.jsonl:1: 1 example without a publication time .*; give meta\.published"):
        split(rows, method="time")
    with pytest.raises(DataError, match=r"^f\.jsonl:1: publication time 'Friday' .*; write it like 2024-03-31"):
        split([replace(rows[0], meta=Meta(published="Friday"))], method="time")


# hash


@settings(max_examples=150, deadline=None)
@given(rows=examples(), data=st.data(), fractions=FRACTIONS)
def test_appended_examples_move_none_but_those_they_connect(
    rows: list[Example], data: st.DataObject, fractions: tuple[float, float, float]
) -> None:
    kept = data.draw(st.integers(1, len(rows)))
    before, after = (sides(split(some, method="hash", fractions=fractions)) for some in (rows[:kept], rows))

    def leaders(some: Sequence[Example]) -> list[int]:
        joined = Index.of(row.text for row in some).groups()
        joined.join_equal(normalise(row.text) for row in some)
        return joined.firsts()

    new = leaders(rows)
    for at, old in enumerate(leaders(rows[:kept])):
        assert new[at] != old or before[rows[at].id] == after[rows[at].id]


def test_an_example_goes_where_it_goes_whatever_else_is_there() -> None:
    rows = distinct(200)
    side = sides(split(rows, method="hash"))
    assert all(sides(split([row], method="hash"))[row.id] == side[row.id] for row in rows)
    assert sides(split(rows[::-3], method="hash")).items() <= side.items()


def test_hash_fractions_are_met_on_many() -> None:
    divided = split(distinct(4000), method="hash", fractions=(0.6, 0.3, 0.1))
    assert [len(part) / 4000 for part in divided.parts().values()] == pytest.approx([0.6, 0.3, 0.1], abs=0.03)


@pytest.mark.parametrize(
    ("made", "where"), [("train:7", "data/train.csv:7"), ("train:7", "train.jsonl.gz:7"), ("-:7", "-:7"), ("fire:7", "me/fire:7")]
)
def test_ids_made_of_file_and_line_give_way_to_the_text(made: str, where: str) -> None:
    assert identity(Example(made, "Some  text", where=where)) == "text\0Some text"


@pytest.mark.parametrize(("given_", "where"), [("train:7", "train.csv:8"), ("x:7", "train.csv:7"), ("7", "train.csv:7"), ("train:7", "")])
def test_other_ids_are_kept(given_: str, where: str) -> None:
    assert identity(Example(given_, "Some text", where=where)) == f"id\0{given_}"


def test_moving_lines_of_a_file_without_ids_moves_no_example() -> None:
    texts = [row.text for row in distinct(50)]

    def read(order: list[str]) -> dict[str, str]:
        rows = [Example(f"f:{line}", text, where=f"f.txt:{line}") for line, text in enumerate(order, start=1)]
        return {example.text: name for name, part in split(rows, method="hash").parts().items() for example in part}

    assert read(texts[::-1]) == read(texts)


# what all refuse and report


@pytest.mark.parametrize(
    "fractions",
    [(0.8, 0.1), (0.8, 0.1, 0.2), (1.1, -0.1, 0.0), (0.0, 0.5, 0.5), (float("nan"), 0.5, 0.5), (80, 10, 10), (0.25, 0.25, 0.25, 0.25)],
)
def test_wrong_fractions_are_refused_in_one_line(fractions: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match=r"^fractions: fractions .*; give ") as caught:
        split(distinct(10), method="hash", fractions=fractions)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_unknown_methods_and_empty_data_are_refused() -> None:
    with pytest.raises(UsageError, match="unknown split method 'stratify'; did you mean 'stratified'"):
        split(distinct(3), method="stratify")
    for method in ("paper", *GROUPED):
        with pytest.raises(DataError, match="no examples to split"):
            split([], method=method)


def test_empty_and_ill_sized_splits_are_told() -> None:
    rows = [Example(str(at), "always the very same text", label="x") for at in range(20)]
    found = {finding.code: finding for finding in split(rows, method="stratified").findings}
    assert {"S101", "S102", "S104", "S107"} <= found.keys()
    assert "train has 100.0% instead of 80.0%" in found["S102"].message
    assert "20 examples in 1 group" in found["S104"].message
    assert found["S107"].message.startswith("validation is empty") or found["S107"].message.startswith("test is empty")
