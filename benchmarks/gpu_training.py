"""How fast the seven-type recipe trains on one GPU: fintune's packs beside stock ways to train, in one process, in under nine minutes.

Random bf16 weights of a published architecture under the recipe's LoRA, with B no longer 0; steps of 24 conversations of real lengths
where `FINTUNE_DATA` is set, else of lengths drawn once: a prefix of 96 tokens, sentences of 35 and targets of 60 (lognormal, variation 0.6
and 0.5). All rows take the same conversations of a round, in turns, under autocast, with AdamW and clipping. A step is everything from
making its batches to its optimizer step; its time is that between two CUDA events, the first steps of a turn are not counted.

T0 to T2, T4 and T5 project every token to the vocabulary, as transformers does; all but TRL run in fintune's loop. Useful tokens are real
ones, counted without sharing. Useful FLOP are those of packs without sharing whose supervised rows alone reach the vocabulary, for
every row alike: more of them a second than the GPU has, is work left out. Errors are those of a model of two layers against T2 in fp32.

    python benchmarks/gpu_training.py [--shape llama3-8b,qwen3-8b] [--rounds 3] [--steps 5] [--minutes 8] [--variants T0,T8]
        [--whole]
    python benchmarks/gpu_training.py --shape tiny --device cpu --steps 2 --rounds 1 --batch 6

Rounds are begun until `--minutes` are over. `--whole` then runs all three epochs with the fastest of ours. What fails says so in a line.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from transformers import TrainerCallback
from transformers.utils import logging

import common
import gpu_common
from fintune import recipe as recipes
from fintune.heads.base import IGNORED
from fintune.heads.generative import packs
from fintune.heads.generative.conversation import Conversation
from fintune.models import estimate, speed
from fintune.models.structure import structure
from fintune.train import order
from fintune.train.loop import Batch, Work, optimizer_for, schedule_for, steps
from gpu_common import SHAPES, Clock, attempt, whole
from gpu_ways import LEFT_OUT, TRL, Way, fintunes, learnt, ways

WARM_UP = 3
"""Steps of each turn that are not counted."""
FEW = {"qwen3-8b": "T0,T2,T4,T5,T6,T8,T8L"}
"""Rows of a shape where none are named: the second shape is there to confirm the first."""


def liger(device: torch.device) -> bool:
    """Whether its kernels can be had."""
    return device.type == "cuda" and importlib.util.find_spec("liger_kernel") is not None


def summed(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Summed loss and supervised tokens of a batch, of a model that gives the one or logits."""
    out = model(batch)
    return packs.summed(out, batch["labels"]) if out.ndim == 2 else (out, (batch["labels"] != IGNORED).sum())


class Steps(TrainerCallback):
    """Marks a clock where SFTTrainer begins, and after each of its steps."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The first mark."""
        self.clock.mark()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """One a step."""
        self.clock.mark()


@dataclass(slots=True)
class Found:
    """What the turns of a row took: its very first step, the counted ones, the most memory; or why there are none."""

    first_seconds: float = 0.0
    milliseconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    why: str = ""

    @property
    def median(self) -> float:
        """Milliseconds of a step."""
        return statistics.median(self.milliseconds)


