"""The queue holds exactly what does not stand, least certain first, and can be read again."""

from __future__ import annotations

import json

from fintune.data.review import queue, stands
from fintune.records import Example, Prediction

LABELS = ("down", "up")


def guess(name: str, up: float | None) -> Prediction:
    if up is None:
        return Prediction(name, "text", status="malformed", raw="?")
    return Prediction(name, "text", label="up" if up > 0.5 else "down", probabilities=(1 - up, up), confidence=max(up, 1 - up))


def test_what_is_too_uncertain_waits_with_what_could_not_be_read() -> None:
    found = [guess("a", 0.75), guess("b", 0.95), guess("c", None), guess("d", 0.45), guess("e", 0.1)]
    examples = [Example(p.id, "text", label="up" if p.id in "ab" else None) for p in found]
    rows = [json.loads(line) for line in queue(examples, found, labels=LABELS, least=0.9).splitlines()]
    assert [row["id"] for row in rows] == ["c", "d", "a"]
    assert [row["gold"] for row in rows] == [None, None, "up"]
    assert rows[2]["probabilities"] == {"down": 0.25, "up": 0.75}
    assert {p.id for p in found if stands(p, 0.9)} == {"b", "e"}


def test_at_the_threshold_a_label_stands() -> None:
    assert queue([Example("a", "text")], [guess("a", 0.75)], labels=LABELS, least=0.75) == ""
