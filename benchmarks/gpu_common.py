"""What the timings on a GPU share: architectures with random weights, conversations for them, what the device can do, and failures.

Exercised by `gpu_training.py` and `gpu_extraction.py`. Nothing is read but the sentences and tokenizers of `FINTUNE_DATA`; where
they are not there, lengths are drawn once. Tokens and weights are never zeros, which a GPU multiplies faster than others.
"""

from __future__ import annotations

import copy
import gc
import gzip
import math
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, TypeVar

import torch
from peft import PeftModel
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

import common
from fintune.data.load import load
from fintune.errors import ResourceError, UsageError
from fintune.heads.generative import attention, layouts
from fintune.heads.generative.chat import Chat
from fintune.heads.generative.conversation import Conversation, Rendered
from fintune.models import shapes
from fintune.models.adapter import attach
from fintune.models.catalog import catalog
from fintune.recipe import Recipe
from fintune.records import Example
from fintune.tasks.base import load_task

Value = TypeVar("Value")
SENTENCES = "ner/fire7_train.csv"
COUNT, PREFIX, HEADER = 1693, 96, 5
"""Of drawn conversations: how many, tokens that all begin with, tokens between a sentence and its target."""
SENTENCE, TARGET = (35.0, 0.6), (60.0, 0.5)
"""Mean and coefficient of variation of their lengths."""


@dataclass(frozen=True, slots=True)
class Shape:
    """An architecture: its seven-type recipe, and the tokenizer, template and special tokens that conversations are rendered with."""

    recipe: str
    tokenizer: str
    template: str | None
    begin: str | None
    end: str


LLAMA = Shape("ner-llama3-8b", "llama3", None, "<|begin_of_text|>", "<|end_of_text|>")
SHAPES = {"llama3-8b": LLAMA, "qwen3-8b": Shape("ner-qwen3-8b", "qwen3", "qwen3.jinja", None, "<|im_end|>"), "tiny": LLAMA}
TINY = {
    "model_type": "llama", "vocab_size": 512, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 2048, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip


def device(name: str) -> torch.device:
    """The device of a name.

    Raises:
        ResourceError: where it is a GPU and there is none.
    """
    if name != "cpu" and not torch.cuda.is_available():
        raise ResourceError("there is no GPU", where="--device", fix="give --device cpu --shape tiny for a try")
    return torch.device(name)


def config(name: str) -> Any:
    """The transformers configuration of a shape."""
    return AutoConfig.for_model(**TINY) if name == "tiny" else shapes.config(name)


def network(config: Any, recipe: Recipe, device: torch.device, dtype: torch.dtype) -> PeftModel:
    """Random weights under the recipe's adapter, made on the device; the adapter is not at its start, where half its gradient is zero."""
    torch.manual_seed(0)
    with device:  # weights are drawn by transformers: normal, of deviation 0.02
        base = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention.NAME)
    model, _ = attach(base, recipe.adapter, task_type="CAUSAL_LM")
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.02)
    return model


def twin(model: PeftModel) -> PeftModel:
    """The same network once more on the same parameters: what is done to its modules leaves the other as it is."""
    return copy.deepcopy(model, {id(parameter): parameter for parameter in model.parameters()})


def architecture(model: PeftModel) -> Any:
    """The module of transformers with the model's code, whose rotation of queries and keys Liger replaces for all models of it."""
    return import_module(type(model.get_base_model()).__module__)


def chat(shape: Shape, recipe: Recipe) -> Chat | None:
    """How the shape's conversations are rendered, or None where the tokenizer is not there."""
    words = common.data_file(f"tokenizers/{shape.tokenizer}/tokenizer.json.gz")
    template = shape.template and common.data_file(f"tokenizers/chat_templates/{shape.template}")
    if words is None or (shape.template and not template):
        return None
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_buffer(gzip.decompress(words.read_bytes())), bos_token=shape.begin, eos_token=shape.end,
        chat_template=template.read_text(encoding="utf-8") if template else None,
    )  # fmt: skip
    known = catalog()[recipe.model.base].thinking
    return Chat(tokenizer, template=recipe.prompt.template, thinking=recipe.prompt.thinking, known=known)