class Bench:
    """A network, its twins as the rows want them, and turns of any row on the conversations of a round."""

    def __init__(self, name: str, device: torch.device, given: Any) -> None:
        shape, self.config = SHAPES[name], gpu_common.config(name)
        self.device, self.half, self.steps, self.batch = device, device.type == "cuda", given.steps, given.batch
        self.recipe = recipes.load(shape.recipe, {"prompt.labels": given.labels})
        self.items, self.source = gpu_common.conversations(shape, self.recipe, self.config.vocab_size, given.conversations)
        self.ways = ways(max(self.recipe.data.max_tokens, *(c.length for c in self.items)))
        self.model = gpu_common.network(self.config, self.recipe, device, torch.bfloat16 if self.half else torch.float32)
        self.code = gpu_common.architecture(self.model)
        self.rotation = self.code.apply_rotary_pos_emb
        self.twins: dict[str, tuple[Any, Any]] = {}

    def drawn(self, number: int) -> list[list[Conversation]]:
        """The steps of a round, the same for every row: those to warm up with, then those that count."""
        draw = random.Random(number)
        return [draw.sample(self.items, self.batch) for _ in range(WARM_UP + self.steps)]

    def hindered(self, way: Way | TRL) -> str:
        """Why a row cannot run here, as far as that is known before."""
        if way.gpu_alone and not self.half:
            return f"on a GPU alone: {way.gpu_alone}"
        lacking = [name for name in ("trl", "datasets") if importlib.util.find_spec(name) is None]
        return f"not installed: {', '.join(lacking)}" if isinstance(way, TRL) and lacking else ""

    def twin(self, way: Way | TRL, model: Any) -> tuple[Any, Any]:
        """A network as a row wants it, and its rotation: Liger replaces that of all models, so that every turn puts its own in place."""
        self.code.apply_rotary_pos_emb = self.rotation
        twin = gpu_common.twin(model)
        twin.get_base_model().set_attn_implementation(way.attention)
        if isinstance(way, Way):
            speed.apply(way.module(twin), way.settings, device=self.device, needed=0)
        return twin, self.code.apply_rotary_pos_emb

    def turn(self, name: str, found: Found, number: int) -> str:
        """A turn of a row, added to what was found."""
        way, clock, batches = self.ways[name], Clock(self.device), self.drawn(number)
        self.model.zero_grad(set_to_none=True)
        if self.half:
            torch.cuda.reset_peak_memory_stats()
        if isinstance(way, TRL):
            self.theirs(way, batches, clock)
        else:
            for _ in self.trained(name, batches, len(batches), clock):
                pass
        took = clock.milliseconds()
        found.first_seconds = found.first_seconds or took[0] / 1000
        found.milliseconds += took[WARM_UP:]
        found.peak_bytes = max(found.peak_bytes, torch.cuda.max_memory_allocated() if self.half else 0)
        return f"{found.median:.0f} ms a step"

    def trained(self, name: str, batches: Iterable[Sequence[Conversation]], count: int, clock: Clock) -> Iterator[float]:
        """The mean loss of each of `count` steps of fintune's loop."""
        way, settings = self.ways[name], self.recipe.train
        if name not in self.twins:
            self.twins[name] = self.twin(way, self.model)
        twin, self.code.apply_rotary_pos_emb = self.twins[name]
        AcceleratorState._reset_state()
        accelerator = Accelerator(mixed_precision="bf16" if self.half else "no", cpu=not self.half)
        model = way.module(twin)
        optimizer = optimizer_for(model, rate=settings.learning_rate, head_rate=None, decay=settings.weight_decay)
        schedule = schedule_for(optimizer, kind=settings.schedule, warmup=settings.warmup, steps=count)
        model, optimizer = accelerator.prepare(model, optimizer)
        work = (Work(0, way.batches(items), []) for items in batches)
        clock.mark()
        for step in steps(model, summed, work, optimizer=optimizer, schedule=schedule, accelerator=accelerator, clip=settings.clip):
            clock.mark()
            yield step.loss

    def theirs(self, way: TRL, batches: Sequence[Sequence[Conversation]], clock: Clock) -> None:
        """A turn of SFTTrainer on a new twin, whose forward pass it replaces."""
        from datasets import Dataset
        from tokenizers import Tokenizer
        from tokenizers.models import WordLevel
        from transformers import PreTrainedTokenizerFast, PrinterCallback
        from trl import SFTConfig, SFTTrainer

        model, _ = self.twin(way, self.model)
        wholes = [whole(c) for items in batches for c in items]
        rows = Dataset.from_dict({"input_ids": [list(w.ids) for w in wholes], "labels": [learnt(w).tolist() for w in wholes]})
        padding = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"<pad>": 0}, unk_token="<pad>")), pad_token="<pad>")
        AcceleratorState._reset_state()
        with tempfile.TemporaryDirectory() as folder:
            given = SFTConfig(
                folder, num_train_epochs=1, per_device_train_batch_size=self.batch, learning_rate=self.recipe.train.learning_rate,
                bf16=self.half, use_cpu=not self.half, use_liger_kernel=liger(self.device), gradient_checkpointing=False,
                train_sampling_strategy="random" if way.padding_free else "group_by_length", padding_free=way.padding_free, max_length=None,
                dataset_kwargs={"skip_prepare_dataset": True}, report_to="none", disable_tqdm=True, save_strategy="no",
                logging_strategy="no",
            )  # fmt: skip
            trainer = SFTTrainer(model, given, train_dataset=rows, processing_class=padding, callbacks=[Steps(clock)])
            trainer.remove_callback(PrinterCallback)
            trainer.train()

    def rounds(self, names: Sequence[str], count: int, until: float) -> dict[str, Found]:
        """`count` turns of each row, or as many as begin before `until`."""
        found = {name: Found(why=self.hindered(self.ways[name])) for name in names}
        runs = {name: partial(self.turn, name, found[name]) for name in names if not found[name].why}
        for name, why in gpu_common.in_turns(runs, count, until).items():
            found[name].why = why
        return found

    def outcome(self, name: str, network: Any, half: bool) -> tuple[float, Tensor]:
        """Mean loss and gradient of a step of a row on another network."""
        way = self.ways[name]
        twin, self.code.apply_rotary_pos_emb = self.twin(way, network)
        twin.zero_grad(set_to_none=True)
        model, losses, counts = way.module(twin.train()), 0.0, 0
        for batch in way.batches(self.drawn(0)[0]):
            with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
                loss, count = summed(model, {key: value.to(self.device) for key, value in batch.items()})
            loss.backward()
            losses, counts = losses + loss.item(), counts + int(count)
        gradient = torch.cat([p.grad.flatten() for p in twin.parameters() if p.grad is not None]) / counts
        return losses / counts, gradient

    def errors(self, names: Sequence[str]) -> Iterator[str]:
        """A line for each row in fintune's loop: how far loss and gradient are from T2's in fp32, in fp32 and under autocast to bf16.

        To be asked for before any turn: the two layers are to be of the architecture's own code.
        """
        config = copy.deepcopy(self.config)
        config.num_hidden_layers = 2
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[:2]
        network = gpu_common.network(config, self.recipe, self.device, torch.float32)
        mean, expected = self.outcome("T2", network, half=False)
        for name in names:
            way, told = self.ways[name], []
            if isinstance(way, TRL) or self.hindered(way) or way.settings.compile != "none":
                continue
            for half in (False, True):
                found, why = attempt(partial(self.outcome, name, network, half))
                told.append(f"{abs(found[0] / mean - 1):.1e} {gpu_common.relative(found[1], expected):.1e}" if found else why)
            yield f"{name:5}{'; bf16 '.join(dict.fromkeys(told))}"

    def whole(self, name: str) -> str:
        """All epochs of the recipe by one row, timed as a whole."""
        lengths, settings = [c.length for c in self.items], self.recipe.train
        cut = partial(order.batches, lengths, batch_size=self.batch, seed=self.recipe.seed, group=1)
        batches = [[self.items[i] for i in batch] for epoch in range(settings.epochs) for batch in cut(epoch=epoch)]
        began = time.perf_counter()
        losses = list(self.trained(name, batches, len(batches), Clock(self.device)))
        took = time.perf_counter() - began
        return f"the whole recipe by {name}: {len(losses)} steps in {took:.1f} s, loss {losses[0]:.3f} to {losses[-1]:.3f}"


