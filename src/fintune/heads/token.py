"""The token head: one tag for each word, decoded to spans that are always valid.

The tagger is a stock token-classification model under a peft adapter; a word takes the tag scored at its first token. Two
optional parts stand beside it: an embedding of word shapes, added to the token embeddings, and learned transitions
(a linear-chain CRF). Long texts are cut into overlapping windows; each word is scored by the window that sees most around it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForTokenClassification

from fintune.errors import GateError
from fintune.heads.base import IGNORED, Assembled, moved
from fintune.heads.noise import Noise
from fintune.heads.tagger import Tagger
from fintune.heads.tags import IMPOSSIBLE, Tagset, best_path
from fintune.heads.windows import around, cut
from fintune.models import load
from fintune.models.adapter import attach
from fintune.models.catalog import Base
from fintune.recipe import Recipe
from fintune.records import Example, Prediction, Purpose, Span
from fintune.tasks.base import Task
from fintune.text.shape import length, shape
from fintune.text.words import Grain, words


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of one text as the model sees it.

    `tokens` are ids with the special ones; for each word in it, `heads` is the position of its first token and `tags` its
    gold tag id. `first` is the index of the first word in the text; `shapes` and `lengths` go with `tokens`.
    """

    example: int
    first: int
    tokens: list[int]
    shapes: list[int]
    lengths: list[int]
    heads: list[int]
    tags: list[int] | None

    @property
    def length(self) -> int:
        """Tokens, special ones included."""
        return len(self.tokens)


