"""A character-level chat, a tiny language model and a head, small enough to plant any fault in what would be trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from fintune import recipe as recipes
from fintune.heads.generative import packs
from fintune.heads.generative.conversation import Conversation, Rendered
from fintune.models.adapter import attach
from fintune.recipe import Adapter, Prompt, Recipe
from fintune.records import Example, Span
from fintune.tasks.base import load_task

CONTROL = ("<s>", "<end>", "<pad>", "<user>", "<model>", "<think>", "</think>", "<unk>")
CHARACTERS = "".join(map(chr, range(32, 127))) + "\n"


class Letters:
    """A tokenizer with one token for each character, and control tokens. What is not in `alphabet` is `<unk>`."""

    bos_token_id = 0
    unk_token_id = CONTROL.index("<unk>")

    def __init__(self, alphabet: str = CHARACTERS) -> None:
        self.tokens = (*CONTROL, *alphabet)
        self.ids = {token: i for i, token in enumerate(self.tokens)}
        self.added_tokens_decoder = dict(enumerate(CONTROL))

    def __call__(self, text: str) -> dict[str, list[int]]:
        return {"input_ids": [0, *self.plain(text)]}

    def plain(self, text: str) -> list[int]:
        """Ids of a text without control tokens."""
        return [self.ids.get(character, self.ids["<unk>"]) for character in text]

    def get_added_vocab(self) -> dict[str, int]:
        return {token: i for i, token in enumerate(CONTROL)}

    def convert_ids_to_tokens(self, token: int) -> str:
        return self.tokens[token]


@dataclass
class LettersChat:
    """The chat of `Letters`: `<s><user>...<end><model>...<end>`. `thinking` is only said."""

    tokenizer: Letters = field(default_factory=Letters)
    thinking: str = "none"
    end: int = 1
    padding: int = 2

    @property
    def stop(self) -> frozenset[int]:
        return frozenset({self.end})

    def prompt(self, messages: Sequence[dict[str, str]]) -> Rendered:
        parts: list[tuple[int, str]] = [(0, "<s>")]
        for message in messages:
            name = "<model>" if message["role"] == "assistant" else "<user>"
            parts += [(self.tokenizer.ids[name], name), *self._letters(message["content"]), (1, "<end>")]
        return self._rendered([*parts, (self.tokenizer.ids["<model>"], "<model>")], 0)

    def conversation(self, messages: Sequence[dict[str, str]], target: str, reasoning: str | None = None) -> Rendered:
        prompt = self.prompt(messages)
        before = [(i, prompt.text[start:end]) for i, (start, end) in zip(prompt.ids, prompt.offsets, strict=True)]
        thought = [(5, "<think>"), *self._letters(reasoning), (6, "</think>")] if reasoning else []
        written = [*thought, *self._letters(target), (1, "<end>")]
        return self._rendered([*before, *written], len(written))

    def decode(self, ids: Sequence[int]) -> str:
        kept = ("<think>", "</think>")
        return "".join(t for t in (self.tokenizer.tokens[i] for i in ids) if t not in CONTROL or t in kept)

    def describe(self) -> dict[str, Any]:
        return {"template": "letters", "thinking": self.thinking}

    def fingerprint(self) -> str:
        return "f" * 64

    def _letters(self, text: str) -> list[tuple[int, str]]:
        return list(zip(self.tokenizer.plain(text), text, strict=True))

    @staticmethod
    def _rendered(parts: Sequence[tuple[int, str]], learnt: int) -> Rendered:
        offsets, at = [], 0
        for _, text in parts:
            offsets.append((at, at + len(text)))
            at += len(text)
        supervised = [False] * (len(parts) - learnt) + [True] * learnt
        return Rendered(tuple(i for i, _ in parts), tuple(offsets), "".join(t for _, t in parts), tuple(supervised))


class LettersHead:
    """As much of a generative head as a pre-flight looks at."""

    group = 1
    sharing = "prefix"
    demonstrations = None

    def __init__(self, task: Any, chat: LettersChat, *, pack_tokens: int = 100_000) -> None:
        self.task, self.chat, self.pack_tokens = task, chat, pack_tokens
        self.tokenizer = chat.tokenizer
        self.left_out: list[str] = []

    def encode(self, examples: Sequence[Example]) -> list[Conversation]:
        made = []
        for index, example in enumerate(examples):
            messages = self.task.messages(example, purpose="train")
            full = self.chat.conversation(messages, self.task.target(example), example.reasoning)
            made.append(Conversation(index, example, self.chat.prompt(messages), full))
        return made

    def cut(self, items: Sequence[Conversation]) -> list[list[Conversation]]:
        return packs.split(items, sharing=self.sharing, pack_tokens=self.pack_tokens)


class Held(nn.Module):
    """A network under its adapter."""

    def __init__(self, adapted: nn.Module) -> None:
        super().__init__()
        self.adapted = adapted


def language_model(adapter: Adapter = Adapter(rank=2)) -> tuple[Held, Any]:
    """A tiny adapted Llama over the letters, and what the adapter matched."""
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=128, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1
    )
    model, matched = attach(LlamaForCausalLM(config).requires_grad_(False), adapter, task_type="CAUSAL_LM")
    return Held(model), matched


def recipe(**changes: Any) -> Recipe:
    """A generative recipe, changed by dotted keys written with a double underscore."""
    settings = {"head.type": "generative", "data.max_tokens": 2000, "train.batch_size": 4, "train.epochs": 2, "train.precision": "fp32"}
    return recipes.load("ner-minilm", settings | {key.replace("__", "."): value for key, value in changes.items()})


def tone_task() -> Any:
    """Three labels."""
    return load_task("sentiment-3", Prompt())


def spans_task(target: str = "literal") -> Any:
    """Seven entity types."""
    return load_task("finance-ner-7", Prompt(target=target))


def spanned(count: int = 5) -> list[Example]:
    """Sentences of growing length with a company and sometimes a date."""
    found = []
    for number in range(count):
        text = f"Acme Ltd grew in May{' again' * number}."
        spans = (Span(0, 8, "Company"), Span(17, 20, "Date"))[: 1 + number % 2]
        found.append(Example(f"e{number}", text, spans=spans, where=f"train.jsonl:{number + 1}"))
    return found


def built(task: Any, chat: LettersChat | None = None) -> SimpleNamespace:
    """Model, head and matched modules together."""
    model, matched = language_model()
    return SimpleNamespace(model=model, head=LettersHead(task, chat or LettersChat()), matched=matched)


def altered(item: Conversation, **changes: Any) -> Conversation:
    """The conversation with other values in its target's rendering."""
    assert item.full is not None
    return replace(item, full=replace(item.full, **changes))
