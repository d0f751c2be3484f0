"""One training run from recipe and examples to a finished run folder; resumes by itself where an unfinished one stands.

`fintune train` calls `train`, which prepares, walks the generator of `fintune.train.loop`, and at each epoch's end validates
and writes a checkpoint. The manifest is written last: a run is finished or visibly not.
"""

from __future__ import annotations

import os
import platform
import re
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
from fintune.errors import DataError, GateError, RecipeError, did_you_mean
from fintune.heads.build import Built, build, save
from fintune.heads.token import IGNORED
from fintune.metrics import floors
from fintune.metrics.intervals import Bootstrap
from fintune.models.adapter import trainable_state
from fintune.models.precision import arithmetic
from fintune.predict.run import predict
from fintune.recipe import Recipe
from fintune.records import Example
from fintune.tasks.base import Task, documents_of
from fintune.text.words import grain_of
from fintune.train import checkpoint, order
from fintune.train.claim import claim, describe
from fintune.train.loop import Step, Work, optimizer_for, schedule_for, steps
from fintune.train.signals import Interrupted, Signals

Listener = Callable[[Mapping[str, Any]], None]
"""Told of every event as it happens: `{"event": "start" | "resume" | "step" | "validation" | "checkpoint" | "note" | "end", ...}`."""


@dataclass
class Progress:
    """What a run knows besides its tensors; plain numbers, saved with each checkpoint."""

    step: int = 0
    best_value: float | None = None
    best_epoch: int | None = None
    seconds: float = 0.0
    tokens: int = 0
    stopped_after: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)


def train(
    recipe: Recipe,
    task: Task,
    examples: Sequence[Example],
    validation: Sequence[Example],
    output: Path,
    *,
    data: Mapping[str, Any],
    listen: Listener = lambda event: None,
) -> Path:
    """Train, or go on with, the run in `output`.

    Args:
        recipe: resolved.
        task: its task.
        examples: to learn from.
        validation: to choose and stop by; may be empty where the recipe does neither.
        output: the run folder; made where it is missing.
        data: fingerprints and sources of the data, kept in the manifest and compared on resuming.
        listen: told of every event.

    Raises:
        ArtifactError: where the folder holds another run, or one that is finished.
        GateError: where training becomes non-finite.
        Interrupted: after a signal, state saved.
    """
    _preflight(recipe, task, examples, validation)
    recipe = settle(recipe, examples)
    with run.lock(output), Signals() as caught:
        AcceleratorState._reset_state()  # accelerate keeps the precision of the first run in a process for all later ones
        accelerator = Accelerator(mixed_precision=_mixed(recipe))
        built = build(recipe, task.labels)
        started = describe(recipe, task, built, data)
        claim(output, started, recipe)
        session = _Session(recipe, task, examples, validation, output, built, accelerator, listen)
        session.resume()
        for step in session.steps():
            session.after(step)
            if caught:
                session.checkpoint()
                raise Interrupted(caught[0])
            if session.progress.stopped_after is not None:
                break
        return session.finish(started)