@dataclass(frozen=True, slots=True)
class Figures:
    """What is derived from milliseconds of a step: of all conversations of a recipe, and their useful FLOP."""

    batch: int
    tokens: float
    flop: float
    passes: int

    @classmethod
    def of(cls, bench: Bench) -> Figures:
        """Means over all conversations."""
        rows = sum(sum(whole(c).supervised) for c in bench.items)
        load = estimate.packed(0, [c.length for c in bench.items], rows)
        count, flop = len(bench.items), estimate.flops(structure(bench.model), load, recompute="never")
        return cls(bench.batch, load.tokens / count, flop / count, count * bench.recipe.train.epochs)

    def rate(self, found: Found) -> float:
        """Examples a second."""
        return 1000 * self.batch / found.median

    def table(self, ways: dict[str, Way | TRL], found: dict[str, Found]) -> str:
        """A line for each row."""
        against = [name for name in ("T0", "T2", "T4") if name in found and found[name].milliseconds]
        heads = ["ms/step", "ex/s", "tok/s", "TFLOP/s", "GiB", "first s", "recipe s", *(f"x {name}" for name in against)]
        lines = [f"{'':50}" + "".join(f"{head:>9}" for head in heads)]
        for name, row in found.items():
            title = f"{name:5}{ways[name].title}"
            if row.milliseconds:
                rate = self.rate(row)
                cells = [
                    f"{row.median:.0f}", f"{rate:.1f}", f"{rate * self.tokens:.0f}", f"{rate * self.flop / 1e12:.3g}",
                    f"{row.peak_bytes / 2**30:.1f}", f"{row.first_seconds:.1f}", f"{self.passes / rate:.1f}",
                    *(f"{found[other].median / row.median:.2f}" for other in against),
                ]  # fmt: skip
                lines.append(f"{title:50}" + "".join(f"{cell:>9}" for cell in cells))
            if row.why or not row.milliseconds:
                lines.append(f"{title:50} {row.why or 'no time was left'}")
        return "\n".join(lines)


