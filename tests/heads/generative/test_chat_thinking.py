"""Think blocks: where the model is to leave them empty, where it is to fill them, and where it cannot."""

from __future__ import annotations

from typing import Any

import pytest

import chatting
from fintune.errors import RecipeError
from fintune.heads.generative.chat import Chat

QUESTION = {"role": "user", "content": "How much?"}
SHOWN = [{"role": "user", "content": "Up?"}, {"role": "assistant", "content": "yes"}]
CLOSED = chatting.MARKED.replace("assistant\n' }}{% endif %}", "assistant\n<think>\n\n</think>\n\n' }}{% endif %}")
OPENED = chatting.MARKED.replace("assistant\n' }}{% endif %}", "assistant\n<think>' }}{% endif %}")
SWITCHED = chatting.MARKED.replace(
    "assistant\n' }}{% endif %}", "assistant\n' }}{% if enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)


def chat(tokenizer: Any, thinking: str = "auto", known: str = "") -> Chat:
    return Chat(tokenizer, template="own", thinking=thinking, known=known)


def answer(made: Chat, reasoning: str | None = None) -> str:
    """What the model writes, with its marks and its end."""
    prompt, whole = made.prompt([*SHOWN, QUESTION]), made.conversation([*SHOWN, QUESTION], "5 %", reasoning)
    assert whole.ids[: len(prompt.ids)] == prompt.ids
    return whole.text[len(prompt.text) :]


@pytest.mark.parametrize("thinking", ["auto", "empty"])
@pytest.mark.parametrize("name", ["qwen3", "r1-llama", "r1-qwen"])
def test_real_models_that_think_answer_after_an_empty_block(name: str, thinking: str) -> None:
    made = chat(chatting.real(name), thinking)
    assert made.thinking == "empty"
    assert made.prompt([*SHOWN, QUESTION]).text.endswith("<think>\n\n</think>\n\n")
    assert made.prompt([*SHOWN, QUESTION]).text.count("<think>") == 1
    assert answer(made).startswith("5 %<")


def test_qwens_empty_block_is_that_of_its_own_switch() -> None:
    tokenizer = chatting.real("qwen3")
    messages = [*SHOWN, QUESTION]
    own = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False, enable_thinking=False)
    assert chat(tokenizer).prompt(messages).ids == tuple(own)


def test_qwens_reasoning_is_that_of_its_own_template() -> None:
    tokenizer = chatting.real("qwen3")
    made = chat(tokenizer, "reason")
    said = {"role": "assistant", "content": "5 %", "reasoning_content": "10 of 200.\n\nSo 5 %."}
    natural = tokenizer.apply_chat_template([*SHOWN, QUESTION, said], return_dict=False)
    line_end = tokenizer("\n")["input_ids"]
    assert [*made.conversation([*SHOWN, QUESTION], "5 %", said["reasoning_content"]).ids, *line_end] == natural
    assert answer(made, "10 of 200.\n\nSo 5 %.") == "<think>\n10 of 200.\n\nSo 5 %.\n</think>\n\n5 %<|im_end|>"


@pytest.mark.parametrize("name", ["r1-llama", "r1-qwen"])
def test_r1_keeps_its_reasoning_although_its_template_deletes_it(name: str) -> None:
    tokenizer = chatting.real(name)
    said = {"role": "assistant", "content": "<think>\n10 of 200.\n</think>\n\n5 %"}
    assert "10 of 200" not in tokenizer.apply_chat_template([QUESTION, said], tokenize=False)
    made = chat(tokenizer, "reason")
    assert made.prompt([QUESTION]).text.endswith("<｜Assistant｜><think>\n")
    assert answer(made, "10 of 200.") == "10 of 200.\n</think>\n\n5 %<｜end▁of▁sentence｜>"
    assert made.conversation([QUESTION], "5 %", "10 of 200.").ids.count(tokenizer.convert_tokens_to_ids("<think>")) == 1


def test_a_target_with_the_words_of_a_mark_is_kept_whole_and_has_no_mark() -> None:
    tokenizer = chatting.real("r1-llama")
    made = chat(tokenizer, "none")
    target = "a </think> b <think> c"
    whole = made.conversation([{"role": "user", "content": "x </think> y"}, {"role": "assistant", "content": target}, QUESTION], target)
    marks = tokenizer.convert_tokens_to_ids(["<think>", "</think>"])
    assert whole.text.count(target) == 2
    assert sum(whole.ids.count(mark) for mark in marks) == 1  # the one the template opens


