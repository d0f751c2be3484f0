"""How fast a trained adapter tags sentences: fintune beside transformers' token-classification pipeline, in one process.

The same MiniLM adapter on the same sentences, loaded beforehand; what is timed goes from texts to spans with character offsets.
`pipeline` is its default, one sentence after the other; `pipeline, batches` is told to take 32 at a time. Stock PEFT does not know
the word shapes and transitions of the adapter, so the pipeline computes slightly less. `merged` adds the adapter's product to the
base weights first. The adapter is trained for a moment (`--steps`), so that tags are neither all outside nor at random.

    python benchmarks/predict.py [--rounds 5] [--sentences 512] [--steps 60]
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from peft import PeftModel
from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

import common
from fintune import recipe as recipes
from fintune.data.load import load
from fintune.heads.build import Built, build, save
from fintune.heads.build import load as load_adapter
from fintune.models.precision import arithmetic
from fintune.predict.run import predict
from fintune.recipe import Recipe
from fintune.records import Example, Prediction
from fintune.tasks.base import load_task
from fintune.train import order
from fintune.train.loop import Work, optimizer_for, schedule_for, steps
from fintune.train.run import settle


def trained(recipe: Recipe, examples: Sequence[Example], *, count: int) -> Built:
    """A model after `count` steps."""
    built = build(recipe, load_task(recipe.task))
    AcceleratorState._reset_state()
    half = arithmetic("auto", "cpu") == torch.bfloat16
    accelerator = Accelerator(cpu=True, mixed_precision="bf16" if half else "no")
    items = built.head.encode(examples)
    optimizer = optimizer_for(built.model, rate=recipe.train.learning_rate, head_rate=None, decay=recipe.train.weight_decay)
    schedule = schedule_for(optimizer, kind="linear", warmup=0.1, steps=count)
    batches = order.batches([w.length for w in items], batch_size=recipe.train.batch_size, seed=0, epoch=0, group=built.head.group)
    work = (Work(0, [built.head.collate([items[i] for i in batches[n % len(batches)]])], []) for n in range(count))
    model, optimizer = accelerator.prepare(built.model, optimizer)
    for step in steps(model, built.head.loss, work, optimizer=optimizer, schedule=schedule, accelerator=accelerator, clip=1.0):
        loss = step.loss
    print(f"trained {count} steps, last loss {loss:.2f}")
    accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    return built


class Bench:
    """The sentences and the models, and turns of any variant."""

    def __init__(self, recipe: Recipe, built: Built, texts: Sequence[Example], folder: Path) -> None:
        save(built, folder, recipe)
        task = load_task(recipe.task)
        self.recipe, self.texts = recipe, texts
        self.plain, self.merged = load_adapter(recipe, task, folder), load_adapter(recipe, task, folder)
        self.merged.model.adapted.merge_adapter()  # type: ignore[operator, union-attr]
        names = dict(enumerate(built.head.tagset.tags))
        stock: Any = AutoModelForTokenClassification.from_pretrained(built.base.folder, num_labels=len(names), id2label=names)
        self.pipeline = pipeline(
            "token-classification", model=PeftModel.from_pretrained(stock, folder).eval(), tokenizer=AutoTokenizer.from_pretrained(folder),
            aggregation_strategy="first", device="cpu",
        )  # fmt: skip

    def ours(self, built: Built, precision: str) -> list[Prediction]:
        """Predictions of fintune."""
        return list(predict(built.model, built.head, self.texts, batch_tokens=self.recipe.predict.batch_tokens, precision=precision))

    def theirs(self, batch_size: int) -> list[Any]:
        """Entities of the pipeline."""
        return self.pipeline([e.text for e in self.texts], batch_size=batch_size)  # type: ignore[no-any-return]

    def timed(self, work: Callable[[], Sequence[Any]]) -> common.Timing:
        """One turn."""
        began = time.perf_counter()
        done = len(work())
        return common.Timing(done, time.perf_counter() - began)

    def agreement(self) -> str:
        """How much bf16 and merging change."""
        reference = [p.spans for p in self.ours(self.plain, "fp32")]
        others = {"auto": self.ours(self.plain, "auto"), "merged": self.ours(self.merged, "auto")}
        shares = {name: sum(p.spans == spans for p, spans in zip(found, reference, strict=True)) for name, found in others.items()}
        spans = sum(len(found or ()) for found in reference)
        told = ", ".join(f"{name} {share} of {len(reference)}" for name, share in shares.items())
        return f"{spans} spans in fp32; sentences with the very same spans: {told}"


def main() -> None:
    parser = common.options(__doc__, rounds=5, sentences=512, steps=60)
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    data = common.source()
    examples = load(data, kind="spans").examples
    recipe = recipes.load("ner-minilm")
    recipe = settle(recipe, load_task(recipe.task), examples)
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(recipe, trained(recipe, examples, count=given.steps), examples[: given.sentences], Path(scratch))
    variants: dict[str, Callable[[], Sequence[Any]]] = {
        "fintune": lambda: bench.ours(bench.plain, "auto"),
        "fintune fp32": lambda: bench.ours(bench.plain, "fp32"),
        "fintune merged": lambda: bench.ours(bench.merged, "auto"),
        "fintune merged fp32": lambda: bench.ours(bench.merged, "fp32"),
        "pipeline": lambda: bench.theirs(1),
        "pipeline, batches": lambda: bench.theirs(32),
    }
    for work in variants.values():  # shapes and caches, once
        work()

    def turn(work: Callable[[], Sequence[Any]]) -> Callable[[int], common.Timing]:
        return lambda number: bench.timed(work)

    found = common.in_turns({name: turn(work) for name, work in variants.items()}, given.rounds)
    report = common.table(found, unit="sentences/s", against=["pipeline", "pipeline, batches", "fintune"])
    common.publish("predict", "\n".join([report, "", bench.agreement(), "", *common.circumstances(data)]), given.output)


if __name__ == "__main__":
    main()
