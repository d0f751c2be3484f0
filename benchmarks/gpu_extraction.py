"""How many documents a second one GPU extracts from and classifies: fintune beside transformers' `generate`, in one process.

Random bf16 weights of the published architectures under their recipes' LoRA, not merged: Llama-3-8B writes entities, Qwen3-8B chooses among
twenty topics. Random weights write no targets, so lengths are prescribed: for each text every row writes as many tokens as its gold
target has, and `constrained` writes that target itself under its grammar. Without `FINTUNE_DATA` lengths are drawn once, and `constrained`
is left out. All rows run under autocast in batches of as many texts and take turns.

I0 is `generate` in the order given, padded on the left, I1 with the texts sorted by length; I3 is ours, free and constrained. C0 generates
three tokens after prompts padded to the recipe's longest, C1 takes the logits of the last token of the same batches, C1s those of sorted
texts padded to their longest; C3 is ours, all labels by their likelihood from their own rows of the output layer.

    python benchmarks/gpu_extraction.py [--shape llama3-8b,qwen3-8b] [--rounds 3] [--documents 512] [--batch 128] [--minutes 8]
    python benchmarks/gpu_extraction.py --shape tiny --device cpu --rounds 1 --documents 8 --batch 4
"""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import StoppingCriteriaList
from transformers.utils import logging

import common
import gpu_common
from fintune import recipe as recipes
from fintune.data.load import load
from fintune.errors import DataError, ResourceError
from fintune.heads.generative.choices import choose
from fintune.heads.generative.constrain import Constraint, Grammars
from fintune.heads.generative.generate import generate
from fintune.recipe import Recipe
from fintune.records import Example
from fintune.tasks.base import load_task
from generation import TOPICS, Guided, Lengths, tweets

ENTITIES, TOPIC = "llama3-8b", "qwen3-8b"
"""Shapes whose tokenizers and templates the two tasks are rendered with."""
WORK = {"llama3-8b": ("entities",), "qwen3-8b": ("topics",), "tiny": ("entities", "topics")}
SHOT = 3
"""Tokens that C0 generates."""


@dataclass(frozen=True, slots=True)
class Work:
    """Texts of a task as tokens: prompts, what is written after each, the labels to choose from, and what may be written."""

    title: str
    recipe: Recipe
    vocabulary: int
    padding: int
    prompts: list[tuple[int, ...]]
    targets: list[tuple[int, ...]]
    labels: list[list[int]]
    constraint: Callable[[int], Constraint] | None

    @property
    def mean(self) -> tuple[float, float]:
        """Tokens of a prompt and of a target."""
        return sum(map(len, self.prompts)) / len(self.prompts), sum(map(len, self.targets)) / len(self.targets)


def drawn(title: str, recipe: Recipe, vocabulary: int, documents: int) -> Work:
    """Random tokens of the lengths of `gpu_common.drawn`, and twenty labels of three tokens and an end."""
    items, draw = gpu_common.drawn(vocabulary, documents), random.Random(1)
    labels = [[draw.randrange(3, vocabulary) for _ in range(3)] + [2] for _ in range(20)]
    prompts = [c.prompt.ids for c in items]
    targets = [gpu_common.whole(c).ids[len(c.prompt.ids) : -1] for c in items]
    return Work(f"{title}, lengths drawn once", recipe, vocabulary, 0, prompts, targets, labels, None)


def entities(vocabulary: int, documents: int) -> Work:
    """Sentences of the seven-type recipe, whose targets can be written under a grammar."""
    shape = gpu_common.SHAPES[ENTITIES]
    recipe, data = recipes.load(shape.recipe), common.data_file(gpu_common.SENTENCES)
    chat = gpu_common.chat(shape, recipe)
    if data is None or chat is None:
        return drawn("entities", recipe, vocabulary, documents)
    task, grammars = load_task(recipe.task, recipe.prompt), Grammars(chat.tokenizer, chat.stop)
    found = [example for example in load(str(data), kind="spans").examples if not example.unaligned][:documents]
    targets = [chat.plain(task.target(example)) for example in found]

    def constraint(i: int) -> Constraint:
        return Guided(grammars.spans(found[i].text, task.labels, recipe.prompt.target), targets[i])

    prompts = [chat.prompt(task.messages(example, purpose="predict")).ids for example in found]
    words = max(vocabulary, len(chat.tokenizer))
    return Work(f"entities, {gpu_common.SENTENCES}", recipe, words, chat.padding, prompts, targets, [], constraint)


