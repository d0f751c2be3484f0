"""Regrouped KV heads: more of them compute the same, fewer compute with means, and the cache is as large as it should be."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from fintune.errors import UsageError
from fintune.models.adapter import attach
from fintune.models.kv_heads import cache_bytes, expand, kv_study, perplexity, pool, table
from fintune.recipe import Adapter

DATA = Path(os.environ.get("FINTUNE_DATA", "../shared/data"))
SHAPE = {
    "vocab_size": 60, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 8,
    "num_key_value_heads": 4, "max_position_embeddings": 64,
}  # fmt: skip
FAMILIES = {
    "llama": (LlamaForCausalLM, LlamaConfig(**SHAPE, attention_bias=True)),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(**SHAPE)),  # biases
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(**SHAPE, head_dim=6)),  # norms of queries and keys, and heads of another size
}
TOKENS = torch.arange(24).reshape(2, 12) * 5 % 60


@pytest.fixture(params=FAMILIES)
def model(request):
    torch.manual_seed(0)
    family, config = FAMILIES[request.param]
    made = family(config).double().eval()
    for parameter in made.parameters():  # biases and norms begin at 0 and 1, which would hide mistakes
        nn.init.normal_(parameter, mean=0.1, std=0.3)
    return made


@torch.no_grad()
def logits(model, tokens=TOKENS):
    return model(input_ids=tokens).logits


def test_copies_of_heads_compute_the_same(model):
    for heads in (4, 8):
        torch.testing.assert_close(logits(expand(model, heads)), logits(model), rtol=0, atol=1e-12)


def test_pooling_copies_gives_the_model_back(model):
    back = pool(expand(model, 8), 4)
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in back.state_dict().items())
    assert back.config.to_dict() == model.config.to_dict()


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_a_pooled_head_is_the_mean_of_its_neighbours(model, heads):
    """Against the model as it was, with keys and values averaged after they were projected."""
    expected = logits(pool(model, heads))

    def average(module, arguments, output):
        grouped = output.unflatten(-1, (heads, 4 // heads, -1))
        return grouped.mean(dim=-2, keepdim=True).expand_as(grouped).flatten(-3)

    hooks = [m.register_forward_hook(average) for name, m in model.named_modules() if name.endswith(("k_proj", "v_proj"))]
    averaged = logits(model)
    for hook in hooks:
        hook.remove()
    torch.testing.assert_close(expected, averaged, rtol=0, atol=1e-12)
    assert torch.allclose(averaged, logits(model)) == (heads == 4)


def test_pooling_in_steps_is_pooling_at_once(model):
    torch.testing.assert_close(logits(pool(pool(model, 2), 1)), logits(pool(model, 1)), rtol=0, atol=1e-12)


def test_the_model_stays_as_it_was_and_the_rest_is_shared(model):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    pooled = pool(model, 2)
    assert model.config.num_key_value_heads == 4
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    own = {name for name, tensor in pooled.named_parameters() if tensor.data_ptr() != model.get_parameter(name).data_ptr()}
    assert own == {name for name, _ in model.named_parameters() if "k_proj" in name or "v_proj" in name}
    assert all(not any(p.requires_grad for p in pool(frozen, 2).parameters()) for frozen in [model.requires_grad_(False)])


def test_a_pooled_model_is_saved_and_read_like_any_other(model, tmp_path):
    pooled = pool(model, 2)
    pooled.save_pretrained(tmp_path)
    read = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float64).eval()
    assert read.config.num_key_value_heads == 2
    torch.testing.assert_close(logits(read), logits(pooled), rtol=0, atol=1e-12)


@pytest.mark.parametrize("heads", [0, -1, 3, 8])
def test_counts_that_do_not_divide_cannot_be_pooled(model, heads):
    with pytest.raises(UsageError, match="choose one of 1, 2, 4"):
        pool(model, heads)


@pytest.mark.parametrize("heads", [2, 6, 16])
def test_counts_that_do_not_fit_cannot_be_expanded(model, heads):
    with pytest.raises(UsageError, match="choose one of 4, 8"):
        expand(model, heads)


def test_other_projections_are_refused(model):
    adapted, _ = attach(model, Adapter(rank=2))
    for other in (adapted, AutoModelForCausalLM.from_config(GPT2Config(n_embd=8, n_head=2, n_layer=1, vocab_size=9))):
        with pytest.raises(UsageError):
            pool(other, 1)


def test_a_study_measures_what_the_formula_says(model):
    seen = []
    prompts = [list(range(9)), list(range(7))]
    rows = kv_study(model, prompts, [8, 4, 1], lambda variant: seen.append(variant) or perplexity(variant, prompts), new_tokens=2, rounds=1)
    assert [row.heads for row in rows] == [variant.config.num_key_value_heads for variant in seen] == [8, 4, 1]
    size = model.model.layers[0].self_attn.head_dim
    assert [row.cache_bytes for row in rows] == [row.measured_bytes for row in rows] == [2 * 2 * heads * size * 8 for heads in (8, 4, 1)]
    assert rows[0].score == pytest.approx(rows[1].score) != pytest.approx(rows[2].score)
    assert all(row.prefill > 0 and row.decode > 0 for row in rows)
    assert len(table(rows, score="perplexity").splitlines()) == 4
    assert [row.score for row in kv_study(model, prompts, [4], None, new_tokens=1, rounds=1)] == [None]
    with pytest.raises(UsageError):
        kv_study(model, [[1], []], [4], None)


def test_perplexity_is_that_of_the_mean_loss_over_all_tokens(model):
    sequences = [[1, 2, 3, 4], [5, 6]]
    with torch.no_grad():
        total = sum(float(model(input_ids=(t := torch.tensor([s])), labels=t).loss) * (len(s) - 1) for s in sequences)
    assert perplexity(model, sequences) == pytest.approx(torch.tensor(total / 4, dtype=torch.float64).exp().item(), rel=1e-4)


def test_bytes_of_the_8b_models():
    """Against 32 query heads of 128 in bf16: Llama-3-8B has 32 layers, Qwen3-8B 36; eight KV heads make a quarter of full attention."""
    llama = LlamaConfig(hidden_size=4096, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8)
    qwen = Qwen3Config(hidden_size=4096, num_hidden_layers=36, num_attention_heads=32, num_key_value_heads=8, head_dim=128)
    assert [cache_bytes(config, torch.bfloat16) for config in (llama, qwen)] == [131_072, 147_456]
    qwen.num_key_value_heads = 32
    assert cache_bytes(qwen, torch.bfloat16) == 4 * 147_456


@pytest.mark.skipif(not (DATA / "models").is_dir(), reason="needs the shared data (FINTUNE_DATA)")
def test_a_real_model_keeps_its_function_in_full_attention_and_loses_by_pooling():
    real = AutoModelForCausalLM.from_pretrained(DATA / "models" / "stories260K").eval()
    with torch.no_grad():
        torch.manual_seed(0)
        story = real.generate(torch.tensor([[1]]), max_new_tokens=120, do_sample=True)[0].tolist()
    torch.testing.assert_close(logits(expand(real, 8), torch.tensor([story])), logits(real, torch.tensor([story])), rtol=0, atol=1e-4)
    full, own, two, one = (perplexity(variant, [story]) for variant in (expand(real, 8), real, pool(real, 2), pool(real, 1)))
    assert full == pytest.approx(own, rel=1e-4)
    assert own < two < one
