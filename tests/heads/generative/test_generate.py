"""Batched writing gives what transformers' `generate` gives for one prompt at a time, and does no work twice or for nothing."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

from fintune.errors import RecipeError
from fintune.heads.generative import attention
from fintune.heads.generative.cache import rearranged
from fintune.heads.generative.constrain import Constraint, Grammars, Listed
from fintune.heads.generative.generate import Written, generate
from fintune.heads.generative.rows import Rows, shared

VOCABULARY = 97
CONFIGS = {"llama": LlamaConfig, "qwen2": Qwen2Config, "qwen3": Qwen3Config, "mistral": MistralConfig}
STOP = frozenset({3, 4, 7, 9, 11, 13, 20, 31, 44})
REAL = Path(os.environ.get("FINTUNE_DATA", "../shared/data")) / "models" / "stories260K"


def network(name: str, *, seed: int = 0, **settings: Any) -> Any:
    """Two layers with fewer key heads than query heads, and weights large enough that no two tokens are about as likely."""
    torch.manual_seed(seed)
    config = CONFIGS[name](
        vocab_size=VOCABULARY, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=16, max_position_embeddings=256, bos_token_id=1, eos_token_id=None, pad_token_id=None, **settings,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config).eval()
    for parameter in model.parameters():
        parameter.data *= 3
    return model


def prompts_of(seed: int, *, common: int, count: int = 7, longest: int = 30) -> list[list[int]]:
    draw = random.Random(seed)
    prefix = [draw.randrange(5, VOCABULARY) for _ in range(common)]
    return [prefix + [draw.randrange(5, VOCABULARY) for _ in range(draw.randrange(1, longest))] for _ in range(count)]


def budgets_of(seed: int, count: int = 7) -> list[int]:
    draw = random.Random(seed)
    return [draw.randrange(20) for _ in range(count)]


def alone(model: Any, prompt: Sequence[int], budget: int, stop: frozenset[int] = STOP) -> Written:
    """One prompt through transformers' `generate`."""
    if budget == 0:
        return Written((), (), False)
    out = model.generate(
        input_ids=torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), max_new_tokens=budget,
        do_sample=False, eos_token_id=sorted(stop), pad_token_id=0, return_dict_in_generate=True, output_logits=True,
    )  # fmt: skip
    ids = out.sequences[0, len(prompt) :].tolist()
    finished = ids[-1] in stop
    kept = ids[:-1] if finished else ids
    logprobs = [logits[0].log_softmax(-1)[token].item() for token, logits in zip(kept, out.logits, strict=False)]
    return Written(tuple(kept), tuple(logprobs), finished)


def together(model: Any, prompts: Sequence[Sequence[int]], budgets: Sequence[int], stop: frozenset[int] = STOP) -> list[Written]:
    return generate(model, prompts, stop=stop, budgets=budgets, constraints=[None] * len(prompts), padding=0)


def same(found: Written, expected: Written) -> None:
    assert (found.ids, found.finished, found.text) == (expected.ids, expected.finished, None)
    assert found.logprobs == pytest.approx(expected.logprobs, abs=1e-4)


@contextmanager
def columns_of(model: Any) -> Iterator[list[int]]:
    """Counts what goes through the layers: rows times columns of each forward pass."""
    fed: list[int] = []
    handle = model.get_input_embeddings().register_forward_pre_hook(lambda module, given: fed.append(given[0].numel()))
    yield fed
    handle.remove()


@pytest.mark.parametrize("common", [0, 1, 20])
@pytest.mark.parametrize("kind", ["sdpa", "eager", attention.NAME])
@pytest.mark.parametrize("name", CONFIGS)
def test_texts_are_those_that_generate_writes_one_by_one(name: str, kind: str, common: int) -> None:
    model = network(name)
    model.set_attn_implementation(kind)
    prompts, budgets = prompts_of(common, common=common), budgets_of(common)
    for found, prompt, budget in zip(together(model, prompts, budgets), prompts, budgets, strict=True):
        same(found, alone(model, prompt, budget))


def test_an_adapter_writes_as_it_does_under_generate() -> None:
    torch.manual_seed(3)
    model = get_peft_model(network("qwen3"), LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)).eval()
    prompts, budgets = prompts_of(5, common=9), budgets_of(5)
    for found, prompt, budget in zip(together(model, prompts, budgets), prompts, budgets, strict=True):
        same(found, alone(model, prompt, budget))


