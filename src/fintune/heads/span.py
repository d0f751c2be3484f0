"""The span head: the answer to a question as a stretch of the text, or none, from an encoder that reads both together.

The reader is a stock question-answering model under a peft adapter, whose output layer is trained in full. A text that does not fit
beside its question is cut into overlapping windows; one without the answer learns to point at the first token. The margin at which
no answer is given is fitted on validation questions; a head that saw none without an answer always answers. What does not stand in
the text cannot be learnt and is refused. `fintune train qa-minilm` trains one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForQuestionAnswering

from fintune.errors import DataError, GateError, RecipeError
from fintune.heads.asked import NOWHERE, Layout, Window, tokens_of
from fintune.heads.base import IGNORED, Assembled, Scored, moved
from fintune.heads.extraction import Seen, Weighed, best_threshold, weigh
from fintune.heads.margins import files, margin_in
from fintune.heads.noise import Noise
from fintune.heads.reader import Reader
from fintune.metrics.answers import f1
from fintune.models import load
from fintune.models.adapter import attach
from fintune.models.catalog import Base
from fintune.recipe import Recipe
from fintune.records import Answer, Example, Prediction
from fintune.tasks.base import Purpose, Task

ALWAYS = 1e9
"""The margin of a head that has learnt from questions with an answer alone: it always answers, as the rules of SQuAD v1 have it."""


@dataclass(frozen=True, slots=True)
class Found:
    """A stretch `[start, end)` of the text with its probability; without `start` and `end` it is that there is no answer."""

    start: int | None
    end: int | None
    text: str
    probability: float


class SpanHead:
    """Encoding, loss and decoding of stretches of a text."""

    group = 16  # larger wastes less padding, smaller mixes more
    labels: tuple[str, ...] = ()
    outputs = ("start", "end")
    auto, pipeline = "AutoModelForQuestionAnswering", "question-answering"
    outputs_note = "Outputs, in order: the score of an answer's first token and of its last."
    stock_note = (
        "They give the same scores where segments are passed on (`model.base_model(...)`; peft's own class for question answering leaves "
        "`token_type_ids` out); `fintune.load(run)` searches all windows and decides whether there is an answer."
    )

    def __init__(
        self, tokenizer: Any, *, max_tokens: int, overlap_tokens: int, answer_tokens: int, margin: float = 0.0
    ) -> None:  # fmt: skip
        self.tokenizer, self.max_tokens, self.overlap = tokenizer, max_tokens, overlap_tokens
        self.answer_tokens, self.margin = answer_tokens, margin
        self.left_out: tuple[str, ...] = ()  # ids of training examples whose answer no window holds whole
        self.layout = Layout.of(tokenizer)
        self.padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0

    def describe(self) -> dict[str, Any]:
        """The special tokens around question and text, and their segments."""
        return {"head": "span", "parts": list(self.layout.parts), "segments": list(self.layout.segments)}

    def keep(self) -> Mapping[str, str]:
        """The fitted margin, where there is one."""
        return files(self.margin)

    def encode(self, examples: Sequence[Example], purpose: Purpose) -> list[Window]:
        """Windows of the examples in order, at least one each; with their gold for training.

        Raises:
            DataError: without a question, with one that leaves no room for the text, or to learn from an answer that is not in it.
        """
        if not examples:
            return []
        asked = [example for example in examples if example.question is None]
        if asked:
            raise DataError(f"example {asked[0].id!r} has no question", where=asked[0].where, fix="give it a 'question'")
        questions = self.tokenizer([str(e.question) for e in examples], add_special_tokens=False, verbose=False)["input_ids"]
        texts = self.tokenizer([e.text for e in examples], add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        windows, lost = list[Window](), list[str]()
        for i, example in enumerate(examples):
            offsets = texts["offset_mapping"][i]
            gold = tokens_of(example, offsets) if purpose == "train" else None
            own = list(
                self.layout.windows(
                    i, example, questions[i], texts["input_ids"][i], offsets, gold, purpose, room=self.max_tokens, overlap=self.overlap
                )
            )  # fmt: skip
            if gold is not None and all(window.gold == NOWHERE for window in own):
                lost.append(example.id)
            windows += own
        if purpose == "train":
            self.left_out = tuple(lost)
            self.margin = ALWAYS if all(example.answer is not None for example in examples) else 0.0
        return windows

    def cut(self, items: Sequence[Window]) -> list[list[Window]]:
        """One piece: windows are short."""
        return [list(items)]

    def collate(self, items: Sequence[Window]) -> dict[str, Tensor]:
        """Tensors of a batch: `tokens`, `types`, `mask` and `open` `(batch, tokens)`, and with gold `labels` `(batch, 2)`."""
        rows = [torch.tensor(item.tokens) for item in items]
        opened = []
        for item, row in zip(items, rows, strict=True):
            opened.append(torch.zeros_like(row))
            opened[-1][0] = 1
            opened[-1][item.begin : item.begin + len(item.offsets)] = 1
        batch = {
            "tokens": pad_sequence(rows, batch_first=True, padding_value=self.padding),
            "types": pad_sequence([torch.tensor(item.types) for item in items], batch_first=True, padding_value=0),
            "mask": pad_sequence([torch.ones_like(row) for row in rows], batch_first=True, padding_value=0),
            "open": pad_sequence(opened, batch_first=True, padding_value=0),
        }
        gold = [item.gold for item in items if item.gold is not None]
        return batch | {"labels": torch.tensor(gold)} if len(gold) == len(items) else batch

    def loss(self, model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Summed cross-entropy of first and last tokens, and their number: two of each window.

        Paper: the scripts for SQuAD let question and padding compete as well, which can be no answer and are left out here.
        """
        labels = batch["labels"]
        scores = model(batch["tokens"], batch["types"], batch["mask"], batch["open"])
        with torch.autocast(scores.device.type, enabled=False):
            summed = functional.cross_entropy(scores.flatten(0, 1), labels.flatten(), reduction="sum", ignore_index=IGNORED)
        return summed, (labels != IGNORED).sum()

    @torch.inference_mode()
    def scores(self, model: Any, items: Sequence[Window]) -> list[np.ndarray]:
        """Start and end scores `(2, 1 + tokens of the text)` of each window, the null position first."""
        batch = moved(self.collate(items), model)
        found = model(batch["tokens"], batch["types"], batch["mask"], batch["open"]).cpu().numpy()
        return [
            np.concatenate([row[:, :1], row[:, item.begin : item.begin + len(item.offsets)]], axis=1)
            for item, row in zip(items, found, strict=True)
        ]

    def decode(self, model: Any, examples: Sequence[Example], items: Sequence[Window], scores: Sequence[np.ndarray]) -> list[Prediction]:
        """The likeliest stretch of each text, or no answer where its margin is above the fitted one; `confidence` is its probability.

        Raises:
            GateError: for scores that are not finite.
        """
        del model
        chosen = [best for (best, *_) in self.nbest(examples, items, scores, top=1)]
        return [
            Prediction(
                example.id, example.text, answer=None if best.start is None else Answer(best.start, best.text), confidence=best.probability
            )
            for example, best in zip(examples, chosen, strict=True)
        ]

    def nbest(
        self, examples: Sequence[Example], items: Sequence[Window], scores: Sequence[np.ndarray], *, top: int
    ) -> list[list[Found]]:  # fmt: skip
        """The `top` likeliest answers of each example, of which no answer is one; first is what the head decides for.

        Stretches that differ in blanks alone are one, with their probabilities added.

        Raises:
            GateError: for scores that are not finite.
        """
        return [
            self._ranked(example, offsets, weighed, top)
            for example, (offsets, weighed) in zip(examples, self._weighed(examples, items, scores, top=2 * top), strict=True)
        ]

    def fit(self, parts: Sequence[Scored]) -> None:
        """Set the margin above which F1 over these examples is best; it stays where all of them, or none, have an answer."""
        if len({example.answer is None for examples, _, _ in parts for example in examples}) < 2:
            return
        margins, answered, unanswered = list[float](), list[float](), list[float]()
        for examples, items, scores in parts:
            for example, (offsets, weighed) in zip(examples, self._weighed(examples, items, scores, top=2), strict=True):
                best = next(iter(_merged(example, offsets, weighed)), None)
                margins.append(weighed.margin)
                answered.append(f1(None if best is None else best.text, example.golds))
                unanswered.append(f1(None, example.golds))
        self.margin = best_threshold(margins, answered, unanswered)

    def _ranked(self, example: Example, offsets: Mapping[int, tuple[int, int]], weighed: Weighed, top: int) -> list[Found]:
        none = Found(None, None, "", weighed.null_probability)
        stretches = _merged(example, offsets, weighed)
        if not stretches or weighed.margin > self.margin:
            return [none, *stretches][:top]
        return [stretches[0], *sorted([*stretches[1:], none], key=lambda found: -found.probability)][:top]

    def _weighed(
        self, examples: Sequence[Example], items: Sequence[Window], scores: Sequence[np.ndarray], *, top: int
    ) -> Iterable[tuple[Mapping[int, tuple[int, int]], Weighed]]:  # fmt: skip
        """Characters of each token of a text, and its stretches."""
        grouped: list[list[tuple[Window, np.ndarray]]] = [[] for _ in examples]
        for window, score in zip(items, scores, strict=True):
            grouped[window.example].append((window, score))
        for example, own in zip(examples, grouped, strict=True):
            if not all(np.isfinite(score).all() for _, score in own):
                raise GateError(
                    "the model's scores are not finite", where=f"example {example.id}", fix="set predict.precision=fp32, or train again"
                )
            offsets = {window.first + at: spot for window, _ in own for at, spot in enumerate(window.offsets)}
            yield offsets, weigh([Seen(window.first, score) for window, score in own], longest=self.answer_tokens, top=top)


