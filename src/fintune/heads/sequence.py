"""The sequence head: one score for each label, from an encoder that has read the whole text.

The classifier is a stock sequence-classification model under a peft adapter, whose output layer is trained in full. A text longer
than a window is cut into overlapping windows, each learns the gold label, and their scores are averaged by length. Models that
read in one direction only are refused. `fintune train sentiment-bert` trains one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForSequenceClassification

from fintune.errors import ArtifactError, GateError, RecipeError
from fintune.heads import calibrated
from fintune.heads.base import IGNORED, Assembled, moved
from fintune.heads.noise import Noise
from fintune.heads.token import cut
from fintune.metrics.calibration import apply_temperature
from fintune.models import load
from fintune.models.adapter import attach
from fintune.models.catalog import Base
from fintune.recipe import Recipe
from fintune.records import Example, Prediction, Purpose
from fintune.tasks.base import Task

# Settings under which the families keep the dropout probability of their output layer.
_HEAD_DROPOUT = ("classifier_dropout", "classifier_dropout_prob", "seq_classif_dropout", "cls_dropout")


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of one text: token ids with the special ones, how many of them are of the text, and the id of the gold label."""

    example: int
    tokens: list[int]
    weight: int
    label: int | None

    @property
    def length(self) -> int:
        """Tokens, special ones included."""
        return len(self.tokens)


