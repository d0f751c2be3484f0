"""The training loop: a generator that yields what happened at each optimizer step; its caller evaluates, saves and stops.

The gradient of a step is that of its summed loss divided by its count of supervised units, over all micro-batches and
processes, so it does not depend on how the step is cut. Devices, mixed precision and several processes are accelerate's.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from fintune.errors import GateError
from fintune.heads.base import IGNORED

Batch = dict[str, Tensor]
Loss = Callable[[nn.Module, Batch], tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step.

    `step` counts from 1; `loss` is the mean over supervised units; `norm` the gradient's before clipping; `rate` the
    adapter's learning rate; `units` supervised units, weighed where the head weighs them; `tokens` real tokens, without padding;
    `seconds` wall time.
    """

    step: int
    epoch: int
    loss: float
    norm: float
    rate: float
    units: float
    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Work:
    """The micro-batches of one optimizer step on this process, and the ids of all the step's examples for messages.

    A micro-batch of None is a share of nothing, which happens where a last batch is smaller than the processes it is dealt to.
    """

    epoch: int
    micro: Sequence[Batch | None]
    examples: Sequence[str]


def optimizer_for(model: nn.Module, *, rate: float, head_rate: float | None, decay: float) -> torch.optim.AdamW:
    """AdamW over the trainable parameters: the adapter's, then the head's at a rate of their own. Biases do not decay."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault(("lora_" not in name, name.endswith("bias")), []).append(parameter)
    rates = {False: rate, True: head_rate or rate}
    return torch.optim.AdamW([
        {"params": groups[head, bias], "lr": rates[head], "weight_decay": 0.0 if bias else decay} for head, bias in sorted(groups)
    ], lr=rate)  # fmt: skip


def schedule_for(optimizer: torch.optim.Optimizer, *, kind: str, warmup: float, steps: int) -> torch.optim.lr_scheduler.LambdaLR:
    """The learning-rate schedule of transformers by our name; `warmup` is a share of all `steps`."""
    from transformers import get_scheduler

    name = {"constant": "constant_with_warmup"}.get(kind, kind)
    schedule: torch.optim.lr_scheduler.LambdaLR = get_scheduler(
        name, optimizer, num_warmup_steps=math.ceil(warmup * steps), num_training_steps=steps
    )
    return schedule


def steps(
    model: nn.Module,
    loss: Loss,
    work: Iterator[Work],
    *,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    accelerator: Accelerator,
    clip: float | None,
    done: int = 0,
) -> Iterator[Step]:
    """Train on each piece of `work`; a step has been taken in full when it is yielded.

    Args:
        model: prepared by `accelerator`.
        loss: summed loss and count of one micro-batch.
        work: what each step consists of.
        optimizer: over the model's trainable parameters.
        schedule: moved on once a step.
        accelerator: device, precision, processes.
        clip: largest global gradient norm, or None.
        done: steps taken before, where a run is resumed.

    Raises:
        GateError: at a loss or gradient that is not finite, before it reaches any weight; names step and examples.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    for number, piece in enumerate(work, start=done + 1):
        began = time.perf_counter()
        model.train()
        micro = [None if b is None else {k: v.to(accelerator.device) for k, v in b.items()} for b in piece.micro]
        # The count has to be known before the first backward pass; it depends on the gold alone.
        mine = torch.tensor([_counts(batch) for batch in piece.micro if batch is not None] or [(0.0, 0)]).sum(0)
        units, tokens = accelerator.reduce(mine.to(accelerator.device), "sum").tolist()  # type: ignore[union-attr]
        total = torch.zeros((), device=accelerator.device)
        for i, batch in enumerate(micro):
            # Several processes exchange gradients at the last micro-batch only.
            quiet = accelerator.no_sync(model) if i + 1 < len(micro) else contextlib.nullcontext()
            with quiet, accelerator.autocast():
                summed = _nothing(trainable) if batch is None else loss(model, batch)[0]
            share = summed / (units or 1.0)
            accelerator.backward(share * accelerator.num_processes)  # processes average; we want the sum
            total = total + share.detach()
        mean = float(accelerator.reduce(total, "sum"))  # type: ignore[arg-type]
        norm = float(torch.nn.utils.get_total_norm([p.grad for p in trainable if p.grad is not None]))
        if not (math.isfinite(mean) and math.isfinite(norm)):
            optimizer.zero_grad(set_to_none=True)
            raise not_finite(number, mean, norm, piece.examples)
        if clip is not None:
            torch.nn.utils.clip_grads_with_norm_(trainable, clip, torch.tensor(norm))
        rate = float(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        yield Step(number, piece.epoch, mean, norm, rate, units, int(tokens), time.perf_counter() - began)


def _counts(batch: Batch) -> tuple[float, int]:
    """Supervised units of a batch, each one or what it counts for, and real tokens that it makes the network compute.

    A share of nothing has none of either.
    """
    learnt = batch["labels"] != IGNORED
    units = float((learnt * batch["units"] if "units" in batch else learnt).sum())
    tokens = int(batch["mask"].sum()) if "mask" in batch else batch["tokens"].numel()  # a pack has real ones alone
    return units, tokens if units else 0


def _nothing(parameters: list[nn.Parameter]) -> Tensor:
    """A zero that depends on every parameter, so that a process without a share still takes part in the exchange."""
    return sum((p.sum() * 0.0 for p in parameters), start=torch.zeros((), device=parameters[0].device))


def not_finite(step: int, loss: float, norm: float, examples: Sequence[str]) -> GateError:
    """The error for a step that would have destroyed the weights."""
    what = "loss" if not math.isfinite(loss) else "gradient"
    names = ", ".join(examples[:8]) + (", ..." if len(examples) > 8 else "")
    return GateError(
        f"the {what} is not finite at step {step}", where=f"examples {names}", why=f"loss {loss}, gradient norm {norm}",
        fix="look at these examples, or lower train.learning_rate; the last checkpoint is intact",
    )  # fmt: skip
