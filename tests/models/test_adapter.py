"""Where an adapter sits and how many weights it has: exact counts on the shapes of real models, without their weights."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertConfig,
    DistilBertConfig,
    LlamaConfig,
    Qwen3Config,
    RobertaConfig,
)  # fmt: skip

from fintune.errors import RecipeError
from fintune.models.adapter import attach, count_parameters, linear_layers, select, shortest_names
from fintune.recipe import Adapter

LLAMA_3_8B = LlamaConfig(
    vocab_size=128_256, hidden_size=4096, intermediate_size=14_336, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8
)
QWEN_3_8B = Qwen3Config(
    vocab_size=151_936, hidden_size=4096, intermediate_size=12_288, num_hidden_layers=36, num_attention_heads=32, num_key_value_heads=8,
    head_dim=128, tie_word_embeddings=False,
)  # fmt: skip
SMALL: dict[str, Any] = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def on_meta(auto: Any, config: Any) -> Any:
    with torch.device("meta"):
        return auto.from_config(config)


def bert() -> Any:
    return AutoModelForTokenClassification.from_config(BertConfig(**SMALL))


@pytest.mark.parametrize(
    ("config", "targets", "trainable"),
    [
        (LLAMA_3_8B, "all-linear", 20_971_520),
        (LLAMA_3_8B, "attention", 6_815_744),
        (LLAMA_3_8B, ["q_proj", "v_proj"], 3_407_872),
        (LLAMA_3_8B, ["q_proj", "k_proj", "v_proj", "o_proj"], 6_815_744),
        (QWEN_3_8B, "all-linear", 21_823_488),
        (QWEN_3_8B, "attention", 7_667_712),
        (QWEN_3_8B, ["q_proj", "v_proj"], 3_833_856),
    ],
)
def test_trainable_weights_of_eight_billion_models(config: Any, targets: Any, trainable: int) -> None:
    """Rank 8, on the meta device."""
    model = on_meta(AutoModelForCausalLM, config)
    total = sum(p.numel() for p in model.parameters())
    with torch.device("meta"):
        _, matched = attach(model, Adapter(rank=8, targets=targets), task_type="CAUSAL_LM")
    assert (matched.trainable, matched.total) == (trainable, total + trainable)


@pytest.mark.parametrize(("rank", "trainable"), [(4, 75_266), (8, 148_994), (16, 296_450)])
def test_trainable_weights_of_distilbert_for_questions(rank: int, trainable: int) -> None:
    """q_lin and v_lin in six blocks, and the answer layer in full."""
    model = on_meta(AutoModelForQuestionAnswering, DistilBertConfig())
    with torch.device("meta"):
        _, matched = attach(model, Adapter(rank=rank, targets=["q_lin", "v_lin"]), task_type="QUESTION_ANS")
    assert matched.trainable == trainable
    if rank == 8:
        assert matched.total == 66_513_412
    assert len(matched.modules) == 12


def test_a_name_that_matches_nothing_is_refused_with_the_nearest() -> None:
    """Peft alone would train half of what was asked for."""
    with pytest.raises(RecipeError, match=r"adapter.targets: target module 'quary' matches no linear layer; did you mean 'query'\?"):
        attach(bert(), Adapter(targets=["value", "quary"]))


@pytest.mark.parametrize("name", ["classifier", "bert", "LayerNorm", "", "uery", "encoder", "layer.0"])
def test_what_is_no_linear_layer_of_the_body_is_no_target(name: str) -> None:
    with pytest.raises(RecipeError, match="matches no linear layer"):
        select(bert(), [name])


def test_a_model_without_attention_is_refused_by_its_layers() -> None:
    with pytest.raises(RecipeError, match=r"'attention' match no linear layer .* name some of \['0'\]"):
        select(nn.Sequential(nn.Linear(2, 2)), "attention")


@pytest.mark.parametrize("wrapped", [True, False], ids=["peft model", "bare model"])
def test_a_base_is_adapted_once(wrapped: bool) -> None:
    base = bert()
    model, _ = attach(base, Adapter(targets=["query"]))
    with pytest.raises(ValueError, match="carries an adapter already"):
        attach(model if wrapped else base, Adapter(targets=["value"]))


@pytest.mark.parametrize(("scale", "expected"), [("plain", 32 / 16), ("rank-stabilised", 32 / math.sqrt(16))])
def test_the_scale_is_applied_to_what_is_computed(scale: Any, expected: float) -> None:
    torch.manual_seed(0)
    model, matched = attach(bert(), Adapter(rank=16, alpha=32, scale=scale, targets=["query"]))
    layer: Any = model.get_submodule("base_model.model." + matched.modules[0])
    with torch.no_grad():
        layer.lora_B["default"].weight.normal_()
        x = torch.randn(3, 16)
        update = x @ layer.lora_A["default"].weight.T @ layer.lora_B["default"].weight.T
        assert torch.allclose(layer(x) - layer.base_layer(x), expected * update, atol=1e-4)


@pytest.mark.parametrize(
    "targets", ["all-linear", "attention", ["query"], ["output.dense"], ["attention.output.dense", "value"], ["layer.1.output.dense"]]
)
@pytest.mark.parametrize("family", [BertConfig, RobertaConfig])
def test_exactly_the_selected_layers_are_adapted(targets: Any, family: Any) -> None:
    """By what is in the model, not by what was asked for; RoBERTa's output block has a layer called `dense` too."""
    model = AutoModelForSequenceClassification.from_config(family(**SMALL))
    chosen = select(model, targets)
    adapted, matched = attach(model, Adapter(targets=targets), task_type="SEQ_CLS")
    prefix = "base_model.model."
    found = [name.removeprefix(prefix) for name, module in adapted.named_modules() if hasattr(module, "lora_A")]
    assert sorted(found) == sorted(chosen) == list(matched.modules)
    trained = {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert {name for name in trained if "lora_" in name} == {
        f"{prefix}{path}.lora_{factor}.default.weight" for path in chosen for factor in "AB"
    }
    assert {name.split(".")[2] for name in trained if "lora_" not in name} == {"classifier"}
    assert matched.trainable == count_parameters(adapted)[0]


def test_an_output_layer_is_left_out_even_where_peft_does_not_train_it() -> None:
    """RoBERTa's is a block with a `dense` of its own, which the bare name would select too."""
    model = AutoModelForSequenceClassification.from_config(RobertaConfig(**SMALL))
    _, matched = attach(model, Adapter(targets="all-linear"))
    assert "dense" not in matched.names
    assert not any("classifier" in path for path in matched.modules)


def test_attention_is_what_stands_below_attention() -> None:
    chosen = select(bert(), "attention")
    assert {path.partition("attention.")[2] for path in chosen} == {"self.query", "self.key", "self.value", "output.dense"}
    assert len(chosen) == 8
    assert set(chosen) < set(linear_layers(bert()))


@pytest.mark.parametrize(
    ("chosen", "linear", "names"),
    [
        (["a.q", "b.q"], ["a.q", "b.q", "a.v", "b.v"], ("q",)),
        (["a.q"], ["a.q", "b.q"], ("a.q",)),
        (["x.attention.dense", "y.attention.dense"], ["x.attention.dense", "x.mlp.dense", "y.attention.dense"], ("attention.dense",)),
        (["m.0.q"], ["m.0.q", "m.10.q"], ("m.0.q",)),
        (["q"], ["q", "x.q"], ("q",)),
    ],
)
def test_names_are_the_shortest_that_select_the_chosen(chosen: list[str], linear: list[str], names: tuple[str, ...]) -> None:
    assert shortest_names(chosen, linear) == names


def test_the_methods_give_what_they_say() -> None:
    for method, dora in (("lora", False), ("dora", True)):
        model, _ = attach(bert(), Adapter(method=method, targets=["query"]))  # type: ignore[arg-type]
        assert isinstance(model, PeftModel)
        assert any("magnitude" in name for name, _ in model.named_parameters()) == dora


@pytest.mark.parametrize("start", ["default", "pissa", "olora"])
def test_every_initialisation_starts_as_the_base_model(start: Any) -> None:
    torch.manual_seed(0)
    base = bert().eval()
    tokens = torch.arange(12)[None]
    with torch.no_grad():
        before = base(tokens).logits
        model, _ = attach(base, Adapter(rank=4, initialisation=start))
        assert torch.allclose(model.eval()(tokens).logits, before, atol=1e-5)
