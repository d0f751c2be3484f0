"""The sequence head for any number of labels: each is a decision of its own, by the score above which a label is given.

Texts are read and scored as by `fintune.heads.sequence`. The loss is binary cross-entropy over all labels (or focal, as it was first
defined); the one score at which the line is drawn is fitted on validation examples and kept as `decisions.json`
(decision 0013). Drawing labels alike often is refused. `pytest tests/heads/test_several_head.py` exercises it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fintune.errors import ArtifactError, RecipeError
from fintune.heads import sequence
from fintune.heads.base import IGNORED, Assembled, Scored
from fintune.heads.calibrated import Calibration
from fintune.heads.classifier import balanced_weights
from fintune.heads.sequence import SequenceHead, Window
from fintune.metrics.calibration import apply_temperature, sigmoid
from fintune.metrics.several import best_margin, truths
from fintune.models.catalog import Base
from fintune.recipe import Recipe
from fintune.records import Example, Prediction, Purpose
from fintune.run import read_json
from fintune.tasks.base import Task

DECISIONS = "decisions.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Labelled:
    """A window of a text, whether each label is gold, and what each of these decisions counts for in the loss; both None without gold."""

    window: Window
    labels: tuple[bool, ...] | None
    units: tuple[float, ...] | None

    @property
    def example(self) -> int:
        """Index of the example it comes from."""
        return self.window.example

    @property
    def tokens(self) -> list[int]:
        """Token ids, special ones included."""
        return self.window.tokens

    @property
    def length(self) -> int:
        """How many tokens."""
        return self.window.length


class SeveralHead:
    """Encoding, loss and decoding of any number of labels for each text.

    Args:
        texts: reads and scores texts; its label set, smoothing, exponent, weights and calibration are those of this head.
        margin: the score above which a label is given.
    """

    def __init__(self, texts: SequenceHead, *, margin: float = 0.0) -> None:
        self.texts, self.margin = texts, margin
        self.labels, self.group, self.pipeline, self.tokenizer = texts.labels, texts.group, texts.pipeline, texts.tokenizer
        self.outputs, self.outputs_note, self.auto = texts.outputs, texts.outputs_note, texts.auto

    @property
    def stock_note(self) -> str:
        """What stock PEFT gives."""
        return f"{self.texts.stock_note} Each score is a logit of its own, and a label is given above {self.margin:.4g}."

    @property
    def calibration(self) -> Calibration:
        """Temperature and least confidence; neither changes which labels are given."""
        return self.texts.calibration

    @calibration.setter
    def calibration(self, fitted: Calibration) -> None:
        self.texts.calibration = fitted

    def describe(self) -> dict[str, Any]:
        """As of one label, and that several are meant."""
        return {**self.texts.describe(), "several": True}

    def keep(self) -> Mapping[str, str]:
        """As of one label, and the score that was fitted on validation examples."""
        line = {DECISIONS: json.dumps({"schema_version": SCHEMA_VERSION, "margin": self.margin}) + "\n"} if self.margin else {}
        return {**self.texts.keep(), **line}

    def learn(self, examples: Sequence[Example]) -> None:
        """Fit the regression on words, where there is to be one: of each label by itself."""
        gold = truths([example.labels or () for example in examples], labels=self.labels)
        self.texts.beside.learn(self.texts.as_read(examples), gold, self.labels, link=sigmoid)

    def encode(self, examples: Sequence[Example], purpose: Purpose) -> list[Labelled]:
        """Windows of the examples in order, at least one each; with their gold for training."""
        windows = self.texts.encode([replace(example, label=None) for example in examples], purpose)
        if purpose == "predict":
            return [Labelled(window, None, None) for window in windows]
        gold = truths([example.labels or () for example in examples], labels=self.labels)
        units = _units(gold) if self.texts.weighted else np.ones(gold.shape)
        known = [example.labels is not None for example in examples]
        return [
            Labelled(window, tuple(gold[window.example].tolist()), tuple(units[window.example].tolist()))
            if known[window.example]
            else Labelled(window, None, None)
            for window in windows
        ]

    def cut(self, items: Sequence[Labelled]) -> list[list[Labelled]]:
        """One piece: windows are short."""
        return [list(items)]

    def collate(self, items: Sequence[Labelled]) -> dict[str, Tensor]:
        """Tensors of a batch: as of one label, and gold `labels`, 0.0 or 1.0, and where it is weighed `units`, `(batch, labels)`."""
        batch = self.texts.collate([item.window for item in items])
        gold = [item.labels for item in items if item.labels is not None]
        if len(gold) < len(items):
            return batch
        units = {"units": torch.tensor([item.units for item in items])} if self.texts.weighted else {}
        return batch | units | {"labels": torch.tensor(gold, dtype=torch.float32)}

    def loss(self, model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Summed loss over decisions, and how many they are or what they weigh."""
        labels = batch["labels"]
        scores = model(batch["tokens"], batch["mask"])
        learnt = labels != IGNORED
        with torch.autocast(scores.device.type, enabled=False):
            each = losses(scores, labels.where(learnt, 0.0), gamma=self.texts.gamma, smoothing=self.texts.label_smoothing) * learnt
        if "units" not in batch:
            return each.sum(), learnt.sum()
        return (each * batch["units"]).sum(), (learnt * batch["units"]).sum()

    def scores(self, model: Any, items: Sequence[Labelled]) -> list[np.ndarray]:
        """Scores `(labels,)` of each window."""
        return self.texts.scores(model, [item.window for item in items])

    def fit(self, parts: Sequence[Scored]) -> None:
        """Sets `margin` to the score that serves these examples best by micro F1."""
        scores = np.concatenate([self._totals(examples, items, found) for examples, items, found in parts])
        sets = [example.labels or () for examples, _, _ in parts for example in examples]
        self.margin = best_margin(scores, truths(sets, labels=self.labels))

    def decode(self, model: Any, examples: Sequence[Example], items: Sequence[Labelled], scores: Sequence[np.ndarray]) -> list[Prediction]:
        """The labels of each example whose score is above the margin, and the probability of each.

        The confidence is that of the least certain decision.

        Raises:
            GateError: for scores that are not finite.
        """
        del model
        totals = self._totals(examples, items, scores)
        probabilities = apply_temperature(np.stack([np.zeros_like(totals), totals], axis=-1), self.calibration.temperature)[..., 1]
        given = totals > self.margin
        sure = np.where(given, probabilities, 1 - probabilities).min(axis=1)
        return [
            Prediction(
                example.id, example.text, labels=tuple(label for label, yes in zip(self.labels, row, strict=True) if yes),
                probabilities=tuple(map(float, of)), confidence=float(least),
            )
            for example, row, of, least in zip(examples, given, probabilities, sure, strict=True)
        ]  # fmt: skip

    def _totals(self, examples: Sequence[Example], items: Sequence[Labelled], scores: Sequence[np.ndarray]) -> np.ndarray:
        return self.texts.totals(examples, [item.window for item in items], scores)


