"""Long examples are found by a tokenizer's count, or by an estimate from words that is as documented."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fintune.data.checks.base import Limits
from fintune.data.checks.length import estimate
from fintune.records import Answer, Example


def test_the_limit_itself_still_fits(checked, spans) -> None:
    long = Example("long", "Word " * 13, spans=())
    assert checked([*spans, long], "spans", limits=Limits(max_tokens=18)) == {}  # 13 * 1.4 = 18.2
    found = checked([*spans, long], "spans", limits=Limits(max_tokens=17))
    assert list(found) == ["D501"]
    assert "more than 17 tokens by estimate, the longest of 18" in found["D501"].message
    assert found["D501"].examples == ("long",)


def test_a_tokenizer_replaces_the_estimate(checked, spans) -> None:
    longest = max(len(example.text) for example in spans)
    assert checked(spans, "spans", tokens=len, limits=Limits(max_tokens=longest)) == {}
    found = checked(spans, "spans", tokens=len, limits=Limits(max_tokens=longest - 1))
    assert list(found) == ["D501"]
    assert f"of more than {longest - 1} tokens, the longest of {longest}" in found["D501"].message


def test_the_question_counts(checked) -> None:
    example = Example("q", "a b c d e", question="f g h i j", answer=Answer(0, "a"))
    assert list(checked([example], "answer", limits=Limits(max_tokens=10))) == ["D501"]


@given(st.lists(st.sampled_from(["net", "loss,", "widened", "5%", "é"]), max_size=60))
def test_the_estimate_is_a_multiple_of_the_words(words: list[str]) -> None:
    assert estimate("  ".join(words), 1.4) == round(1.4 * len(words))


def test_ideographs_are_words_of_their_own() -> None:
    assert estimate("央行 cut rates，日本", 1.0) == 6  # 央 行 cut rates， 日 本
