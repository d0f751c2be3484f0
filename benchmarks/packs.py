"""What packs and a shared prefix save in training a language model: fintune beside TRL's SFTTrainer, in one process.

A Llama of random weights (by default 4 layers, width 256, 8 heads and 4 of keys and values, ffn 688) under LoRA of rank 8 on all linear
layers, on the seven-type training sentences in the Llama-3 template and tokenizer. Lengths are real. Token ids are renumbered to the
9,000 of 128,000 that occur, without which the output layer would be nearly all of so small a model; it still takes more of the work
than in a large one. All rows take the same conversations of a round, 24 a step, with AdamW and clipping, in fp32, or under bf16
autocast with `--half 1`. Making batches is timed; making models and data sets and two steps before each turn are not.

`TRL` is SFTTrainer with its own collator: padded to the longest of a batch, batches of like lengths, no checkpointing, targets alone
supervised; on a CPU it projects every position to the vocabulary. `padded` is fintune's loop on stock attention and batches of like
lengths of which supervised rows alone are projected: what TRL would be with that. `TRL padding-free` is its `padding_free`, which
needs the square of all tokens without FlashAttention. `packs` and `shared prefix` are ours, on batches as drawn.

FLOP-equivalents: with N parameters in linear layers of the frozen body, A in their adapters and V x d in the output layer, 4 N + 6 A
for each computed token (forward, and gradients of inputs; of an adapter's weights too), 12 d for each query and key that it sees in
each layer (4 forward, 8 backward; of a padded batch and a plain causal mask all of them), and 4 V d for each projected row.

Needs `pip install trl`, of which 1.16 was read.

    python benchmarks/packs.py [--rounds 3] [--steps 12] [--layers 4] [--width 256] [--labels none,names,meanings]
"""

from __future__ import annotations

import gzip
import random
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, PrinterCallback
from transformers.utils import logging
from trl import SFTConfig, SFTTrainer

import common
from fintune.data.load import load
from fintune.errors import DataError
from fintune.heads.base import IGNORED
from fintune.heads.generative import packs
from fintune.heads.generative.attention import NAME
from fintune.heads.generative.chat import Chat
from fintune.heads.generative.conversation import Conversation
from fintune.recipe import Prompt
from fintune.tasks.base import load_task
from fintune.train import order
from fintune.train.loop import Batch, Work, optimizer_for, schedule_for, steps
from throughput import Clock

WARM_UP = 2
"""Steps before each turn, on other examples, that are not timed."""
TOKENIZER, TEMPLATE = "tokenizers/llama3/tokenizer.json.gz", "tokenizers/chat_templates/llama3.jinja"
BATCH, GROUPED = 24, 16
"""Examples of a step, and batches of which a grouping by length sorts the examples."""


def conversations(labels: str) -> tuple[list[Conversation], int]:
    """The conversations of the training sentences in renumbered tokens, and how many tokens there are."""
    places = [common.data_file(name) for name in ("ner/fire7_train.csv", TOKENIZER, TEMPLATE)]
    if None in places:
        raise DataError(
            "the real sentences and tokenizer are not there", where="FINTUNE_DATA", fix="set it to the folder with the real data"
        )
    data, words, template = (place for place in places if place is not None)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_buffer(gzip.decompress(words.read_bytes())), bos_token="<|begin_of_text|>",
        eos_token="<|eot_id|>", chat_template=template.read_text(encoding="utf-8"),
    )  # fmt: skip
    chat, task = Chat(tokenizer, template="own", thinking="none", known="none"), load_task("finance-ner-7", Prompt(labels=labels))
    made = []
    for i, example in enumerate(load(str(data), kind="spans").examples):
        messages = task.messages(example, purpose="train")
        made.append(Conversation(i, example, chat.prompt(messages), chat.conversation(messages, task.target(example))))
    new = {old: i for i, old in enumerate(sorted({token for c in made if c.full for token in c.full.ids}), start=1)}  # 0 pads
    for i, c in enumerate(made):
        prompt, full = (replace(x, ids=tuple(new[token] for token in x.ids)) for x in (c.prompt, c.full or c.prompt))
        made[i] = replace(c, prompt=prompt, full=full)
    return made, len(new) + 1


class Padded(nn.Module):
    """A stock model on padded batches, of which supervised rows alone reach the output layer."""

    def __init__(self, adapted: nn.Module) -> None:
        super().__init__()
        self.adapted = adapted

    def forward(self, batch: Batch) -> Tensor:
        """Logits of the supervised rows."""
        base: Any = self.adapted.get_base_model()  # type: ignore[operator]
        hidden = base.model(input_ids=batch["tokens"], attention_mask=batch["mask"], use_cache=False).last_hidden_state
        return base.lm_head(hidden[batch["rows"]])  # type: ignore[no-any-return]


class Packed(nn.Module):
    """A model on packs."""

    def __init__(self, adapted: nn.Module) -> None:
        super().__init__()
        self.adapted = adapted

    def forward(self, batch: Batch) -> Tensor:
        """Logits of the supervised rows."""
        return packs.forward(self.adapted, batch)


