"""How fast labels are predicted and learnt: fintune beside transformers' Trainer and pipeline, and other ways to run the model.

MiniLM with LoRA on all linear layers reads whole texts and scores each label at the first token, which is what stock PEFT computes
from the same adapter, so that all ways can be compared label by label. Prediction goes from texts to labels with probabilities; models
are loaded beforehand, and every way has had one turn before the first that counts. `Trainer.predict` takes 8 texts a batch, which is
its default, or 64, or 64 in bf16; `pipeline` takes one text after the other, or 64. `fintune` computes the adapter beside the base,
`merged` within it, as the label recipes for a CPU have it. `compiled` is torch.compile with dynamic shapes, `ONNX` the merged network in
ONNX Runtime (`pip install onnx onnxscript onnxruntime`), in fp32 and with weights and activations in 8 bits. `no links` reads less than
the rest. Training is in `labels_training.py`. The adapter is trained for a moment (`--steps`), so that labels are not at random.

    python benchmarks/labels.py [--threads 2] [--rounds 5] [--texts 512] [--steps 100] [--training-steps 20] [--data tfns]
"""

from __future__ import annotations

import copy
import importlib.util
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import common
import labels_training
import labels_ways as ways
from fintune import recipe as recipes
from fintune.data.formats.base import ReadOptions
from fintune.data.load import load_for
from fintune.heads.build import Built, save
from fintune.heads.build import load as load_adapter
from fintune.predict.run import predict
from fintune.recipe import Recipe
from fintune.records import Example
from fintune.tasks.base import load_task

DATA: dict[str, tuple[str, str, dict[str, str]]] = {
    "tfns": ("sentiment/tfns_train.jsonl", "sentiment-minilm", {"0": "negative", "1": "positive", "2": "neutral"}),
    "phrasebank": ("sentiment/fpb_allagree.jsonl", "sentiment-minilm", {}),
    "topic": ("topic/twitter_topic20_train.jsonl.gz", "topic-minilm", {}),
}
"""File, recipe and what class numbers mean, by data set; the bundled corpus has topics."""

Way = Callable[[], np.ndarray]
"""Probabilities `(texts, labels)` of all texts."""


class Bench:
    """The texts, the adapter, and what each way predicts."""

    def __init__(self, recipe: Recipe, built: Built, texts: Sequence[Example], folder: Path) -> None:
        save(built, folder, recipe)
        self.recipe, self.texts, self.folder, self.base = recipe, texts, folder, built.base.folder
        self.task = load_task(recipe.task)
        self.plain, self.merged = self.read(), self.read()
        self.merged.model.adapted.merge_adapter()  # type: ignore[operator, union-attr]
        self.unlinked = copy.copy(self.merged.head)
        self.unlinked.links = "drop"

    def read(self) -> Built:
        """The adapter, read anew."""
        return load_adapter(self.recipe, self.task, self.folder)

    def ours(self, model: nn.Module, precision: str = "auto", head: Any = None) -> Way:
        """The way of fintune with any model that scores a batch."""

        def way() -> np.ndarray:
            found = predict(
                model, head or self.plain.head, self.texts, batch_tokens=self.recipe.predict.batch_tokens, precision=precision
            )  # fmt: skip
            return np.array([p.probabilities for p in found])

        return way

    def ways(self) -> dict[str, Way]:
        """What there is to compare; the two first are what the others are compared with."""
        stock = ways.Stock(self.base, self.folder, self.texts, labels=self.task.labels, max_tokens=self.recipe.data.max_tokens)
        network = self.read().model.adapted.merge_and_unload().eval()  # type: ignore[operator, union-attr]
        alone = ways.Network(network)
        found = {
            "fintune": self.ours(self.plain.model),
            "Trainer.predict": stock.trainer(8),
            "Trainer.predict, 64": stock.trainer(64),
            "Trainer.predict, 64, bf16": stock.trainer(64, bf16=True),
            "pipeline": stock.pipeline(1),
            "pipeline, 64": stock.pipeline(64),
            "fintune fp32": self.ours(self.plain.model, "fp32"),
            "merged": self.ours(self.merged.model),
            "merged fp32": self.ours(self.merged.model, "fp32"),
            "merged, no links": self.ours(self.merged.model, head=self.unlinked),
            "merged, compiled": self.ours(torch.compile(alone, dynamic=True)),  # type: ignore[arg-type]
        }
        if any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")):
            print("ONNX is left out: onnx, onnxscript or onnxruntime is not installed")
            return found
        batch = self.plain.head.collate(self.plain.head.encode(self.texts[:4], "predict"))
        whole, eight = ways.exported(alone, batch, self.folder)
        return found | {"ONNX fp32": self.ours(whole, "fp32"), "ONNX int8": self.ours(eight, "fp32")}

    def timed(self, way: Way) -> common.Timing:
        """One turn."""
        began = time.perf_counter()
        done = len(way())
        return common.Timing(done, time.perf_counter() - began)


