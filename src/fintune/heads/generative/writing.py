"""What heads that write have in common: conversations of examples, the contract they are rendered by, and how sure a text was."""

from __future__ import annotations

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from fintune.data.demonstrations import Demonstrations
from fintune.heads.generative.confidence import confidences
from fintune.heads.generative.conversation import Conversation
from fintune.heads.generative.generate import Written
from fintune.heads.generative.lengths import within
from fintune.recipe import Prompt
from fintune.records import Example, Prediction, Purpose
from fintune.tasks.base import Message, Task

Messages = list[Message]


class WritingHead(ABC):
    """Encoding of one task's examples as conversations, and reading of what was written; how either is spelt is the heads' own.

    `demonstrations` are those of a finished run; learnt with `encode` where None. `left_out` names what was too long.
    """

    def __init__(
        self, task: Task, prompt: Prompt, *, max_tokens: int, too_long: str, max_new_tokens: int | None,
        demonstrations: Demonstrations | None,
    ) -> None:  # fmt: skip
        self.task, self.labels, self.prompt = task, task.labels, prompt
        self.max_tokens, self.too_long, self.max_new_tokens = max_tokens, too_long, max_new_tokens
        self.demonstrations = demonstrations
        self.left_out: list[str] = []

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """The contract between training and prediction."""

    @abstractmethod
    def _conversation(self, index: int, example: Example, messages: Messages, purpose: Purpose) -> Conversation:
        """One example rendered, with its target for training."""

    @cached_property
    def contract(self) -> str:
        """Hash of `describe`, which every prediction carries."""
        return hashlib.sha256(json.dumps(self.describe(), sort_keys=True).encode()).hexdigest()

    def encode(self, examples: Sequence[Example], purpose: Purpose) -> list[Conversation]:
        """Conversations of the examples, in order; with their targets for training.

        Raises:
            RecipeError: where conversations for training are longer than `max_tokens` and not to be left out, or targets cannot be
                written.
        """
        if purpose == "train" and self.demonstrations is None and self.prompt.demonstrations:
            self.demonstrations = Demonstrations(examples, count=self.prompt.demonstrations, choose=self.prompt.choose)
        made = [self._conversation(i, example, self._messages(example, purpose), purpose) for i, example in enumerate(examples)]
        if purpose == "predict":
            return made
        kept, self.left_out = within(made, max_tokens=self.max_tokens, too_long=self.too_long)
        return kept

    def _messages(self, example: Example, purpose: Purpose) -> Messages:
        shown = self.demonstrations.of(example) if self.demonstrations is not None else ()
        return self.task.messages(example, purpose=purpose, demonstrations=shown)

    def _found(self, tokenizer: Any, raw: str, item: Conversation, written: Written) -> Prediction:
        """What the task reads in a text, with the probability of the text and, where they stand as written, of each span."""
        found = self.task.parse(raw, item.source)
        if not written.finished and found.status == "ok":
            found = replace(found, status="repaired", reason="closed at the token limit")
        if found.spans:
            weights = confidences(tokenizer, written, found.spans)
            found = replace(found, spans=tuple(replace(s, confidence=w) for s, w in zip(found.spans, weights, strict=True)))
        return replace(found, confidence=math.exp(sum(written.logprobs)) if written.logprobs else None)
