"""The generative head: the model writes the task's target text, and what it wrote is read back by the task.

Training packs the conversations of a step into one row without padding and supervises the target alone. Prediction writes under
a grammar that admits nothing but valid targets, or weighs the labels of a set against each other. Sequence-to-sequence models
have `fintune.heads.generative.seq2seq`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from fintune.data.demonstrations import Demonstrations
from fintune.errors import RecipeError, UsageError
from fintune.heads import calibrated
from fintune.heads.base import Assembled
from fintune.heads.calibrated import Calibration
from fintune.heads.generative import attention, packs
from fintune.heads.generative.chat import Chat
from fintune.heads.generative.choices import choose
from fintune.heads.generative.constrain import Constraint, Grammars
from fintune.heads.generative.conversation import Conversation
from fintune.heads.generative.generate import Written, generate
from fintune.heads.generative.listed import Listed
from fintune.heads.generative.shown import DEMONSTRATIONS, kept_demonstrations
from fintune.heads.generative.writing import Messages, WritingHead
from fintune.heads.noise import Noise, exact
from fintune.metrics.calibration import apply_temperature
from fintune.models import load
from fintune.models.adapter import attach
from fintune.models.catalog import Base
from fintune.recipe import Prompt, Recipe
from fintune.records import Example, Prediction, Purpose
from fintune.tasks.base import Task, load_task
from fintune.tasks.several_reading import write

ANSWER_TOKENS, REASONING_TOKENS = 64, 1024
"""Most tokens of a free answer, and of any reasoning with what follows it, where the recipe gives no number."""


class Writer(nn.Module):
    """A causal language model under its adapter, read through packs; `forward` gives the logits of supervised rows alone."""

    def __init__(self, adapted: nn.Module, noise: Noise | None) -> None:
        super().__init__()
        self.adapted = adapted
        self.noise = noise

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Logits `(rows, vocabulary)` of a pack's supervised rows."""
        return packs.forward(self.adapted, batch, noise=self.noise if self.training else None)