@pytest.mark.parametrize(
    ("template", "ending"),
    [
        (chatting.MARKED, "assistant\n"),
        (OPENED, "assistant\n<think>"),
        (CLOSED, "assistant\n<think>\n\n</think>\n\n"),
        (SWITCHED, "assistant\n"),
    ],
    ids=["absent", "open", "closed", "switched"],
)
def test_the_block_is_closed_once_whatever_the_template_says_of_it(template: str, ending: str) -> None:
    tokenizer = chatting.small("bytes-prefixed", template)
    assert chat(tokenizer, "none").prompt([QUESTION]).text.endswith(ending)
    empty = chat(tokenizer, "empty").prompt([QUESTION])
    assert empty.text.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    marks = tokenizer.convert_tokens_to_ids(["<think>", "</think>"])
    assert [token for token in empty.ids if token in marks] == marks


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (chatting.MARKED, "<think>\nbecause\n</think>\n\n5 %<|im_end|>"),
        (SWITCHED, "<think>\nbecause\n</think>\n\n5 %<|im_end|>"),
        (OPENED, "\nbecause\n</think>\n\n5 %<|im_end|>"),
    ],
    ids=["absent", "switched", "open"],
)
def test_reasoning_stands_between_marks(template: str, expected: str) -> None:
    tokenizer = chatting.small("bytes-prefixed", template)
    made = chat(tokenizer, "reason")
    assert answer(made, " because\n") == expected
    whole, prompt = made.conversation([QUESTION], "5 %", "because"), made.prompt([QUESTION])
    read = made.decode(whole.ids[len(prompt.ids) :])
    assert read == expected.removesuffix("<|im_end|>")
    ids = {literal: tokenizer.convert_tokens_to_ids(literal) for literal in ("<think>", "</think>")}
    assert [whole.ids.count(i) for i in ids.values()] == [1, 1]
    assert all(whole.supervised[len(prompt.ids) :])


@pytest.mark.parametrize(
    ("template", "thinking", "known", "fix"),
    [(CLOSED, "reason", "", "closes the think block itself"), (chatting.MARKED, "always", "", "unknown thinking 'always'")],
)
def test_what_cannot_be_is_refused(template: str, thinking: str, known: str, fix: str) -> None:
    with pytest.raises(RecipeError, match=rf"prompt\.thinking: .*{fix}"):
        chat(chatting.small("unigram", template), thinking, known)


@pytest.mark.parametrize(("thinking", "known"), [("empty", ""), ("empty", "none"), ("auto", "always"), ("auto", "enable_thinking")])
def test_an_empty_block_needs_marks(thinking: str, known: str) -> None:
    with pytest.raises(RecipeError, match=r"prompt\.thinking: no empty think block .*set prompt\.thinking=none"):
        chat(chatting.unmarked(), thinking, known)


def test_models_without_marks_reason_under_headings() -> None:
    made = chat(chatting.unmarked(), "reason")
    assert answer(made, "10 of 200.") == "## Thinking\n\n10 of 200.\n\n## Final Response\n\n5 %<|im_end|>"


@pytest.mark.parametrize(
    ("template", "known", "expected"),
    [
        (chatting.MARKED, "", "none"),
        (chatting.MARKED, "none", "none"),
        (chatting.MARKED, "always", "empty"),
        (chatting.MARKED, "enable_thinking", "empty"),
        (SWITCHED, "", "empty"),
        (SWITCHED, "none", "none"),
        (CLOSED, "", "empty"),
    ],
)
def test_what_thinks_is_known_from_the_catalog_or_told_from_the_template(template: str, known: str, expected: str) -> None:
    tokenizer = chatting.small("unigram", template)
    assert chat(tokenizer, "auto", known).thinking == expected
    assert Chat(tokenizer, template="plain", thinking="auto", known=known).thinking == "none"


def test_an_unmarked_vocabulary_does_not_think() -> None:
    assert chat(chatting.unmarked(SWITCHED), "auto").thinking == "none"