class _Session:
    """The parts of one run that go together while it lasts."""

    def __init__(
        self, recipe: Recipe, task: Task, examples: Sequence[Example], validation: Sequence[Example],
        output: Path, built: Built, accelerator: Accelerator, listen: Listener,
    ) -> None:  # fmt: skip
        self.recipe, self.task, self.built, self.output, self.listen = recipe, task, built, output, listen
        self.examples, self.validation = examples, validation
        self.accelerator = accelerator
        self.items = built.head.encode(examples)
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
        state, messages = checkpoint.newest(self.output / run.CHECKPOINTS)
        for message in messages:
            self.listen({"event": "note", "message": message})
        torch.manual_seed(self.recipe.seed + 1)  # dropout and noise; initialisation has drawn from the seed itself
        if state is not None:
            checkpoint.restore(state, self.bare, self.optimizer, self.schedule)
            self.progress, self.best = Progress(**state.progress), state.best
            self.listen({"event": "resume", "step": self.progress.step, "steps": self.total})
        damaged = self.log.rewind(self.progress.step)
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
        lengths = [item.length for item in self.items]
        for epoch in range(done // self.per_epoch, self.recipe.train.epochs):
            batches = order.batches(lengths, batch_size=self.recipe.train.batch_size, seed=self.recipe.seed, epoch=epoch)
            for batch in batches[done - epoch * self.per_epoch if epoch == done // self.per_epoch else 0 :]:
                mine = order.share(batch, parts=world)[rank]
                micro = [[self.items[i] for i in part] for part in order.share(mine, parts=accumulate)]
                names = [self.examples[self.items[i].example].id for i in mine]
                yield Work(epoch, [self.built.head.collate(part) if part else self._idle(world) for part in micro], names)

    def _idle(self, world: int) -> dict[str, Tensor] | None:
        """The share of nothing: alone no batch at all, among several processes one without gold, as all have to pass through the model."""
        if world == 1:
            return None
        batch = self.built.head.collate(self.items[:1])
        return {**batch, "tags": torch.full_like(batch["tags"], IGNORED)}

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
        event = {
            "event": "step", "step": step.step, "epoch": step.epoch, "loss": step.loss, "norm": step.norm, "rate": step.rate,
            "units": step.units, "tokens": step.tokens, "seconds": round(step.seconds, 4),
        }  # fmt: skip
        self._record(event)
        ends = step.step % self.per_epoch == 0
        if ends and self.validation:
            self._validate(step)
        every = self.recipe.train.checkpoint_every
        if step.step % every == 0 if every else ends:
            self.checkpoint()

    def _validate(self, step: Step) -> None:
        scores = validate(self.bare, self.built, self.task, self.validation, self.recipe)
        self.progress.metrics = scores
        self._record({"event": "validation", "step": step.step, "epoch": step.epoch, "metrics": scores})
        settings, value = self.recipe.train, scores[self.recipe.train.metric]
        if self.progress.best_value is None or value > self.progress.best_value:
            self.progress.best_value, self.progress.best_epoch = value, step.epoch
            if settings.keep == "best":
                self.best = {name: p.detach().cpu().clone() for name, p in trainable_state(self.bare).items()}
        elif settings.patience is not None and step.epoch - (self.progress.best_epoch or 0) >= settings.patience:
            self.progress.stopped_after = step.epoch
            self.listen(
                {
                    "event": "note",
                    "message": f"no better {settings.metric} for {settings.patience} epochs; stopping after epoch {step.epoch + 1}",
                }
            )

    def _record(self, event: Mapping[str, Any]) -> None:
        if self.accelerator.is_main_process:
            self.log.append(event)
            self.listen(event)

    def checkpoint(self) -> None:
        """Write the state as it is now."""
        if self.accelerator.is_main_process:
            self.log.sync()
            state = checkpoint.capture(self.bare, self.optimizer, best=self.best, progress=vars(self.progress))
            place = checkpoint.write(self.output / run.CHECKPOINTS, state)
            self.listen({"event": "checkpoint", "step": self.progress.step, "place": str(place)})
        self.accelerator.wait_for_everyone()

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
        if self.accelerator.is_main_process:
            _save_adapter(self.built, self.recipe, self.output)
            run.write_json(self.output / run.FLOORS, floors.learn(self.examples).record())
            run.write_json(self.output / run.MANIFEST, self._manifest(started))
            shutil.rmtree(self.output / run.CHECKPOINTS, ignore_errors=True)
        self.listen({"event": "end", "step": self.progress.step, "seconds": self.progress.seconds, "output": str(self.output)})
        return self.output

    def _manifest(self, started: Mapping[str, Any]) -> dict[str, Any]:
        kept = {name: sha for name, sha in run.hash_files(self.output / run.ADAPTER).items()}
        files = {f"{run.ADAPTER}/{name}": sha for name, sha in kept.items()}
        for name in (run.RECIPE, run.FLOORS):
            files |= {k: v for k, v in run.hash_files(self.output).items() if k == name}
        matched, base = self.built.matched, self.built.base
        return {
            **started,
            "steps": self.progress.step,
            "seconds": round(self.progress.seconds, 3),
            "tokens": self.progress.tokens,
            "validation": self.progress.metrics,
            "kept_epoch": self.progress.best_epoch if self.best else None,
            "parameters": {"trainable": matched.trainable, "total": matched.total, "matched_modules": list(matched.modules)},
            "base": {"name": base.name, "id": base.id, "revision": base.revision, "licence": base.licence, "obligations": base.obligations},
            "hardware": hardware(),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "files": files,
        }


def settle(recipe: Recipe, examples: Sequence[Example]) -> Recipe:
    """The recipe with what it leaves to the training data decided; the run keeps this one."""
    if recipe.data.words != "auto":
        return recipe
    grain = grain_of((example.text, example.spans or ()) for example in examples)
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"words": grain})})