def topics(vocabulary: int, documents: int) -> Work:
    """Tweets of the twenty-class recipe."""
    recipe = recipes.load("topic-qwen3-8b")
    chat = gpu_common.chat(gpu_common.SHAPES[TOPIC], recipe)
    if chat is None or common.data_file(TOPICS) is None:
        return drawn("topics", recipe, vocabulary, documents)
    task = load_task(recipe.task, recipe.prompt)
    posts: list[Example] = tweets(documents, task.labels)
    prompts = [chat.prompt(task.messages(example, purpose="predict")).ids for example in posts]
    labels = [[*chat.plain(label), chat.end] for label in task.labels]
    targets = [chat.plain(task.target(example)) for example in posts]
    return Work(f"topics, {TOPICS}", recipe, max(vocabulary, len(chat.tokenizer)), chat.padding, prompts, targets, labels, None)


class Bench:
    """A network and turns of each row on the texts of a task."""

    def __init__(self, model: Any, work: Work, batch: int) -> None:
        self.model, self.work, self.batch = model, work, batch
        self.device = model.get_input_embeddings().weight.device
        self.half = self.device.type == "cuda"

    def batches(self, chosen: Sequence[int], ordered: bool) -> list[list[int]]:
        """Texts in the order given, or longest first."""
        order = sorted(chosen, key=lambda i: -len(self.work.prompts[i])) if ordered else list(chosen)
        return [order[first : first + self.batch] for first in range(0, len(order), self.batch)]

    def padded(self, chosen: Sequence[int], width: int) -> tuple[Tensor, Tensor]:
        """Prompts padded on the left, and their mask."""
        rows = [self.work.prompts[i] for i in chosen]
        tokens = torch.tensor([[self.work.padding] * (width - len(row)) + list(row) for row in rows], device=self.device)
        return tokens, torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=self.device)

    def longest(self, chosen: Sequence[int]) -> int:
        """Tokens of the longest prompt."""
        return max(len(self.work.prompts[i]) for i in chosen)

    def fixed(self, chosen: Sequence[int]) -> int:
        """Tokens that the recipe has room for."""
        return max(self.work.recipe.data.max_tokens, self.longest(chosen))

    def written(self, chosen: Sequence[int], lengths: Sequence[int], width: int) -> list[list[int]]:
        """What `generate` writes for one batch."""
        tokens, mask = self.padded(chosen, width)
        stop = StoppingCriteriaList([Lengths(width, torch.tensor(lengths, device=self.device))])
        out = self.model.generate(
            tokens,
            attention_mask=mask,
            max_new_tokens=max(lengths),
            do_sample=False,
            pad_token_id=self.work.padding,
            stopping_criteria=stop,
        )
        return out[:, width:].tolist()  # type: ignore[no-any-return]

    def theirs(self, chosen: Sequence[int], *, ordered: bool) -> None:
        """I0 and I1."""
        for some in self.batches(chosen, ordered):
            self.written(some, [len(self.work.targets[i]) for i in some], self.longest(some))

    def ours(self, chosen: Sequence[int], *, constraint: Callable[[int], Constraint] | None) -> None:
        """I3.

        Raises:
            DataError: where a text is not of its length.
        """
        for some in self.batches(chosen, True):
            found = generate(
                self.model, [self.work.prompts[i] for i in some], stop=frozenset(), budgets=[len(self.work.targets[i]) for i in some],
                constraints=[constraint(i) if constraint else None for i in some], padding=self.work.padding,
            )  # fmt: skip
            if [len(w.ids) for w in found] != [len(self.work.targets[i]) for i in some]:
                raise DataError("a text is not of its prescribed length")

    def shot(self, chosen: Sequence[int]) -> None:
        """C0."""
        for some in self.batches(chosen, False):
            self.written(some, [SHOT] * len(some), self.fixed(some))

    def last(self, chosen: Sequence[int], *, ordered: bool) -> None:
        """C1, to its fixed width, and C1s."""
        first = torch.tensor([label[0] for label in self.work.labels], device=self.device)
        for some in self.batches(chosen, ordered):
            tokens, mask = self.padded(some, self.longest(some) if ordered else self.fixed(some))
            places = (mask.cumsum(1) - 1).clamp(min=0)
            logits = self.model(input_ids=tokens, attention_mask=mask, position_ids=places, logits_to_keep=1, use_cache=False).logits
            logits[:, -1, first].float().log_softmax(1).tolist()

    def weighed(self, chosen: Sequence[int]) -> None:
        """C3."""
        for some in self.batches(chosen, True):
            choose(self.model, [self.work.prompts[i] for i in some], self.work.labels, padding=self.work.padding).tolist()

    def rows(self, task: str) -> dict[str, Callable[[Sequence[int]], None]]:
        """The rows of a task."""
        if task == "topics":
            return {
                "C0 generate, padded": self.shot, "C1 last token, padded": partial(self.last, ordered=False),
                "C1s last token, sorted": partial(self.last, ordered=True), "C3 choices": self.weighed,
            }  # fmt: skip
        return {
            "I0 generate": partial(self.theirs, ordered=False), "I1 generate, sorted": partial(self.theirs, ordered=True),
            "I3 free": partial(self.ours, constraint=None), "I3 constrained": self.constrained,
        }  # fmt: skip

    def constrained(self, chosen: Sequence[int]) -> None:
        """I3 under grammars.

        Raises:
            ResourceError: where there are lengths but no texts.
        """
        if self.work.constraint is None:
            raise ResourceError("there are no texts to write from", where="FINTUNE_DATA", fix="set it to the folder with the real data")
        self.ours(chosen, constraint=self.work.constraint)

    def turn(self, run: Callable[[Sequence[int]], None], found: list[common.Timing], number: int) -> str:
        """A turn of a row; before its first, one batch that is not timed."""
        every = range(len(self.work.prompts))
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            if number == 0:
                run(every[: self.batch])
            if self.half:
                torch.cuda.synchronize(self.device)
            began = time.perf_counter()
            run(every)
            if self.half:
                torch.cuda.synchronize(self.device)
        found.append(common.Timing(len(every), time.perf_counter() - began))
        return f"{found[-1].rate:.1f} documents/s"