class Classifier(nn.Module):
    """A sequence-classification model under its adapter; `forward` gives scores `(batch, labels)`."""

    def __init__(self, adapted: nn.Module, noise: Noise | None = None) -> None:
        super().__init__()
        self.adapted = adapted
        self.noise = noise

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Scores of the labels, before they become probabilities.

        Args:
            tokens: ids `(batch, tokens)`.
            mask: 1 where there is a token, `(batch, tokens)`.
        """
        embedded = self.adapted.get_base_model().get_input_embeddings()(tokens)  # type: ignore[operator, union-attr]
        if self.noise is not None and self.training:
            embedded = self.noise(embedded, mask)
        logits: Tensor = self.adapted(inputs_embeds=embedded, attention_mask=mask).logits
        return logits.float()


class SequenceHead:
    """Encoding, loss and decoding of one label for each text."""

    group = 16  # larger wastes less padding, smaller mixes more
    auto, pipeline = "AutoModelForSequenceClassification", "text-classification"
    stock_note = "They give the same scores; `fintune.load(run)` averages those of long texts and calibrates them."

    def __init__(
        self, labels: Sequence[str], tokenizer: Any, *, max_tokens: int, overlap_tokens: int, label_smoothing: float = 0.0,
        temperature: float = 1.0,
    ) -> None:  # fmt: skip
        self.labels, self.tokenizer = tuple(labels), tokenizer
        self.overlap, self.label_smoothing, self.temperature = overlap_tokens, label_smoothing, temperature
        self._ids = {label: number for number, label in enumerate(self.labels)}
        probe = tokenizer("a", return_special_tokens_mask=True)
        ids, special = probe["input_ids"], probe["special_tokens_mask"]
        body = [i for i, flag in enumerate(special) if not flag]
        if not tokenizer.is_fast or not body:
            raise ArtifactError("the base model has no fast tokenizer", where=tokenizer.name_or_path, fix="use a model with tokenizer.json")
        self.prefix, self.suffix = ids[: body[0]], ids[body[-1] + 1 :]
        self.room = max_tokens - len(self.prefix) - len(self.suffix)
        self.padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the network's outputs, by index."""
        return self.labels

    @property
    def outputs_note(self) -> str:
        """What a reader of the adapter has to know about the outputs."""
        return f"Labels, in id order: `{json.dumps(list(self.labels), ensure_ascii=False)}`"

    def describe(self) -> dict[str, Any]:
        """The labels and the special tokens around a text."""
        return {"head": "sequence", "labels": list(self.labels), "prefix": self.prefix, "suffix": self.suffix}

    def keep(self) -> Mapping[str, str]:
        """The fitted temperature, where there is one."""
        return calibrated.files(self.temperature)

    def encode(self, examples: Sequence[Example], purpose: Purpose) -> list[Window]:
        """Windows of the examples in order, at least one each; with their gold for training."""
        if not examples:
            return []
        coded = self.tokenizer([e.text for e in examples], add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return [
            window
            for i, example in enumerate(examples)
            for window in self._windows(i, example, coded["input_ids"][i], coded["offset_mapping"][i], purpose)
        ]

    def _windows(self, index: int, example: Example, ids: list[int], offsets: list[tuple[int, int]], purpose: Purpose) -> list[Window]:
        label = self._ids[example.label] if purpose == "train" and example.label is not None else None
        return [
            # A model takes no row of nothing.
            Window(index, [*self.prefix, *ids[start:end], *self.suffix] or [self.padding], max(1, end - start), label)
            for start, end in cut(len(ids), self.room, self.overlap, breaks=_word_starts(example.text, offsets))
        ]

    def cut(self, items: Sequence[Window]) -> list[list[Window]]:
        """One piece: windows are short."""
        return [list(items)]

    def collate(self, items: Sequence[Window]) -> dict[str, Tensor]:
        """Tensors of a batch: `tokens` and `mask` `(batch, tokens)`, and with gold `labels` `(batch,)`."""
        rows = [torch.tensor(item.tokens) for item in items]
        batch = {
            "tokens": pad_sequence(rows, batch_first=True, padding_value=self.padding),
            "mask": pad_sequence([torch.ones_like(row) for row in rows], batch_first=True, padding_value=0),
        }
        gold = [item.label for item in items if item.label is not None]
        return batch | {"labels": torch.tensor(gold)} if len(gold) == len(items) else batch

    def loss(self, model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Summed cross-entropy over windows and their number; each window of a long text counts as one."""
        labels = batch["labels"]
        scores = model(batch["tokens"], batch["mask"])
        with torch.autocast(scores.device.type, enabled=False):
            summed = functional.cross_entropy(scores, labels, reduction="sum", ignore_index=IGNORED, label_smoothing=self.label_smoothing)
        return summed, (labels != IGNORED).sum()

    @torch.inference_mode()
    def scores(self, model: Any, items: Sequence[Window]) -> list[np.ndarray]:
        """Scores `(labels,)` of each window."""
        batch = moved(self.collate(items), model)
        return list(model(batch["tokens"], batch["mask"]).cpu().numpy())

    def decode(self, model: Any, examples: Sequence[Example], items: Sequence[Window], scores: Sequence[np.ndarray]) -> list[Prediction]:
        """The likeliest label of each example, with the probabilities of all: the softmax of its windows' scores, averaged by length.

        Raises:
            GateError: for scores that are not finite.
        """
        del model
        totals = np.zeros((len(examples), len(self.labels)))
        weights = np.zeros((len(examples), 1))
        for window, score in zip(items, scores, strict=True):
            totals[window.example] += window.weight * score.astype(np.float64)
            weights[window.example] += window.weight
        for example, row in zip(examples, totals, strict=True):
            if not np.isfinite(row).all():
                raise GateError(
                    "the model's scores are not finite", where=f"example {example.id}", fix="set predict.precision=fp32, or train again"
                )
        probabilities = apply_temperature(totals / weights, self.temperature)
        return [
            Prediction(
                example.id, example.text, label=self.labels[int(row.argmax())], probabilities=tuple(map(float, row)),
                confidence=float(row.max()),
            )
            for example, row in zip(examples, probabilities, strict=True)
        ]  # fmt: skip


def _word_starts(text: str, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """Positions of tokens that begin a word: at the start, after a blank, or with one (as byte-level vocabularies write them)."""
    return [at for at, (start, _) in enumerate(offsets) if start == 0 or text[start - 1].isspace() or text[start : start + 1].isspace()]


def assemble(recipe: Recipe, task: Task, base: Base, kept: Path | None = None) -> Assembled:
    """The classifier of a recipe on a freshly loaded base; `kept` is the adapter folder of a finished run.

    Raises:
        ArtifactError, RecipeError, SafetyError: where the base cannot be had, reads in one direction, or the adapter does not fit it.
    """
    changes = {
        "num_labels": len(task.labels), "id2label": dict(enumerate(task.labels)),
        "label2id": {label: number for number, label in enumerate(task.labels)},
        **dict.fromkeys(_HEAD_DROPOUT, recipe.head.dropout),
    }  # fmt: skip
    # Eager attention: at sentence length the fused kernel's backward pass is slower on CPUs (benchmarks/attention.py).
    attention = "sdpa" if torch.cuda.is_available() else "eager"
    network = load.pretrained(
        AutoModelForSequenceClassification, base, recipe.model, config=load.configuration(base, recipe.model, changes), attention=attention,
        dtype=load.weights_dtype(recipe.model, "fp32"), needs="a sequence-classification architecture",
    )  # fmt: skip
    if network.config.is_encoder_decoder or hasattr(network, "score"):
        raise RecipeError(
            f"a sequence head on {network.config.model_type!r}", where="head.type", why="it does not read a text in both directions",
            fix="set head.type=generative, or choose an encoder such as model.base=bert-base",
        )  # fmt: skip
    load.require_room(network, recipe.data.max_tokens)
    head = SequenceHead(
        task.labels, load.tokenizer(base), max_tokens=recipe.data.max_tokens, overlap_tokens=recipe.data.overlap_tokens,
        label_smoothing=recipe.train.label_smoothing, temperature=calibrated.temperature_in(kept),
    )  # fmt: skip
    adapted, matched = attach(network, recipe.adapter, task_type="SEQ_CLS")
    noise = None if recipe.train.noise == "none" else Noise(recipe.train.noise, recipe.train.noise_alpha)
    return Assembled(Classifier(adapted, noise), head, matched)