def agreement(first: dict[str, np.ndarray]) -> str:
    """Of each way, the share of labels as in fp32 without merging, and how far any probability is from there."""
    reference = first["fintune fp32"]
    commonest = np.bincount(reference.argmax(1)).max() / len(reference)
    lines = [f"labels as those of 'fintune fp32', of which {commonest:.0%} are one label, and the largest difference of a probability:"]
    for name, found in first.items():
        share = (found.argmax(1) == reference.argmax(1)).mean()
        lines.append(f"  {name:{max(map(len, first)) + 2}}{share:8.4f}{np.abs(found - reference).max():10.1e}")
    return "\n".join(lines)


def fitting(recipe: Recipe, built: Built, examples: Sequence[Example]) -> list[Example]:
    """Examples that one window holds, which is how far the others read."""
    windows = Counter(item.example for item in built.head.encode(examples, "predict"))
    return [example for i, example in enumerate(examples) if windows[i] == 1]


def main() -> None:
    parser = common.options(__doc__, threads=2, rounds=5, texts=512, steps=100, training_steps=20)
    parser.add_argument("--data", choices=list(DATA), default="tfns", help="default tfns")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(given.threads)
    file, name, rename = DATA[given.data]
    path = common.data_file(file)
    recipe = recipes.load(name if path else "topic-minilm", ["head.pooling=first", "predict.adapter=beside"])
    data = str(path or common.CORPUS)
    examples = load_for(load_task(recipe.task), data, ReadOptions(rename=rename if path else {})).examples
    built = labels_training.trained(recipe, examples, count=given.steps)
    texts = fitting(recipe, built, examples)[-given.texts :]
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(recipe, built, texts, Path(scratch))
        variants, first, warm = bench.ways(), {}, {}
        for label, way in variants.items():
            began = time.perf_counter()
            first[label] = way()  # shapes and caches, once
            warm[label] = time.perf_counter() - began

        def turn(way: Way) -> Callable[[int], common.Timing]:
            return lambda number: bench.timed(way)

        found = common.in_turns({label: turn(way) for label, way in variants.items()}, given.rounds)
    tokens = [item.length for item in built.head.encode(texts, "predict")]
    fewer = [item.length for item in bench.unlinked.encode(texts, "predict")]
    report = [
        common.table(found, unit="texts/s", against=["Trainer.predict", "Trainer.predict, 64", "pipeline", "fintune"]), "",
        f"{len(texts)} texts of {np.mean(tokens):.1f} tokens, {np.mean(fewer):.1f} without links; the first turn of 'merged, compiled' "
        f"took {warm['merged, compiled']:.0f} s, of 'merged' {warm['merged']:.0f} s", "", agreement(first), "",
        *labels_training.report(recipe, examples, rounds=given.rounds, steps=given.training_steps), "", *common.circumstances(data),
    ]  # fmt: skip
    common.publish(f"labels-{given.data if path else 'bundled'}", "\n".join(report), given.output)


if __name__ == "__main__":
    main()
