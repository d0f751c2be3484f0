"""How fast a causal language model extracts and classifies: fintune beside transformers' `generate`, in one process.

A Llama of random weights (by default 4 layers, width 256, 8 heads and 4 of keys and values) on financial sentences, with the Llama-3
template and the Llama-3 tokenizer, cut down to the tokens that these conversations need: lengths are real, and the output layer has
about the share of the work that it has in a large model. Random weights write no targets, so lengths are prescribed: every variant
writes as many tokens for a text as its gold target has. `generate` is used in its usual form: batches in the order given, padded on
the left. `constrained` writes the gold target itself under its grammar, which is made and then asked for every token that it does
not force. For topics, `generate` writes the label that is longest, and `choices` weighs all twenty.

    python benchmarks/generation.py [--rounds 5] [--sentences 128] [--batch 16] [--layers 4] [--width 256]
"""

from __future__ import annotations

import gzip
import json
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, StoppingCriteria, StoppingCriteriaList
from transformers.utils import logging

import common
from fintune.data.load import load
from fintune.errors import DataError
from fintune.heads.generative.chat import Chat
from fintune.heads.generative.choices import choose
from fintune.heads.generative.constrain import Constraint, Grammars
from fintune.heads.generative.generate import generate
from fintune.recipe import Prompt
from fintune.records import Example
from fintune.tasks.base import Task, load_task

TOKENIZER, TEMPLATE = "tokenizers/llama3/tokenizer.json.gz", "tokenizers/chat_templates/llama3.jinja"
TOPICS = "topic/twitter_topic20_train.jsonl.gz"
SPECIAL = 16  # the first special tokens of Llama 3, its turns among them


def required(name: str) -> Path:
    """A file of the real data.

    Raises:
        DataError: where it is not there.
    """
    path = common.data_file(name)
    if path is None:
        raise DataError(f"no file {name}", where="FINTUNE_DATA", fix="set it to the folder with the real data")
    return path


def compact(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """The Llama-3 tokenizer with the tokens of these texts, all that their merges need, every byte, and a few special tokens."""
    whole = json.loads(gzip.decompress(required(TOKENIZER).read_bytes()))
    tokenizer, vocabulary = Tokenizer.from_str(json.dumps(whole)), whole["model"]["vocab"]
    names = {i: name for name, i in vocabulary.items()}
    merges = [pair.split(" ") if isinstance(pair, str) else pair for pair in whole["model"]["merges"]]
    parts: dict[str, set[str]] = {}
    for left, right in merges:
        parts.setdefault(left + right, set()).update((left, right))
    wanted = {names[i] for text in texts for i in tokenizer.encode(text, add_special_tokens=False).ids if i in names}
    kept = {name for name in vocabulary if len(name) == 1}
    while wanted:
        name = wanted.pop()
        kept.add(name)
        wanted |= parts.get(name, set()) - kept
    order = sorted(kept, key=vocabulary.__getitem__)
    whole["model"]["vocab"] = {name: i for i, name in enumerate(order)}
    whole["model"]["merges"] = [pair for pair in merges if {*pair, "".join(pair)} <= kept]
    whole["added_tokens"] = [{**token, "id": len(order) + n} for n, token in enumerate(whole["added_tokens"][:SPECIAL])]
    whole["post_processor"] = None
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(whole)), bos_token="<|begin_of_text|>", eos_token="<|end_of_text|>",
        chat_template=required(TEMPLATE).read_text(encoding="utf-8"),
    )  # fmt: skip


@dataclass(slots=True)
class Lengths(StoppingCriteria):
    """Each row ends after its own number of new tokens; columns before `start` are the prompt."""

    start: int
    lengths: torch.Tensor

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        """Whether each row is done."""
        return input_ids.shape[1] - self.start >= self.lengths


