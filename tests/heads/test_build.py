"""From a recipe to a model: what is drawn, what is frozen, and which bases are refused, in one line each."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForTokenClassification, RobertaConfig, RobertaModel

import tiny
from fintune.errors import ArtifactError, FintuneError, RecipeError, SafetyError
from fintune.heads.build import Built, build
from fintune.models.adapter import trainable_state
from fintune.records import Example
from fintune.tasks.base import load_task


def built_on(base: Path, **settings: Any) -> Built:
    recipe = tiny.recipe(base, {key.replace("__", "."): value for key, value in settings.items()})
    return build(recipe, load_task(recipe.task))


def copied(base: Path, folder: Path) -> Path:
    shutil.copytree(base, folder)
    return folder


def configured(base: Path, **changes: Any) -> None:
    """Change keys of a folder's config.json."""
    document = json.loads((base / "config.json").read_text(encoding="utf-8"))
    (base / "config.json").write_text(json.dumps({**document, **changes}), encoding="utf-8")


@pytest.mark.parametrize("surface", ["none", "shape"])
@pytest.mark.parametrize("transitions", ["fixed", "learned"])
def test_only_the_adapter_and_the_head_are_trained(tiny_base: Path, surface: str, transitions: str) -> None:
    built = built_on(tiny_base, head__surface=surface, head__transitions=transitions)
    parts = {"lora_A", "lora_B", "classifier"} | ({"shape", "word_length"} if surface == "shape" else set())
    parts |= {"transitions"} if transitions == "learned" else set()
    names = trainable_state(built.model)
    assert {part for part in parts if any(part in name for name in names)} == parts
    assert all(any(part in name for part in parts) for name in names)
    assert len(built.matched.modules) == 12  # query, key, value and three dense layers in two blocks


def test_the_model_starts_as_the_pretrained_one(tiny_base: Path) -> None:
    """Word shapes, transitions and the adapter say nothing before training."""
    full, bare = built_on(tiny_base), built_on(tiny_base, head__surface="none", head__transitions="fixed")
    batch = full.head.collate(full.head.encode(tiny.examples(5)))
    fields = [batch[name] for name in ("tokens", "mask", "shapes", "lengths", "heads")]
    with torch.no_grad():
        one, two = full.model.eval()(*fields), bare.model.eval()(*fields)
        with full.model.adapted.disable_adapter():  # type: ignore[operator, union-attr]
            three = full.model(*fields)
    assert torch.equal(one, two)
    assert torch.allclose(one, three, atol=1e-6)


def test_the_seed_decides_what_is_drawn(tiny_base: Path) -> None:
    torch.manual_seed(100)
    one = trainable_state(built_on(tiny_base, seed=1).model)
    torch.manual_seed(200)
    two, three = trainable_state(built_on(tiny_base, seed=1).model), trainable_state(built_on(tiny_base, seed=2).model)
    assert all(torch.equal(one[name], two[name]) for name in one)
    drawn = [name for name in one if "lora_A" in name or "classifier.modules_to_save.default.weight" in name]
    assert drawn
    assert not any(torch.equal(one[name], three[name]) for name in drawn)


def test_dropout_is_set_on_body_and_head_apart(tiny_base: Path) -> None:
    config = built_on(tiny_base, model__dropout=0.3, head__dropout=0.2, adapter__dropout=0.4).model.adapted.config  # type: ignore[union-attr]
    assert (config.hidden_dropout_prob, config.attention_probs_dropout_prob, config.classifier_dropout) == (0.3, 0.3, 0.2)  # type: ignore[union-attr]
    kept = built_on(tiny_base, model__dropout=None).model.adapted.config  # type: ignore[union-attr]
    assert kept.hidden_dropout_prob == json.loads((tiny_base / "config.json").read_text())["hidden_dropout_prob"]  # type: ignore[union-attr]


def test_an_output_layer_of_other_labels_is_drawn_anew(tiny_base: Path, tmp_path: Path) -> None:
    """A tagger of another label set is a fair base."""
    folder = copied(tiny_base, tmp_path / "tagger")
    AutoModelForTokenClassification.from_pretrained(tiny_base, num_labels=4).save_pretrained(folder)
    built = built_on(folder)
    classifier = trainable_state(built.model)["adapted.base_model.model.classifier.modules_to_save.default.weight"]
    assert classifier.shape == (15, 32)
    assert torch.isfinite(classifier).all()


def test_a_window_longer_than_the_positions_is_refused(tiny_base: Path) -> None:
    assert built_on(tiny_base, data__max_tokens=128).head.room == 126
    with pytest.raises(RecipeError, match=r"data.max_tokens: windows of 129 tokens are more than the 128") as caught:
        built_on(tiny_base, data__max_tokens=129)
    assert "set data.max_tokens=128" in str(caught.value)


