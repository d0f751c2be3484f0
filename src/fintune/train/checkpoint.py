"""Checkpoints that a crash cannot tear and that resume to the same bits.

Protocol: write into `checkpoints/.writing-<step>`, fsync every file, `MANIFEST.json` with their sha256 last, fsync the folder,
rename to `step-<step>`, fsync the parent, and only then prune older ones. Resuming takes the newest whose manifest verifies;
newer ones go to `checkpoints/quarantine/`. Tensors are safetensors, the rest JSON: nothing here can run code when it is read.
"""

from __future__ import annotations

import hashlib
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
from fintune.errors import ArtifactError, GateError
from fintune.models.adapter import trainable_state

KEEP = 2
"""Checkpoints that stay; the newest is what a run resumes from, the other its fallback."""
MANIFEST = "MANIFEST.json"
_NEEDED = {"weights.safetensors", "optimizer.safetensors", "random.safetensors", "progress.json"}


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
    # One step before where it stood, then one step on, which also sets the optimizer's rates.
    step = int(state.progress["step"])
    schedule.load_state_dict({**schedule.state_dict(), "last_epoch": step - 1, "_step_count": step + 1})
    schedule.step()
    for name, value in state.random.items():
        if name == "cpu":
            torch.set_rng_state(value)
        elif torch.cuda.is_available():
            torch.cuda.set_rng_state(value, torch.device(name))


def write(folder: Path, state: State) -> Path:
    """Write a checkpoint below `folder`, then prune; one of the same step that verifies is left as it is.

    Raises:
        ResourceError: where the disk does not take it; earlier checkpoints are intact.
        GateError: where a tensor is not finite, which is never written.
    """
    step = int(state.progress["step"])
    _require_finite(state, step)
    writing, done = folder / f".writing-{step}", folder / f"step-{step}"
    if done.exists() and not _complaint(done):  # a signal came right after a checkpoint was due
        return done
    files = {
        "weights.safetensors": save(state.weights),
        "optimizer.safetensors": save(state.optimizer),
        "random.safetensors": save(state.random),
        "progress.json": json.dumps(state.progress).encode(),
    }
    if state.best:
        files["best.safetensors"] = save(state.best)
    # Hashed in memory: a byte that the disk changed on the way does not verify.
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    files[MANIFEST] = json.dumps({"step": step, "files": hashes}).encode()
    try:
        shutil.rmtree(writing, ignore_errors=True)
        writing.mkdir(parents=True)
        run.sync_folder(folder.parent)
        for name, content in files.items():
            with (writing / name).open("wb") as file:
                file.write(content)
                run.sync(file)
        run.sync_folder(writing)
        if done.exists():
            shutil.rmtree(done)
        writing.rename(done)
        run.sync_folder(folder)
        prune(folder)
    except OSError as error:
        shutil.rmtree(writing, ignore_errors=True)  # a full disk needs the room
        raise run.disk_error(error, done, needed=sum(map(len, files.values()))) from None
    return done


def _require_finite(state: State, step: int) -> None:
    for group in (state.weights, state.optimizer, state.best):
        for name, tensor in group.items():
            if not torch.isfinite(tensor).all():
                raise GateError(f"{name} is not finite at step {step}", fix="lower train.learning_rate; the last checkpoint is intact")


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
    """The newest state that verifies, and a message for each checkpoint that was put into quarantine.

    Raises:
        ResourceError: where a damaged checkpoint cannot be moved.
    """
    messages = []
    for step in steps(folder):
        place = folder / f"step-{step}"
        complaint = _complaint(place)
        if not complaint:
            return _read(place), messages
        target = folder / "quarantine" / place.name
        try:
            target.parent.mkdir(exist_ok=True)
            shutil.rmtree(target, ignore_errors=True)
            place.rename(target)
        except OSError as error:
            raise run.disk_error(error, target) from None
        messages.append(f"checkpoint of step {step} is not usable ({complaint}); moved to {target}")
    return None, messages


def _complaint(place: Path) -> str:
    """What is wrong with a checkpoint, or "": every byte of it is covered, the manifest's by what it has to say."""
    try:
        document = run.read_json(place / MANIFEST)
    except ArtifactError as error:
        return f"{MANIFEST}: {error.what}"
    hashes = document.get("files")
    if document.keys() != {"step", "files"} or f"step-{document['step']}" != place.name:
        return f"{MANIFEST} is damaged"
    if not isinstance(hashes, dict) or not hashes.keys() >= _NEEDED:
        return f"{MANIFEST} is incomplete"
    if foreign := {path.name for path in place.iterdir()} - hashes.keys() - {MANIFEST}:
        return f"{min(foreign)} is not in {MANIFEST}"
    return run.verify_files(place, hashes)


def _read(place: Path) -> State:
    tensors = {
        name: load((place / f"{name}.safetensors").read_bytes()) if (place / f"{name}.safetensors").is_file() else {}
        for name in ("weights", "optimizer", "random", "best")
    }
    return State(**tensors, progress=run.read_json(place / "progress.json"))
