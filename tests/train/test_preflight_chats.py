"""The whole path to a certificate, with real chats, heads and small models of the architectures that recipes name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import small_bases
import tiny
from fintune import recipe as recipes
from fintune.errors import DataError
from fintune.heads.build import build
from fintune.heads.generative import packs
from fintune.models.estimate import memory, packed
from fintune.records import Answer, Example
from fintune.tasks.base import load_task
from fintune.train.certificate import Certificate
from fintune.train.preflight_figures import learnt
from fintune.train.run import preflight

# Recipe, the token that ends, beginning-of-text tokens (None without a chat), and what stands between prompt and target.
CHATS = [
    ("ner-llama3-8b", "<|end_of_text|>", 1, "### Response:\n"),
    ("ner-qwen3-8b", "<|im_end|>", 0, "<|im_start|>assistant\n<think>\n\n</think>\n\n"),
    ("ner-baichuan2-7b", "</s>", 1, "### Response:\n"),
    ("ner-t5-base", "</s>", None, "</s>"),
    ("sentiment-qwen3-8b", "<|im_end|>", 0, "<|im_start|>assistant\n<think>\n\n</think>\n\n"),
    ("reasoning-fino1-8b", "<|eot_id|>", 1, "<|start_header_id|>assistant<|end_header_id|>\n\n"),
]


def gold(kind: str, labels: tuple[str, ...], count: int = 9) -> list[Example]:
    """Examples of a kind; one text holds every control token of every model."""
    found = tiny.examples(count)
    controls = " ".join(token for _, end, others, _ in small_bases.CHATS.values() for token in (end, *others))
    found[3] = replace(found[3], text=f"{found[3].text} {controls}")
    if kind == "label":
        return [replace(e, spans=None, label=labels[n % len(labels)]) for n, e in enumerate(found)]
    if kind == "answer":
        return [
            replace(e, spans=None, question="How much?", answer=Answer(None, f"{n}%"), reasoning="It says so.") for n, e in enumerate(found)
        ]
    return found


def certified(name: str, folder: Path, examples: list[Example] | None = None, **changes: Any) -> tuple[Certificate, list[Example], Any]:
    """The certificate of a recipe on a small base of its own, its examples and its task."""
    published = recipes.load(name)
    task = load_task(published.task, published.prompt)
    examples = examples or gold(task.kind, task.labels)
    small_bases.write(folder, published.model.base, [e.text for e in examples] + [task.target(e) for e in examples])
    settings = {"model.base": str(folder), "data.max_tokens": 2000, "train.precision": "fp32", **changes}
    return preflight(recipes.load(name, settings), task, examples, []), examples, task


@pytest.mark.parametrize(("name", "end", "beginnings", "between"), CHATS, ids=[name for name, *_ in CHATS])
def test_a_certificate_shows_what_a_real_chat_teaches(tmp_path, name, end, beginnings, between):
    found, examples, task = certified(name, tmp_path)
    assert found.unit == "tokens"
    assert (found.chat["end_token"], found.chat["end_supervised"], found.chat.get("beginnings")) == (end, len(examples), beginnings)
    assert found.chat.get("padding_token") != end
    assert found.unreachable == ()
    by_id = {e.id: e for e in examples}
    for mask in found.masks:
        text = "".join(segment.text for segment in mask.segments if not segment.supervised)
        learnt = "".join(segment.text for segment in mask.segments if segment.supervised)
        assert text.endswith(between)
        assert learnt.endswith(end)
        if beginnings is not None:
            assert learnt.removesuffix(end).endswith(task.target(by_id[mask.id]))
    assert json.dumps(found.record(), allow_nan=False)
    assert found.needs.memory.weights > 0
    assert (found.saved > 0.1) == (beginnings is not None)


def test_solved_examples_in_the_prompt_are_turns_of_their_own(tmp_path):
    plain, _, _ = certified("ner-qwen3-8b", tmp_path)
    shown, _, _ = certified("ner-qwen3-8b", tmp_path, **{"prompt.demonstrations": 2, "prompt.choose": "similar"})
    assert shown.supervised == plain.supervised
    assert shown.tokens.min > plain.tokens.max
    assert all(sum("<|im_end|>" in s.text for s in mask.segments if s.supervised) == 1 for mask in shown.masks)


def test_a_think_block_in_an_answer_is_refused_where_thinking_is_off(tmp_path):
    examples = gold("answer", ())
    examples[2] = replace(examples[2], answer=Answer(None, "<think>a while</think> 3%"), where="train.jsonl:3")
    with pytest.raises(DataError, match=r"train\.jsonl:3: a think block would be learnt"):
        certified("reasoning-fino1-8b", tmp_path, examples, **{"model.base": str(_qwen(tmp_path, examples)), "prompt.thinking": "empty"})


@pytest.mark.parametrize("sharing", ["none", "prefix"])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_the_estimate_covers_what_a_real_pack_keeps_and_not_much_more(tmp_path, sharing, dtype):
    examples = gold("spans", ())
    base = _qwen(tmp_path, examples)
    changes = {"model.base": str(base), "model.dtype": dtype, "train.sharing": sharing, "data.max_tokens": 2000, "train.noise": "none"}
    settings = recipes.load("ner-qwen3-8b", changes)
    task = load_task(settings.task, settings.prompt)
    whole = build(settings, task)
    items = whole.head.encode(examples, "train")
    computed = torch.bfloat16 if dtype == "bf16" else torch.float32
    prefix = packs.shared(items) if sharing == "prefix" else 0
    load = packed(prefix, [item.length - prefix for item in items], sum(map(learnt, items)))
    found = memory(whole.model, load, device="cpu", held=computed, computed=computed, quantisation="none", recompute="never")
    kept = _kept(whole, items, computed)
    assert 0.95 * kept < found.activations + found.logits < 1.5 * kept


def _kept(whole: Any, items: list[Any], computed: torch.dtype) -> int:
    """Bytes that autograd keeps of one pack and its loss, parameters aside."""
    own = {p.untyped_storage().data_ptr() for p in whole.model.parameters()}
    found: dict[int, tuple[int, torch.Tensor]] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        found[tensor.untyped_storage().data_ptr()] = (tensor.untyped_storage().nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), torch.autocast("cpu", computed, computed != torch.float32):
        whole.head.loss(whole.model.train(), whole.head.collate(items))
    return sum(size for place, (size, _) in found.items() if place not in own)


def _qwen(folder: Path, examples: list[Example]) -> Path:
    return small_bases.write(folder / "qwen", "qwen3-8b", [e.text for e in examples])
