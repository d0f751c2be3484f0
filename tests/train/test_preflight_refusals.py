"""Each fault that trains nothing or the wrong thing is planted, and refused with the example, the reason and the mend; none is found
where there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from certified import CHARACTERS, Letters, LettersChat, LettersHead, altered, spanned, spans_task

from fintune.errors import DataError, FintuneError, GateError, RecipeError
from fintune.heads.generative.conversation import Conversation
from fintune.records import Example
from fintune.train.preflight_refusals import refuse

Items = list[Conversation]


def head(chat: LettersChat | None = None, target: str = "literal") -> LettersHead:
    return LettersHead(spans_task(target), chat or LettersChat())


def refused(of: LettersHead, items: Items, limit: int = 2000) -> FintuneError:
    """What the pre-flight says of the items."""
    with pytest.raises(FintuneError) as caught:
        refuse(of, of.task, items, limit=limit)
    error = caught.value
    assert error.why
    assert error.fix
    assert "\n" not in str(error)
    return error


@pytest.mark.parametrize("target", ["literal", "json", "compact"])
@pytest.mark.parametrize("thinking", ["none", "empty", "reason"])
def test_sound_conversations_pass(target, thinking):
    of = head(LettersChat(thinking=thinking), target)
    examples = [replace(e, reasoning="It says so." if thinking == "reason" else None) for e in spanned()]
    refuse(of, of.task, of.encode(examples), limit=2000)


def unsupervised(item: Conversation) -> Conversation:
    return altered(item, supervised=(False,) * item.length)


def all_supervised(item: Conversation) -> Conversation:
    return altered(item, supervised=(True,) * item.length)


def endless(item: Conversation) -> Conversation:
    assert item.full is not None
    return altered(item, supervised=(*item.full.supervised[:-1], False))


def ends_otherwise(item: Conversation) -> Conversation:
    assert item.full is not None
    return altered(item, ids=(*item.full.ids[:-1], 3))


def cut(item: Conversation) -> Conversation:
    assert item.full is not None
    full = item.full
    return altered(item, ids=full.ids[:-9], offsets=full.offsets[:-9], supervised=full.supervised[:-9])


def begun_twice(item: Conversation) -> Conversation:
    assert item.full is not None
    full, prompt = item.full, item.prompt
    again = {"offsets": ((0, 0), *full.offsets), "supervised": (False, *full.supervised)}
    doubled = replace(prompt, ids=(0, *prompt.ids), offsets=((0, 0), *prompt.offsets), supervised=(False, *prompt.supervised))
    return altered(replace(item, prompt=doubled), ids=(0, *full.ids), **again)


@pytest.mark.parametrize(
    ("plant", "kind", "what", "mend"),
    [
        (unsupervised, GateError, "nothing would be learnt: no token of its target is supervised", "gold annotation"),
        (all_supervised, GateError, "the prompt would be learnt", "mend the template"),
        (endless, GateError, "the end is not learnt: its last supervised token is not '<end>'", "an end token follows the answer"),
        (ends_otherwise, GateError, "the end is not learnt", "an end token follows the answer"),
        (cut, GateError, "the target is cut", "raise data.max_tokens"),
        (begun_twice, GateError, "the text begins twice: 2 of '<s>'", "take it out of the template"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
@pytest.mark.parametrize("place", [0, 3])
def test_a_planted_fault_is_refused(plant: Callable[[Conversation], Conversation], kind, what, mend, place):
    of = head()
    items = of.encode(spanned())
    error = refused(of, [plant(item) if n == place else item for n, item in enumerate(items)])
    assert isinstance(error, kind)
    assert what in error.what
    assert f"in example 'e{place}'" in error.what
    assert "more" not in error.what
    assert error.where == f"train.jsonl:{place + 1}"
    assert mend in error.fix


@pytest.mark.parametrize(("plant", "what"), [(unsupervised, "nothing"), (all_supervised, "the prompt"), (endless, "the end is not learnt")])
def test_heads_without_a_chat_are_looked_at_too(plant, what):
    of = head()
    bare: Any = SimpleNamespace(tokenizer=of.chat.tokenizer, end=of.chat.end)
    items = of.encode(spanned())
    refuse(bare, of.task, items, limit=2000)
    with pytest.raises(GateError, match=what):
        refuse(bare, of.task, [*items[:2], plant(items[2])], limit=2000)


def test_how_many_have_the_fault_is_said_and_who_they_are():
    of = head()
    error = refused(of, [unsupervised(item) for item in of.encode(spanned(12))])
    assert "in example 'e0', and 11 more: 'e1', 'e2', 'e3', 'e4', 'e5', 'e6' …" in error.what


def test_conversations_over_the_limit_are_named():
    of = head()
    items = of.encode(spanned())
    error = refused(of, items, limit=items[3].length - 1)
    assert isinstance(error, RecipeError)
    assert f"too long: {items[3].length} tokens, more than {items[3].length - 1}, in example 'e3', and 1 more: 'e4'" in error.what
    assert error.fix == "raise data.max_tokens, or set data.too_long=drop"


@pytest.mark.parametrize("padding", [1, 3])
def test_padding_that_ends_is_refused(padding):
    chat = LettersChat(padding=padding)
    of = head(chat)
    if padding == chat.end:
        error = refused(of, of.encode(spanned()))
        assert "padding is the end token '<end>'" in error.what
        assert "pad_token" in error.fix
    else:
        refuse(of, of.task, of.encode(spanned()), limit=2000)


class Steered(LettersChat):
    """Takes control tokens out of texts, as a tokenizer does that is left to itself."""

    def _letters(self, text: str) -> list[tuple[int, str]]:
        before, mark, after = text.partition("<user>")
        inside = [(self.tokenizer.ids[mark], mark)] if mark else []
        return [*super()._letters(before), *inside, *super()._letters(after)]


def test_control_tokens_from_a_text_are_refused():
    examples = [*spanned(2), Example("bad", "Acme <user> fell", spans=(), where="train.jsonl:9")]
    of = head(Steered())
    error = refused(of, of.encode(examples))
    assert isinstance(error, DataError)
    assert error.what == "the text holds control tokens: control tokens stand in its text, in example 'bad'"
    assert error.where == "train.jsonl:9"
    sound = head()
    refuse(sound, sound.task, sound.encode(examples), limit=2000)  # a literal that stays letters is text like any other


def test_control_tokens_in_a_target_are_refused():
    of = head()
    items = of.encode(spanned(2))
    assert items[1].full is not None
    place = len(items[1].prompt.ids) + 2
    ids = (*items[1].full.ids[:place], 3, *items[1].full.ids[place + 1 :])
    error = refused(of, [items[0], altered(items[1], ids=ids)])
    assert "the text holds control tokens: '<user>' stands in its target, in example 'e1'" in error.what


def test_a_think_block_that_should_be_empty_is_refused():
    examples = [replace(e, reasoning="Because.") for e in spanned(2)]
    of = head(LettersChat(thinking="empty"))
    error = refused(of, of.encode(examples))
    assert isinstance(error, DataError)
    assert "a think block would be learnt: <think> is supervised" in error.what
    assert "prompt.thinking=reason" in error.fix


@pytest.mark.parametrize("target", ["literal", "json", "compact"])
def test_a_target_that_the_vocabulary_cannot_write_is_refused(target):
    """As T5's, which has no braces."""
    chat = LettersChat(tokenizer=Letters(CHARACTERS.replace("{", "").replace("}", "")))
    of = head(chat, target)
    error = refused(of, of.encode(spanned()))
    assert isinstance(error, RecipeError)
    assert "the target does not come back from its tokens: characters ['{', '}'] are lost" in error.what
    assert "prompt.target" in error.fix


def test_a_target_that_comes_back_as_another_value_is_refused():
    class Lower(LettersChat):
        """Forgets capitals, and no character of the target altogether."""

        def decode(self, ids: Any) -> str:
            return super().decode(ids).replace("Acme", "Bcme")

    of = head(Lower())
    error = refused(of, of.encode(spanned()))
    assert "the target does not come back from its tokens" in error.what
