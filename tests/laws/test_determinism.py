"""Law: recipe, data and seed decide every byte of an adapter, whatever the process, and whatever it did before."""

from __future__ import annotations

import random
from pathlib import Path

import numpy
import pytest
import torch
from safetensors.torch import load_file

import jobs
from fintune import run
from fintune.heads.build import EXTRAS
from forks import Forks

WEIGHTS = "adapter_model.safetensors"


def weights(folder: Path) -> dict[str, torch.Tensor]:
    adapter = folder / run.ADAPTER
    return load_file(adapter / WEIGHTS) | load_file(adapter / EXTRAS)


def test_the_same_seed_gives_the_same_bytes_in_every_process(forks: Forks, reference, identical, tmp_path):
    folders = [tmp_path / str(i) for i in range(5)]
    for folder, ended in zip(folders, forks.run_all("jobs:train", [reference.arguments(f) for f in folders]), strict=True):
        identical(ended, folder)


def test_runs_that_follow_each_other_in_one_process_do_not_touch(reference, tmp_path):
    """The base is built anew, and what else drew from the generators does not matter; the hash seed is another one here too."""
    for name in ("first", "second"):
        random.seed(name)
        numpy.random.seed(len(name))
        torch.rand(len(name))
        jobs.run_training(reference.base, tmp_path / name, reference.settings, lambda event: None)
        assert jobs.outcome(tmp_path / name) == reference.outcome


def test_another_seed_gives_other_weights(reference, tmp_path):
    folder = tmp_path / "run"
    jobs.run_training(reference.base, folder, {**reference.settings, "seed": 1}, lambda event: None)
    assert run.hash_files(folder / run.ADAPTER)[WEIGHTS] != reference.outcome["adapter"][WEIGHTS]


@pytest.mark.parametrize("off", ["model.dropout", "adapter.dropout", "head.dropout", "train.noise"])
def test_each_source_of_chance_is_on(reference, tmp_path, off):
    """Otherwise the laws of resuming would hold of generators that nobody draws from."""
    folder = tmp_path / "run"
    value = "none" if off == "train.noise" else 0.0
    jobs.run_training(reference.base, folder, {**reference.settings, off: value}, lambda event: None)
    assert run.hash_files(folder / run.ADAPTER)[WEIGHTS] != reference.outcome["adapter"][WEIGHTS]


QUIET = {"model.dropout": 0.0, "adapter.dropout": 0.0, "head.dropout": 0.0, "train.noise": "none"}


@pytest.mark.parametrize("transitions", ["learned", "fixed"])
def test_accumulation_changes_nothing_but_memory(reference, tmp_path, transitions):
    found = {}
    for parts in (1, 2, 4, 8):
        settings = {**QUIET, "head.transitions": transitions, "train.accumulate": parts}
        jobs.run_training(reference.base, tmp_path / str(parts), settings, lambda event: None)
        found[parts] = weights(tmp_path / str(parts))
    for parts in (2, 4, 8):
        assert found[parts].keys() == found[1].keys()
        worst = max(float((found[parts][name] - found[1][name]).abs().max()) for name in found[1])
        assert worst <= 1e-6


def test_a_decoder_keeps_the_laws_too(forks: Forks, reference, tiny_llama, tmp_path):
    def arguments(name: str, **more):
        return {"base": str(tiny_llama), "output": str(tmp_path / name), "settings": reference.settings, **more}

    assert [e.status for e in forks.run_all("jobs:train", [arguments("a"), arguments("b")])] == [0, 0]
    forks.run("jobs:train", arguments("c", acts=[("checkpoint", 5, "die")]))
    assert forks.run("jobs:train", arguments("c")).status == 0
    assert jobs.outcome(tmp_path / "a") == jobs.outcome(tmp_path / "b") == jobs.outcome(tmp_path / "c")


def test_validation_draws_nothing(reference, tmp_path):
    """The weights do not know whether anybody looked at them on the way."""
    import tiny
    from fintune.tasks.base import load_task
    from fintune.train.run import train

    recipe, examples = tiny.recipe(reference.base), tiny.examples()
    for name, held in (("with", examples[48:]), ("without", [])):
        train(recipe, load_task(recipe.task), examples[:48], held, tmp_path / name, data={})
    assert run.hash_files(tmp_path / "with" / run.ADAPTER) == run.hash_files(tmp_path / "without" / run.ADAPTER)