def test_a_real_model_writes_its_stories_in_a_batch_as_alone() -> None:
    if not REAL.is_dir():
        pytest.skip(f"{REAL} is not here; set FINTUNE_DATA to the folder with the data")
    tokenizer = AutoTokenizer.from_pretrained(REAL)
    model: Any = AutoModelForCausalLM.from_pretrained(REAL).eval()
    texts = [
        "Once upon a time, there was a little",
        "Once upon a time",
        "Once upon a time, in a big forest, a cat saw",
        "Lily and Tom",
        "The",
    ]
    prompts = [tokenizer.encode(text) for text in texts]
    stop = frozenset({tokenizer.eos_token_id, 2})
    found = together(model, prompts, [40, 25, 40, 33, 12], stop)
    for written, prompt, budget in zip(found, prompts, [40, 25, 40, 33, 12], strict=True):
        same(written, alone(model, prompt, budget, stop))


def test_the_order_of_prompts_and_their_company_change_nothing() -> None:
    model = network("llama")
    prompts, budgets = prompts_of(8, common=6), budgets_of(8)
    found = together(model, prompts, budgets)
    order = random.Random(1).sample(range(7), 7)
    for place, written in zip(order, together(model, [prompts[i] for i in order], [budgets[i] for i in order]), strict=True):
        same(written, found[place])
    for prompt, budget, written in zip(prompts, budgets, found, strict=True):
        same(together(model, [prompt], [budget])[0], written)


def test_nothing_is_written_without_prompts_or_budget() -> None:
    model = network("llama")
    assert together(model, [], []) == []
    assert together(model, [[5, 6], [5, 7]], [0, 0]) == [Written((), (), False)] * 2


def test_the_common_beginning_is_computed_once_and_finished_rows_no_more() -> None:
    model = network("llama")
    prefix = list(range(5, 35))
    prompts = [[*prefix, 40, 41], [*prefix, 50, 51], [*prefix, 60, 61], [*prefix, 70, 71]]
    with columns_of(model) as fed:
        together(model, prompts, [1, 2, 5, 1], frozenset())
    assert fed == [30, 4 * 2, 2, 1, 1, 1]  # the prefix, four rows of two, and then the rows that still want tokens


def test_only_the_newest_token_of_a_row_reaches_the_vocabulary() -> None:
    model = network("llama")
    columns: list[int] = []
    model.get_output_embeddings().register_forward_pre_hook(lambda module, given: columns.append(given[0].shape[1]))
    together(model, prompts_of(2, common=9), [3] * 7, frozenset())
    assert set(columns) == {1}


def greedy(model: Any, prompt: Sequence[int], budget: int, constraint: Constraint, stop: frozenset[int]) -> Written:
    """The same under a constraint, as slowly as can be: everything anew for each token, and no cache."""
    ids: list[int] = []
    logprobs: list[float] = []
    finished = False
    while not finished and len(ids) < budget:
        forced = constraint.forced()[: budget - len(ids)]
        constraint.take(forced)
        ids, logprobs = ids + forced, logprobs + [0.0] * len(forced)
        if constraint.complete or len(ids) == budget:
            finished = constraint.complete
            break
        with torch.inference_mode():
            scores = model(torch.tensor([[*prompt, *ids]])).logits[0, -1].log_softmax(-1)
        bits = np.unpackbits(constraint.allowed().view(np.uint8), bitorder="little")[: len(scores)].astype(bool)
        token = int(scores.where(torch.from_numpy(bits), -torch.inf).argmax())
        if token in stop:
            finished = True
        else:
            constraint.take([token])
            ids.append(token)
            logprobs.append(scores[token].item())
            finished = constraint.complete
    return Written(tuple(ids), tuple(logprobs), finished, constraint.close(ids))


