"""Any answer that is written is read back, alone and after reasoning; what models write around it is taken off and said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintune.tasks import final_answer
from fintune.tasks.final_answer import UnreadableError, read, says_nothing, written

PIECES = [
    "Answer:", "answer is", "the final answer is 5.", "\\boxed{", "}", "</think>", "<think>", "## Thinking", "## Final Response", "\n", " ",
    "*", "14.2%", "no answer", ".", "net sales", "`", "\u2028",
]  # fmt: skip
any_text = st.text(max_size=20) | st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
answers = any_text.map(str.strip).filter(lambda text: text and not says_nothing(text))
reasoning = st.text(max_size=40).filter(lambda text: "#" not in text and not text.lstrip().startswith("Answer:"))


@given(answers)
def test_an_answer_is_read_back(answer):
    assert read(written(answer)) == (answer, "")


@given(answers, reasoning, st.sampled_from(["<think>\n{}\n</think>\n\n", "{}\n</think>\n\n", "## Thinking\n\n{}\n\n## Final Response\n\n"]))
def test_reasoning_before_it_changes_nothing(answer, thought, layout):
    assert read(layout.replace("{}", thought) + written(answer)) == (answer, "")


@given(any_text)
def test_whatever_is_written_is_read_or_refused(raw):
    try:
        answer, _ = read(raw)
    except UnreadableError:
        return
    assert answer is None or answer.strip() == answer != ""


@given(answers)
def test_usual_answers_are_written_as_they_are(answer):
    plain = not any(piece in answer for piece in ("swer", "boxed", "think", "##")) and answer == answer.strip("*_` \t\r\n")
    assert (written(answer) == answer) >= plain


@pytest.mark.parametrize(
    ("raw", "answer", "note"),
    [
        ("  14.2%\n", "14.2%", ""),
        ("no answer", None, ""),
        ("No answer.", None, "read as 'no answer'"),
        ("Answer: no answer", None, "'Answer:' before the answer"),
        ("Answer: 14.2%\n\nExplanation: it rose.", "14.2%", "'Answer:' before the answer"),
        ("It rose.\nThe final answer is **14.2%**.", "14.2%", "taken out of a sentence"),
        ("**Final Answer**: 14.2%", "14.2%", "taken out of a sentence"),
        ("So the answer is: 3\nno, the answer = 5 million.", "5 million", "taken out of a sentence"),
        ("Thus \\boxed{14.2\\%} holds, not \\boxed{\\text{yes}}", "\\text{yes}", "taken out of a box"),
        ("so $\\boxed{14.2\\%}$", "14.2%", "taken out of a box"),
        ("**14.2%**", "14.2%", "decoration around the answer"),
        ("<think>maybe 3</think>\\boxed{4", "\\boxed{4", ""),
        ("## thinking\n3\n## Final response: 4", "4", ""),
    ],
)
def test_what_stands_around_an_answer_is_taken_off_and_said(raw, answer, note):
    assert read(raw) == (answer, note)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", "no text"),
        (" \n", "no text"),
        ("Answer: ", "an announced answer that is empty"),
        ("<think>on and on", "thinking that never ends"),
        ("## Thinking\n\non and on", "thinking that never ends"),
        ("<think></think>", "nothing after the reasoning"),
        ("***", "marks without text"),
    ],
)
def test_text_without_an_answer(raw, reason):
    with pytest.raises(UnreadableError, match=reason):
        read(raw)


@pytest.mark.parametrize("unit", ["Answer: ", "answer:", "answer ", "answer is\n", "\\boxed{", "<think>", "## ", "*x", "*", "answer: *"])
def test_long_texts_take_linear_time(unit):
    """A quadratic reading would take hours here."""
    raw = unit * (400_000 // len(unit))
    try:
        read(raw)
    except UnreadableError:
        assert not raw.strip("*") or raw.startswith("<think>")


def test_nothing_is_a_text_like_any_other():
    assert read(final_answer.NOTHING) == (None, "")
