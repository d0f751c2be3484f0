"""What runs share: the head, the items and the found base, made once, and so that a run is the same in every byte."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import small_bases
import tiny
from fintune import recipe as recipes
from fintune.heads import build as building
from fintune.heads.token import TokenHead
from fintune.models import catalog
from fintune.recipe import Recipe
from fintune.records import Example
from fintune.tasks.base import load_task
from fintune.train import prepared as sharing
from fintune.train.prepared import FREE, Prepared, key_of
from fintune.train.run import settle

OTHERS: dict[str, Any] = {
    "adapter.method": "dora", "adapter.rank": 2, "adapter.alpha": 3, "adapter.scale": "rank-stabilised", "adapter.targets": "attention",
    "adapter.initialisation": "olora", "train.epochs": 7, "train.batch_size": 4, "train.accumulate": 2, "train.learning_rate": 1e-4,
    "train.head_learning_rate": 1e-4, "train.schedule": "cosine", "train.warmup": 0.5, "train.weight_decay": 0.5, "train.clip": 2.0,
    "train.noise_alpha": 0.1, "train.precision": "bf16", "train.keep": "best", "train.metric": "micro_f1", "train.patience": 3,
    "train.checkpoint_every": 5, "train.recompute": "never", "train.kernels": "none", "train.compile": "block", "seed": 5,
}  # fmt: skip
"""Another value of every setting that no head is said to read."""


def test_the_list_of_free_settings_is_what_is_tested() -> None:
    assert OTHERS.keys() - {"seed"} == {f"{section}.{name}" for section, names in FREE.items() for name in names}


def bases(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """A recipe of every head on a small base."""
    texts = [example.text for example in tiny.examples()]
    bert, chat = tiny.write_bert(folder / "bert"), tiny.write_chat_model(folder / "chat", "llama")
    t5 = small_bases.write(folder / "t5", "t5-base", texts)
    window = {"data.max_tokens": 64, "data.overlap_tokens": 16}
    return [
        ("ner-minilm", {"model.base": str(bert), **window}), ("sentiment-minilm", {"model.base": str(bert), **window}),
        ("qa-minilm", {"model.base": str(bert), **window}), ("ner-llama3-8b", {"model.base": str(chat), "data.max_tokens": 1200}),
        ("ner-t5-base", {"model.base": str(t5), "data.max_tokens": 512}),
    ]  # fmt: skip


def test_no_head_reads_a_free_setting(tmp_path: Path) -> None:
    """Of every type: with all of them changed at once, all but the network is built alike, and one key stands for both."""
    for name, settings in bases(tmp_path):
        one = recipes.load(name, settings)
        other = recipes.load(name, {**settings, **OTHERS, **({"adapter.targets": "all-linear"} if "t5" in name else {})})
        task = load_task(one.task, one.prompt)
        assert key_of(one, task, "d") == key_of(other, task, "d"), name
        first, second = (plain(building.build(recipe, task).head) for recipe in (one, other))
        assert first == second, name


def plain(head: Any) -> dict[str, Any]:
    """The settings of a head: what is text or number in it, a level deep."""
    found = {"describe": head.describe(), "keep": dict(head.keep())}
    for name, value in vars(head).items():
        if isinstance(value, str | int | float | tuple | list | None | bool):
            found[name] = value
    return found


@pytest.mark.parametrize(
    "setting", [{"data.max_tokens": 48}, {"head.scheme": "BIOES"}, {"train.label_smoothing": 0.1, "head.transitions": "fixed"}], ids=str
)
def test_what_a_head_reads_is_in_the_key(recipe: Callable[..., Recipe], setting: dict[str, Any]) -> None:
    one, other = recipe({"head.transitions": "fixed"}), recipe({"head.transitions": "fixed", **setting})
    task = load_task(one.task)
    assert key_of(one, task, "d") != key_of(other, task, "d")
    assert key_of(one, task, "d") != key_of(one, task, "e")


def test_alike_runs_encode_and_look_for_the_base_once(
    recipe: Callable[..., Recipe], examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded, found = [], []
    encode, locate = TokenHead.encode, catalog.locate
    monkeypatch.setattr(TokenHead, "encode", lambda head, given, purpose="predict": encoded.append(1) or encode(head, given, purpose))
    monkeypatch.setattr(building, "locate", lambda name, revision=None: found.append(1) or locate(name, revision=revision))
    shared = Prepared()
    for rank in (2, 4):
        for seed in (0, 1):
            one = recipe({"adapter.rank": rank, "seed": seed})
            task = load_task(one.task)
            one = settle(one, task, examples)
            built, items = shared.ready(one, task, examples, data="d")
            alone = building.build(one, task)
            assert [vars_of(item) for item in items] == [vars_of(item) for item in encode(alone.head, examples, "train")]
            assert_same(built.model, alone.model)
            assert (built.base, built.base_sha256, built.matched) == (alone.base, alone.base_sha256, alone.matched)
    assert (len(encoded), len(found)) == (1, 1 + 4)  # four of the latter are `alone`
    shared.ready(settle(recipe({"data.max_tokens": 48}), task, examples), task, examples, data="d")
    assert len(encoded) == 2
    assert sharing.Prepared().kept == {}


def vars_of(item: Any) -> dict[str, Any]:
    return {name: getattr(item, name) for name in type(item).__slots__}


def assert_same(one: torch.nn.Module, other: torch.nn.Module) -> None:
    first, second = one.state_dict(), other.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
