"""Trackers hear what the log has, change nothing of the run, reach no network, and may fail without it.

The libraries are tried where they are installed; what is refused, and a library that fails, are tried everywhere.
"""

from __future__ import annotations

import importlib.util
import json
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import jobs
import tiny
from fintune import api, run
from fintune.errors import ResourceError, UsageError
from fintune.train import tracker_writers, trackers

EPOCHS = {"train.epochs": 2, "train.checkpoint_every": 3}
GUARD = """
import os, sys

def heard(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        with open({place!r}, "a") as file:
            file.write(f"{{event}} {{arguments[1:]}}\\n")

sys.addaudithook(heard)
"""
"""What Python runs first in each process: writes down every attempt to reach a network."""


def installed(name: str) -> Any:
    """Mark of a test that needs a library."""
    return pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"{name} is not installed")


every_tracker = pytest.mark.parametrize("name", [pytest.param(name, marks=installed(name)) for name in trackers.TRACKERS])


class _Died(Exception):
    """As if the process had ended."""


def tracked(recipe: Callable[..., Any], output: Path, names: list[str], *, dies_at: int | None = None) -> list[str]:
    """Train and tell trackers; what the user is told."""
    notes: list[str] = []

    def listen(event: Mapping[str, Any]) -> None:
        if event["event"] == "note":
            notes.append(event["message"])
        if dies_at is not None and (event["event"], event.get("step")) == ("step", dies_at):
            raise _Died

    examples = tiny.examples()
    arguments = {"data": examples[: jobs.TRAINING], "validation": examples[jobs.TRAINING :], "output": output, "log_to": names}
    if dies_at is None:
        api.train(recipe(EPOCHS), **arguments, listen=listen)
    else:
        with pytest.raises(_Died):
            api.train(recipe(EPOCHS), **arguments, listen=listen)
    return notes


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], str]:
    """Tells what the trackers' processes have tried to reach; they do not know that they are tested."""
    place = tmp_path / "network.txt"
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "sitecustomize.py").write_text(GUARD.format(place=str(place)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "first"), prepend=":")
    for name in ("PYTEST_CURRENT_TEST", "CI", "GITHUB_ACTIONS"):  # some libraries are quiet under test alone
        monkeypatch.delenv(name, raising=False)
    return lambda: place.read_text() if place.is_file() else ""


def logged(output: Path) -> tuple[dict[int, float], dict[int, float]]:
    """Losses by step, and micro F1 of the validations."""
    records = run.Log(output / run.LOG).records()
    losses = {record["step"]: record["loss"] for record in records if record["event"] == "step"}
    return losses, {record["step"]: record["metrics"]["micro_f1"] for record in records if record["event"] == "validation"}


def stored(name: str, output: Path) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
    """The same as a library reads it back, in its order."""
    if name == "tensorboard":
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(output / "tensorboard")).Reload()
        return tuple([(e.step, e.value) for e in events.Scalars(tag)] for tag in ("loss", "validation/micro_f1"))  # type: ignore[return-value]
    if name == "mlflow":
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=f"sqlite:///{output.parent / 'mlflow.db'}")
        (found,) = client.search_runs([client.get_experiment_by_name(tracker_writers.PROJECT).experiment_id])
        assert found.info.status == "FINISHED"
        assert found.data.params["settings.train.epochs"] == "2"
        histories = (client.get_metric_history(found.info.run_id, key) for key in ("loss", "validation/micro_f1"))
        return tuple([(m.step, m.value) for m in history] for history in histories)  # type: ignore[return-value]
    with sqlite3.connect(output.parent / "trackio" / "fintune.db") as database:
        rows = [(step, json.loads(values)) for step, values in database.execute("select step, metrics from metrics order by id")]
    return tuple([(s, v[key]) for s, v in rows if key in v] for key in ("loss", "validation/micro_f1"))  # type: ignore[return-value]


@every_tracker
def test_a_library_has_what_the_log_has_and_the_run_is_the_same(name, recipe, reference_adapter, network, tmp_path, capfd):
    """Also of a run that dies after its seventh step, is taken up after its sixth, and says the seventh again."""
    output = tmp_path / "runs" / "first"
    tracked(recipe, output, [name], dies_at=8)
    notes = tracked(recipe, output, [name])
    assert network() == ""
    assert capfd.readouterr().out == "", "results alone go to standard output"
    assert len(notes) == 1
    assert notes[0].startswith(f"{name} shows this run: ")
    assert run.hash_files(output / run.ADAPTER) == reference_adapter
    losses, scores = logged(output)
    kept_losses, kept_scores = stored(name, output)
    assert dict(kept_losses) == pytest.approx(losses, rel=1e-6)
    assert dict(kept_scores) == pytest.approx(scores, rel=1e-6)
    twice = 1 if name == "trackio" else 0  # which keeps both, and they are the same
    assert len(kept_losses) == len(losses) + twice
    assert len(kept_scores) == len(scores)