class GenerativeHead(WritingHead):
    """Encoding, loss and decoding of written targets for one task, chat and recipe."""

    group = 1  # packs have no padding, so nothing is sorted by length
    auto, pipeline, outputs_note = "AutoModelForCausalLM", "text-generation", ""
    stock_note = "Prompts are rendered as `head.json` says; `fintune.load(run)` renders them, constrains and reads what is written."

    def __init__(
        self, task: Task, chat: Chat, *, prompt: Prompt, max_tokens: int, too_long: str, sharing: str, pack_tokens: int, decoding: str,
        max_new_tokens: int | None, positions: int | None, demonstrations: Demonstrations | None = None,
        calibration: Calibration = Calibration(),
    ) -> None:  # fmt: skip
        super().__init__(
            task, prompt, max_tokens=max_tokens, too_long=too_long, max_new_tokens=max_new_tokens, demonstrations=demonstrations
        )
        self.chat, self.sharing, self.pack_tokens, self.reasons = chat, sharing, pack_tokens, chat.thinking == "reason"
        usual = {"label": "choices", "labels": "constrained", "spans": "constrained", "answer": "free"}[task.kind]
        self.decoding = ("free" if self.reasons else usual) if decoding == "auto" else decoding
        self.calibration = calibration
        self.positions = math.inf if positions is None else positions
        self._require_decoding()

    @property
    def tokenizer(self) -> Any:
        """Of the base model."""
        return self.chat.tokenizer

    def describe(self) -> dict[str, Any]:
        """Template, tokenizer and thinking switch, with the task's prompt: the contract between training and prediction."""
        return {"head": "generative", **self.chat.describe(), "task": self.task.describe()}

    def keep(self) -> Mapping[str, str]:
        """What was fitted on validation examples and the demonstrations, where there are any."""
        shown = {} if self.demonstrations is None else {DEMONSTRATIONS: self.demonstrations.dump()}
        return {**calibrated.files(self.calibration), **shown}

    def _conversation(self, index: int, example: Example, messages: Messages, purpose: Purpose) -> Conversation:
        prompt = self.chat.prompt(messages)
        if purpose == "predict":
            return Conversation(index, example, prompt)
        reasoning = example.reasoning if self.reasons else None
        return Conversation(index, example, prompt, self.chat.conversation(messages, self.task.target(example), reasoning))

    def cut(self, items: Sequence[Conversation]) -> list[list[Conversation]]:
        """Packs of at most `pack_tokens` tokens."""
        return packs.split(items, sharing=self.sharing, pack_tokens=self.pack_tokens)

    def collate(self, items: Sequence[Conversation]) -> dict[str, Tensor]:
        """One pack."""
        return packs.pack(items, sharing=self.sharing)

    def loss(self, model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Summed cross-entropy over supervised tokens, and their number."""
        return packs.summed(model(batch), batch["labels"])

    def scores(self, model: Any, items: Sequence[Conversation]) -> list[Any]:
        """Log-probabilities of the labels, or what was written, for each conversation; None where it is too long for the base."""
        fitting = [item for item in items if self._room(item) > 0]
        prompts = [item.prompt.ids for item in fitting]
        found: list[Any] = []
        if prompts and self.decoding == "choices":
            found = list(choose(model.adapted, prompts, self._choices, padding=self.chat.padding).float().cpu().numpy())
        elif prompts:
            found = generate(
                model.adapted, prompts, stop=self.chat.stop, budgets=[min(self._budget(item), self._room(item)) for item in fitting],
                constraints=[self._constraint(item.source) for item in fitting], padding=self.chat.padding,
            )  # fmt: skip
        scores = iter(found)
        return [next(scores) if self._room(item) > 0 else None for item in items]

    def _room(self, item: Conversation) -> int:
        """Positions that are left for what is written, after the longest label for choices."""
        needed = max(map(len, self._choices)) if self.decoding == "choices" else 0
        return int(min(self.positions, 1 << 30)) - len(item.prompt.ids) - needed

    def decode(self, model: Any, examples: Sequence[Example], items: Sequence[Conversation], scores: Sequence[Any]) -> list[Prediction]:
        """Predictions: the likeliest label with its calibrated probability, or what the task reads from the text."""
        del model
        read = self._chosen if self.decoding == "choices" else self._read
        found = (self._unread(item) if score is None else read(item, score) for item, score in zip(items, scores, strict=True))
        return [replace(prediction, prompt_hash=self.contract) for prediction in found]

    def _unread(self, item: Conversation) -> Prediction:
        why = f"a prompt of {len(item.prompt.ids)} tokens leaves no room among the {self.positions} of the base model"
        return replace(self.task.parse("", item.source), status="malformed", reason=why)

    def _chosen(self, item: Conversation, row: Any) -> Prediction:
        probabilities = apply_temperature(row[None], self.calibration.temperature)[0]
        best = int(probabilities.argmax())
        return Prediction(
            item.source.id, item.source.text, label=self.labels[best], raw=self.labels[best], confidence=float(probabilities[best]),
            probabilities=tuple(map(float, probabilities)),
        )  # fmt: skip

    def _read(self, item: Conversation, written: Written) -> Prediction:
        return self._found(self.tokenizer, self.chat.decode(written.ids) if written.text is None else written.text, item, written)

    def _constraint(self, example: Example) -> Constraint | None:
        if self.decoding == "free":
            return None
        if self.task.kind == "label":
            return Listed([self.chat.plain(label) for label in self.labels], self.labels, self.chat.stop)
        if self.task.kind == "labels":
            return self._grammars.several(self.labels)
        return self._grammars.spans(example.text, self.labels, self.prompt.target)

    def _budget(self, item: Conversation) -> int:
        """New tokens that one text may need: its own length for the surfaces, with as much again for quotes, beside the labels."""
        if self.max_new_tokens is not None:
            return self.max_new_tokens
        thought = REASONING_TOKENS if self.reasons else 0
        if self.task.kind == "answer":
            return thought or ANSWER_TOKENS
        text = len(self.chat.plain(item.source.text))
        return thought + (2 * text + self._empty + 32 if self.task.kind == "spans" else self._empty + 8)

    @cached_property
    def _empty(self) -> int:
        """Tokens of the longest label, of all labels where a text may have several, or of a target with all keys."""
        if self.task.kind == "label":
            return max(len(self.chat.plain(label)) for label in self.labels)
        if self.task.kind == "labels":
            return len(self.chat.plain(write(self.labels)))
        return len(self.chat.plain(json.dumps({label: [""] for label in self.labels})))

    @cached_property
    def _choices(self) -> list[list[int]]:
        return [[*self.chat.plain(label), self.chat.end] for label in self.labels]

    @cached_property
    def _grammars(self) -> Grammars:
        return Grammars(self.tokenizer, self.chat.stop, lead=self.chat.lead)

    def _require_decoding(self) -> None:
        able = {
            "label": ("choices", "constrained", "free"), "labels": ("constrained", "free"), "spans": ("constrained", "free"),
            "answer": ("free",),
        }[self.task.kind]  # fmt: skip
        able = ("free",) if self.reasons else able  # no grammar has room for reasoning
        if self.decoding not in able:
            raise RecipeError(
                f"{self.task.kind} cannot be decoded as {self.decoding!r}", where="predict.decoding", fix=f"set it to {' or '.join(able)}"
            )


def assemble(recipe: Recipe, task: Task, base: Base, kept: Path | None = None) -> Assembled:
    """The language model of a recipe on a freshly loaded base; an encoder-decoder goes to `seq2seq`.

    Raises:
        ArtifactError, RecipeError, ResourceError, SafetyError: where the base cannot be had, or cannot be trained on packs.
    """
    config = load.configuration(base, recipe.model)
    if config.is_encoder_decoder:
        from fintune.heads.generative import seq2seq

        return seq2seq.assemble(recipe, task, base, kept)
    network = load.pretrained(
        AutoModelForCausalLM, base, recipe.model, config=config, attention=attention.NAME,
        dtype=load.weights_dtype(recipe.model, "bf16" if torch.cuda.is_available() else "fp32"), needs="a causal language model",
    )  # fmt: skip
    load.require_room(network, recipe.data.max_tokens)
    attention.require(network, longest=recipe.data.max_tokens)
    ends = network.generation_config.eos_token_id
    chat = Chat(
        load.tokenizer(base), template=recipe.prompt.template, thinking=recipe.prompt.thinking, known=base.thinking,
        extra_stop=[ends] if isinstance(ends, int) else ends or [],
    )  # fmt: skip
    noise = None if recipe.train.noise == "none" else Noise(recipe.train.noise, recipe.train.noise_alpha)
    sharing = exact(recipe.train.sharing, noise=noise, dropout=max(recipe.adapter.dropout, load.dropout(config)))
    room = load.positions(network)
    head = _head(recipe, task, chat, sharing=sharing, positions=room, demonstrations=kept_demonstrations(recipe.prompt, kept))
    head.calibration = calibrated.read(kept)
    adapted, matched = attach(network, recipe.adapter, task_type="CAUSAL_LM")
    return Assembled(Writer(adapted, noise), head, matched)


def _head(
    recipe: Recipe, task: Task, chat: Chat, *, sharing: str, positions: int | None, demonstrations: Demonstrations | None
) -> GenerativeHead:
    return GenerativeHead(
        task, chat, prompt=recipe.prompt, max_tokens=recipe.data.max_tokens, too_long=recipe.data.too_long, sharing=sharing,
        pack_tokens=recipe.train.pack_tokens, decoding=recipe.predict.decoding, max_new_tokens=recipe.predict.max_new_tokens,
        positions=positions, demonstrations=demonstrations,
    )  # fmt: skip


def untrained(head: Any, recipe: Recipe, *, shots: int, pool: Callable[[], Sequence[Example]]) -> GenerativeHead:
    """A head for the base model without its adapter: told what the labels mean, and shown `shots` solved examples of `pool`.

    The pool is asked for where something is to be shown.

    Raises:
        DataError: where the pool has fewer examples than are to be shown.
        UsageError: where the base model could do nothing without training.
    """
    if not isinstance(head, GenerativeHead):
        what = "an encoder-decoder" if recipe.head.type == "generative" else f"a {recipe.head.type} head"
        raise UsageError(
            f"{what} says nothing without training", where="--baselines", fix="compare with the floors, or with a run of a chat model"
        )
    told = recipe.prompt.labels if recipe.prompt.labels != "none" or not head.labels else "meanings"
    prompt = recipe.prompt.model_copy(update={"labels": told, "demonstrations": shots, "choose": "fixed", "wording": "fixed"})
    changed = recipe.model_copy(update={"prompt": prompt})
    shown = Demonstrations(pool(), count=shots, choose="fixed") if shots else None
    room = None if head.positions == math.inf else int(head.positions)
    return _head(changed, load_task(recipe.task, prompt), head.chat, sharing=head.sharing, positions=room, demonstrations=shown)
