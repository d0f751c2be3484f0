"""What a pre-flight refuses in conversations: whatever would train nothing, or the wrong thing, with the first example and the mend.

Every check looks at tokens as they will be trained on, not at the text they were made from. Each has a planted fault in
`tests/train/test_preflight_refusals.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fintune.errors import DataError, FintuneError, GateError, RecipeError
from fintune.heads.generative.conversation import Conversation, Rendered
from fintune.records import Example, Prediction
from fintune.tasks.base import Task

_THINKING = ("<think>", "</think>")
_SHOWN = 6


@dataclass(frozen=True)
class Reading:
    """One conversation as the checks see it: with its target, and with what its supervised tokens say.

    `controls` are the ids of tokens that no plain text has, and `limit` the most tokens of a conversation.
    """

    item: Conversation
    full: Rendered
    head: Any
    task: Task
    limit: int
    controls: frozenset[int]

    @property
    def speaker(self) -> Any:
        """What has the tokenizer and the end token: the chat, or the head of a model without one."""
        return getattr(self.head, "chat", self.head)

    @property
    def learnt(self) -> tuple[int, ...]:
        """Ids of the supervised tokens."""
        return tuple(token for token, supervised in zip(self.full.ids, self.full.supervised, strict=True) if supervised)

    @cached_property
    def written(self) -> str:
        """The text that the supervised tokens stand for, without the end token."""
        ids = self.learnt
        return str(self.head.chat.decode(ids[:-1] if ids[-1:] == (self.head.chat.end,) else ids))

    @cached_property
    def target(self) -> str:
        """The text to learn."""
        return self.task.target(self.item.source)


Finder = Callable[[Reading], str]


def _too_long(of: Reading) -> str:
    return f"{of.item.length} tokens, more than {of.limit}" if of.item.length > of.limit else ""


def _nothing(of: Reading) -> str:
    return "" if any(of.full.supervised) else "no token of its target is supervised"


def _prompt(of: Reading) -> str:
    count = sum(of.full.supervised[: len(of.item.prompt.ids)])
    return f"{count} tokens of its prompt are supervised" if count else ""


def _cut(of: Reading) -> str:
    cut = of.target.startswith(of.written) and len(of.written) < len(of.target)
    return f"{len(of.written)} of {len(of.target)} characters of its target are left" if cut else ""


def _endless(of: Reading) -> str:
    return "" if of.learnt[-1:] == (of.speaker.end,) else f"its last supervised token is not {_name(of, of.speaker.end)}"


def _begun_twice(of: Reading) -> str:
    count = beginnings(of.full.ids, of.head.chat.tokenizer)
    return f"{count} of {_name(of, of.full.ids[0])}" if count > 1 else ""


def _steered(of: Reading) -> str:
    """Control tokens that the same roles with harmless contents would not have."""
    extra = _controls(of, of.item.prompt.ids) != _harmless(of)
    foreign = [token for token in _controls(of, of.learnt) if token not in {of.head.chat.end, *_thoughts(of)}]
    return "control tokens stand in its text" if extra else f"{_name(of, foreign[0])} stands in its target" if foreign else ""


def _thought(of: Reading) -> str:
    found = [mark for mark in _THINKING if mark in of.written]
    return f"{found[0]} is supervised" if found and of.head.chat.thinking == "empty" else ""


def _unreadable(of: Reading) -> str:
    if of.written == of.target:
        return ""
    found, meant = of.task.parse(of.written, of.item.source), of.task.parse(of.target, of.item.source)
    if found.status != "malformed" and value(found) == value(meant):
        return ""
    lost = sorted(set(of.target) - set(of.written))
    return f"characters {lost[:_SHOWN]} are lost" if lost else found.reason or "another value is read from them"


@dataclass(frozen=True, slots=True)
class Check:
    """What is looked for, what it is called and whose fault it is, why it matters, and how to mend it."""

    find: Finder
    error: type[FintuneError]
    what: str
    why: str
    fix: str


_ALWAYS = (
    Check(_too_long, RecipeError, "too long", "cutting it would take away its target", "raise data.max_tokens, or set data.too_long=drop"),
    Check(
        _nothing, GateError, "nothing would be learnt", "the run would train nothing",
        "give it gold annotation, or set prompt.template=plain",
    ),
    Check(
        _prompt, GateError, "the prompt would be learnt", "the model would learn to write questions",
        "mend the template so that it ends where the answer begins, or set prompt.template=plain",
    ),
)  # fmt: skip
_ENDS = Check(
    _endless, GateError, "the end is not learnt", "a model that is not taught its end token never stops",
    "mend the template so that an end token follows the answer, or set prompt.template=plain",
)  # fmt: skip
_OF_CHATS = (
    Check(_cut, GateError, "the target is cut", "the model would learn to stop in the middle", "raise data.max_tokens"),
    _ENDS,
    Check(
        _begun_twice, GateError, "the text begins twice", "one beginning-of-text token is what the model was trained with",
        "take it out of the template, which the tokenizer adds it to",
    ),
    Check(
        _steered, DataError, "the text holds control tokens", "they could end a turn or open another role",
        "write them in another way, or take the example out",
    ),
    Check(
        _thought, DataError, "a think block would be learnt", "prompt.thinking=empty has the model answer at once",
        "set prompt.thinking=reason, or take the block out of the answers",
    ),
    Check(
        _unreadable, RecipeError, "the target does not come back from its tokens", "the vocabulary of the base model cannot write it",
        "set prompt.target to another format, or choose another base model",
    ),
)  # fmt: skip


def refuse(head: Any, task: Task, items: Sequence[Conversation], *, limit: int) -> None:
    """Look at every conversation.

    Args:
        head: with a `chat`; of a model without one only what is learnt and how it ends is looked at.
        task: which reads targets back.
        items: to train on.
        limit: most tokens of one.

    Raises:
        GateError, RecipeError, DataError: for the first check that any conversation fails, with the first example and their number.
    """
    chats = hasattr(head, "chat")
    if chats:
        padding(head.chat)
    tokenizer = head.tokenizer
    controls = frozenset(tokenizer.added_tokens_decoder) - {tokenizer.unk_token_id}
    read = [Reading(item, item.full or item.prompt, head, task, limit, controls) for item in items]
    for check in (*_ALWAYS, *(_OF_CHATS if chats else (_ENDS,))):
        found = [(of.item.source, detail) for of in read if (detail := check.find(of))]
        if found:
            source, detail = found[0]
            others = f", and {len(found) - 1} more: {_listed([s for s, _ in found[1:]])}" if len(found) > 1 else ""
            what = f"{check.what}: {detail}, in example {source.id!r}{others}"
            raise check.error(what, where=source.where or "--data", why=check.why, fix=check.fix)


def padding(chat: Any) -> None:
    """See that padding is no end.

    Raises:
        GateError: where the padding token is one at which writing stops.
    """
    if chat.padding in {chat.end, *chat.stop}:
        raise GateError(
            f"padding is the end token {chat.tokenizer.convert_ids_to_tokens(chat.padding)!r}", where="tokenizer_config.json",
            why="an end that is masked as padding is never learnt",
            fix="give the tokenizer a 'pad_token' of its own, such as an unused one",
        )  # fmt: skip


def beginnings(ids: Sequence[int], tokenizer: Any) -> int:
    """Beginning-of-text tokens that a conversation opens with."""
    count = 0
    while tokenizer.bos_token_id is not None and count < len(ids) and ids[count] == tokenizer.bos_token_id:
        count += 1
    return count


def value(found: Prediction) -> object:
    """What a prediction says, whatever its kind."""
    return (frozenset(found.spans or ()), found.label, _several(found.labels), found.answer)


def gold(example: Example) -> object:
    """The same of an example's annotation."""
    return (frozenset(example.spans or ()), example.label, _several(example.labels), example.answer)


def _several(labels: tuple[str, ...] | None) -> frozenset[str] | None:
    """Labels without their order."""
    return None if labels is None else frozenset(labels)


def _thoughts(of: Reading) -> set[int]:
    """Ids of the think marks."""
    vocabulary = of.head.chat.tokenizer.get_added_vocab()
    return {vocabulary[mark] for mark in _THINKING if mark in vocabulary}


def _controls(of: Reading, ids: Sequence[int]) -> list[int]:
    return [token for token in ids if token in of.controls]


def _harmless(of: Reading) -> list[int]:
    """The control tokens of the same turns with nothing in them."""
    shown = getattr(of.head, "demonstrations", None)
    source = of.item.source
    messages = of.task.messages(source, purpose="train", demonstrations=shown.of(source) if shown is not None else ())
    return _controls(of, of.head.chat.prompt([{**message, "content": "x"} for message in messages]).ids)


def _name(of: Reading, token: int) -> str:
    return repr(of.speaker.tokenizer.convert_ids_to_tokens(token))


def _listed(examples: Sequence[Example]) -> str:
    names = ", ".join(repr(example.id) for example in examples[:_SHOWN])
    return names + (" …" if len(examples) > _SHOWN else "")