@dataclass(slots=True)
class Guided:
    """A grammar that is asked for every token and then told which one was chosen: the next one of a gold target."""

    grammar: Constraint
    target: Sequence[int]
    at: int = 0

    @property
    def complete(self) -> bool:
        """Whether the target is written."""
        return self.grammar.complete

    def allowed(self) -> np.ndarray[Any, np.dtype[np.int32]]:
        """The gold token alone, if the grammar allows it."""
        allowed = self.grammar.allowed().view(np.uint32)
        bits = np.zeros_like(allowed)
        word, bit = divmod(self.target[self.at], 32)
        bits[word] = allowed[word] & np.uint32(1 << bit)
        if not bits[word]:
            raise DataError(f"token {self.at} of a gold target is not allowed")
        return bits.view(np.int32)

    def forced(self) -> list[int]:
        """The grammar's."""
        return self.grammar.forced()

    def take(self, tokens: Sequence[int]) -> None:
        """Moves on."""
        self.grammar.take(tokens)
        self.at += len(tokens)

    def close(self, ids: Sequence[int]) -> str:
        """The target."""
        return self.grammar.close(ids)


@dataclass(frozen=True, slots=True)
class Work:
    """Conversations of one task: prompts, and what is to be written after them."""

    prompts: list[tuple[int, ...]]
    targets: list[tuple[int, ...]]

    @classmethod
    def of(cls, task: Task, chat: Chat, examples: Sequence[Example]) -> Work:
        """Rendered as for prediction."""
        prompts = [chat.prompt(task.messages(example, purpose="predict")).ids for example in examples]
        return cls(prompts, [chat.plain(task.target(example)) for example in examples])

    def describe(self) -> str:
        """Sizes."""
        lengths = [len(prompt) for prompt in self.prompts]
        shared = next(i for i, ids in enumerate(zip(*self.prompts, strict=False)) if len(set(ids)) > 1)
        written = [len(target) for target in self.targets]
        mean, length = sum(lengths) / len(lengths), sum(written) / len(written)
        return (
            f"{len(lengths)} texts, prompts of {min(lengths)} to {max(lengths)} tokens, {mean:.0f} on average, {shared} of them shared; "
            f"{min(written)} to {max(written)} written, {length:.0f} on average"
        )


@dataclass(frozen=True, slots=True)
class Bench:
    """A model with a chat, and turns of each variant."""

    model: LlamaForCausalLM
    chat: Chat
    batch: int

    def theirs(self, work: Work) -> int:
        """`generate`, batch by batch in the order given."""
        for first in range(0, len(work.prompts), self.batch):
            rows = work.prompts[first : first + self.batch]
            lengths = [len(target) for target in work.targets[first : first + self.batch]]
            width = max(map(len, rows))
            with torch.inference_mode():
                self.model.generate(
                    torch.tensor([[self.chat.padding] * (width - len(row)) + list(row) for row in rows]),
                    attention_mask=torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows]),
                    max_new_tokens=max(lengths), do_sample=False, pad_token_id=self.chat.padding,
                    stopping_criteria=StoppingCriteriaList([Lengths(width, torch.tensor(lengths))]),
                )  # fmt: skip
        return len(work.prompts)

    def ours(self, work: Work, constrain: Callable[[int], Constraint | None]) -> int:
        """The same with fintune, longest first; `constrain` makes the constraint of a text."""
        for chosen in self._batches(work):
            found = generate(
                self.model, [work.prompts[i] for i in chosen], stop=frozenset(), budgets=[len(work.targets[i]) for i in chosen],
                constraints=[constrain(i) for i in chosen], padding=self.chat.padding,
            )  # fmt: skip
            if [len(written.ids) for written in found] != [len(work.targets[i]) for i in chosen]:
                raise DataError("a text is not of its prescribed length")
        return len(work.prompts)

    def weighed(self, work: Work, labels: Sequence[Sequence[int]]) -> int:
        """All labels by their likelihood."""
        for chosen in self._batches(work):
            choose(self.model, [work.prompts[i] for i in chosen], labels, padding=self.chat.padding)
        return len(work.prompts)

    def _batches(self, work: Work) -> list[list[int]]:
        order = sorted(range(len(work.prompts)), key=lambda i: -len(work.prompts[i]))
        return [order[first : first + self.batch] for first in range(0, len(order), self.batch)]


