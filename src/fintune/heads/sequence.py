"""The sequence head: one score for each label, from a model that has read the whole text.

The classifier is a stock model under a peft adapter, whose output layer is trained in full; decision 0012 says how its tokens are
pooled. A text longer than a window is cut into overlapping windows, each learns the gold label, and their scores are averaged by
length. A regression on words may stand beside it. A pooling that does not fit the model is refused. `fintune train topic-minilm`
trains one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

from fintune.errors import GateError, RecipeError
from fintune.heads import calibrated, words
from fintune.heads.base import IGNORED, Assembled, moved
from fintune.heads.calibrated import Calibration
from fintune.heads.classifier import Classifier, Pooling, balanced_weights, losses
from fintune.heads.noise import Masking, Noise
from fintune.heads.windows import around, cut
from fintune.heads.words import Beside
from fintune.metrics.calibration import apply_temperature, softmax
from fintune.models import load
from fintune.models.adapter import attach
from fintune.models.catalog import Base
from fintune.recipe import Recipe
from fintune.records import Example, Prediction, Purpose
from fintune.tasks.base import Task

Links = Literal["keep", "drop"]

# Settings under which the families keep the dropout probability of their output layer.
_HEAD_DROPOUT = ("classifier_dropout", "classifier_dropout_prob", "seq_classif_dropout", "cls_dropout")
_STOCK: dict[Pooling, tuple[Any, str]] = {
    "first": (AutoModelForSequenceClassification, "SEQ_CLS"),
    "last": (AutoModelForSequenceClassification, "SEQ_CLS"),
    "mean": (AutoModelForTokenClassification, "TOKEN_CLS"),
}
"""Of each pooling, the class of transformers that has the output layer, and peft's name for what it does."""
_LINK = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of one text: token ids with the special ones, how many of them are of the text, and the id of the gold label.

    `unit` is what it counts for in the loss.
    """

    example: int
    tokens: list[int]
    weight: int
    label: int | None
    unit: float = 1.0

    @property
    def length(self) -> int:
        """Tokens, special ones included."""
        return len(self.tokens)


class SequenceHead:
    """Encoding, loss and decoding of one label for each text."""

    group = 16  # larger wastes less padding, smaller mixes more
    pipeline = "text-classification"

    def __init__(
        self, labels: Sequence[str], tokenizer: Any, *, max_tokens: int, overlap_tokens: int, label_smoothing: float = 0.0,
        gamma: float = 0.0, weighted: bool = False, pooling: Pooling = "first", links: Links = "keep",
        beside: Beside | None = None, calibration: Calibration = Calibration(),
    ) -> None:  # fmt: skip
        self.labels, self.tokenizer = tuple(labels), tokenizer
        self.overlap, self.label_smoothing, self.gamma = overlap_tokens, label_smoothing, gamma
        self.weighted, self.pooling, self.links, self.calibration = weighted, pooling, links, calibration
        self.beside = beside or Beside()
        self._ids = {label: number for number, label in enumerate(self.labels)}
        self.prefix, self.suffix = around(tokenizer)
        self.room = max_tokens - len(self.prefix) - len(self.suffix)
        self.padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0

    @property
    def auto(self) -> str:
        """The class of transformers that reads the adapter's base."""
        return str(_STOCK[self.pooling][0].__name__)

    @property
    def stock_note(self) -> str:
        """What stock PEFT gives."""
        scores = "scores of tokens, whose mean is the label's score" if self.pooling == "mean" else "the same scores"
        more = f" adds {self.beside.weight:g} times those of `{words.WORDS}`," if self.beside.weight else ""
        return f"They give {scores}; `fintune.load(run)`{more} averages those of long texts and calibrates them."

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the network's outputs, by index."""
        return self.labels

    @property
    def outputs_note(self) -> str:
        """What a reader of the adapter has to know about the outputs."""
        return f"Labels, in id order: `{json.dumps(list(self.labels), ensure_ascii=False)}`"

    def describe(self) -> dict[str, Any]:
        """The labels, the special tokens around a text, and what a regression on words counts for."""
        described = {"head": "sequence", "labels": list(self.labels), "prefix": self.prefix, "suffix": self.suffix, "links": self.links}
        return {**described, "words_weight": self.beside.weight} if self.beside.weight else described

    def keep(self) -> Mapping[str, str]:
        """The regression on words, and what was fitted on validation examples, where there is anything."""
        return {**self.beside.files(), **calibrated.files(self.calibration)}

    def learn(self, examples: Sequence[Example]) -> None:
        """Fit the regression on words, where there is to be one."""
        gold = np.array([[label == example.label for label in self.labels] for example in examples])
        self.beside.learn(self.as_read(examples), gold, self.labels, link=softmax)

    def as_read(self, examples: Sequence[Example]) -> list[str]:
        """The texts as they are read."""
        return [_LINK.sub(" ", e.text) if self.links == "drop" else e.text for e in examples]

    def encode(self, examples: Sequence[Example], purpose: Purpose) -> list[Window]:
        """Windows of the examples in order, at least one each; with their gold for training."""
        if not examples:
            return []
        units = balanced_weights([e.label for e in examples]) if self.weighted and purpose == "train" else {}
        texts = self.as_read(examples)
        coded = self.tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return [
            window
            for i, example in enumerate(examples)
            for window in self._windows(i, example, texts[i], coded["input_ids"][i], coded["offset_mapping"][i], purpose, units)
        ]

    def _windows(
        self, index: int, example: Example, text: str, ids: list[int], offsets: list[tuple[int, int]], purpose: Purpose,
        units: Mapping[str, float],
    ) -> list[Window]:  # fmt: skip
        label = self._ids[example.label] if purpose == "train" and example.label is not None else None
        unit = units.get(example.label or "", 1.0)
        return [
            # A model takes no row of nothing.
            Window(index, [*self.prefix, *ids[start:end], *self.suffix] or [self.padding], max(1, end - start), label, unit)
            for start, end in cut(len(ids), self.room, self.overlap, breaks=_word_starts(text, offsets))
        ]

    def cut(self, items: Sequence[Window]) -> list[list[Window]]:
        """One piece: windows are short."""
        return [list(items)]

    def collate(self, items: Sequence[Window]) -> dict[str, Tensor]:
        """Tensors of a batch: `tokens` and `mask` `(batch, tokens)`; with gold `labels`, and where it is weighed `units`, `(batch,)`."""
        rows = [torch.tensor(item.tokens) for item in items]
        side = "left" if self.pooling == "last" else "right"
        batch = {
            "tokens": pad_sequence(rows, batch_first=True, padding_value=self.padding, padding_side=side),
            "mask": pad_sequence([torch.ones_like(row) for row in rows], batch_first=True, padding_value=0, padding_side=side),
        }
        gold = [item.label for item in items if item.label is not None]
        if len(gold) < len(items):
            return batch
        units = {"units": torch.tensor([item.unit for item in items])} if self.weighted else {}
        return batch | units | {"labels": torch.tensor(gold)}

    def loss(self, model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Summed loss over windows and what they count for; each window of a long text counts as one, or as its label weighs."""
        labels = batch["labels"]
        scores = model(batch["tokens"], batch["mask"])
        with torch.autocast(scores.device.type, enabled=False):
            each = losses(scores, labels, gamma=self.gamma, smoothing=self.label_smoothing)
        learnt = labels != IGNORED
        if "units" not in batch:
            return each.sum(), learnt.sum()
        return (each * batch["units"]).sum(), (learnt * batch["units"]).sum()

    @torch.inference_mode()
    def scores(self, model: Any, items: Sequence[Window]) -> list[np.ndarray]:
        """Scores `(labels,)` of each window."""
        batch = moved(self.collate(items), model)
        return list(model(batch["tokens"], batch["mask"]).cpu().numpy())

    def decode(self, model: Any, examples: Sequence[Example], items: Sequence[Window], scores: Sequence[np.ndarray]) -> list[Prediction]:
        """The likeliest label of each example, with the probabilities of all: the softmax of its scores.

        Raises:
            GateError: for scores that are not finite.
        """
        del model
        probabilities = apply_temperature(self.totals(examples, items, scores), self.calibration.temperature)
        return [
            Prediction(
                example.id, example.text, label=self.labels[int(row.argmax())], probabilities=tuple(map(float, row)),
                confidence=float(row.max()),
            )
            for example, row in zip(examples, probabilities, strict=True)
        ]  # fmt: skip

    def totals(self, examples: Sequence[Example], items: Sequence[Window], scores: Sequence[np.ndarray]) -> np.ndarray:
        """Scores `(examples, labels)` of whole texts: those of their windows, averaged by length, and those of their words.

        Raises:
            GateError: for scores that are not finite.
        """
        beside = self.beside.scores(self.as_read(examples), labels=len(self.labels))
        return averaged(examples, items, scores, labels=len(self.labels)) + beside


def averaged(examples: Sequence[Example], items: Sequence[Window], scores: Sequence[np.ndarray], *, labels: int) -> np.ndarray:
    """Scores `(examples, labels)` of whole texts: those of their windows, averaged by length.

    Raises:
        GateError: for scores that are not finite.
    """
    totals = np.zeros((len(examples), labels))
    weights = np.zeros((len(examples), 1))
    for window, score in zip(items, scores, strict=True):
        totals[window.example] += window.weight * score.astype(np.float64)
        weights[window.example] += window.weight
    for example, row in zip(examples, totals, strict=True):
        if not np.isfinite(row).all():
            raise GateError(
                "the model's scores are not finite", where=f"example {example.id}", fix="set predict.precision=fp32, or train again"
            )
    return totals / weights


def _word_starts(text: str, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """Positions of tokens that begin a word: at the start, after a blank, or with one (as byte-level vocabularies write them)."""
    return [at for at, (start, _) in enumerate(offsets) if start == 0 or text[start - 1].isspace() or text[start : start + 1].isspace()]


def assemble(recipe: Recipe, task: Task, base: Base, kept: Path | None = None) -> Assembled:
    """The classifier of a recipe on a freshly loaded base; `kept` is the adapter folder of a finished run.

    Raises:
        ArtifactError, RecipeError, SafetyError: where the base cannot be had, the pooling does not fit it, or the adapter does not.
    """
    tokenizer = load.tokenizer(base)
    head = SequenceHead(
        task.labels, tokenizer, max_tokens=recipe.data.max_tokens, overlap_tokens=recipe.data.overlap_tokens,
        label_smoothing=recipe.train.label_smoothing, gamma=recipe.train.focal_gamma if recipe.train.loss == "focal" else 0.0,
        weighted=recipe.train.balance == "weights", pooling="mean" if recipe.head.pooling == "mean" else "first",
        links=recipe.data.links, beside=words.read(kept, recipe.head.words_weight, task.labels), calibration=calibrated.read(kept),
    )  # fmt: skip
    changes = {
        "num_labels": len(task.labels), "id2label": dict(enumerate(task.labels)),
        "label2id": {label: number for number, label in enumerate(task.labels)},
        **dict.fromkeys(_HEAD_DROPOUT, recipe.head.dropout),
        **({"problem_type": "multi_label_classification"} if task.kind == "labels" else {}),
    }  # fmt: skip
    if tokenizer.pad_token_id is None:
        changes["pad_token_id"] = head.padding  # stock decoders take no batch without one
    # Eager attention: at sentence length the fused kernel's backward pass is slower on CPUs (benchmarks/attention.py).
    attention = "sdpa" if torch.cuda.is_available() else "eager"
    auto, task_type = _STOCK[head.pooling]
    network = load.pretrained(
        auto, base, recipe.model, config=load.configuration(base, recipe.model, changes), attention=attention,
        dtype=load.weights_dtype(recipe.model, "fp32"), needs="an architecture with a classification layer",
    )  # fmt: skip
    head.pooling = pooling_of(network, recipe.head.pooling)
    load.require_room(network, recipe.data.max_tokens)
    adapted, matched = attach(network, recipe.adapter, task_type=task_type)
    noise = None if recipe.train.noise == "none" else Noise(recipe.train.noise, recipe.train.noise_alpha)
    return Assembled(Classifier(adapted, noise, head.pooling, _masking(recipe.train.masking, tokenizer)), head, matched)


def _masking(share: float, tokenizer: Any) -> Masking | None:
    if not share:
        return None
    if tokenizer.mask_token_id is None:
        raise RecipeError(
            f"train.masking={share:g}", where="train.masking", why="the base's tokenizer has no mask token",
            fix="set train.masking=0, or choose an encoder such as model.base=bert-base",
        )  # fmt: skip
    return Masking(share, mask=tokenizer.mask_token_id, spared=tokenizer.all_special_ids)


def pooling_of(network: Any, wanted: str) -> Pooling:
    """The pooling for a network: `auto` is `last` where it reads in one direction, else `first`.

    Raises:
        RecipeError: for an encoder-decoder, or a pooling that does not fit the direction it reads in.
    """
    kind = network.config.model_type
    if network.config.is_encoder_decoder:
        raise RecipeError(
            f"a sequence head on {kind!r}", where="head.type", why="it is an encoder with a decoder",
            fix="set head.type=generative, or choose an encoder such as model.base=bert-base",
        )  # fmt: skip
    onward = hasattr(network, "score")  # the output layer of all stock decoders, and of no encoder
    if wanted == "auto":
        return "last" if onward else "first"
    if onward != (wanted == "last"):
        why = "it reads in one direction, so that only the last token has seen the text" if onward else "its tokens see the whole text"
        fix = "set head.pooling=last" if onward else "set head.pooling=mean or first"
        raise RecipeError(f"head.pooling={wanted} on {kind!r}", where="head.pooling", why=why, fix=fix)
    return cast(Pooling, wanted)
