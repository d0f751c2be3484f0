from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fintune.records import Span
from fintune.text.words import grain_of, words


@given(st.text(max_size=80))
def test_words_partition_what_is_visible(text: str) -> None:
    for grain in ("fine", "coarse"):
        spots = words(text, grain)
        covered = [i for start, end in spots for i in range(start, end)]
        assert covered == sorted(set(covered))  # in order, none twice
        assert {i for i, c in enumerate(text) if not c.isspace()} == set(covered)


@given(st.text(alphabet="ab1.,'-$( 中한é", max_size=60))
def test_coarse_words_are_joined_fine_words(text: str) -> None:
    fine, coarse = words(text, "fine"), words(text, "coarse")
    assert {start for start, _ in coarse} <= {start for start, _ in fine}
    assert {end for _, end in coarse} <= {end for _, end in fine}


def test_what_stays_together() -> None:
    text = "Kennecott's coal-fired $1.2bn (China's), 中国2023年"
    assert [text[a:b] for a, b in words(text, "coarse")] == [
        "Kennecott's", "coal-fired", "$", "1.2bn", "(", "China's", ")", ",", "中", "国", "2023", "年",
    ]  # fmt: skip
    assert [text[a:b] for a, b in words(text[:11])] == ["Kennecott", "'", "s"]


def test_grain_follows_the_annotation() -> None:
    text = "Brask's shares rose"
    whole, name = Span(0, 7, "Company"), Span(0, 5, "Company")
    assert grain_of([(text, [whole])]) == "coarse"
    assert grain_of([(text, [name])]) == "fine"
    assert grain_of([(text, [])]) == "fine"  # nothing speaks for coarse words
    assert grain_of([(text, [whole])] * 1000 + [(text, [name])]) == "coarse"  # a slip
    assert grain_of([(text, [whole])] * 500 + [(text, [name])]) == "fine"
