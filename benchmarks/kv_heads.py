"""What KV heads cost and give: a real small Llama with its heads pooled and expanded, and a random Llama of 32 query heads.

The source of the topic system asks for Qwen3-8B with 32 against 8 KV heads. More heads than a model has are copies of its own: the same
function, so that the comparison with full attention is exact for score, cache and latency. Fewer heads are means, and here they get no
training after pooling, as the paper of grouped-query attention gives them: their perplexity shows what pooling alone destroys, not
what a model trained with few heads would reach. Perplexity is on stories that the unchanged model has written with another seed.

    python benchmarks/kv_heads.py [--rounds 5] [--stories 8] [--context 1024] [--rows 4] [--shape qwen3-8b]

`--shape` takes a published architecture with random weights instead of the small random one: 16 GB in bf16, for a GPU.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig
from transformers.utils import logging as transformers_logging

import common
from fintune.models import shapes
from fintune.models.kv_heads import kv_study, perplexity, table

SMALL = LlamaConfig(
    vocab_size=4096, hidden_size=1024, intermediate_size=2816, num_hidden_layers=4, num_attention_heads=32, num_key_value_heads=32,
    max_position_embeddings=8192,
)  # fmt: skip
COUNTS = (32, 8, 4, 1)


def stories(model: Any, number: int, length: int = 200) -> list[list[int]]:
    """Texts that the model writes by chance."""
    torch.manual_seed(1)
    begin = torch.full((number, 1), model.config.bos_token_id)
    written = model.generate(begin, attention_mask=torch.ones_like(begin), do_sample=True, min_new_tokens=length, max_new_tokens=length)
    return [list(story) for story in written.tolist()]


def real(folder: Path, given: Any) -> list[str]:
    """The study of the small Llama, whose 8 query heads share 4 KV heads."""
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    held_out = stories(model, given.stories)
    rows = kv_study(model, held_out, (8, 4, 2, 1), lambda variant: perplexity(variant, held_out), new_tokens=32, rounds=given.rounds)
    title = f"stories260K, 8 query heads, 4 KV heads of its own; {given.stories} stories of 201 tokens, pooled heads not trained further"
    return [title, table(rows, score="perplexity"), ""]


def random(given: Any) -> list[str]:
    """The study of random weights, for cache and latency alone."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    config = shapes.config(given.shape) if given.shape else SMALL
    config.num_key_value_heads = max(COUNTS)
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16 if device == "cuda" else torch.float32).eval()
    prompts = torch.randint(0, config.vocab_size, (given.rows, given.context)).tolist()
    rows = kv_study(model, prompts, COUNTS, None, new_tokens=16, rounds=given.rounds)
    size = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    title = f"{given.shape or 'random Llama'}, {size:,.0f} M parameters with 32 KV heads, {given.rows} x {given.context} tokens, {device}"
    return [title, table(rows, score=""), ""]


def main() -> None:
    parser = common.options(__doc__, rounds=5, stories=8, context=1024, rows=4)
    parser.add_argument("--shape", default="", help="a published architecture with 32 query heads; a small Llama where empty")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    weights = common.data_file("models/stories260K/model.safetensors")
    lines = [*(["stories260K is not there: set FINTUNE_DATA", ""] if weights is None else real(weights.parent, given)), *random(given)]
    common.publish("kv-heads", "\n".join([*lines, *common.circumstances("own stories and random tokens")]), given.output)


if __name__ == "__main__":
    main()
