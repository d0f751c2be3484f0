"""The generative head on an encoder-decoder such as T5: the encoder reads the prompt, the decoder writes the target.

There are no chat tokens: a prompt is the text of its turns, one after another, and the end token. What the vocabulary cannot write is
spelt in other characters (`fintune.heads.generative.spelling`). Refuses reasoning, and labels weighed against each other.
`pytest tests/heads/generative/test_seq2seq.py` exercises it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForSeq2SeqLM, GenerationConfig

from fintune.data.demonstrations import Demonstrations
from fintune.errors import ArtifactError, RecipeError
from fintune.heads.base import IGNORED, Assembled, moved
from fintune.heads.generative import packs
from fintune.heads.generative.constrain import Constraint, Grammars
from fintune.heads.generative.conversation import Conversation, Rendered
from fintune.heads.generative.generate import Written
from fintune.heads.generative.greedy import Greedy
from fintune.heads.generative.plain_text import PlainText
from fintune.heads.generative.rewriter import Rewriter
from fintune.heads.generative.shown import DEMONSTRATIONS, kept_demonstrations
from fintune.heads.generative.spelling import Spelling
from fintune.heads.generative.writing import Messages, WritingHead
from fintune.heads.noise import Noise
from fintune.models import load
from fintune.models.adapter import attach
from fintune.models.catalog import Base
from fintune.recipe import Prompt, Recipe
from fintune.records import Example, Prediction, Purpose
from fintune.tasks.base import Task
from fintune.tasks.several_reading import write

ANSWER_TOKENS = 64
_DECODING = {
    "label": ("constrained", "free"), "labels": ("constrained", "free"), "spans": ("constrained", "free"), "answer": ("free",),
}  # fmt: skip


class Seq2SeqHead(WritingHead):
    """Encoding, loss and decoding of targets that an encoder-decoder writes, for one task and tokenizer.

    Args:
        task: its messages become the prompt.
        tokenizer: a fast one.
        prompt: the recipe's section.
        max_tokens: most tokens of prompt and target together, in training.
        too_long: what becomes of longer ones, `refuse` or `drop`.
        decoding: `auto`, `constrained` or `free`.
        max_new_tokens: most tokens of an answer; what it could need where None.
        demonstrations: of a finished run; learnt with `encode` where None.

    Raises:
        ArtifactError: for a tokenizer that is not fast or has no end token.
        RecipeError: where the vocabulary lacks too much, or the task cannot be decoded so.
    """

    group = 16  # batches are padded: larger wastes less, smaller mixes more
    auto, pipeline, outputs_note = "AutoModelForSeq2SeqLM", "text-generation", ""
    stock_note = "Prompts are rendered and targets spelt as `head.json` says; `fintune.load(run)` reads what is written."

    def __init__(
        self, task: Task, tokenizer: Any, *, prompt: Prompt, max_tokens: int, too_long: str, decoding: str, max_new_tokens: int | None,
        demonstrations: Demonstrations | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            task, prompt, max_tokens=max_tokens, too_long=too_long, max_new_tokens=max_new_tokens, demonstrations=demonstrations
        )
        self.tokenizer = tokenizer
        self.decoding = _DECODING[task.kind][0] if decoding == "auto" else decoding
        self._words, self.spelling = PlainText(tokenizer), Spelling(tokenizer)
        if tokenizer.eos_token_id is None:
            raise ArtifactError("the tokenizer has no end token", where=tokenizer.name_or_path, fix="use another base model")
        self.end: int = tokenizer.eos_token_id
        self.padding: int = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else self.end  # masked wherever it stands
        self._require()

    def describe(self) -> dict[str, Any]:
        """Tokenizer, spelling and the task's prompt: the contract between training and prediction."""
        return {
            "head": "seq2seq", "tokenizer_sha256": self._words.sha256, "spelling": self.spelling.describe(),
            "end": str(self.tokenizer.convert_ids_to_tokens(self.end)), "task": self.task.describe(),
        }  # fmt: skip

    def keep(self) -> Mapping[str, str]:
        """The demonstrations, where there are any."""
        return {} if self.demonstrations is None else {DEMONSTRATIONS: self.demonstrations.dump()}

    def _conversation(self, index: int, example: Example, messages: Messages, purpose: Purpose) -> Conversation:
        prompt = self._rendered(self.spelling.legible("\n\n".join(message["content"] for message in messages)), supervised=False)
        if purpose == "predict":
            return Conversation(index, example, prompt)
        target = self._target(example)
        place = len(prompt.text)
        return Conversation(
            index, example, prompt,
            Rendered(
                prompt.ids + target.ids, prompt.offsets + tuple((place + a, place + b) for a, b in target.offsets),
                prompt.text + target.text, prompt.supervised + target.supervised,
            ),
        )  # fmt: skip

    def _target(self, example: Example) -> Rendered:
        """What the decoder learns to write."""
        target = self.task.target(example)
        made = self._rendered(self.spelling.spell(target), supervised=True)
        if self._text(made.ids[:-1]).split() != target.split():
            raise RecipeError(
                f"the target of example {example.id!r} does not come back from the vocabulary", where=example.where or "model.base",
                why=f"it has {' '.join(sorted(set(target) - set(self._text(made.ids)))) or 'characters that change those beside them'}",
                fix="leave the example out, or choose another base model",
            )  # fmt: skip
        return made

    def _rendered(self, text: str, *, supervised: bool) -> Rendered:
        """A text and the end token."""
        tokens, end = self._words.encode(text, "start"), str(self.tokenizer.convert_ids_to_tokens(self.end))
        offsets = (*tokens.offsets, (len(text), len(text) + len(end)))
        return Rendered((*tokens.ids, self.end), offsets, text + end, (supervised,) * len(offsets))

    def _text(self, ids: Sequence[int]) -> str:
        """What tokens say, in the characters of the target."""
        words = [i for i in ids if i == self.tokenizer.unk_token_id or i not in self._words.controls]
        return self.spelling.unspell(self.tokenizer.decode(words, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def cut(self, items: Sequence[Conversation]) -> list[list[Conversation]]:
        """One piece."""
        return [list(items)]

    def collate(self, items: Sequence[Conversation]) -> dict[str, Tensor]:
        """A batch, padded to its longest: `tokens` and `mask` of the prompts, `targets`, and as `labels` the targets in a row."""
        prompts = [torch.tensor(item.prompt.ids) for item in items]
        targets = [torch.tensor(item.full.ids[len(item.prompt.ids) :]) for item in items if item.full is not None]
        batch = {
            "tokens": pad_sequence(prompts, batch_first=True, padding_value=self.padding),
            "mask": pad_sequence([torch.ones_like(prompt) for prompt in prompts], batch_first=True, padding_value=0),
        }
        if len(targets) < len(items):
            return batch
        return {**batch, "targets": pad_sequence(targets, batch_first=True, padding_value=IGNORED), "labels": torch.cat(targets)}

    def loss(self, model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Summed cross-entropy over the tokens of the targets, and their number."""
        return packs.summed(model(batch), batch["labels"])

    @torch.inference_mode()
    def scores(self, model: Any, items: Sequence[Conversation]) -> list[Written]:
        """What the decoder writes, greedily, for each prompt."""
        batch = moved(self.collate([replace(item, full=None) for item in items]), model)
        budgets = [self._budget(item) for item in items]
        greedy = Greedy([self._constraint(item.source) for item in items], budgets, end=self.end)
        # A model's own generation settings may have beams, penalties or forced tokens: `assemble` has taken them away.
        settings = GenerationConfig(
            do_sample=False, num_beams=1, max_new_tokens=max(budgets) + 1, eos_token_id=self.end, pad_token_id=self.padding,
            decoder_start_token_id=model.adapted.get_base_model().config.decoder_start_token_id,
        )  # fmt: skip
        model.adapted.generate(
            input_ids=batch["tokens"], attention_mask=batch["mask"], generation_config=settings, logits_processor=[greedy]
        )
        return greedy.written()

    def decode(self, model: Any, examples: Sequence[Example], items: Sequence[Conversation], scores: Sequence[Written]) -> list[Prediction]:
        """What the task reads from each text, with the probability of the text and, where they stand as written, of each span."""
        del model, examples
        return [replace(self._read(item, score), prompt_hash=self.contract) for item, score in zip(items, scores, strict=True)]

    def _read(self, item: Conversation, written: Written) -> Prediction:
        return self._found(self.tokenizer, self._text(written.ids) if written.text is None else written.text, item, written)

    def _constraint(self, example: Example) -> Constraint | None:
        if self.decoding == "free":
            return None
        if self.task.kind == "label":
            return self._grammars.labels(self.labels)
        if self.task.kind == "labels":
            return self._grammars.several(self.labels)
        return self._grammars.spans(example.text, self.labels, self.prompt.target)

    def _budget(self, item: Conversation) -> int:
        """New tokens that one text may need: for spans twice its own length beside the labels."""
        if self.max_new_tokens is not None:
            return self.max_new_tokens
        if self.task.kind == "answer":
            return ANSWER_TOKENS
        if self.task.kind in ("label", "labels"):
            return self._empty + 8
        return 2 * len(self._words.encode(self.spelling.spell(item.source.text), "start").ids) + self._empty + 32

    @cached_property
    def _empty(self) -> int:
        """Tokens of the longest label, of all where a text may have several, or of a dictionary that has all and nothing in them."""
        if self.task.kind == "labels":
            return len(self._words.encode(self.spelling.spell(write(self.labels)), "start").ids)
        texts = self.labels if self.task.kind == "label" else (json.dumps({label: [""] for label in self.labels}),)
        return max(len(self._words.encode(self.spelling.spell(text), "start").ids) for text in texts)

    @cached_property
    def _grammars(self) -> Grammars:
        return Grammars(self.tokenizer, frozenset({self.end}), spell=self.spelling.spell, unspell=self.spelling.unspell)

    def _require(self) -> None:
        able = _DECODING[self.task.kind]
        if self.decoding not in able:
            raise RecipeError(
                f"{self.task.kind} of an encoder-decoder cannot be decoded as {self.decoding!r}", where="predict.decoding",
                fix=f"set it to {' or '.join(able)}",
            )  # fmt: skip
        if self.prompt.thinking in ("empty", "reason"):
            raise RecipeError(
                f"prompt.thinking={self.prompt.thinking} on an encoder-decoder", where="prompt.thinking", why="it has no think block",
                fix="set prompt.thinking=none",
            )  # fmt: skip
        if self.prompt.template not in ("auto", "plain"):
            raise RecipeError(
                f"prompt.template={self.prompt.template} on an encoder-decoder", where="prompt.template", why="it has no chat template",
                fix="set prompt.template=plain",
            )  # fmt: skip


def assemble(recipe: Recipe, task: Task, base: Base, kept: Path | None = None) -> Assembled:
    """The encoder-decoder of a recipe on a freshly loaded base; `kept` is the adapter folder of a finished run.

    Raises:
        ArtifactError, RecipeError, ResourceError, SafetyError: where the base cannot be had, or the adapter does not fit it.
    """
    config = load.configuration(base, recipe.model)
    network = load.pretrained(
        AutoModelForSeq2SeqLM, base, recipe.model, config=config, attention="sdpa",
        dtype=load.weights_dtype(recipe.model, "bf16" if torch.cuda.is_available() else "fp32"), needs="an encoder-decoder",
    )  # fmt: skip
    load.require_room(network, recipe.data.max_tokens)
    network.generation_config = GenerationConfig()
    head = Seq2SeqHead(
        task, load.tokenizer(base), prompt=recipe.prompt, max_tokens=recipe.data.max_tokens, too_long=recipe.data.too_long,
        decoding=recipe.predict.decoding, max_new_tokens=recipe.predict.max_new_tokens,
        demonstrations=kept_demonstrations(recipe.prompt, kept),
    )  # fmt: skip
    adapted, matched = attach(network, recipe.adapter, task_type="SEQ_2_SEQ_LM")
    noise = None if recipe.train.noise == "none" else Noise(recipe.train.noise, recipe.train.noise_alpha)
    return Assembled(Rewriter(adapted, noise), head, matched)
