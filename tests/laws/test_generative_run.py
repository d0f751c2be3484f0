"""Law: a run of a chat model keeps the laws of every run: its seed decides each byte, wherever it was interrupted, however it is cut."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import tiny
from fintune import run
from fintune.tasks.base import load_task
from fintune.train.run import train

WEIGHTS = "adapter_model.safetensors"
LEARNT, HELD = 10, 3
QUIET: Mapping[str, Any] = {"train.epochs": 2, "adapter.dropout": 0.0, "train.noise": "none"}
DRAWN: Mapping[str, Any] = {
    **QUIET, "adapter.dropout": 0.2, "model.dropout": 0.1, "train.noise": "neftune", "train.checkpoint_every": 1,
}  # fmt: skip
BEST: Mapping[str, Any] = {**DRAWN, "train.keep": "best"}
"""Six steps; validation after the third and the last."""


class Crash(BaseException):
    """Ends a run in the midst of it."""


@pytest.fixture(scope="module", params=["llama", "qwen3"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_chat_model(tmp_path_factory.mktemp("base"), request.param)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_chat_model(tmp_path_factory.mktemp("llama"), "llama")


def go(base: Path, output: Path, settings: Mapping[str, Any], crash: tuple[str, int] | None = None) -> Path:
    """Train or go on; a crash comes right after an event of a step."""

    def listen(event: Mapping[str, Any]) -> None:
        if crash == (event["event"], event.get("step")):
            raise Crash

    recipe, examples = tiny.chat_recipe(base, settings), tiny.examples(LEARNT + HELD)
    task = load_task(recipe.task, recipe.prompt)
    return train(recipe, task, examples[:LEARNT], examples[LEARNT:], output, data={}, listen=listen)


def outcome(output: Path) -> dict[str, Any]:
    """What two runs must have in common to be called identical."""
    document = run.manifest(output)
    log = [{k: v for k, v in record.items() if k != "seconds"} for record in run.Log(output / run.LOG).records()]
    return {
        "adapter": run.hash_files(output / run.ADAPTER), "log": log, "validation": document["validation"],
        "kept_epoch": document["kept_epoch"], "tokens": document["tokens"],
    }  # fmt: skip


def difference(one: Path, two: Path) -> float:
    first, second = (load_file(place / run.ADAPTER / WEIGHTS) for place in (one, two))
    assert first.keys() == second.keys()
    return max(float((first[name] - second[name]).abs().max()) for name in first)


def test_an_interrupted_run_ends_with_the_same_bytes(base: Path, tmp_path: Path) -> None:
    straight = outcome(go(base, tmp_path / "straight", BEST))
    for place in (("step", 1), ("checkpoint", 2), ("validation", 3), ("checkpoint", 3), ("step", 5)):
        with pytest.raises(Crash):
            go(base, tmp_path / "often", BEST, place)
    assert outcome(go(base, tmp_path / "often", BEST)) == straight


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(llama: Path, tmp_path: Path) -> None:
    first, second, other = (
        outcome(go(llama, tmp_path / name, {**DRAWN, "seed": seed})) for name, seed in (("first", 3), ("second", 3), ("other", 4))
    )
    assert first == second
    assert first["adapter"][WEIGHTS] != other["adapter"][WEIGHTS]


@pytest.mark.parametrize("off", [{"train.noise": "none"}, {"adapter.dropout": 0.0}, {"model.dropout": 0.0}])
def test_each_source_of_chance_is_on(llama: Path, tmp_path: Path, off: Mapping[str, Any]) -> None:
    """Otherwise the law of resuming would hold of generators that nobody draws from."""
    assert difference(go(llama, tmp_path / "with", DRAWN), go(llama, tmp_path / "without", {**DRAWN, **off})) > 1e-6


CUTS: Mapping[str, Mapping[str, Any]] = {
    "a pass for each example": {"train.accumulate": 4},
    "small packs": {"train.pack_tokens": 256},
    "both": {"train.accumulate": 2, "train.pack_tokens": 128},
    "nothing shared": {"train.sharing": "none"},
    "sharing where it is exact": {"train.sharing": "exact"},
    "activations computed again": {"train.recompute": "always"},
}


def test_however_a_step_is_cut_the_weights_are_the_same(base: Path, tmp_path: Path) -> None:
    """To rounding, which Adam makes as large as a share of the learning rate; so this is not the one for learning by heart."""
    settings = {**QUIET, "train.learning_rate": 5e-4}
    whole = go(base, tmp_path / "whole", settings)
    found = {name: difference(whole, go(base, tmp_path / name, {**settings, **cut})) for name, cut in CUTS.items()}
    assert {name: worst for name, worst in found.items() if worst > 1e-6} == {}