def validate(model: Any, built: Built, task: Task, examples: Sequence[Example], recipe: Recipe) -> dict[str, float]:
    """Validation scores by name, without intervals; draws nothing from the run's generators."""
    found = predict(model, built.head, examples, batch_tokens=recipe.predict.batch_tokens, precision=recipe.predict.precision)
    report = task.score(list(zip(examples, found, strict=True)), documents=documents_of(examples), floors={}, plan=Bootstrap(replicates=1))
    return {name: entry["value"] for name, entry in report["metrics"].items()}


def hardware() -> dict[str, Any]:
    """The machine in words, for a person who wants to repeat a figure."""
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "machine": platform.machine(), "system": platform.system(), "processor": _processor(), "cores": os.cpu_count(),
        "threads": torch.get_num_threads(), "devices": devices,
    }  # fmt: skip


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:  # other systems say it through the platform module
        return platform.processor()
    return platform.processor()


def _preflight(recipe: Recipe, task: Task, examples: Sequence[Example], validation: Sequence[Example]) -> None:
    """Refuse what could only waste time.

    Raises:
        DataError: where there is nothing to learn from.
        RecipeError: where the recipe needs validation examples that are not there, or a metric that does not exist.
    """
    if not any(e.spans for e in examples):
        raise DataError(
            "no training example has a span",
            where=examples[0].where if examples else "--data",
            fix="check the columns and labels with 'fintune check'",
        )
    needs = "train.keep=best" if recipe.train.keep == "best" else "train.patience" if recipe.train.patience else ""
    if needs and not validation:
        raise RecipeError(
            f"{needs} needs validation examples",
            where="--validation",
            fix="give --validation, or set train.keep=last and train.patience=null",
        )
    for example in (*examples, *validation):
        task.target(example)  # refuses labels outside the set, with file and line
    if validation:
        probe = task.score(
            [(validation[0], task.parse(task.target(validation[0]), validation[0]))],
            documents=[""],
            floors={},
            plan=Bootstrap(replicates=1),
        )
        if recipe.train.metric not in probe["metrics"]:
            raise RecipeError(
                f"unknown metric {recipe.train.metric!r}", where="train.metric", fix=did_you_mean(recipe.train.metric, probe["metrics"])
            )


def _save_adapter(built: Built, recipe: Recipe, output: Path) -> None:
    """Write the adapter folder under a temporary name, flush it, and put it in place whole."""
    writing, place = output / ".adapter.tmp", output / run.ADAPTER
    try:
        shutil.rmtree(writing, ignore_errors=True)
        writing.mkdir()
        save(built, writing, recipe)
        for path in writing.iterdir():
            path.chmod(0o644)
            with path.open("rb+") as file:
                run.sync(file)
        run.sync_folder(writing)
        shutil.rmtree(place, ignore_errors=True)  # of an attempt that ended before its manifest
        writing.rename(place)
        run.sync_folder(output)
    except Exception as error:
        shutil.rmtree(writing, ignore_errors=True)
        failure = _of_the_disk(error)
        if failure is None:
            raise
        raise run.disk_error(failure, place) from None


def _of_the_disk(error: Exception) -> OSError | None:
    """The operating system's error behind an exception; libraries in Rust tell its number in words."""
    if isinstance(error, OSError):
        return error
    told = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(told[1]), os.strerror(int(told[1]))) if told else None


def _mixed(recipe: Recipe) -> str:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return "bf16" if arithmetic(recipe.train.precision, device) == torch.bfloat16 else "no"