class TokenHead:
    """Encoding, loss and decoding of word tags for one label set and tokenizer."""

    group = 16  # larger wastes less padding, smaller mixes more
    auto, pipeline = "AutoModelForTokenClassification", "token-classification"
    stock_note = "They give the same tag scores; `fintune.load(run)` takes the best legal path of them."

    def __init__(
        self, tagset: Tagset, tokenizer: Any, *, max_tokens: int, overlap_tokens: int, label_smoothing: float = 0.0, grain: Grain = "fine"
    ) -> None:
        self.tagset, self.tokenizer, self.label_smoothing, self.grain = tagset, tokenizer, label_smoothing, grain
        self.labels = tagset.labels
        self.overlap = overlap_tokens
        self.prefix, self.suffix = around(tokenizer)
        self.room = max_tokens - len(self.prefix) - len(self.suffix)
        self.padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the network's outputs, by index."""
        return self.tagset.tags

    @property
    def outputs_note(self) -> str:
        """What a reader of the adapter has to know about the outputs."""
        return f"Tags, in id order: `{json.dumps(list(self.outputs), ensure_ascii=False)}`\n\nA word takes the tag of its first token."

    def describe(self) -> dict[str, Any]:
        """The tags and the special tokens around a text."""
        return {"head": "token", "tags": list(self.tagset.tags), "words": self.grain, "prefix": self.prefix, "suffix": self.suffix}

    def keep(self) -> dict[str, str]:
        """Nothing."""
        return {}

    def encode(self, examples: Sequence[Example], purpose: Purpose = "predict") -> list[Window]:
        """Windows of the examples in order, at least one each; gold spans become tags of the words they touch."""
        if not examples:
            return []
        coded = self.tokenizer([e.text for e in examples], add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return [
            window
            for i, example in enumerate(examples)
            for window in self._windows(i, example, coded["input_ids"][i], coded["offset_mapping"][i])
        ]

    def _windows(self, index: int, example: Example, ids: list[int], offsets: list[tuple[int, int]]) -> list[Window]:
        spots = words(example.text, self.grain)
        owner = _owners(spots, offsets)
        own = {word: position for position, word in reversed(list(enumerate(owner))) if word is not None}
        # In "£22m" a vocabulary may make one token of "£2": a word in which no token starts reads the one that reaches into it.
        firsts = dict(sorted((_reaching(spots, offsets) | own).items()))
        shapes = [0 if w is None else shape(example.text, *spots[w]) for w in owner]
        lengths = [0 if w is None else length(*spots[w]) for w in owner]
        tags = self._tags(spots, example.spans) if example.spans is not None else None
        windows = []
        for start, end in cut(len(ids), self.room, self.overlap, breaks=sorted(firsts.values())):
            inside = [w for w, position in firsts.items() if start <= position < end]
            first, last = (inside[0], inside[-1] + 1) if inside else (0, 0)
            pad, tail = [0] * len(self.prefix), [0] * len(self.suffix)
            windows.append(
                Window(
                    index,
                    first,
                    self.prefix + ids[start:end] + self.suffix or [self.padding],  # a model takes no row of nothing
                    pad + shapes[start:end] + tail or [0],
                    pad + lengths[start:end] + tail or [0],
                    # A word that the tokenizer drops (a lone control character) reads the first position of the window.
                    [firsts[w] - start + len(self.prefix) if w in firsts else 0 for w in range(first, last)],
                    tags[first:last] if tags is not None else None,
                )
            )
        return windows

    def _tags(self, spots: list[tuple[int, int]], spans: Sequence[Span]) -> list[int]:
        """Gold tags: a span covers every word it touches; of overlapping spans the longest stays."""
        taken: set[int] = set()
        chosen = []
        for span in sorted(spans, key=lambda s: (s.start - s.end, s.start)):
            touched = [i for i, (start, end) in enumerate(spots) if start < span.end and span.start < end]
            if touched and not taken.intersection(touched):
                taken.update(touched)
                chosen.append((touched[0], touched[-1] + 1, span.label))
        return self.tagset.encode(len(spots), chosen)

    def cut(self, items: Sequence[Window]) -> list[list[Window]]:
        """One piece: windows are short."""
        return [list(items)]

    def collate(self, items: Sequence[Window]) -> dict[str, Tensor]:
        """Tensors of a batch: `tokens`, `mask`, `shapes`, `lengths` `(batch, tokens)`, and `heads` `(batch, words)`.

        With gold also `labels`, the tag ids `(batch, words)`.
        """
        tokens = max(len(w.tokens) for w in items)
        count = max(1, *(len(w.heads) for w in items)) if len(items) > 1 else max(1, len(items[0].heads))
        batch = {
            "tokens": _padded([w.tokens for w in items], tokens, self.padding),
            "mask": _padded([[1] * len(w.tokens) for w in items], tokens, 0),
            "shapes": _padded([w.shapes for w in items], tokens, 0),
            "lengths": _padded([w.lengths for w in items], tokens, 0),
            "heads": _padded([w.heads for w in items], count, 0),
        }
        if all(w.tags is not None for w in items):
            batch["labels"] = _padded([w.tags or [] for w in items], count, IGNORED)
        return batch

    def loss(self, model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Summed loss over words and their number; `model` is a `Tagger`, possibly wrapped for several devices."""
        tags = batch["labels"]
        emissions = model(*(batch[name] for name in ("tokens", "mask", "shapes", "lengths", "heads")))
        count = (tags != IGNORED).sum()
        transitions = getattr(model, "module", model).transitions
        with torch.autocast(emissions.device.type, enabled=False):
            if transitions is not None:
                return transitions(emissions, tags), count
            flat = functional.cross_entropy(
                emissions.flatten(0, 1), tags.flatten(), reduction="sum", ignore_index=IGNORED, label_smoothing=self.label_smoothing
            )
        return flat, count

    @torch.inference_mode()
    def scores(self, model: Any, items: Sequence[Window]) -> list[np.ndarray]:
        """Emissions `(words, tags)` of each window."""
        batch = moved(self.collate(items), model)
        emissions = model(*(batch[name] for name in ("tokens", "mask", "shapes", "lengths", "heads")))
        return list(emissions.float().cpu().numpy())

    def decode(self, model: Any, examples: Sequence[Example], items: Sequence[Window], scores: Sequence[np.ndarray]) -> list[Prediction]:
        """Predictions of the examples: stitched windows, best legal tag path, spans with their surfaces.

        `confidence` is the lowest probability of a chosen tag among the words, each word on its own.
        """
        moves, start, end = self.tagset.constraints
        if model.transitions is not None:
            learned = model.transitions
            moves, start, end = (
                fixed + part.detach().float().cpu().numpy()
                for fixed, part in zip((moves, start, end), (learned.moves, learned.start, learned.end), strict=True)
            )
        by_example: dict[int, list[tuple[Window, np.ndarray]]] = {}
        for window, emission in zip(items, scores, strict=True):
            by_example.setdefault(window.example, []).append((window, emission))
        predictions = []
        for i, example in enumerate(examples):
            spots = words(example.text, self.grain)
            emissions = stitch(by_example.get(i, []), len(spots), len(self.tagset.tags))
            if not (emissions < np.inf).all():
                raise GateError(
                    "the model's scores are not finite", where=f"example {example.id}", fix="set predict.precision=fp32, or train again"
                )
            path = best_path(emissions, moves, start, end)
            spans = tuple(
                Span(spots[a][0], spots[b - 1][1], label, example.text[spots[a][0] : spots[b - 1][1]], "predicted")
                for a, b, label in self.tagset.decode(path)
            )
            predictions.append(Prediction(example.id, example.text, spans=spans, confidence=_confidence(emissions, path)))
        return predictions


def assemble(recipe: Recipe, task: Task, base: Base, kept: Path | None = None) -> Assembled:
    """The tagger of a recipe on a freshly loaded base."""
    tagset = Tagset(task.labels, recipe.head.scheme)
    changes = {
        "num_labels": len(tagset.tags), "id2label": dict(enumerate(tagset.tags)), "label2id": dict(tagset.ids),
        "classifier_dropout": recipe.head.dropout,
    }  # fmt: skip
    # Eager attention: at sentence length the fused kernel's backward pass is slower on CPUs (benchmarks/attention.py).
    attention = "sdpa" if torch.cuda.is_available() else "eager"
    network = load.pretrained(
        AutoModelForTokenClassification, base, recipe.model, config=load.configuration(base, recipe.model, changes), attention=attention,
        dtype=load.weights_dtype(recipe.model, "fp32"), needs="a token-classification architecture",
    )  # fmt: skip
    load.require_room(network, recipe.data.max_tokens)
    head = TokenHead(
        tagset, load.tokenizer(base), max_tokens=recipe.data.max_tokens, overlap_tokens=recipe.data.overlap_tokens,
        label_smoothing=recipe.train.label_smoothing,
        grain="coarse" if recipe.data.words == "coarse" else "fine",  # where it is left open: words that any annotation fits
    )  # fmt: skip
    adapted, matched = attach(network, recipe.adapter, task_type="TOKEN_CLS")
    model = Tagger(adapted, tags=len(tagset.tags), surface=recipe.head.surface, transitions=recipe.head.transitions)
    if recipe.train.noise != "none":
        model.noise = Noise(recipe.train.noise, recipe.train.noise_alpha)
    return Assembled(model, head, matched)


def stitch(parts: Sequence[tuple[Window, np.ndarray]], count: int, tags: int) -> np.ndarray:
    """Emissions `(count, tags)` of a text from those of its windows: each word by the window that sees most tokens on both sides."""
    emissions = np.full((count, tags), IMPOSSIBLE, np.float32)
    emissions[:, 0] = 0.0  # a word that no window holds is outside
    best = np.full(count, -1)
    for window, scores in parts:
        for k, position in enumerate(window.heads):
            word = window.first + k
            seen = min(position, window.length - position)
            if seen > best[word]:
                best[word], emissions[word] = seen, scores[k]
    return emissions


def _owners(spots: list[tuple[int, int]], offsets: list[tuple[int, int]]) -> list[int | None]:
    """The word in which each token starts, or None for a token of blanks; tokens and words are both in text order."""
    owners: list[int | None] = []
    word = 0
    for start, end in offsets:
        while word < len(spots) and spots[word][1] <= start:
            word += 1
        # Byte-level vocabularies put the blank before a word into its token.
        inside = word < len(spots) and spots[word][0] < max(end, start + 1)
        owners.append(word if inside else None)
    return owners


def _reaching(spots: list[tuple[int, int]], offsets: list[tuple[int, int]]) -> dict[int, int]:
    """Position of the first token that holds a character of each word; a word that the tokenizer drops has none."""
    reaching: dict[int, int] = {}
    position = 0
    for word, (start, end) in enumerate(spots):
        while position < len(offsets) and offsets[position][1] <= start:
            position += 1
        if position < len(offsets) and offsets[position][0] < end:
            reaching[word] = position
    return reaching


def _padded(rows: Sequence[Sequence[int]], width: int, value: int) -> Tensor:
    array = np.full((len(rows), width), value, np.int64)
    for i, row in enumerate(rows):
        array[i, : len(row)] = row
    return torch.from_numpy(array)


def _confidence(emissions: np.ndarray, path: list[int]) -> float:
    if not path:
        return 1.0
    shifted = np.exp(emissions - emissions.max(1, keepdims=True))
    return float((shifted[np.arange(len(path)), path] / shifted.sum(1)).min())
