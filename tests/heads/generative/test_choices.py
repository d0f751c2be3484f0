"""Labels are weighed as a slow computation weighs them: a full pass for each prompt with each label, renormalised where labels part."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

from fintune.errors import RecipeError
from fintune.heads.generative.choices import choose, partings
from fintune.heads.generative.constrain import Listed

VOCABULARY, END = 97, 2
CONFIGS = {"llama": LlamaConfig, "qwen2": Qwen2Config, "qwen3": Qwen3Config, "mistral": MistralConfig}
LABELS = {
    "single": [[5, END], [6, END], [7, END]],
    "nested": [[5, 8, END], [5, 9, END], [5, 9, 10, END], [6, END], [7, 5, END]],
    "one stem": [[4, 5, END], [4, 6, END], [4, 6, 7, END]],
    "alone": [[4, 5, END]],
}


def network(name: str, **settings: Any) -> Any:
    torch.manual_seed(0)
    config = CONFIGS[name](
        vocab_size=VOCABULARY, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=16, max_position_embeddings=256, bos_token_id=1, eos_token_id=None, pad_token_id=None, **settings,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config).eval()
    for parameter in model.parameters():
        parameter.data *= 3
    return get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)).eval()


def prompts_of(seed: int, *, common: int, count: int = 6) -> list[list[int]]:
    draw = random.Random(seed)
    prefix = [draw.randrange(5, VOCABULARY) for _ in range(common)]
    return [prefix + [draw.randrange(5, VOCABULARY) for _ in range(draw.randrange(1, 25))] for _ in range(count)]


@torch.inference_mode()
def slowly(model: Any, prompts: Sequence[Sequence[int]], labels: Sequence[Sequence[int]]) -> Tensor:
    """One pass for each prompt with each label, in double precision."""
    tables = []
    for prompt in prompts:
        row = []
        for label in labels:
            logits = model(torch.tensor([[*prompt, *label]])).logits[0, len(prompt) - 1 :].double()
            score = 0.0
            for at, token in enumerate(label):
                able = sorted({other[at] for other in labels if other[:at] == label[:at] and len(other) > at})
                score += logits[at, able].log_softmax(0)[able.index(token)].item()
            row.append(score)
        tables.append(row)
    return torch.tensor(tables)


@pytest.mark.parametrize("common", [0, 1, 12])
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("name", CONFIGS)
def test_probabilities_are_those_of_full_passes_and_sum_to_one(name: str, labels: list[list[int]], common: int) -> None:
    model, prompts = network(name), prompts_of(common, common=common)
    found = choose(model, prompts, labels, padding=0)
    assert found.exp().sum(1) == pytest.approx(torch.ones(len(prompts)), abs=1e-5)
    assert torch.allclose(found, slowly(model, prompts, labels), atol=1e-4)


def test_single_tokens_are_weighed_by_the_softmax_over_them() -> None:
    model, prompts = network("llama"), prompts_of(3, common=7)
    found = choose(model, prompts, LABELS["single"], padding=0)
    for prompt, row in zip(prompts, found, strict=True):
        with torch.inference_mode():
            logits = model(torch.tensor([prompt])).logits[0, -1, [5, 6, 7]]
        assert torch.allclose(row, logits.log_softmax(0), atol=1e-5)


def test_company_and_the_order_of_labels_change_nothing() -> None:
    model, prompts, labels = network("qwen3"), prompts_of(4, common=5), LABELS["nested"]
    found = choose(model, prompts, labels, padding=0)
    alone = torch.cat([choose(model, [prompt], labels, padding=0) for prompt in prompts])
    assert torch.allclose(found.exp(), alone.exp(), atol=1e-5)
    order = [3, 1, 4, 0, 2]
    assert torch.allclose(
        choose(model, prompts[::-1], [labels[i] for i in order], padding=0).exp(), found.flip(0)[:, order].exp(), atol=1e-5
    )


def test_sampling_under_a_list_of_names_draws_from_these_probabilities() -> None:
    model, prompt, labels = network("llama"), prompts_of(5, common=3)[0], LABELS["nested"]
    found = choose(model, [prompt], labels, padding=0)[0]
    for label, score in zip(labels, found, strict=True):
        constraint = Listed([other[:-1] for other in labels], ["abcde"[i] for i in range(5)], frozenset({END}))
        drawn = 0.0
        for at, token in enumerate(label):
            if not constraint.complete:
                able = np.flatnonzero(np.unpackbits(constraint.allowed().view(np.uint8), bitorder="little")).tolist()
                with torch.inference_mode():
                    logits = model(torch.tensor([[*prompt, *label[:at]]])).logits[0, -1, able]
                drawn += logits.log_softmax(0)[able.index(token)].item()
            if token != END:
                constraint.take([token])
        assert drawn == pytest.approx(score.item(), abs=1e-4)


@pytest.mark.parametrize("change", ["biased", "unknown"])
def test_an_output_layer_of_another_make_gives_the_same(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, prompts = network("qwen2"), prompts_of(6, common=4)
    expected = choose(model, prompts, LABELS["nested"], padding=0)
    if change == "biased":
        output = model.get_output_embeddings()
        output.bias = torch.nn.Parameter(torch.zeros(VOCABULARY))
    else:
        monkeypatch.setattr(type(model.config), "model_type", "other")
    assert torch.allclose(choose(model, prompts, LABELS["nested"], padding=0), expected, atol=1e-5)


def test_only_the_output_rows_of_label_tokens_are_computed() -> None:
    model = network("llama")
    model.get_output_embeddings().register_forward_pre_hook(lambda module, given: pytest.fail("the whole vocabulary was computed"))
    choose(model, prompts_of(7, common=4)[:1], LABELS["nested"], padding=0)


@pytest.mark.parametrize("labels", [[[5, END], [5, END]], [[5], [5, 6]]])
def test_labels_that_no_token_tells_apart_are_refused(labels: list[list[int]]) -> None:
    with pytest.raises(RecipeError, match="not told apart"):
        partings(labels)


def test_labels_part_where_their_tokens_differ() -> None:
    assert partings(LABELS["nested"]) == {(): [5, 6, 7], (5,): [8, 9], (5, 9): [END, 10]}
    assert partings(LABELS["one stem"]) == {(4,): [5, 6], (4, 6): [END, 7]}