def model_of(tokenizer: PreTrainedTokenizerFast, *, layers: int, width: int) -> LlamaForCausalLM:
    """Random weights."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=width * 43 // 16, num_hidden_layers=layers,
        num_attention_heads=8, num_key_value_heads=4, max_position_embeddings=4096, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def tweets(count: int, labels: Sequence[str]) -> list[Example]:
    """Tweets, each with the label that is longest to write."""
    longest = max(labels, key=len)
    lines = gzip.decompress(required(TOPICS).read_bytes()).decode().splitlines()
    return [Example(str(n), json.loads(line)["text"], label=longest) for n, line in enumerate(lines[:count])]


def turn(run: Callable[[], int]) -> Callable[[int], common.Timing]:
    """A turn of a variant."""

    def timed(number: int) -> common.Timing:
        began = time.perf_counter()
        done = run()
        return common.Timing(done, time.perf_counter() - began)

    return timed


def compared(title: str, work: Work, variants: dict[str, Callable[[], int]], rounds: int) -> str:
    """A table; every variant has run once before."""
    for run in variants.values():
        run()
    found = common.in_turns({name: turn(run) for name, run in variants.items()}, rounds)
    return f"{title}: {work.describe()}\n{common.table(found, unit='documents/s', against=['generate'])}\n"


def main() -> None:
    parser = common.options(__doc__, rounds=5, sentences=128, batch=16, layers=4, width=256)
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.set_verbosity_error()
    data = common.source()
    ner = {labels: load_task("finance-ner-7", Prompt(labels=labels)) for labels in ("none", "meanings")}
    topic = load_task("topic-20", Prompt(labels="names"))
    # Surfaces that are nowhere in the text cannot be written under a grammar.
    found = [example for example in load(data, kind="spans").examples if not example.unaligned][: given.sentences]
    posts = tweets(given.sentences, topic.labels)
    said = [m["content"] for task in ner.values() for e in found for m in task.messages(e, purpose="predict")]
    said += [m["content"] for e in posts for m in topic.messages(e, purpose="predict")]
    tokenizer = compact([*said, *(ner["none"].target(e) for e in found), *topic.labels, "system user assistant\n\n"])
    chat = Chat(tokenizer, template="own", thinking="none", known="none")
    model = model_of(tokenizer, layers=given.layers, width=given.width)
    bench, grammars = Bench(model, chat, given.batch), Grammars(tokenizer, chat.stop)
    body = sum(p.numel() for p in model.model.layers.parameters())
    report = [f"{body / 1e6:.1f} million weights in the layers, vocabulary of {len(tokenizer)} tokens, batches of {given.batch}\n"]
    for labels, title in (("none", "entities, the papers' prompt"), ("meanings", "entities, with the meanings of the labels")):
        work = Work.of(ner[labels], chat, found)

        def constraint(i: int, work: Work = work) -> Constraint:
            return Guided(grammars.spans(found[i].text, ner["none"].labels, "literal"), work.targets[i])

        variants: dict[str, Callable[[], int]] = {
            "generate": lambda work=work: bench.theirs(work),
            "free": lambda work=work: bench.ours(work, lambda i: None),
            "constrained": lambda work=work, constraint=constraint: bench.ours(work, constraint),
        }
        report.append(compared(title, work, variants, given.rounds))
    work = Work.of(topic, chat, posts)
    choices = [[*chat.plain(label), chat.end] for label in topic.labels]
    report.append(
        compared("topics", work, {"generate": lambda: bench.theirs(work), "choices": lambda: bench.weighed(work, choices)}, given.rounds)
    )
    common.publish("generation", "\n".join([*report, *common.circumstances(f"{data}, {TOPICS}, {TOKENIZER}")]), given.output)


if __name__ == "__main__":
    main()