def conversations(shape: Shape, recipe: Recipe, vocabulary: int, most: int) -> tuple[list[Conversation], str]:
    """Conversations of the seven-type recipe for training, and where they are from; ids are taken modulo the vocabulary."""
    data, rendering = common.data_file(SENTENCES), chat(shape, recipe)
    if data is None or rendering is None:
        return drawn(vocabulary, most), f"{most} conversations of lengths drawn once: FINTUNE_DATA has no sentences or tokenizer"
    task, made = load_task(recipe.task, recipe.prompt), []
    for i, example in enumerate(load(str(data), kind="spans").examples[:most]):
        messages = task.messages(example, purpose="train")
        prompt, full = rendering.prompt(messages).ids, rendering.conversation(messages, task.target(example)).ids
        made.append(conversation(i, *([token % vocabulary for token in ids] for ids in (prompt, full[len(prompt) :]))))
    return made, f"{len(made)} conversations of {SENTENCES} in the words of {recipe.name}, in tokens of {shape.tokenizer}"


def drawn(vocabulary: int, count: int) -> list[Conversation]:
    """Conversations of random tokens whose lengths are those of PREFIX, SENTENCE, HEADER and TARGET."""
    draw = random.Random(0)

    def tokens(count: int) -> list[int]:
        return [draw.randrange(3, vocabulary) for _ in range(count)]

    def length(mean: float, variation: float) -> int:
        spread = math.log(1 + variation**2)
        return min(max(1, round(draw.lognormvariate(math.log(mean) - spread / 2, math.sqrt(spread)))), 140)

    prefix, header = tokens(PREFIX), tokens(HEADER)
    return [conversation(i, [*prefix, *tokens(length(*SENTENCE)), *header], tokens(length(*TARGET) + 1)) for i in range(count)]


def conversation(index: int, prompt: Sequence[int], target: Sequence[int]) -> Conversation:
    """These tokens, of which those of the target are learnt."""
    ids, learnt = (*prompt, *target), (False,) * len(prompt) + (True,) * len(target)

    def rendered(count: int) -> Rendered:
        return Rendered(ids[:count], ((0, 0),) * count, "", learnt[:count])

    return Conversation(index, Example(str(index), ""), rendered(len(prompt)), rendered(len(ids)))


def whole(item: Conversation) -> Rendered:
    """Prompt and target."""
    return item.full or item.prompt


def named(text: str, known: Iterable[str]) -> list[str]:
    """Names separated by commas.

    Raises:
        UsageError: where one is not among those known.
    """
    names = text.split(",")
    if odd := [name for name in names if name not in known]:
        raise UsageError(f"unknown: {', '.join(odd)}", fix=f"choose among {', '.join(known)}")
    return names


def attempt(run: Callable[[], Value]) -> tuple[Value | None, str]:
    """The value of something that may not be possible here; None where it is not, with what hindered it in a line."""
    why = ""
    try:
        return run(), why
    except Exception as error:  # of all that kernels, compilers and other libraries raise, nothing may end a run of many variants
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    free()
    return None, why


def free() -> None:
    """Gives back the memory of what is no longer used: networks, trainers and frames of failures are held in circles."""
    gc.collect()
    torch.cuda.empty_cache()


def in_turns(runs: Mapping[str, Callable[[int], str]], rounds: int, until: float) -> dict[str, str]:
    """Turns of each run, told the round, in rounds that begin before `until`, each with another one; why those that failed did.

    A run says in a few words what it found. One that fails is not tried again.
    """
    hindered: dict[str, str] = {}
    for number in range(rounds):
        if time.perf_counter() > until:
            print(f"no time is left for round {number + 1}", file=sys.stderr, flush=True)
            break
        going = [name for name in runs if name not in hindered]
        going = going[number % max(1, len(going)) :] + going[: number % max(1, len(going))]
        for name in going:
            said, why = attempt(partial(runs[name], number))
            if why:
                hindered[name] = why
            print(f"round {number + 1}: {name}: {why or said}", file=sys.stderr, flush=True)
    return hindered


