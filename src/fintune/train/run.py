"""One training run from recipe and examples to a finished run folder; resumes by itself where an unfinished one stands.

`fintune train` calls `train`, which prepares, walks the generator of `fintune.train.loop`, and at each epoch's end validates
and writes a checkpoint. The manifest is written last: a run is finished or visibly not.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor

from fintune import run
from fintune.errors import DataError, GateError, RecipeError, ResourceError, did_you_mean
from fintune.heads.base import IGNORED, Fitted, ready
from fintune.heads.build import Built, build
from fintune.heads.calibrated import Calibration
from fintune.metrics.intervals import Bootstrap
from fintune.models import speed
from fintune.models.adapter import trainable_state
from fintune.models.cost import Meter
from fintune.models.precision import arithmetic
from fintune.models.watch import watched
from fintune.predict.run import predict, scored
from fintune.recipe import Recipe
from fintune.records import Example, Prediction
from fintune.tasks.base import Task, documents_of
from fintune.text.words import grain_of
from fintune.train import checkpoint, leaks, order, together
from fintune.train.account import Account
from fintune.train.claim import claim, describe
from fintune.train.fitted import fitted
from fintune.train.loop import Step, Work, optimizer_for, schedule_for, steps
from fintune.train.preflight import Certificate, certify
from fintune.train.prepared import Prepared
from fintune.train.save import facts, save_adapter
from fintune.train.signals import Interrupted, Signals

Listener = Callable[[Mapping[str, Any]], None]
"""Told of every event as it happens, `{"event": ...}`: preflight, resume, start, step, validation, checkpoint, note, end."""


@dataclass
class Progress:
    """What a run knows besides its tensors; plain numbers, saved with each checkpoint."""

    step: int = 0
    best_value: float | None = None
    best_epoch: int | None = None
    seconds: float = 0.0
    tokens: int = 0
    stopped_after: int | None = None
    temperature: float | None = None
    threshold: float | None = None
    margin: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)


def train(
    recipe: Recipe,
    task: Task,
    examples: Sequence[Example],
    validation: Sequence[Example],
    output: Path,
    *,
    data: Mapping[str, Any],
    listen: Listener = lambda event: None,
    prepared: Prepared | None = None,
) -> Path:
    """Train, or go on with, the run in `output`.

    Args:
        recipe: resolved.
        task: its task.
        examples: to learn from.
        validation: to choose and stop by; may be empty where the recipe does neither.
        output: the run folder; made where it is missing.
        data: fingerprints and sources of the data, kept in the manifest and compared on resuming.
        listen: told of every event; of several processes that of the first alone.
        prepared: head and items that other runs of a study use too; the bytes of the run are the same without.

    Raises:
        ArtifactError: where the folder holds another run, or one that is finished.
        GateError: where training becomes non-finite.
        Interrupted: after a signal, state saved.
    """
    _refuse(recipe, task, examples, validation)
    recipe = settle(recipe, task, examples)
    AcceleratorState._reset_state()  # accelerate keeps the precision of the first run in a process for all later ones
    accelerator = Accelerator(mixed_precision=_mixed(recipe))
    meter = Meter(accelerator.device)
    tell = listen if together.leads() else _unheard
    # Of several processes the first holds the folder; the others write nothing.
    with contextlib.ExitStack() as held:
        together.first(lambda: held.enter_context(run.lock(output)))
        caught = held.enter_context(Signals())
        built, items = _built(recipe, task, examples, data, prepared)
        certificate = _certify(recipe, task, built, examples, items)
        started = {**describe(recipe, task, built, data), "processes": accelerator.num_processes}
        together.first(lambda: _begin(output, started, recipe, certificate))
        tell({"event": "preflight", "summary": certificate.summary(), "certificate": certificate.record()})
        speed.apply(built.model, recipe.train, device=accelerator.device, needed=certificate.memory)
        account = Account(recipe, built, meter, recomputed=certificate.needs.recomputed)
        session = _Session(recipe, task, examples, validation, output, built, items, accelerator, account, tell)
        session.resume()
        for step in session.steps():
            session.after(step)
            if signal := next(iter(together.gathered(caught)), 0):  # all stop where one of them is asked to
                session.checkpoint()
                raise Interrupted(signal)
            if session.progress.stopped_after is not None:
                break
        return session.finish(started)


def _built(
    recipe: Recipe, task: Task, examples: Sequence[Example], data: Mapping[str, Any], prepared: Prepared | None
) -> tuple[Built, Sequence[Any]]:  # fmt: skip
    if prepared is not None:
        return prepared.ready(recipe, task, examples, data=data["train"]["fingerprint"])
    built = build(recipe, task)
    return built, ready(built.head, examples)


def _begin(output: Path, started: Mapping[str, Any], recipe: Recipe, certificate: Certificate) -> None:
    claim(output, started, recipe)
    run.write_json(output / run.PREFLIGHT, certificate.record())


def preflight(recipe: Recipe, task: Task, examples: Sequence[Example], validation: Sequence[Example]) -> Certificate:
    """What training would learn, without training: builds the model and looks at every example as it would be read.

    Raises:
        FintuneError: where nothing, or the wrong thing, would be trained.
    """
    _refuse(recipe, task, examples, validation)
    recipe = settle(recipe, task, examples)
    built = build(recipe, task)
    return _certify(recipe, task, built, examples, built.head.encode(examples, "train"))


def _certify(recipe: Recipe, task: Task, built: Built, examples: Sequence[Example], items: Sequence[Any]) -> Certificate:
    steps = order.steps_per_epoch(len(items), recipe.train.batch_size) * recipe.train.epochs
    return certify(recipe, task, built, examples, items, steps=steps)


class _Session:
    """The parts of one run that go together while it lasts."""

    def __init__(
        self, recipe: Recipe, task: Task, examples: Sequence[Example], validation: Sequence[Example],
        output: Path, built: Built, items: Sequence[Any], accelerator: Accelerator, account: Account, listen: Listener,
    ) -> None:  # fmt: skip
        self.recipe, self.task, self.built, self.output, self.listen = recipe, task, built, output, listen
        self.examples, self.validation = examples, validation
        self.accelerator, self.account = accelerator, account
        self.items = items
        settings = recipe.train
        self.per_epoch = order.steps_per_epoch(len(self.items), settings.batch_size)
        self.total = self.per_epoch * settings.epochs
        optimizer = optimizer_for(
            built.model, rate=settings.learning_rate, head_rate=settings.head_learning_rate, decay=settings.weight_decay
        )
        self.schedule = schedule_for(optimizer, kind=settings.schedule, warmup=settings.warmup, steps=self.total)
        self.model, self.optimizer = accelerator.prepare(built.model, optimizer)
        self.bare: Any = accelerator.unwrap_model(self.model)
        self.progress = Progress()
        self.best: dict[str, Tensor] = {}
        self.log = run.Log(output / run.LOG)

    def resume(self) -> None:
        """Take up the newest checkpoint that verifies; where there is none, begin. Then the order of draws is the run's own."""
        place = self.output / run.CHECKPOINTS
        # The first process puts damaged ones aside; only then do the others look.
        state, messages = together.first(lambda: checkpoint.newest(place)) or checkpoint.newest(place)
        for message in messages:
            self.listen({"event": "note", "message": message})
        torch.manual_seed(self.recipe.seed + 1)  # dropout and noise; initialisation has drawn from the seed itself
        if state is not None:
            checkpoint.restore(state, self.bare, self.optimizer, self.schedule)
            self.progress, self.best = Progress(**state.progress), state.best
            self.account.resume(self.progress.cost)
            self.listen({"event": "resume", "step": self.progress.step, "steps": self.total})
        if len(set(together.gathered([self.progress.step]))) > 1:
            raise ResourceError(
                "not all processes see the same checkpoints", where=str(self.output), fix="put the run folder on a disk that all share"
            )
        damaged = together.first(lambda: self.log.rewind(self.progress.step))
        if damaged:
            self.listen({"event": "note", "message": f"{damaged} damaged lines of {self.log.path} were dropped"})
        self.listen({
            "event": "start", "steps": self.total, "step": self.progress.step, "examples": len(self.examples), "items": len(self.items),
            "trainable": self.built.matched.trainable, "total": self.built.matched.total, "modules": len(self.built.matched.modules),
        })  # fmt: skip

    def work(self) -> Iterator[Work]:
        """The batches that are still to be done, this process's share of each."""
        done = self.progress.step
        world, rank, accumulate = self.accelerator.num_processes, self.accelerator.process_index, self.recipe.train.accumulate
        lengths, number = [item.length for item in self.items], done
        labels = [item.label for item in self.items] if self.recipe.train.balance == "sampling" else None
        for epoch in range(done // self.per_epoch, self.recipe.train.epochs):
            batches = order.batches(
                lengths,
                batch_size=self.recipe.train.batch_size,
                seed=self.recipe.seed,
                epoch=epoch,
                group=self.built.head.group,
                labels=labels,
            )
            for batch in batches[done - epoch * self.per_epoch if epoch == done // self.per_epoch else 0 :]:
                mine = order.share(batch, parts=world)[rank]
                shares = [[self.items[i] for i in part] for part in order.share(mine, parts=accumulate)]
                micro = [piece for part in shares for piece in (self.built.head.cut(part) if part else [[]])]
                names = [self.examples[self.items[i].example].id for i in batch]
                number += 1
                self.account.computes([self.items[i] for i in batch])
                together.reseed(self.recipe.seed, number)
                yield Work(epoch, [self.built.head.collate(piece) if piece else self._idle(world) for piece in micro], names)

    def _idle(self, world: int) -> dict[str, Tensor] | None:
        """The share of nothing: alone no batch at all, among several processes one without gold, as all have to pass through the model."""
        if world == 1:
            return None
        batch = self.built.head.collate(self.items[:1])
        return {**batch, "labels": torch.full_like(batch["labels"], IGNORED)}

    def steps(self) -> Iterator[Step]:
        """The loop, from where the run stands."""
        if self.progress.stopped_after is not None:
            return iter(())
        return steps(
            self.model, self.built.head.loss, self.work(), optimizer=self.optimizer, schedule=self.schedule,
            accelerator=self.accelerator, clip=self.recipe.train.clip, done=self.progress.step,
        )  # fmt: skip

    def after(self, step: Step) -> None:
        """Record a step; validate at an epoch's end; write a checkpoint where one is due."""
        self.progress.step = step.step
        self.progress.seconds += step.seconds
        self.progress.tokens += step.tokens
        self.account.sample()
        event = {
            "event": "step", "step": step.step, "epoch": step.epoch, "loss": step.loss, "norm": step.norm, "rate": step.rate,
            "units": step.units, "tokens": step.tokens, "seconds": round(step.seconds, 4),
        }  # fmt: skip
        noise = getattr(self.bare, "noise", None)
        if noise is not None:
            event["noise_ratio"] = float(noise.ratio)
        self._record(event)
        ends = step.step % self.per_epoch == 0
        if ends and self.validation:
            self._validate(step)
        every = self.recipe.train.checkpoint_every
        if step.step % every == 0 if every else ends:
            self.checkpoint()

    def _validate(self, step: Step) -> None:
        with watched(self.bare) as seen:
            found = self._predicted()
        self.account.looked(seen)
        scores = values(self.task, self.validation, found)
        self.progress.metrics = scores
        self._record({"event": "validation", "step": step.step, "epoch": step.epoch, "metrics": scores})
        settings, value = self.recipe.train, scores[self.recipe.train.metric]
        better = self.progress.best_value is None or value > self.progress.best_value
        if better or settings.keep == "last":
            self.progress.temperature, self.progress.threshold = fitted(
                self.task, self.validation, found, wanted=self.recipe.predict.wanted_precision
            )
            self.progress.margin = self.built.head.margin if isinstance(self.built.head, Fitted) else None
        if better:
            self.progress.best_value, self.progress.best_epoch = value, step.epoch
            if settings.keep == "best":
                self.best = {name: p.detach().cpu().clone() for name, p in trainable_state(self.bare).items()}
        elif settings.patience is not None and step.epoch - (self.progress.best_epoch or 0) >= settings.patience:
            self.progress.stopped_after = step.epoch
            self.listen({
                "event": "note",
                "message": f"no better {settings.metric} for {settings.patience} epochs; stopping after epoch {step.epoch + 1}",
            })  # fmt: skip

    def _predicted(self) -> list[Prediction]:
        """Predictions for the validation examples, of which each process makes a share; draws nothing from the run's generators."""
        settings, world, head = self.recipe.predict, self.accelerator.num_processes, self.built.head
        if isinstance(head, Fitted):  # its margin is the best for all of them, so every process scores them all
            parts = list(scored(self.bare, head, self.validation, batch_tokens=settings.batch_tokens, precision=settings.precision))
            head.fit(parts)
            return [prediction for part in parts for prediction in head.decode(self.bare, *part)]
        mine = order.share(range(len(self.validation)), parts=world)[self.accelerator.process_index]
        own = [self.validation[i] for i in mine]
        return together.gathered(list(
            predict(self.bare, head, own, batch_tokens=settings.batch_tokens, precision=settings.precision)
        ))  # fmt: skip

    def _record(self, event: Mapping[str, Any]) -> None:
        if together.leads():
            self.log.append(event)
            self.listen(event)

    def checkpoint(self) -> None:
        """Write the state as it is now."""
        self.progress.cost = self.account.state()
        place = together.first(self._write_state)
        self.listen({"event": "checkpoint", "step": self.progress.step, "place": str(place)})

    def _write_state(self) -> Path:
        self.log.sync()
        state = checkpoint.capture(self.bare, self.optimizer, best=self.best, progress=vars(self.progress))
        return checkpoint.write(self.output / run.CHECKPOINTS, state)

    def finish(self, started: Mapping[str, Any]) -> Path:
        """Write the adapter and, last, the manifest; checkpoints are no longer needed then."""
        if self.best:
            with torch.no_grad():
                for name, parameter in trainable_state(self.bare).items():
                    parameter.copy_(self.best[name])
        if not all(torch.isfinite(p).all() for p in trainable_state(self.bare).values()):
            raise GateError(
                "the trained weights are not finite", where=str(self.output), fix="lower train.learning_rate; no adapter was saved"
            )
        if self.progress.temperature is not None:
            self.built.head.calibration = Calibration(self.progress.temperature, self.progress.threshold)
        if self.progress.margin is not None:
            self.built.head.margin = self.progress.margin
        cost = self.account.record(self.progress.tokens)
        together.first(lambda: self._write_run(started, cost))
        self.listen({"event": "end", "step": self.progress.step, "seconds": self.progress.seconds, "output": str(self.output)})
        return self.output

    def _write_run(self, started: Mapping[str, Any], cost: Mapping[str, Any]) -> None:
        save_adapter(self.built, self.recipe, self.output)
        run.write_json(self.output / run.FLOORS, {name: f.record() for name, f in self.task.learn_floors(self.examples).items()})
        run.write_json(self.output / run.MANIFEST, {**self._manifest(started), "cost": dict(cost)})
        shutil.rmtree(self.output / run.CHECKPOINTS, ignore_errors=True)

    def _manifest(self, started: Mapping[str, Any]) -> dict[str, Any]:
        return {
            **started,
            "steps": self.progress.step,
            "seconds": round(self.progress.seconds, 3),
            "tokens": self.progress.tokens,
            "validation": self.progress.metrics,
            "kept_epoch": self.progress.best_epoch if self.best else None,
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            **facts(self.built, self.output),
        }


def _unheard(event: Mapping[str, Any]) -> None:
    """The first process speaks for all."""


def settle(recipe: Recipe, task: Task, examples: Sequence[Example]) -> Recipe:
    """The recipe with what it leaves to the task and the training data decided; the run keeps this one."""
    if recipe.train.metric == "auto":
        recipe = recipe.model_copy(update={"train": recipe.train.model_copy(update={"metric": task.main_metric})})
    if recipe.head.type != "token" or recipe.data.words != "auto":
        return recipe
    grain = grain_of((example.text, example.spans or ()) for example in examples)
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"words": grain})})