def report(name: str, bench: Bench, given: Any, *, until: float, end: float) -> tuple[list[str], dict[str, Any]]:
    """The lines and the record of a shape, whose rounds begin before `until` and whose whole run must end before `end`."""
    names = gpu_common.named(given.variants or FEW.get(name) or ",".join(bench.ways), bench.ways)
    errors, figures = list(bench.errors(names)), Figures.of(bench)
    found = bench.rounds(names, given.rounds, until)
    counted = max((len(row.milliseconds) for row in found.values()), default=0)
    lines = [
        f"{name}: {bench.source}; {figures.tokens:.1f} tokens each, {packs.shared(bench.items)} of them shared",
        f"{figures.flop / 1e12:.3g} useful TFLOP each; medians of up to {counted} steps of {bench.batch}; `recipe s`: the time of "
        f"{figures.passes} examples", figures.table(bench.ways, found), LEFT_OUT,
        "relative errors of loss and gradient on two layers, in fp32:", *errors,
    ]  # fmt: skip
    ours = {n: row for n, row in found.items() if fintunes(bench.ways[n]) and row.milliseconds and not row.why}
    if given.whole and ours:
        best = min(ours, key=lambda n: ours[n].median)
        fits = time.perf_counter() + 1.2 * figures.passes / figures.rate(ours[best]) < end
        run, why = attempt(partial(bench.whole, best)) if fits else (None, "no time was left")
        lines.append(run or f"the whole recipe by {best}: {why}")
    return [*lines, ""], {"tokens": figures.tokens, "flop": figures.flop, "rows": {n: asdict(row) for n, row in found.items()}}


def main() -> None:
    parser = common.options(__doc__, rounds=3, steps=5, minutes=8, batch=24, conversations=gpu_common.COUNT)
    parser.add_argument("--shape", default="llama3-8b,qwen3-8b", help="which architectures, separated by commas")
    parser.add_argument("--variants", default="", help="which rows, separated by commas; those of the shape where empty")
    parser.add_argument("--labels", default="none", help="what the prompt says of the label set: none, names or meanings")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--whole", action="store_true", help="also run all epochs by the fastest of ours")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.set_verbosity_error()
    began, device, shapes = time.perf_counter(), gpu_common.device(given.device), gpu_common.named(given.shape, SHAPES)
    title = "gpu-training" if device.type == "cuda" else "gpu-training-on-cpu"
    rates = gpu_common.ceilings(device)
    record: dict[str, Any] = {"ceilings": rates}
    lines = [
        *gpu_common.kernel_checks(device),
        f"matrix product {rates['product'] / 1e12:.3g} TFLOP/s in bf16, copy {rates['copy'] / 1e12:.3g} TB/s",
        f"Liger kernels: {'T3 has them too' if liger(device) else 'not to be had, T3 is TRL without them'}", "",
    ]  # fmt: skip
    for number, name in enumerate(shapes, start=1):
        until, end = (began + 60 * given.minutes * share for share in (number / len(shapes), 1))
        done, why = attempt(lambda name=name, until=until, end=end: report(name, Bench(name, device, given), given, until=until, end=end))
        told, record[name] = done or ([f"{name}: {why}"], {})
        gpu_common.free()
        lines += told
        # After each shape, so that what was measured is kept should the next one take the machine's time.
        common.publish(title, "\n".join([*lines, *common.circumstances("random weights")]), given.output)
        (given.output / f"{title}-{time.strftime('%Y-%m-%d')}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