def compared(task: str, bench: Bench, rounds: int, until: float) -> list[str]:
    """The table of a task, and what could not be had."""
    found: Mapping[str, list[common.Timing]] = {name: [] for name in bench.rows(task)}
    runs = {name: partial(bench.turn, run, found[name]) for name, run in bench.rows(task).items()}
    hindered = gpu_common.in_turns(runs, rounds, until)
    there = {name: turns for name, turns in found.items() if turns and name not in hindered}
    prompt, target = bench.work.mean
    against = [name for name in there if name[:2] in ("I0", "I1", "C0", "C1")]
    lines = [
        f"{bench.work.title}: {len(bench.work.prompts)} texts of {prompt:.0f} tokens, {target:.0f} written, in batches of {bench.batch}",
        common.table(there, unit="documents/s", against=against) if there else "no time was left",
    ]
    return [*lines, *(f"{name}: {why}" for name, why in hindered.items()), ""]


def report(shape: str, task: str, given: Any, device: torch.device, until: float) -> list[str]:
    """The lines of a task on a shape."""
    config = gpu_common.config(shape)
    work = {"entities": entities, "topics": topics}[task](config.vocab_size, given.documents)
    config.vocab_size = work.vocabulary
    network = gpu_common.network(config, work.recipe, device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    model: Any = network.eval().get_base_model()
    model.generation_config.eos_token_id = None  # lengths are prescribed
    return [shape, *compared(task, Bench(model, work, given.batch), given.rounds, until)]


def main() -> None:
    parser = common.options(__doc__, rounds=3, documents=512, batch=128, minutes=8)
    parser.add_argument("--shape", default="llama3-8b,qwen3-8b", help="which architectures, separated by commas")
    parser.add_argument("--device", default="cuda")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.set_verbosity_error()
    began, device = time.perf_counter(), gpu_common.device(given.device)
    jobs = [(shape, task) for shape in gpu_common.named(given.shape, WORK) for task in WORK[shape]]
    title = "gpu-extraction" if device.type == "cuda" else "gpu-extraction-on-cpu"
    lines = []
    for number, (shape, task) in enumerate(jobs, start=1):
        until = began + 60 * given.minutes * number / len(jobs)
        told, why = gpu_common.attempt(partial(report, shape, task, given, device, until))
        lines += told or [f"{shape}, {task}: {why}", ""]
        gpu_common.free()
        # After each task, so that what was measured is kept should the next one take the machine's time.
        common.publish(title, "\n".join([*lines, *common.circumstances("random weights")]), given.output)


if __name__ == "__main__":
    main()