def padded(items: Sequence[Conversation]) -> Batch:
    """A batch padded to its longest conversation; `rows` `(examples, tokens)` is where the next token is supervised."""
    longest = max(c.length for c in items)
    tokens, mask = torch.zeros(len(items), longest, dtype=torch.long), torch.zeros(len(items), longest, dtype=torch.long)
    rows, labels = torch.zeros(len(items), longest, dtype=torch.bool), []
    for row, whole in enumerate(c.full or c.prompt for c in items):
        tokens[row, : len(whole.ids)], mask[row, : len(whole.ids)] = torch.tensor(whole.ids), 1
        rows[row, : len(whole.ids) - 1] = torch.tensor(whole.supervised[1:])
        labels += [token for token, supervised in zip(whole.ids, whole.supervised, strict=True) if supervised]
    return {"tokens": tokens, "mask": mask, "rows": rows, "labels": torch.tensor(labels)}


class Bench:
    """The conversations, the model, and turns of any variant on the conversations of a round."""

    def __init__(self, given: Any, labels: str) -> None:
        self.steps, self.layers, self.width, self.half = given.steps, given.layers, given.width, bool(given.half)
        self.items, self.vocabulary = conversations(labels)

    def drawn(self, round_: int) -> tuple[list[Conversation], list[Conversation]]:
        """The conversations of a round, the same for every variant: those to warm up with, and those that are timed."""
        draw = random.Random(round_)
        return draw.sample(self.items, WARM_UP * BATCH), draw.sample(self.items, self.steps * BATCH)

    def model(self, attention: str) -> Any:
        """The adapted model, of the same weights each time; the adapter is not at its start, where half of its gradient is zero."""
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=self.vocabulary, hidden_size=self.width, num_hidden_layers=self.layers, num_attention_heads=self.width // 32,
            num_key_value_heads=self.width // 64, intermediate_size=self.width * 43 // 16, attn_implementation=attention, pad_token_id=0,
        )  # fmt: skip
        model = get_peft_model(LlamaForCausalLM(config), LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"))
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                nn.init.normal_(parameter, std=0.02)
        return model

    def ours(self, sharing: str | None, round_: int) -> common.Timing:
        """A turn of fintune's loop: on packs, or padded where `sharing` is None."""
        AcceleratorState._reset_state()
        accelerator = Accelerator(cpu=True, mixed_precision="bf16" if self.half else "no")
        model = Padded(self.model("sdpa")) if sharing is None else Packed(self.model(NAME))
        optimizer = optimizer_for(model, rate=2e-4, head_rate=None, decay=0.0)
        schedule = schedule_for(optimizer, kind="linear", warmup=0.1, steps=self.steps + WARM_UP)
        model, optimizer = accelerator.prepare(model, optimizer)
        taken = steps(
            model, lambda m, b: packs.summed(m(b), b["labels"]), self._work(sharing, round_), optimizer=optimizer, schedule=schedule,
            accelerator=accelerator, clip=1.0,
        )  # fmt: skip
        for _ in range(WARM_UP):
            next(taken)
        began = time.perf_counter()
        done = sum(1 for _ in taken)
        return common.Timing(done * BATCH, time.perf_counter() - began)

    def _work(self, sharing: str | None, round_: int) -> Iterator[Work]:
        for items in self.drawn(round_):
            for batch in self.batches(items, grouped=sharing is None):
                yield Work(0, [padded(batch) if sharing is None else packs.pack(batch, sharing=sharing)], [])

    def batches(self, items: Sequence[Conversation], *, grouped: bool) -> list[list[Conversation]]:
        """Steps as drawn, or of like lengths."""
        lengths = [c.length for c in items]
        cut = order.batches(lengths, batch_size=BATCH, seed=0, epoch=0, group=GROUPED if grouped else 1)
        return [[items[i] for i in batch] for batch in cut]

    def theirs(self, padding_free: bool, round_: int) -> common.Timing:
        """A turn of SFTTrainer: once for the warm-up, then anew on the same model."""
        model, clock = self.model("sdpa"), Clock()
        padding = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"<pad>": 0}, unk_token="<pad>")), pad_token="<pad>")
        for items in self.drawn(round_):
            wholes = [c.full or c.prompt for c in items]
            rows = Dataset.from_dict({
                "input_ids": [list(w.ids) for w in wholes],
                "labels": [[i if s else IGNORED for i, s in zip(w.ids, w.supervised, strict=True)] for w in wholes],
            })  # fmt: skip
            with tempfile.TemporaryDirectory() as folder:
                given = SFTConfig(
                    folder, num_train_epochs=1, per_device_train_batch_size=BATCH, learning_rate=2e-4, use_cpu=True, report_to="none",
                    disable_tqdm=True, save_strategy="no", logging_strategy="no", gradient_checkpointing=False, max_length=None,
                    bf16=self.half, train_sampling_strategy="random" if padding_free else "group_by_length", padding_free=padding_free,
                    dataset_kwargs={"skip_prepare_dataset": True},
                )  # fmt: skip
                trainer = SFTTrainer(model, given, train_dataset=rows, processing_class=padding, callbacks=[clock])
                trainer.remove_callback(PrinterCallback)
                trainer.train()
        return common.Timing(self.steps * BATCH, clock.seconds)

    def work(self, rounds: int) -> dict[str, Counts]:
        """What each way computes in all timed steps."""
        found = {"TRL": Counts(), "TRL padding-free": Counts(), "padded": Counts(), "packs": Counts(), "shared prefix": Counts()}
        for items in (self.drawn(number)[1] for number in range(rounds)):
            for batch in self.batches(items, grouped=True):
                longest, rows = max(c.length for c in batch), sum(sum(c.full.supervised) for c in batch if c.full)
                found["padded"].add(len(batch) * longest, len(batch) * _causal(longest), rows)
                found["TRL"].add(len(batch) * longest, len(batch) * _causal(longest), len(batch) * (longest - 1))
            for batch in self.batches(items, grouped=False):
                total, rows = sum(c.length for c in batch), sum(sum(c.full.supervised) for c in batch if c.full)
                found["TRL padding-free"].add(total, total * total, total - 1)
                found["packs"].add(total, sum(_causal(c.length) for c in batch), rows)
                prefix = packs.shared(batch)
                seen = sum(_causal(c.length) - _causal(prefix) for c in batch) + _causal(prefix)
                found["shared prefix"].add(total - (len(batch) - 1) * prefix, seen, rows)
        return found

    def flop(self, counts: Counts) -> float:
        """FLOP-equivalents by the formula above."""
        parameters = dict(self.model(NAME).named_parameters())
        adapter = sum(p.numel() for name, p in parameters.items() if "lora_" in name)
        body = sum(p.numel() for name, p in parameters.items() if ".layers." in name and p.ndim == 2) - adapter
        linear, head = 4 * body + 6 * adapter, 4 * self.vocabulary * self.width
        return counts.tokens * linear + counts.seen * 12 * self.width * self.layers + counts.rows * head

    def facts(self, rounds: int) -> list[str]:
        """Lengths, and what each way computes beside shared prefixes."""
        found, count = self.work(rounds), rounds * self.steps * BATCH
        least = self.flop(found["shared prefix"])
        real = found["packs"].tokens
        learnt = found["packs"].rows / count
        lines = [f"{count} examples of {real / count:.1f} tokens, {learnt:.1f} supervised; vocabulary of {self.vocabulary}"]
        lines += [
            f"{name}: computed tokens for each real one {counts.tokens / real:.2f}, FLOP-equivalents of a step "
            f"{self.flop(counts) / rounds / self.steps / 1e9:.1f} G, x shared prefix {self.flop(counts) / least:.2f}"
            for name, counts in found.items()
        ]
        return [*lines, self.exactness()]

    def exactness(self) -> str:
        """Loss and gradient of a step in fp32, as packs with and without a shared prefix."""
        model, outcomes = self.model(NAME).train(), []
        for sharing in ("none", "prefix"):
            loss, count = packs.loss(model, packs.pack(self.drawn(0)[1][:BATCH], sharing=sharing))
            (loss / count).backward()
            outcomes.append((loss.item() / int(count), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])))
            model.zero_grad(set_to_none=True)
        (one, expected), (other, gradient) = outcomes
        error = float((gradient - expected).norm() / expected.norm())
        return f"one step in fp32: loss {one:.7f}, with a shared prefix {other:.7f}; relative error of its gradient {error:.1e}"


