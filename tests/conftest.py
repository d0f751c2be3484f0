"""Fixtures that every test may use: tiny models, invented examples, recipes for them, and processes that can be killed."""

import os

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TOKENIZERS_PARALLELISM="false", OMP_NUM_THREADS="1")

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

import tiny
from fintune.recipe import Recipe
from fintune.records import Example
from forks import Forks

settings.register_profile("fintune", deadline=None)  # how long an example takes says how busy the machine is
settings.load_profile("fintune")


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a two-layer encoder with an uncased WordPiece tokenizer; read only."""
    one_thread()
    return tiny.write_bert(tmp_path_factory.mktemp("tiny-bert"))


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a two-layer decoder with a byte-level tokenizer; read only."""
    one_thread()
    return tiny.write_llama(tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture(scope="session")
def examples() -> list[Example]:
    """Sixty invented sentences with spans of all seven types."""
    return tiny.examples()


@pytest.fixture
def recipe(tiny_base: Path) -> Callable[..., Recipe]:
    """Makes recipes on the tiny base: `recipe({"train.epochs": 1})`; dropout and noise are on."""

    def make(overrides: Mapping[str, Any] | None = None) -> Recipe:
        return tiny.recipe(tiny_base, overrides)

    return make


def one_thread() -> None:
    """Sums of tiny matrices are faster, and always the same, on one thread."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Makes processes that may be killed."""
    with Forks(tmp_path_factory.mktemp("forks")) as helper:
        yield helper
