"""Eager against fused (SDPA) attention on a CPU at the lengths of sentences: one training step and one forward pass of MiniLM's shape.

`fintune` builds encoders with eager attention on CPUs and with the fused kernel on GPUs; this is why. Random weights and tokens,
LoRA of rank 16 on all linear layers, 16 rows without padding, bf16 where the processor has it. With dropout inside attention the
fused kernel falls back to plain matrices, without it a flash kernel runs.

    python benchmarks/attention.py [--rounds 5] [--repeats 5] [--rows 16]
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator

import torch
from torch import nn
from transformers import AutoModelForTokenClassification, BertConfig

import common
from fintune.models.adapter import attach
from fintune.models.precision import arithmetic
from fintune.recipe import Adapter

LENGTHS = (16, 32, 64, 128, 256)
KERNELS = ("eager", "sdpa")


def model_with(kernel: str, *, dropout: float) -> nn.Module:
    """MiniLM's shape with a fresh adapter."""
    config = BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536, num_labels=15,
        hidden_dropout_prob=0.1, attention_probs_dropout_prob=dropout,
    )  # fmt: skip
    torch.manual_seed(0)
    model = AutoModelForTokenClassification.from_config(config, attn_implementation=kernel)
    return attach(model, Adapter(rank=16, alpha=32), task_type="TOKEN_CLS")[0]


def turn(model: nn.Module, rows: int, length: int, repeats: int, *, learn: bool) -> common.Timing:
    """`repeats` training steps without an optimizer, or forward passes."""
    dtype = arithmetic("auto", "cpu")
    tokens = torch.randint(1000, 30_000, (rows, length))
    mask, labels = torch.ones_like(tokens), torch.randint(0, 15, (rows, length))
    model.train(learn)

    def once() -> None:
        with torch.set_grad_enabled(learn), torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
            loss = model(input_ids=tokens, attention_mask=mask, labels=labels).loss
        if learn:
            loss.backward()
            model.zero_grad(set_to_none=True)

    once()
    began = time.perf_counter()
    for _ in range(repeats):
        once()
    return common.Timing(repeats * rows, time.perf_counter() - began)


def cases() -> Iterator[tuple[str, float, bool]]:
    """Name, dropout in attention, and whether to learn."""
    yield "training step, attention dropout 0.1", 0.1, True
    yield "training step, no attention dropout", 0.0, True
    yield "forward pass", 0.0, False


def main() -> None:
    parser = common.options(__doc__, rounds=5, repeats=5, rows=16)
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    lines = []
    for name, dropout, learn in cases():
        models = {kernel: model_with(kernel, dropout=dropout) for kernel in KERNELS}

        def timed(model: nn.Module, length: int, learn: bool = learn) -> Callable[[int], common.Timing]:
            return lambda number: turn(model, given.rows, length, given.repeats, learn=learn)

        variants = {f"{length} tokens, {kernel}": timed(model, length) for length in LENGTHS for kernel, model in models.items()}
        found = common.in_turns(variants, given.rounds)
        lines.append(f"{name}: sequences a second, median of {given.rounds} turns")
        lines.append(f"{'tokens':>8}{'eager':>10}{'sdpa':>10}{'eager / sdpa':>14}")
        for length in LENGTHS:
            eager, sdpa = (found[f"{length} tokens, {kernel}"] for kernel in KERNELS)
            ratio = common.ratio(eager, sdpa)
            lines.append(f"{length:8}{common.median(eager):10.1f}{common.median(sdpa):10.1f}{ratio:14.2f}")
        lines.append("")
    common.publish("attention", "\n".join([*lines, *common.circumstances("random tokens")]), given.output)


if __name__ == "__main__":
    main()