def values(task: Task, examples: Sequence[Example], found: Sequence[Prediction]) -> dict[str, float]:
    """Scores of predictions by name, without intervals."""
    report = task.score(list(zip(examples, found, strict=True)), documents=documents_of(examples), floors={}, plan=Bootstrap(replicates=1))
    return {name: entry["value"] for name, entry in report["metrics"].items()}


def _refuse(recipe: Recipe, task: Task, examples: Sequence[Example], validation: Sequence[Example]) -> None:
    """Refuse what could only waste time, before a model is built.

    Raises:
        DataError: where there is nothing to learn from, or the text gives the gold away.
        RecipeError: where the recipe needs validation examples that are not there, or a metric that does not exist.
    """
    for example in (*examples, *validation):
        task.require_gold(example)  # refuses labels outside the set, with file and line
    if not examples or (task.kind == "spans" and not any(e.spans or e.unaligned for e in examples)):
        raise DataError(
            "no training example has a span" if examples else "no training examples",
            where=examples[0].where if examples else "--data", fix="check the columns and labels with 'fintune check'",
        )  # fmt: skip
    leaks.refuse(recipe, task, examples)
    needs = "train.keep=best" if recipe.train.keep == "best" else "train.patience" if recipe.train.patience else ""
    if needs and not validation:
        raise RecipeError(
            f"{needs} needs validation examples", where="--validation",
            fix="give --validation, or set train.keep=last and train.patience=null",
        )  # fmt: skip
    if validation and recipe.train.metric != "auto":
        probe = validation[0]
        pair = (probe, task.parse(task.target(probe), probe))
        known = task.score([pair], documents=[""], floors={}, plan=Bootstrap(replicates=1))["metrics"]
        if recipe.train.metric not in known:
            raise RecipeError(f"unknown metric {recipe.train.metric!r}", where="train.metric", fix=did_you_mean(recipe.train.metric, known))


def _mixed(recipe: Recipe) -> str:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return "bf16" if arithmetic(recipe.train.precision, device) == torch.bfloat16 else "no"
