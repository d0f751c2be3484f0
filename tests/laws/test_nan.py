"""Law: a loss or gradient that is not finite stops the run before it reaches a weight, and names the step and its examples."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

import jobs
import tiny
from fintune import run
from fintune.errors import GateError
from fintune.heads.build import build
from fintune.heads.token import TokenHead
from fintune.models.adapter import trainable_state
from fintune.recipe import Recipe
from fintune.tasks.base import Task, load_task
from fintune.train import checkpoint, order
from fintune.train import run as training

STEPS = 12


class Poisoned:
    """Trains in `output`; spoils step `step` in one of several ways, and keeps the model to be looked at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, way: str, step: int) -> None:
        self.way, self.step, self.now = way, step, 0
        self.model: Any = None
        self.loss, self.build = TokenHead.loss, training.build
        monkeypatch.setattr(TokenHead, "loss", lambda head, model, batch: self.spoilt_loss(head, model, batch))
        monkeypatch.setattr(training, "build", self.watched)

    def watched(self, recipe: Recipe, task: Task) -> Any:
        built = self.build(recipe, task)
        self.model = built.model
        next(iter(trainable_state(built.model).values())).register_hook(self.spoilt_gradient)
        built.model.token_embeddings().register_forward_hook(self.spoilt_embeddings)
        return built

    def spoilt_loss(self, head: TokenHead, model: Any, batch: Any) -> Any:
        self.now += 1
        summed, count = self.loss(head, model, batch)
        poison = {"nan loss": math.nan, "inf loss": math.inf}.get(self.way, 0.0) if self.now == self.step else 0.0
        return summed + poison, count

    def spoilt_gradient(self, gradient: torch.Tensor) -> torch.Tensor:
        poison = {"nan gradient": math.nan, "inf gradient": -math.inf}.get(self.way)
        return gradient if poison is None or self.now != self.step else gradient.index_fill(0, torch.tensor([0]), poison)

    def spoilt_embeddings(self, module: Any, given: Any, embedded: torch.Tensor) -> torch.Tensor:
        if self.way != "nan in one example" or self.now != self.step or not module.training:
            return embedded
        return torch.cat([embedded[:1] * math.nan, embedded[1:]])


def train(base: Path, output: Path, settings: dict[str, Any]) -> Path:
    return jobs.run_training(base, output, settings, lambda event: None)


def ids_of_step(base: Path, step: int) -> list[str]:
    """Ids of the examples of a step of the reference settings."""
    recipe = tiny.recipe(base)
    examples = tiny.examples()[: jobs.TRAINING]
    items = build(recipe, load_task(recipe.task)).head.encode(examples)
    per_epoch = order.steps_per_epoch(len(items), recipe.train.batch_size)
    epoch, place = divmod(step - 1, per_epoch)
    batches = order.batches([i.length for i in items], batch_size=recipe.train.batch_size, seed=recipe.seed, epoch=epoch, group=16)
    return [examples[items[i].example].id for i in batches[place]]


@pytest.mark.parametrize("step", [1, 5, STEPS])
@pytest.mark.parametrize("way", ["nan loss", "inf loss", "nan gradient", "inf gradient", "nan in one example"])
def test_nothing_spoilt_is_kept(reference, tmp_path, monkeypatch, way, step):
    output = tmp_path / "run"
    poisoned = Poisoned(monkeypatch, way, step)
    with pytest.raises(GateError) as caught:
        train(reference.base, output, dict(reference.settings))
    message = str(caught.value)
    assert caught.value.exit_status == 7
    assert f"the {'gradient' if 'gradient' in way else 'loss'} is not finite at step {step} " in message
    assert message.startswith(f"examples {', '.join(ids_of_step(reference.base, step))}: ")
    assert not (output / run.ADAPTER).exists()
    assert not run.finished(output)

    state, complaints = checkpoint.newest(output / run.CHECKPOINTS)
    assert complaints == []
    assert (state.progress["step"] if state else 0) == step - 1
    now = trainable_state(poisoned.model)
    assert all(torch.isfinite(p).all() for p in now.values())
    if state:
        assert all(torch.equal(p, state.weights[name]) for name, p in now.items()), "the spoilt step changed a weight"

    monkeypatch.undo()
    train(reference.base, output, dict(reference.settings))
    assert jobs.outcome(output) == reference.outcome


def test_weights_that_became_infinite_in_a_step_are_not_saved(reference, tmp_path, monkeypatch):
    """A finite gradient can still overflow a weight; the checkpoint of that step is refused and the earlier one stays."""
    output = tmp_path / "run"
    after = training._Session.after

    def overflow(session: Any, step: Any) -> None:
        if step.step == 4:
            with torch.no_grad():
                next(iter(trainable_state(session.bare).values()))[0] = math.inf
        after(session, step)

    monkeypatch.setattr(training._Session, "after", overflow)
    with pytest.raises(GateError, match="is not finite at step 4"):
        train(reference.base, output, dict(reference.settings))
    monkeypatch.undo()
    train(reference.base, output, dict(reference.settings))
    assert jobs.outcome(output) == reference.outcome


def test_an_adapter_that_is_not_finite_is_not_saved(reference, tmp_path, monkeypatch):
    output = tmp_path / "run"
    finish = training._Session.finish

    def spoilt(session: Any, started: Any) -> Path:
        session.best = {name: tensor * math.nan for name, tensor in session.best.items()}
        return finish(session, started)

    monkeypatch.setattr(training._Session, "finish", spoilt)
    with pytest.raises(GateError, match="no adapter was saved"):
        train(reference.base, output, dict(reference.settings))
    assert not (output / run.ADAPTER).exists()
    assert not run.finished(output)


@pytest.mark.parametrize("part", ["weights", "optimizer", "best"])
@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_checkpoint_refuses_what_is_not_finite(tmp_path, part, poison):
    tensors = {name: {"a": torch.zeros(2), "b": torch.ones(3)} for name in ("weights", "optimizer", "best")}
    tensors[part]["b"][1] = poison
    state = checkpoint.State(**tensors, random={"cpu": torch.get_rng_state()}, progress={"step": 3})
    with pytest.raises(GateError, match="b is not finite at step 3"):
        checkpoint.write(tmp_path / "checkpoints", state)
    assert not (tmp_path / "checkpoints").exists()