def _merged(example: Example, offsets: Mapping[int, tuple[int, int]], weighed: Weighed) -> list[Found]:
    """The stretches as characters without blanks at their ends, best first; what becomes empty is left out."""
    found: dict[tuple[int, int], float] = {}
    for stretch in weighed.stretches:
        start, end = offsets[stretch.first][0], offsets[stretch.last][1]
        surface = example.text[start:end]
        start, end = start + len(surface) - len(surface.lstrip()), end - len(surface) + len(surface.rstrip())
        if start < end:
            found[start, end] = found.get((start, end), 0.0) + stretch.probability
    return [Found(start, end, example.text[start:end], min(1.0, p)) for (start, end), p in found.items()]


def assemble(recipe: Recipe, task: Task, base: Base, kept: Path | None = None) -> Assembled:
    """The reader of a recipe on a freshly loaded base; `kept` is the adapter folder of a finished run.

    Raises:
        ArtifactError, RecipeError, SafetyError: where the base cannot be had, is no encoder, or the adapter does not fit it.
    """
    del task
    if recipe.train.label_smoothing:
        raise RecipeError("label_smoothing has no meaning with a span head", where="train.label_smoothing", fix="set it to 0")
    changes = {"num_labels": 2, "qa_dropout": recipe.head.dropout}
    # Eager attention: at sentence length the fused kernel's backward pass is slower on CPUs (benchmarks/attention.py).
    attention = "sdpa" if torch.cuda.is_available() else "eager"
    config = load.configuration(base, recipe.model, changes)
    if config.is_encoder_decoder or getattr(config, "num_key_value_heads", None) is not None:
        raise RecipeError(
            f"a span head on {config.model_type!r}", where="head.type", why="it does not read a text in both directions",
            fix="set head.type=generative, or choose an encoder such as model.base=minilm",
        )  # fmt: skip
    network = load.pretrained(
        AutoModelForQuestionAnswering, base, recipe.model, config=config, attention=attention,
        dtype=load.weights_dtype(recipe.model, "fp32"), needs="a question-answering architecture",
    )  # fmt: skip
    load.require_room(network, recipe.data.max_tokens)
    head = SpanHead(
        load.tokenizer(base), max_tokens=recipe.data.max_tokens, overlap_tokens=recipe.data.overlap_tokens,
        answer_tokens=recipe.predict.answer_tokens, margin=margin_in(kept),
    )  # fmt: skip
    adapted, matched = attach(network, recipe.adapter, task_type="QUESTION_ANS")
    noise = None if recipe.train.noise == "none" else Noise(recipe.train.noise, recipe.train.noise_alpha)
    typed = (getattr(config, "type_vocab_size", None) or 0) > 1
    return Assembled(Reader(adapted, typed=typed, noise=noise), head, matched)