@dataclass(slots=True)
class Counts:
    """Computed tokens, pairs of a query and a key that it sees, and rows of the output layer."""

    tokens: int = 0
    seen: int = 0
    rows: int = 0

    def add(self, tokens: int, seen: int, rows: int) -> None:
        """Count one batch."""
        self.tokens, self.seen, self.rows = self.tokens + tokens, self.seen + seen, self.rows + rows


def _causal(length: int) -> int:
    return length * (length + 1) // 2


def main() -> None:
    parser = common.options(__doc__, rounds=3, steps=12, layers=4, width=256, half=0)
    parser.add_argument("--labels", default="none,names,meanings", help="what the prompt says of the label set, separated by commas")
    parser.add_argument("--rows", default="TRL,padded,packs,shared prefix", help="which variants, separated by commas")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.set_verbosity_error()
    lines = []
    for labels in given.labels.split(","):
        bench = Bench(given, labels)
        ways: Mapping[str, Callable[[int], common.Timing]] = {
            "TRL": partial(bench.theirs, False), "TRL padding-free": partial(bench.theirs, True), "padded": partial(bench.ours, None),
            "packs": partial(bench.ours, "none"), "shared prefix": partial(bench.ours, "prefix"),
        }  # fmt: skip
        found = common.in_turns({name: ways[name] for name in given.rows.split(",")}, given.rounds)
        against = [name for name in ("TRL", "padded", "packs") if name in found]
        lines += [f"prompt.labels={labels}", common.table(found, unit="examples/s", against=against), "", *bench.facts(given.rounds), ""]
    common.publish("packs", "\n".join([*lines, *common.circumstances(str(common.data_file("ner/fire7_train.csv")))]), given.output)


if __name__ == "__main__":
    main()
