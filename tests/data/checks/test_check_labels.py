"""Foreign, rare and unused labels are named with the label that was meant, and the floor is the majority's share."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fintune.data.check import check
from fintune.data.checks.base import Limits
from fintune.data.checks.labels import NAMED, like
from fintune.records import Example, Span

SEVEN = ("Company", "Date", "Location", "Money", "Person", "Product", "Quantity")


@pytest.mark.parametrize(
    ("label", "meant"),
    [("company", "Company"), ("COMPANY", "Company"), ("PER", "Person"), ("LOC", "Location"), ("Companies", "Company"), ("Persn", "Person"),
     ("P", ""), ("ORG", ""), ("", ""), ("MISC", ""), ("DateTime", "Date")],
)  # fmt: skip
def test_the_label_that_was_meant(label: str, meant: str) -> None:
    assert like(label, SEVEN) == meant


def test_a_label_outside_the_set_gets_a_rename(checked, spans) -> None:
    foreign = [replace(spans[at], spans=(replace(spans[at].spans[0], label="ALPHA"), *spans[at].spans[1:])) for at in (3, 6)]
    mixed = [*spans[:3], foreign[0], *spans[4:6], foreign[1], *spans[7:]]
    found = checked(mixed, "spans", ignore=["D402"])
    assert list(found) == ["D401"]
    assert (found["D401"].count, found["D401"].examples) == (2, ("s3", "s6"))
    assert found["D401"].fix.startswith("give --rename ALPHA=Alpha")
    assert checked(mixed, "spans", labels=None, ignore=["D402"]) == {}, "without a set any label will do"


def test_unaligned_mentions_have_labels_too(checked, spans) -> None:
    planted = replace(spans[0], unaligned=(("Omega", "x"),))
    assert set(checked([planted, *spans[1:]], "spans")) == {"D305", "D401"}


def test_many_foreign_labels_are_counted_together_after_the_first(labelled) -> None:
    foreign = [replace(example, label=f"class-{at:02}") for at, example in enumerate(labelled[:25])]
    found = check({"train": labelled + foreign}, kind="label", labels=("Alpha", "Beta", "Gamma"), select=["D401"])
    assert len(found) == NAMED + 1
    assert found[-1].message.startswith(f"{25 - NAMED} more labels")
    assert sum(finding.count for finding in found) == 25


def test_labels_with_little_support(checked, labelled) -> None:
    few = [example for at, example in enumerate(labelled) if example.label != "Gamma" or at < 27]  # nine of Gamma
    found = checked(few, "label")
    assert list(found) == ["D402"]
    assert "Gamma 9" in found["D402"].message
    assert found["D402"].count == 9
    assert checked(few, "label", limits=Limits(support=9)) == {}


def test_support_is_counted_in_the_training_split(checked, labelled) -> None:
    splits = {"train": labelled[:24], "test": labelled[24:]}
    assert list(checked(splits, "label")) == ["D402"]
    assert list(checked({"test": labelled[24:], "train": labelled[:24]}, "label")) == ["D402"]


def test_labels_that_never_occur(checked, labelled) -> None:
    found = checked(labelled, "label", labels=("Alpha", "Beta", "Gamma", "Delta"))
    assert list(found) == ["D403"]
    assert "1 label without an example to learn from: Delta" in found["D403"].message
    assert found["D403"].count == 0
    only_tested = [replace(example, label="Delta") for example in labelled[80:]]
    found = checked({"train": labelled[:80], "test": only_tested}, "label", labels=None)
    assert list(found) == ["D403"]
    assert found["D403"].count == 10


def test_the_floor_is_the_majority_of_each_split(labelled) -> None:
    splits = {"train": [*labelled, replace(labelled[0], id="more", text="One more text of its own.")], "test": labelled[:4]}
    (found,) = check(splits, kind="label", labels=("Alpha", "Beta", "Gamma"), select=["D404"])
    assert found.severity == "info"
    assert "34.1% of train (Alpha), 50.0% of test (Alpha)" in found.message


def test_answers_have_no_labels(checked, answered) -> None:
    assert checked(answered, "answer", labels=("Alpha",)) == {}
    assert checked([Example("e", "Nothing in it.", spans=(Span(0, 7, "Zeta"),))], "answer", select=["D4"]) == {}


USUAL = {"negative": 0.13, "neutral": 0.59, "positive": 0.28}


def shared(counts: dict[str, int]) -> list[Example]:
    labels = [label for label, count in counts.items() for _ in range(count)]
    return [Example(str(n), f"text {n}", label=label, where=f"x:{n}") for n, label in enumerate(labels)]


def test_labels_that_changed_places_are_told_by_their_usual_shares() -> None:
    swapped = shared({"positive": 59, "neutral": 28, "negative": 13})
    (found,) = check({"train": swapped}, kind="label", labels=tuple(USUAL), shares=USUAL, select=["D405"])
    assert (found.count, found.severity) == (87, "warning")
    assert "neutral 28% (usually 59%), positive 59% (usually 28%)" in found.message
    assert "--rename neutral=positive --rename positive=neutral" in found.fix


@pytest.mark.parametrize(
    "counts",
    [
        {"neutral": 59, "positive": 28, "negative": 13},
        {"neutral": 65, "positive": 20, "negative": 15},  # close to the usual
        {"neutral": 34, "positive": 33, "negative": 33},  # unlike it, and no exchange would help
        {"positive": 50, "neutral": 40, "negative": 10},  # an exchange would help, but the data are not so unlike
        {"positive": 12, "neutral": 6, "negative": 3},  # too few
        {"neutral": 28, "up": 59, "negative": 13},  # of another set
    ],
)
def test_labels_that_did_not_are_left_alone(counts: dict[str, int]) -> None:
    assert check({"train": shared(counts)}, kind="label", labels=tuple(USUAL), shares=USUAL, select=["D405"]) == []


def test_without_usual_shares_nothing_is_said_of_exchanged_labels() -> None:
    assert check({"train": shared({"positive": 59, "neutral": 28, "negative": 13})}, kind="label", select=["D405"]) == []
