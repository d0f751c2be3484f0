"""Checkpoints that a crash cannot tear and that resume to the same bits.

Protocol: write into `checkpoints/.writing-<step>`, fsync every file, `MANIFEST.json` with their sha256 last, fsync the folder,
rename to `step-<step>`, fsync the parent, and only then prune older ones. Resuming takes the newest whose manifest verifies;
others go to `checkpoints/quarantine/`. Tensors are safetensors, the rest JSON: nothing here can run code when it is read.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from fintune import run
from fintune.errors import ArtifactError
from fintune.models.adapter import trainable_state

KEEP = 2
"""Valid checkpoints that stay; the newest is what a run resumes from, the other its fallback."""
MANIFEST = "MANIFEST.json"


@dataclass(frozen=True, slots=True)
class State:
    """Everything that training changes.

    `weights` and `best` are trainable parameters by name (`best` empty unless the best weights are kept apart), `optimizer` AdamW's
    moments by `group.index.name`, `random` generator states, and `progress` plain numbers: steps taken, best metric and the like.
    """

    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    random: dict[str, Tensor]
    best: dict[str, Tensor]
    progress: dict[str, Any]


def capture(model: nn.Module, optimizer: torch.optim.Optimizer, *, best: Mapping[str, Tensor], progress: Mapping[str, Any]) -> State:
    """A copy of the state on the CPU; training may go on while it is written."""
    weights = {name: p.detach().cpu().clone() for name, p in trainable_state(model).items()}
    moments: dict[str, Tensor] = {}
    for g, group in enumerate(optimizer.param_groups):
        for i, parameter in enumerate(group["params"]):
            for name, value in optimizer.state.get(parameter, {}).items():
                moments[f"{g}.{i}.{name}"] = value.detach().cpu().clone()
    generators = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        generators |= {f"cuda:{i}": s for i, s in enumerate(torch.cuda.get_rng_state_all())}
    return State(weights, moments, generators, dict(best), dict(progress))


def restore(state: State, model: nn.Module, optimizer: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LRScheduler) -> None:
    """Put a captured state back; the generators last, so that what follows draws as the interrupted run would have.

    Raises:
        ArtifactError: where the state is of another model.
    """
    own = trainable_state(model)
    if own.keys() != state.weights.keys():
        raise ArtifactError(
            "the checkpoint is of another model",
            why=f"{len(own.keys() ^ state.weights.keys())} tensors differ",
            fix="choose another --output",
        )
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(state.weights[name])
    for g, group in enumerate(optimizer.param_groups):
        for i, parameter in enumerate(group["params"]):
            prefix = f"{g}.{i}."
            moments = {k.removeprefix(prefix): v for k, v in state.optimizer.items() if k.startswith(prefix)}
            if moments:
                # Adam's own step count stays on the CPU, its moments go where the parameter is.
                optimizer.state[parameter] = {k: v if k == "step" else v.to(parameter.device) for k, v in moments.items()}
    for _ in range(int(state.progress["step"])):
        schedule.step()
    for name, value in state.random.items():
        if name == "cpu":
            torch.set_rng_state(value)
        elif torch.cuda.is_available():
            torch.cuda.set_rng_state(value, torch.device(name))


def write(folder: Path, state: State) -> Path:
    """Write a checkpoint below `folder`, then prune.

    Raises:
        ResourceError: where the disk does not take it; earlier checkpoints are intact.
        ArtifactError: where a tensor is not finite, which is never written.
    """
    step = int(state.progress["step"])
    for group in (state.weights, state.optimizer, state.best):
        for name, tensor in group.items():
            if not torch.isfinite(tensor).all():
                raise ArtifactError(f"{name} is not finite at step {step}", fix="lower train.learning_rate")
    writing, done = folder / f".writing-{step}", folder / f"step-{step}"
    try:
        shutil.rmtree(writing, ignore_errors=True)
        writing.mkdir(parents=True)
        files = {
            "weights.safetensors": save(state.weights),
            "optimizer.safetensors": save(state.optimizer),
            "random.safetensors": save(state.random),
            "progress.json": json.dumps(state.progress).encode(),
        }
        if state.best:
            files["best.safetensors"] = save(state.best)
        for name, content in files.items():
            run.write_file(writing / name, content)
        run.write_json(writing / MANIFEST, {"step": step, "files": run.hash_files(writing)})
        if done.exists():  # written before the crash that this run resumed from
            shutil.rmtree(done)
        writing.rename(done)
        run.sync_folder(folder)
        prune(folder)
    except OSError as error:
        raise run.disk_error(error, done) from None
    return done


def steps(folder: Path) -> list[int]:
    """Steps of the checkpoints that stand in `folder`, newest first."""
    return sorted((int(p.name[5:]) for p in folder.glob("step-*") if p.name[5:].isdigit()), reverse=True)


def prune(folder: Path) -> None:
    """Remove all but the newest `KEEP` checkpoints and whatever a crash left half written."""
    for step in steps(folder)[KEEP:]:
        shutil.rmtree(folder / f"step-{step}")
    for left in folder.glob(".writing-*"):
        shutil.rmtree(left)


def newest(folder: Path) -> tuple[State | None, list[str]]:
    """The newest state that verifies, and a message for each checkpoint that was put into quarantine."""
    messages = []
    for step in steps(folder):
        place = folder / f"step-{step}"
        complaint = _complaint(place)
        if not complaint:
            return _read(place), messages
        quarantine = folder / "quarantine"
        quarantine.mkdir(exist_ok=True)
        target = quarantine / place.name
        shutil.rmtree(target, ignore_errors=True)
        place.rename(target)
        messages.append(f"checkpoint of step {step} is not usable ({complaint}); moved to {target}")
    return None, messages


def _complaint(place: Path) -> str:
    try:
        hashes = run.read_json(place / MANIFEST).get("files")
    except ArtifactError as error:
        return error.what
    if (
        not isinstance(hashes, dict)
        or not {"weights.safetensors", "optimizer.safetensors", "random.safetensors", "progress.json"} <= hashes.keys()
    ):
        return f"{MANIFEST} is incomplete"
    return run.verify_files(place, hashes)


def _read(place: Path) -> State:
    tensors = {
        name: load((place / f"{name}.safetensors").read_bytes()) if (place / f"{name}.safetensors").is_file() else {}
        for name in ("weights", "optimizer", "random", "best")
    }
    return State(**tensors, progress=run.read_json(place / "progress.json"))
