"""The pre-flight certificate: what a training run will learn, from the tokens it will learn from, before anything is spent.

`certify` refuses what would train nothing or the wrong thing (`preflight_refusals` has the list) and gives a `Certificate`, which a
run keeps as `preflight.json`, the report shows, and `fintune train --dry-run` prints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from fintune.errors import GateError
from fintune.heads.generative.conversation import Conversation
from fintune.models import estimate, speed
from fintune.models.precision import arithmetic
from fintune.models.structure import structure
from fintune.recipe import Recipe
from fintune.records import Example
from fintune.tasks.base import Task
from fintune.train import leaks
from fintune.train import preflight_figures as figures
from fintune.train.certificate import Certificate, Needs
from fintune.train.preflight_figures import Epoch, Loudness
from fintune.train.preflight_refusals import beginnings, gold, refuse, value


def certify(recipe: Recipe, task: Task, built: Any, examples: Sequence[Example], items: Sequence[Any], *, steps: int) -> Certificate:
    """Look at everything that will be trained on.

    Args:
        recipe: resolved.
        task: its task.
        built: model, head and what the adapter matched (`heads.build.Built`).
        examples: to train on.
        items: of the head, encoded for training.
        steps: optimizer steps of the run.

    Raises:
        GateError, RecipeError, DataError: where nothing, or the wrong thing, would be trained; with the mend.
    """
    talks = [item for item in items if isinstance(item, Conversation)]
    if talks:
        refuse(built.head, task, talks, limit=recipe.data.max_tokens)
    supervised = figures.spread([figures.learnt(item) for item in items])
    if not supervised.total:
        raise GateError(
            "nothing would be learnt", where=examples[0].where if examples else "--data",
            why=f"none of {len(items)} items has anything supervised", fix="check the columns and labels with 'fintune check'",
        )  # fmt: skip
    longest = max(items, key=lambda item: item.length)
    epoch, noise = figures.epoch(recipe, built.head, items), figures.loudness(recipe, built.model, items)
    labels, left_out = figures.labels(task, examples), tuple(getattr(built.head, "left_out", ()))
    unreachable = tuple(item.source.id for item in talks if _lossy(task, item.source))
    return Certificate(
        head=recipe.head.type, task=task.name, kind=task.kind, examples=len(examples), items=len(items), left_out=left_out,
        unit=figures.unit(items), supervised=supervised, tokens=figures.spread([item.length for item in items]),
        longest=(examples[longest.example].id, longest.length), limit=recipe.data.max_tokens, masks=figures.masks(talks),
        labels=labels, unreachable=unreachable, chat=_chat(built.head, talks), modules=built.matched.modules,
        parameters=(built.matched.trainable, built.matched.total), epoch=epoch, epochs=recipe.train.epochs, steps=steps,
        batch=recipe.train.batch_size, needs=_needs(recipe, built.model, epoch), noise=noise,
        notes=(*leaks.notes(recipe, task, examples), *_notes(built.head, talks, labels, left_out, unreachable, noise)),
    )  # fmt: skip


def _lossy(task: Task, example: Example) -> bool:
    return not example.unaligned and value(task.parse(task.target(example), example)) != gold(example)


def _chat(head: Any, talks: Sequence[Conversation]) -> dict[str, Any]:
    """What fixes the tokens of a conversation; of a model without a chat only its end."""
    if not talks:
        return {}
    ended = sum(1 for item in talks if item.full is not None and item.full.supervised[-1])
    if not hasattr(head, "chat"):
        return {"end_token": head.tokenizer.convert_ids_to_tokens(head.end), "end_supervised": ended}
    names = head.chat.tokenizer.convert_ids_to_tokens
    return {
        **head.chat.describe(),
        "fingerprint": head.chat.fingerprint(),
        "beginnings": beginnings((talks[0].full or talks[0].prompt).ids, head.chat.tokenizer),
        "end_token": names(head.chat.end),
        "end_supervised": ended,
        "padding_token": names(head.chat.padding),
    }


def _needs(recipe: Recipe, model: nn.Module, epoch: Epoch) -> Needs:
    """Memory of the largest pass, and the time of all epochs on the device that training would take."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    computed = arithmetic(recipe.train.precision, device.type)
    held = next((p.dtype for p in model.parameters() if not p.requires_grad and p.is_floating_point()), torch.float32)
    settings: dict[str, Any] = {
        "device": device.type, "held": held, "computed": computed, "quantisation": recipe.model.quantisation,
    }  # fmt: skip
    kept = estimate.memory(model, epoch.largest, recompute="never", **settings)
    recomputed = speed.recomputes(recipe.train, device=device, needed=kept.total)
    recompute: estimate.Recompute = "always" if recomputed else "never"
    work = recipe.train.epochs * estimate.flops(structure(model), epoch.load, recompute=recompute)
    measured = estimate.rate(device, computed)
    return Needs(
        device=device.type,
        memory=estimate.memory(model, epoch.largest, recompute=recompute, **settings),
        kept=kept.total,
        recomputed=recomputed,
        room=estimate.room(device),
        work=work,
        rate=measured,
        seconds=estimate.seconds(work, measured),
    )


def _notes(
    head: Any, talks: Sequence[Conversation], labels: Mapping[str, int], left_out: Sequence[str], unreachable: Sequence[str],
    noise: Loudness | None,
) -> list[str]:  # fmt: skip
    """What no check refuses, and a person should know."""
    notes = []
    if left_out:
        notes.append(f"too long and left out: {len(left_out)} examples")
    if unseen := [label for label, count in labels.items() if not count]:
        notes.append(f"no example of {', '.join(unseen)}: the model cannot learn what it never sees")
    if unreachable:
        notes.append(f"the target cannot say the gold of {len(unreachable)} examples exactly, such as one of two equal surfaces")
    if noise is not None and noise.ratio < figures.NEGLIGIBLE:
        notes.append(f"the noise is {noise.ratio:.2%} of the embeddings, which is negligible: a larger train.noise_alpha would be heard")
    if talks and hasattr(head, "chat") and _wants_beginning(head.chat) and not beginnings(talks[0].prompt.ids, head.chat.tokenizer):
        notes.append("the template leaves out the beginning-of-text token that the tokenizer would add")
    return notes


def _wants_beginning(chat: Any) -> bool:
    ids = chat.tokenizer("a")["input_ids"]
    return chat.tokenizer.bos_token_id is not None and ids[:1] == [chat.tokenizer.bos_token_id]