def losses(scores: Tensor, gold: Tensor, *, gamma: float, smoothing: float) -> Tensor:
    """The loss `(batch, labels)` of each decision, in nats.

    Binary cross-entropy with the share `smoothing` of the target spread over both outcomes; with `gamma` above 0 focal loss,
    (1 - p) ** gamma times as much, p being the probability of the right decision (Lin et al. 2017, equation 4).
    """
    each = functional.binary_cross_entropy_with_logits(scores, gold * (1 - smoothing) + smoothing / 2, reduction="none")
    return each if gamma == 0 else each * (-torch.expm1(-each)).clamp(min=1e-12) ** gamma  # no infinite slope at 0


def _units(gold: np.ndarray) -> np.ndarray:
    """What each decision `(examples, labels)` weighs: of each label, giving and not giving it weigh the same together, and 1 on average."""
    units = np.ones(gold.shape)
    for label, column in enumerate(gold.T):
        weights = balanced_weights([str(yes) for yes in column])
        units[:, label] = [weights[str(yes)] for yes in column]
    return units


def assemble(recipe: Recipe, task: Task, base: Base, kept: Path | None = None) -> Assembled:
    """The classifier of a recipe, deciding on each label by itself; `kept` is the adapter folder of a finished run.

    Raises:
        ArtifactError, RecipeError, SafetyError: as of `sequence.assemble`; for balanced sampling, which a text with several labels has no
            place in; where the folder keeps something else than a score to decide by.
    """
    if recipe.train.balance == "sampling":
        raise RecipeError(
            "train.balance=sampling with several labels a text", where="train.balance", why="a text cannot be drawn for one of its labels",
            fix="set train.balance=weights, or train.loss=focal",
        )  # fmt: skip
    made = sequence.assemble(recipe, task, base, kept)
    return Assembled(made.model, SeveralHead(made.head, margin=_margin_in(kept)), made.matched)


def _margin_in(kept: Path | None) -> float:
    if kept is None or not (kept / DECISIONS).exists():
        return 0.0
    record = read_json(kept / DECISIONS)
    value = record.get("margin") if record.get("schema_version") == SCHEMA_VERSION else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ArtifactError("no finite score to decide by", where=str(kept / DECISIONS), fix="restore the file, or train again")
    return float(value)