def test_positions_that_are_kept_for_padding_do_not_count(tiny_base: Path, tmp_path: Path) -> None:
    folder = copied(tiny_base, tmp_path / "roberta")
    config = RobertaConfig(
        vocab_size=400, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, max_position_embeddings=66
    )
    RobertaModel(config).save_pretrained(folder)
    built = built_on(folder, data__max_tokens=64)
    long = tiny.examples(1)[0].text * 9
    (window, *_) = built.head.encode([Example("1", long)])
    batch = built.head.collate([window])
    built.model(*(batch[name] for name in ("tokens", "mask", "shapes", "lengths", "heads")))
    assert window.length == 64
    with pytest.raises(RecipeError, match="more than the 64"):
        built_on(folder, data__max_tokens=65)


def test_a_decoder_without_special_tokens_is_a_fair_base(tiny_llama: Path) -> None:
    built = built_on(tiny_llama)
    batch = built.head.collate(built.head.encode([*tiny.examples(3), Example("0", "", spans=())]))
    total, count = built.head.loss(built.model, batch)
    assert torch.isfinite(total)
    assert int(count) == sum(len(w.heads) for w in built.head.encode(tiny.examples(3)))


def cut_short(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def without_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


REFUSED: dict[str, tuple[Callable[[Path], Any], type[FintuneError], str]] = {
    "no configuration": (lambda f: (f / "config.json").unlink(), ArtifactError, "config.json"),
    "configuration not JSON": (lambda f: (f / "config.json").write_text("{"), ArtifactError, "cannot be loaded"),
    "configuration a list": (lambda f: (f / "config.json").write_text("[]"), ArtifactError, "model_type"),
    "configuration of a wrong type": (lambda f: configured(f, hidden_size="x"), ArtifactError, "expected int, got str"),
    "unknown architecture": (lambda f: configured(f, model_type="unheard-of"), ArtifactError, "unheard-of"),
    "no token classifier of it": (lambda f: configured(f, model_type="clip"), ArtifactError, "token-classification"),
    "code of its own": (
        lambda f: configured(f, model_type="own", auto_map={"AutoConfig": "code.Config"}), SafetyError, "run code of its own",
    ),
    "weights cut short": (cut_short, ArtifactError, "cannot be loaded"),
    "more layers than weights": (lambda f: configured(f, num_hidden_layers=3), ArtifactError, r"16 tensors .* missing"),
    "another width than the weights": (lambda f: configured(f, hidden_size=64), ArtifactError, "do not fit config.json"),
    "no tokenizer": (without_tokenizer, ArtifactError, "no vocabulary"),
    "tokenizer not JSON": (lambda f: (f / "tokenizer.json").write_text("{"), ArtifactError, "tokenizer cannot be loaded"),
    "tokenizer of nonsense": (lambda f: (f / "tokenizer.json").write_text("{}"), ArtifactError, "tokenizer cannot be loaded"),
    "tokenizer of an unknown kind": (
        lambda f: (f / "tokenizer.json").write_text('{"added_tokens": [], "model": {"type": "x"}}'), ArtifactError, "tokenizer cannot",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("harm", "kind", "complaint"), REFUSED.values(), ids=REFUSED.keys())
def test_bases_that_are_not_whole_are_refused(
    harm: Callable[[Path], Any], kind: type[FintuneError], complaint: str, tiny_base: Path, tmp_path: Path
) -> None:
    folder = copied(tiny_base, tmp_path / "base")
    harm(folder)
    with pytest.raises(kind, match=complaint) as caught:
        built_on(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_weights_of_another_model_are_refused(tiny_base: Path, tiny_llama: Path, tmp_path: Path) -> None:
    """Transformers would take a network of random numbers for it."""
    folder = copied(tiny_base, tmp_path / "base")
    shutil.copy(tiny_llama / "model.safetensors", folder / "model.safetensors")
    with pytest.raises(ArtifactError, match=r"37 tensors of the base model are missing"):
        built_on(folder)


def test_code_of_its_own_is_not_run_where_the_architecture_is_known(tiny_base: Path, tmp_path: Path) -> None:
    folder = copied(tiny_base, tmp_path / "base")
    configured(folder, auto_map={"AutoConfig": "code.Config", "AutoModelForTokenClassification": "code.Model"})
    (folder / "code.py").write_text("raise SystemExit(99)\n", encoding="utf-8")
    assert built_on(folder).base.id == "base"
