"""Tokenizers with chat templates: the real ones, where the shared data folder is at hand, and small ones of every construction."""

from __future__ import annotations

import copy
import gzip
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

import tiny

DEEPSEEK = (
    "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<think>", "</think>", "<｜▁pad▁｜>",
    "<｜tool▁calls▁begin｜>", "<｜tool▁outputs▁end｜>",
)  # fmt: skip
INSTRUCT = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}"
    "{% elif m.role == 'system' %}{{ raise_exception('no system turn') }}"
    "{% else %}{{ ' ' + m.content + ' ' + eos_token }}{% endif %}{% endfor %}"
)
"""As Llama 2's and Mistral's: no system turn, no generation prompt, and blanks around the assistant's words."""
MARKED = (
    "{{ bos_token }}{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


SWALLOWING = (
    "{{ bos_token }}{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '\n <|end|>\n\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
"""As Phi 3's, whose control tokens take in the blanks around them."""


def folder() -> Path:
    """The shared tokenizers; skips where there are none."""
    place = Path(os.environ.get("FINTUNE_DATA", "")) / "tokenizers"
    if not os.environ.get("FINTUNE_DATA") or not place.is_dir():
        pytest.skip("FINTUNE_DATA is not set: the real tokenizers are not at hand")
    return place


def template(name: str) -> str:
    """A real chat template by the beginning of its file's name."""
    return next((folder() / "chat_templates").glob(f"{name}*.jinja")).read_text(encoding="utf-8")


@cache
def vocabulary(name: str) -> Any:
    """The real `tokenizer.json` of `llama3` or `qwen3`, with DeepSeek's control tokens in a copy of either under `r1-` names."""
    if name.startswith("r1-"):
        inner = Tokenizer.from_str(vocabulary(name.removeprefix("r1-")).backend_tokenizer.to_str())
        inner.add_special_tokens([t for t in DEEPSEEK if "think" not in t])
        inner.add_tokens([t for t in DEEPSEEK if "think" in t])
        return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token=DEEPSEEK[0], eos_token=DEEPSEEK[1])
    with gzip.open(folder() / name / "tokenizer.json.gz", "rt", encoding="utf-8") as file:
        inner = Tokenizer.from_str(file.read())
    if name == "llama3":
        return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>")
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|im_end|>", pad_token="<|endoftext|>")


REAL = {
    "llama3": ("llama3", "llama3"), "llama3.1": ("llama3", "meta-llama"), "qwen3": ("qwen3", "qwen3"),
    "qwen2.5": ("qwen3", "Qwen-Qwen2.5"), "r1-llama": ("r1-llama3", "deepseek-ai-DeepSeek-R1-Distill-Llama"),
    "r1-qwen": ("r1-qwen3", "deepseek-ai-DeepSeek-R1-Distill-Qwen"),
}  # fmt: skip
"""Vocabulary and template of each real tokenizer."""


def real(name: str) -> Any:
    """A real vocabulary under a real template."""
    words, chat = REAL[name]
    made = copy.copy(vocabulary(words))
    made.chat_template = template(chat)
    return made


def _texts() -> list[str]:
    lines = ["[INST] [/INST] ### Instruction: ### Response: user assistant system", "<s></s> <|im_start|>user <|im_end|>", "Ü — ½ ﬁ 株式"]
    lines += ["{'Company': ['Acme'], \"Date\": None}"]
    return [e.text for e in tiny.examples()] + lines * 3


def _wrapped(inner: Tokenizer) -> Any:
    inner.add_special_tokens(["<|im_start|>", "<|im_end|>", "<|system|>"])
    inner.add_special_tokens([AddedToken(f"<|{role}|>", rstrip=True) for role in ("user", "assistant")])
    inner.add_special_tokens([AddedToken("<|end|>", lstrip=True, rstrip=True)])
    inner.add_tokens(["<think>", "</think>"])
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>")


SPECIAL = ["<unk>", "<s>", "</s>", "<pad>"]


def prepending() -> Any:
    """As the first files of Llama 2: no pre-tokenizer, a normaliser that puts a mark in front, bytes for unknown characters."""
    inner = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    inner.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    alphabet = [f"<0x{i:02X}>" for i in range(256)]
    inner.train_from_iterator(
        _texts(), trainers.BpeTrainer(vocab_size=700, special_tokens=[*SPECIAL, *alphabet], show_progress=False, max_token_length=16)
    )
    settings = json.loads(inner.to_str())
    settings["added_tokens"] = [t for t in settings["added_tokens"] if t["content"] in SPECIAL]
    return _wrapped(Tokenizer.from_str(json.dumps(settings)))


def metaspace(scheme: str) -> Any:
    """SentencePiece BPE with the mark of a beginning `first`, `always` or `never`."""
    inner = Tokenizer(models.BPE(unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    inner.decoder = decoders.Metaspace(prepend_scheme=scheme, split=False)
    inner.train_from_iterator(
        _texts(), trainers.BpeTrainer(vocab_size=500, special_tokens=SPECIAL, show_progress=False, max_token_length=16)
    )
    return _wrapped(inner)


def unigram() -> Any:
    """As T5's: NFKC, pieces with probabilities, and control tokens among the pieces."""
    inner = Tokenizer(models.Unigram())
    inner.normalizer = normalizers.NFKC()
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=260, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False)
    inner.train_from_iterator(_texts(), trainer)
    return _wrapped(inner)


def bytes_prefixed() -> Any:
    """Byte-level BPE that puts a blank in front, as RoBERTa's and some of Falcon's do."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    inner.decoder = decoders.ByteLevel()
    inner.train_from_iterator(
        _texts(),
        trainers.BpeTrainer(
            vocab_size=500, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
        ),
    )
    return _wrapped(inner)


SMALL = {
    "prepending": prepending, "metaspace-first": lambda: metaspace("first"), "metaspace-always": lambda: metaspace("always"),
    "unigram": unigram, "bytes-prefixed": bytes_prefixed,
}  # fmt: skip


@cache
def _kept(name: str) -> str:
    return str(SMALL[name]().backend_tokenizer.to_str())


def small(name: str, chat: str | None = MARKED) -> Any:
    """A new small tokenizer under a template."""
    inner = Tokenizer.from_str(_kept(name))
    made = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>")
    made.chat_template = chat
    return made


def any_of(name: str) -> Any:
    """A real or a small tokenizer."""
    return real(name) if name in REAL else small(name)


def lonely() -> Any:
    """As GPT-2's: one token begins, ends and is all there is."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    inner.train_from_iterator([], trainers.BpeTrainer(special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False))
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<|end|>", eos_token="<|end|>", unk_token="<|end|>")


def unmarked(chat: str | None = MARKED) -> Any:
    """A small tokenizer without marks of thinking."""
    settings = json.loads(_kept("unigram"))
    settings["added_tokens"] = [t for t in settings["added_tokens"] if "think" not in t["content"]]
    inner = Tokenizer.from_str(json.dumps(settings))
    made = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>")
    made.chat_template = chat
    return made
