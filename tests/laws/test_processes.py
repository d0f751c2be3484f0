"""Law: two processes train what one does, in one folder, and stop, fail and go on together.

The processes are started once, over the loopback of this machine, and do one job after another.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import tiny
from fintune import run
from fintune.recipe import Recipe
from fintune.tasks.base import load_task

HERE = Path(__file__).parent
LEARNT, HELD = 9, 3
"""Three steps an epoch, the last of one example: one of two processes has nothing to do. Of three held out, one process has two."""
QUIET: Mapping[str, Any] = {"train.epochs": 2, "train.keep": "best", "train.checkpoint_every": 1, "train.learning_rate": 5e-4}
DRAWN: Mapping[str, Any] = {"train.epochs": 2, "train.checkpoint_every": 1, "train.noise": "neftune", "adapter.dropout": 0.2}
TAGS: Mapping[str, Any] = {
    **QUIET, "train.batch_size": 4, "train.noise": "none", "model.dropout": 0.0, "adapter.dropout": 0.0, "head.dropout": 0.0,
}  # fmt: skip
JOBS: list[tuple[str, str, Mapping[str, Any]]] = [
    ("chat", "chat", QUIET),
    ("cut", "chat", {**QUIET, "train.accumulate": 4, "train.pack_tokens": 256}),
    ("tags", "tags", TAGS),
    ("drawn", "chat", DRAWN),
    ("stopped", "chat", DRAWN),
    ("stopped", "chat", DRAWN),
    ("stopped", "chat", DRAWN),
    ("taken", "chat", QUIET),
]
"""Folder, kind of head and settings of each job; a folder that comes again is gone on with."""


def recipe(folder: Path, head: str, settings: Mapping[str, Any]) -> Recipe:
    if head == "tags":
        return tiny.recipe(folder / "bert", settings)
    return tiny.chat_recipe(folder / "llama", settings)


def train(folder: Path, output: Path, head: str, settings: Mapping[str, Any], listen=lambda event: None) -> Path:
    from fintune.train.run import train as training

    made, examples = recipe(folder, head, settings), tiny.examples(LEARNT + HELD)
    task = load_task(made.task, made.prompt)
    return training(made, task, examples[:LEARNT], examples[LEARNT:], output, data={}, listen=listen)


def work(folder: Path) -> None:
    """All jobs in this process, which is one of two; what became of each is written down."""
    from fintune.errors import FintuneError
    from fintune.train.run import Interrupted

    rank = int(os.environ["RANK"])
    (folder / f"{rank}.pid").write_text(str(os.getpid()), encoding="utf-8")
    ended: list[dict[str, Any]] = []
    for number, (name, head, settings) in enumerate(JOBS):
        events: list[str] = []

        def listen(event: Mapping[str, Any], number: int = number, events: list[str] = events) -> None:
            events.append(event["event"])
            stop = {4: ("step", 2), 5: ("validation", 3)}.get(number)  # of `stopped`, the first two times
            if stop == (event["event"], event.get("step")):
                os.kill(int((folder / "1.pid").read_text(encoding="utf-8")), signal.SIGTERM)

        outcome: dict[str, Any] = {"name": name, "events": events}
        try:
            outcome["output"] = str(train(folder, folder / name, head, settings, listen))
        except FintuneError as error:
            outcome["error"] = str(error)
        except Interrupted as interrupted:
            outcome["stopped"] = interrupted.status
        ended.append(outcome)
    (folder / f"{rank}.json").write_text(json.dumps(ended), encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes have done all jobs; a fault in one of them is shown."""
    folder = tmp_path_factory.mktemp("processes")
    tiny.write_bert(folder / "bert")
    tiny.write_chat_model(folder / "llama", "llama")
    (folder / "taken").mkdir()
    (folder / "taken" / "notes.txt").write_text("mine", encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, __file__, str(folder)]
    started = [
        subprocess.Popen(command, env=environment(rank, port), stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for rank in range(2)
    ]
    try:
        told = [process.communicate(timeout=240)[0].decode() for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], "\n".join(told)[-4000:]
    return folder


def environment(rank: int, port: int) -> dict[str, str]:
    """As `torchrun` and `accelerate launch --cpu` set it."""
    given = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
    settings = {"PYTHONPATH": path, "ACCELERATE_USE_CPU": "true", "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    return os.environ | settings | {name: str(value) for name, value in given.items()}


def ended(folder: Path, name: str) -> list[list[dict[str, Any]]]:
    """What became of the jobs in a folder, for each process."""
    told = [json.loads((folder / f"{rank}.json").read_text(encoding="utf-8")) for rank in range(2)]
    return [[job for job in jobs if job["name"] == name] for jobs in told]


def weights(output: Path) -> dict[str, Any]:
    return {
        f"{path.name}/{name}": tensor
        for path in sorted((output / run.ADAPTER).glob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }


@pytest.mark.parametrize(("name", "head", "settings"), JOBS[:3], ids=[job[0] for job in JOBS[:3]])
def test_two_processes_learn_what_one_does(folder: Path, tmp_path: Path, name: str, head: str, settings: Mapping[str, Any]) -> None:
    alone = train(folder, tmp_path / "alone", head, settings)
    one, two = weights(alone), weights(folder / name)
    assert one.keys() == two.keys()
    assert max(float((one[tensor] - two[tensor]).abs().max()) for tensor in one) <= 1e-5
    first, second = (run.manifest(place) for place in (alone, folder / name))
    assert (first["processes"], second["processes"]) == (1, 2)
    assert second["validation"] == pytest.approx(first["validation"], abs=1e-6)
    assert (second["steps"], second["kept_epoch"]) == (first["steps"], first["kept_epoch"])
    if head == "tags":  # each process computes the shared beginning of its own packs
        assert second["tokens"] == first["tokens"]


def test_the_log_is_that_of_one_process(folder: Path, tmp_path: Path) -> None:
    alone = train(folder, tmp_path / "alone", "chat", QUIET)
    logs = [run.Log(place / run.LOG).records() for place in (alone, folder / "chat")]
    assert [(r["event"], r["step"]) for r in logs[0]] == [(r["event"], r["step"]) for r in logs[1]]
    for one, two in zip(*logs, strict=True):
        if one["event"] == "step":
            assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)
            assert two["norm"] == pytest.approx(one["norm"], rel=1e-3)
            assert (two["units"], two["rate"]) == (one["units"], one["rate"])


def test_the_first_process_speaks_and_writes_for_both(folder: Path) -> None:
    first, second = ended(folder, "chat")
    assert [job["output"] for job in first + second] == [str(folder / "chat")] * 2
    assert set(first[0]["events"]) == {"preflight", "start", "step", "validation", "checkpoint", "end"}
    assert second[0]["events"] == []
    assert sorted(path.name for path in (folder / "chat").iterdir()) == sorted([
        ".lock", run.ADAPTER, run.FLOORS, run.LOG, run.MANIFEST, run.PREFLIGHT, run.RECIPE, run.STARTED,
    ])  # fmt: skip


def test_a_signal_to_one_stops_both_and_they_go_on_to_the_same_bytes(folder: Path) -> None:
    """With noise and dropout, of which each process draws its own."""
    for jobs in ended(folder, "stopped"):
        assert [job.get("stopped") for job in jobs] == [128 + signal.SIGTERM, 128 + signal.SIGTERM, None]
    assert "resume" in ended(folder, "stopped")[0][2]["events"]
    assert run.hash_files(folder / "stopped" / run.ADAPTER) == run.hash_files(folder / "drawn" / run.ADAPTER)


def test_what_the_first_is_refused_both_are(folder: Path) -> None:
    errors = [jobs[0]["error"] for jobs in ended(folder, "taken")]
    assert errors[0] == errors[1]
    assert "the output folder is not empty (it holds 'notes.txt')" in errors[0]
    assert [path.name for path in (folder / "taken").iterdir() if path.name != ".lock"] == ["notes.txt"]


if __name__ == "__main__":
    work(Path(sys.argv[1]))