def test_a_network_would_be_noticed(recipe, network, monkeypatch, tmp_path):
    standing_in(tmp_path, monkeypatch, "import socket\nsocket.getaddrinfo('localhost', 80)\nraise RuntimeError('seen')")
    with pytest.raises(ResourceError, match="seen"):
        tracked(recipe, tmp_path / "run", ["trackio"])
    assert "getaddrinfo" in network()


@pytest.fixture(scope="module")
def reference_adapter(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The adapter of the run that nobody follows, by file."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    examples = tiny.examples()
    api.train(tiny.recipe(tiny_base, EPOCHS), data=examples[: jobs.TRAINING], validation=examples[jobs.TRAINING :], output=folder)
    return run.hash_files(folder / run.ADAPTER)


@pytest.mark.parametrize("name", trackers.TRACKERS)
def test_what_is_not_installed_is_refused_before_anything_is_read(name, recipe, monkeypatch, tmp_path):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None if module == name else found(module))
    with pytest.raises(ResourceError, match=rf"{name} is not installed") as caught:
        api.train(recipe(), data=tmp_path / "missing.csv", output=tmp_path / "run", log_to=[name])
    assert "pip install 'fintune[track]'" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_an_unknown_tracker_is_refused_with_the_nearest_name(recipe, tmp_path):
    with pytest.raises(UsageError, match="did you mean 'tensorboard'"):
        api.train(recipe(), data=tmp_path / "missing.csv", log_to=["tensorbord"])


def standing_in(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """A `trackio` of one file."""
    (folder / "lib").mkdir()
    (folder / "lib" / "trackio.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(folder / "lib"), prepend=":")
    monkeypatch.syspath_prepend(folder / "lib")


FAILS_AT_A_STEP = """
import os, sys
class Run:
    def log(self, values, step):
        print("a line among the results")
        if step == 3:
            print("the disk of the tracker is full", file=sys.stderr, flush=True)
            os._exit(1)
def init(**arguments):
    return Run()
"""
FAILS_AT_THE_END = """
class Run:
    def log(self, values, step):
        pass
    def finish(self):
        raise OSError("nothing was kept")
def init(**arguments):
    return Run()
"""


@pytest.mark.parametrize(("code", "why"), [(FAILS_AT_A_STEP, "the disk of the tracker is full"), (FAILS_AT_THE_END, "nothing was kept")])
def test_a_tracker_that_fails_is_told_once_and_the_run_goes_on(code, why, recipe, reference_adapter, monkeypatch, tmp_path, capfd):
    standing_in(tmp_path, monkeypatch, code)
    notes = tracked(recipe, tmp_path / "run", ["trackio"])
    assert len(notes) == 2
    assert notes[1].startswith("trackio ended (")
    assert why in notes[1]
    assert run.hash_files(tmp_path / "run" / run.ADAPTER) == reference_adapter
    assert capfd.readouterr().out == ""


def test_a_tracker_that_cannot_be_opened_stops_the_run_before_its_first_step(recipe, monkeypatch, tmp_path):
    standing_in(tmp_path, monkeypatch, "raise RuntimeError('made for another Python')")
    with pytest.raises(ResourceError, match="trackio cannot be used") as caught:
        tracked(recipe, tmp_path / "run", ["trackio"])
    assert "made for another Python" in str(caught.value)
    assert not (tmp_path / "run" / run.LOG).read_text()
    monkeypatch.setitem(trackers.TRACKERS, "trackio", "json")  # mended: the same command goes on
    api.train(recipe(EPOCHS), data=tiny.examples()[: jobs.TRAINING], validation=tiny.examples()[jobs.TRAINING :], output=tmp_path / "run")


def test_secrets_and_addresses_stay_with_the_user(monkeypatch):
    for name in ("HF_TOKEN", "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN", "TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL", "DATABRICKS_HOST"):
        monkeypatch.setenv(name, "https://example.org")
    monkeypatch.setenv("DO_NOT_TRACK", "0")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    for name in trackers.TRACKERS:
        given = trackers.environment(name, "/store")
        assert "https://example.org" not in given.values()
        assert given["DO_NOT_TRACK"] == given["MLFLOW_DISABLE_TELEMETRY"] == "true"
        assert given["LANG"] == "de_DE.UTF-8"
    assert trackers.environment("trackio", "/store")["TRACKIO_DIR"] == "/store"


def test_facts_are_flat_and_without_places():
    given = {"folder": "/runs/a", "store": "/x", "step": 0, "task": "t", "settings": {"train": {"epochs": 2}, "step": 1}}
    assert dict(tracker_writers.flat(given)) == {"task": "t", "settings.train.epochs": 2, "settings.step": 1}