def ceilings(device: torch.device) -> dict[str, float]:
    """Rates of a large matrix product in bf16, in FLOP a second, and of a copy on the device, in bytes read and written a second."""
    size, many = (8192, 10) if device.type == "cuda" else (512, 3)
    left, right = (torch.randn(size, size, device=device).to(torch.bfloat16) for _ in range(2))
    large = torch.randn(size * size * (8 if device.type == "cuda" else 1), device=device)
    return {
        "product": 2 * size**3 / _seconds(lambda: left @ right, many, device),
        "copy": 2 * large.nbytes / _seconds(lambda: large.clone(), many, device),
    }


def _seconds(run: Callable[[], Any], many: int, device: torch.device) -> float:
    """Median time of several runs after three others."""
    found = []
    for _ in range(3 + many):
        clock = Clock(device)
        clock.mark()
        run()
        clock.mark()
        found += clock.milliseconds()
    return statistics.median(found[3:]) / 1000


class Clock:
    """Marks in the work of a device."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.marks = device, list[Any]()

    def mark(self) -> None:
        """Now; on a GPU, when it comes to it."""
        self.marks.append(torch.cuda.Event(enable_timing=True) if self.device.type == "cuda" else time.perf_counter())
        if self.device.type == "cuda":
            self.marks[-1].record()

    def milliseconds(self) -> list[float]:
        """From each mark to the next."""
        pairs = list(zip(self.marks, self.marks[1:], strict=False))
        if self.device.type != "cuda":
            return [1000 * (b - a) for a, b in pairs]
        torch.cuda.synchronize(self.device)
        return [a.elapsed_time(b) for a, b in pairs]


def kernel_checks(device: torch.device) -> list[str]:
    """Whether the varlen kernel of this torch is what packs take it for: against stock attention in fp32, forward and backward."""
    if layouts.choose(device, torch.bfloat16, 0.0) != "varlen":
        return ["varlen_attn: not checked, packs are computed by stock attention here"]
    kernel = import_module(layouts.VARLEN).varlen_attn
    cases = {"as many key heads, lq = lk": (0, 32), "grouped, lq = lk": (0, 8), "grouped, lq < lk": (96, 8)}
    return [checked(kernel, title, prefix, heads, device) for title, (prefix, heads) in cases.items()]


def checked(kernel: Any, title: str, prefix: int, heads: int, device: torch.device) -> str:
    """What a kernel of the signature of `varlen_attn` makes of branches after a prefix, under 32 heads of queries."""
    branches = [70, 101, 1, 33]
    draw = torch.Generator(device).manual_seed(0)

    def tensor(count: int) -> Tensor:
        return torch.randn(prefix + sum(branches), count, 128, device=device, generator=draw).to(torch.bfloat16)

    query, key, value, above = tensor(32), tensor(heads), tensor(heads), tensor(32)
    found = []
    for laid, dtype in (
        (layouts.padded(prefix, branches, device=device), torch.float32),
        (layouts.varlen(prefix, branches, device=device, kernel=kernel), torch.bfloat16),
    ):
        inputs = [x.detach().to(dtype).requires_grad_() for x in (query, key, value)]
        out = laid.attend(*inputs, scaling=128**-0.5, dropout=0.0)
        found.append([out, *torch.autograd.grad(out, inputs, above.to(dtype))])
    errors = [relative(a, b) for b, a in zip(*found, strict=True)]
    verdict = "as packs take it" if max(errors) < 2e-2 else "NOT WHAT PACKS TAKE IT FOR: figures of packs below are worthless"
    return f"varlen_attn, {title}: {verdict}; relative errors of output, dq, dk, dv {', '.join(f'{e:.1e}' for e in errors)}"


def relative(found: Tensor, expected: Tensor) -> float:
    """Norm of the difference over that of what is expected."""
    return float((found.detach().double() - expected.detach().double()).norm() / expected.detach().double().norm())
