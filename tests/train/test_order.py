"""Balanced order: each label alike often, every example of a rare label in turn, and a pure function of seed and epoch."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fintune.train.order import balanced, batches

labels = st.lists(st.sampled_from("aaaaabbc"), min_size=1, max_size=60)


@given(labels, st.integers(0, 3))
def test_labels_come_alike_often_and_their_members_in_turn(given_: list[str], epoch: int) -> None:
    drawn = balanced(given_, seed=1, epoch=epoch)
    assert len(drawn) == len(given_)
    by_label = Counter(given_[i] for i in drawn)
    assert max(by_label.values()) - min(by_label.values()) <= 1
    assert by_label.keys() == set(given_) or len(given_) < len(set(given_))
    for label in by_label:
        times = Counter(i for i in drawn if given_[i] == label)
        everyone = [times[i] for i in range(len(given_)) if given_[i] == label]
        assert max(everyone) - min(everyone) <= 1
    assert drawn == balanced(given_, seed=1, epoch=epoch)


def test_batches_hold_the_balanced_draw_and_no_other() -> None:
    known = ["a"] * 30 + ["b"] * 10
    made = batches([n % 7 for n in range(40)], batch_size=8, seed=3, epoch=2, group=2, labels=known)
    assert sorted(i for batch in made for i in batch) == sorted(balanced(known, seed=3, epoch=2))
    plain = batches([n % 7 for n in range(40)], batch_size=8, seed=3, epoch=2, group=2)
    assert sorted(i for batch in plain for i in batch) == list(range(40))
    assert balanced(known, seed=3, epoch=2) != balanced(known, seed=3, epoch=3) != balanced(known, seed=4, epoch=3)
