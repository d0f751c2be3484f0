from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fintune import run
from fintune.errors import DataError, RecipeError
from fintune.records import Example
from fintune.tasks.base import load_task
from fintune.train.run import train
from fintune.train.signals import Signals


def nobody(event: object) -> None:
    """Nobody listens."""


@pytest.fixture
def go(recipe, examples, tmp_path) -> Callable[..., Path]:
    def start(overrides=None, *, learn: list[Example] = examples[:16], held: list[Example] = examples[48:], listen=nobody) -> Path:
        made = recipe({"train.epochs": 1, **(overrides or {})})
        return train(made, load_task(made.task), learn, held, tmp_path / "run", data={"train": {"source": "tiny"}}, listen=listen)

    return start


@pytest.mark.parametrize(
    ("overrides", "says"),
    [({"train.keep": "best"}, "train.keep=best needs validation examples"), ({"train.patience": 1}, "train.patience needs validation")],
)
def test_choosing_needs_something_to_choose_by(go, tmp_path, overrides, says):
    with pytest.raises(RecipeError, match=says):
        go(overrides, held=[])
    assert not (tmp_path / "run").exists(), "refused before anything was made"


def test_an_unknown_metric_is_refused_with_the_nearest(go, tmp_path):
    with pytest.raises(RecipeError, match=r"unknown metric 'micro_f2'; did you mean 'micro_f1'\?"):
        go({"train.metric": "micro_f2"})
    assert not (tmp_path / "run").exists()


def test_data_without_a_span_is_refused(go, examples, tmp_path):
    with pytest.raises(DataError, match="no training example has a span"):
        go(learn=[replace(e, spans=()) for e in examples[:8]])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("part", ["learn", "held"])
def test_a_label_outside_the_set_is_refused_with_its_place(go, examples, tmp_path, part):
    odd = replace(examples[0], spans=(replace(examples[0].spans[0], label="Compny"),))
    with pytest.raises(DataError, match=r"tiny\.jsonl:1: unknown label 'Compny'.*did you mean 'Company'"):
        go(**{part: [odd, *examples[1:8]]})
    assert not (tmp_path / "run").exists()


def test_a_finished_run_says_what_it_is(go):
    events = []
    folder = go(listen=events.append)
    document, start = run.manifest(folder), events[1]
    assert document["steps"] == 2
    assert document["parameters"]["trainable"] == start["trainable"]
    assert len(document["parameters"]["matched_modules"]) == start["modules"] == 12
    assert document["data"] == {"train": {"source": "tiny"}}
    assert set(document["files"]) == {f"adapter/{p.name}" for p in (folder / "adapter").iterdir()} | {
        "recipe.yaml", "floors.json", "preflight.json",
    }  # fmt: skip
    assert run.read_json(folder / run.PREFLIGHT) == json.loads(json.dumps(events[0]["certificate"]))
    assert [e["event"] for e in events] == ["preflight", "start", "step", "step", "validation", "checkpoint", "end"]
    logged = run.Log(folder / run.LOG).records()
    assert [e["event"] for e in logged] == ["step", "step", "validation"]
    assert logged == [dict(e) for e in events if e["event"] in ("step", "validation")]
    assert document["tokens"] == sum(e["tokens"] for e in logged if e["event"] == "step")


def test_names_in_the_adapters_settings_are_in_order(go):
    """peft keeps them in sets, whose order is another in each process."""
    settings = json.loads((go() / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    assert settings["target_modules"] == sorted(settings["target_modules"]) == ["dense", "key", "query", "value"]


@pytest.mark.parametrize(("every", "steps"), [(1, [1, 2, 3, 4]), (3, [3]), (None, [2, 4]), (99, [])])
def test_checkpoints_come_when_they_are_due(go, every, steps):
    events = []
    go({"train.epochs": 2, "train.checkpoint_every": every}, listen=events.append)
    assert [e["step"] for e in events if e["event"] == "checkpoint"] == steps


def test_long_examples_are_cut_into_items(go, examples):
    events = []
    long = replace(examples[0], text=" ".join([examples[0].text] * 5))
    go(learn=[long, *examples[1:8]], listen=events.append)
    (start,) = [e for e in events if e["event"] == "start"]
    assert (start["examples"], start["items"]) == (8, 9)


def test_handlers_of_signals_are_given_back():
    import signal

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Signals() as caught:
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] != before
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert caught == []


def test_a_thread_can_train(go):
    """Only the main thread hears signals; others do without."""
    import threading

    found: list[Path] = []
    thread = threading.Thread(target=lambda: found.append(go()))
    thread.start()
    thread.join()
    assert run.finished(found[0])