@pytest.mark.parametrize("target", ["literal", "compact"])
def test_under_a_grammar_every_choice_is_the_likeliest_that_is_allowed(tiny_llama: Path, target: Any) -> None:
    tokenizer, model = AutoTokenizer.from_pretrained(tiny_llama), AutoModelForCausalLM.from_pretrained(tiny_llama).eval()
    for parameter in model.parameters():
        parameter.data *= 4
    stop = frozenset({1})
    grammars = Grammars(tokenizer, stop)
    texts = [
        'Norvane Bank paid $ 4.2 million to "Corbrook" \'s owner .',
        "Nothing was decided .",
        "Monday",
        "In Lagos, 2,400 employees won.",
    ]
    prompts = [tokenizer.encode(f"Find names: {text}") for text in texts]
    budgets = [60, 12, 45, 31]

    def constraints() -> list[Constraint]:
        return [grammars.spans(text, ["Company", "Date", "Money"], target) for text in texts]

    found = generate(model, prompts, stop=stop, budgets=budgets, constraints=constraints(), padding=2)
    for written, prompt, budget, constraint in zip(found, prompts, budgets, constraints(), strict=True):
        expected = greedy(model, prompt, budget, constraint, stop)
        assert (written.ids, written.finished, written.text) == (expected.ids, expected.finished, expected.text)
        assert written.logprobs == pytest.approx(expected.logprobs, abs=1e-4)


def test_free_and_constrained_texts_stand_in_one_batch() -> None:
    model = network("llama")
    prompts = prompts_of(4, common=5, count=3)
    names = [[5, 6, 7], [5, 8], [90]]
    found = generate(
        model, prompts, stop=STOP, budgets=[9, 9, 9], constraints=[None, Listed(names, ["a", "b", "c"], STOP), None], padding=0
    )
    same(found[0], alone(model, prompts[0], 9))
    same(found[2], alone(model, prompts[2], 9))
    assert found[1].finished
    assert (list(found[1].ids), found[1].text) in [(ids, name) for ids, name in zip(names, "abc", strict=True)]


def test_what_a_grammar_forces_takes_no_pass_of_its_own() -> None:
    model = network("llama")
    names = [[5, *range(10, 40)], [6, *range(40, 70)]]
    with columns_of(model) as fed:
        found = generate(model, [[8, 9]], stop=STOP, budgets=[40], constraints=[Listed(names, ["a", "b"], STOP)], padding=0)
    assert fed == [2]
    assert found[0].finished
    assert len(found[0].ids) == 31
    assert found[0].logprobs[0] < 0
    assert found[0].logprobs[1:] == (0.0,) * 30


@pytest.mark.parametrize("window", [16, 64])
def test_a_sliding_window_that_is_too_short_is_refused(window: int) -> None:
    model = network("mistral", sliding_window=window)
    prompts = prompts_of(3, common=10, longest=8)
    if window == 16:
        with pytest.raises(RecipeError, match="sliding window of 16 tokens"):
            together(model, prompts, [12] * 7, frozenset())
    else:
        for found, prompt in zip(together(model, prompts, [12] * 7), prompts, strict=True):
            same(found, alone(model, prompt, 12))


def test_layers_that_keep_a_state_are_refused() -> None:
    model = network("qwen3")
    model.config.layer_types = ["full_attention", "linear_attention"]
    with pytest.raises(RecipeError, match="'linear_attention'"):
        together(model, [[5, 6]], [3])


def test_a_block_that_is_taken_back_leaves_no_trace() -> None:
    model = network("llama")
    prompts = prompts_of(6, common=4, count=4)
    with torch.inference_mode():
        rows, others = (Rows(model, prompts, padding=0) for _ in range(2))
        rows.feed(rows.pending)
        others.feed(others.pending)
        rows.feed([[5, 6, 7]] * 4)
        rows.forget([5, 6, 7])
        blocks = [[9], [8, 7], [5], [6, 6, 6]]
        assert torch.equal(rows.feed(blocks), others.feed(blocks))


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=1, max_size=5))
def test_the_common_beginning_is_the_longest_that_leaves_each_prompt_a_token(prompts: list[list[int]]) -> None:
    limit = min(map(len, prompts)) - 1
    assert shared(prompts) == max(n for n in range(limit + 1) if len({tuple(prompt[:n]) for prompt in prompts}) == 1)


@given(st.sets(st.integers(0, 12), min_size=1))
def test_rows_that_stay_move_only_into_places_that_are_free(rows: set[int]) -> None:
    order = rearranged(sorted(rows))
    assert sorted(order) == sorted(rows)
    assert all(order[place] == place for place in rows if place < len(rows))
