"""Tiny base models and invented examples that need no network: what every test of training and prediction runs on.

Nothing is drawn at random but the weights, and those from a seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fintune import recipe as recipes
from fintune.recipe import Recipe
from fintune.records import Example, Span

SLOTS = {
    "Company": ("Norvane Bank", "Tidewell Foods", "Corbrook", "Halden Rail Group", "Quillmark Energy", "Osprey Lane Capital"),
    "Date": ("Monday", "March 3, 2024", "the third quarter", "last year", "2021"),
    "Location": ("Ostrava", "Portugal", "the Nordic market", "Lagos"),
    "Money": ("$ 4.2 million", "€310,000", "75 billion yen", "USD 12bn"),
    "Person": ("Ines Dahl", "Mr. Tomasz Reyk", "Adaeze Bell"),
    "Product": ("the Larkspur pump", "VaultPay", "frozen peas"),
    "Quantity": ("18 %", "2,400 employees", "three plants", "0.5 percentage points"),
}
PATTERNS = (
    "{Company} paid {Money} for a stake in {Company} on {Date} .",
    "{Person} , who runs {Company} , said sales of {Product} rose {Quantity} in {Location} .",
    "Shares of {Company} fell {Quantity} after {Date} , when {Product} was recalled in {Location} .",
    "The board of {Company} named {Person} chief executive from {Date} .",
    "Nothing was decided .",
    "{Company} will spend {Money} on {Quantity} in {Location} by {Date} , {Person} told reporters .",
    "In {Location} {Product} earned {Money} .",
)
VOCABULARY = 400


def examples(count: int = 60) -> list[Example]:
    """Annotated sentences of all seven types; patterns and fillings take turns."""
    turns = dict.fromkeys(SLOTS, 0)
    return [_compose(str(i + 1), PATTERNS[(i + i // 21) % len(PATTERNS)], turns) for i in range(count)]


def _compose(identifier: str, pattern: str, turns: dict[str, int]) -> Example:
    text, spans = "", []
    for piece in pattern.replace("}", "{").split("{"):
        if piece in SLOTS:
            surface = SLOTS[piece][turns[piece] % len(SLOTS[piece])]
            turns[piece] += 1
            spans.append(Span(len(text), len(text) + len(surface), piece, surface))
            text += surface
        else:
            text += piece
    return Example(identifier, text, spans=tuple(spans), where=f"tiny.jsonl:{identifier}")


def write_bert(folder: Path, *, seed: int = 7) -> Path:
    """An encoder of two layers with an uncased WordPiece vocabulary, as safetensors."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import BertConfig, BertModel, BertTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([e.text for e in examples()], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    BertTokenizerFast(tokenizer_object=tokenizer, model_max_length=128).save_pretrained(folder)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=128,
    )  # fmt: skip
    torch.manual_seed(seed)
    BertModel(config).save_pretrained(folder, safe_serialization=True)
    return folder


def write_llama(folder: Path, *, seed: int = 7) -> Path:
    """A decoder of two layers with a byte-level vocabulary that keeps case, as safetensors."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<s>", "</s>", "<pad>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator([e.text for e in examples()], trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>").save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
        intermediate_size=64, max_position_embeddings=256, bos_token_id=0, eos_token_id=1, pad_token_id=2,
    )  # fmt: skip
    torch.manual_seed(seed)
    LlamaForCausalLM(config).save_pretrained(folder, safe_serialization=True)
    return folder


CHATML = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{%- endif %}"
)
HEADERS = (
    "{%- for message in messages %}{%- if loop.first %}{{- bos_token }}{%- endif %}"
    "{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' + message.content | trim + '<|eot_id|>' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"
)
CONTROLS = {
    "llama": ("<|begin_of_text|>", "<|end_of_text|>", ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|pad|>"], HEADERS),
    "qwen3": (None, "<|im_end|>", ["<|im_start|>", "<|endoftext|>", "<think>", "</think>"], CHATML),
}


def write_chat_model(
    folder: Path, family: str, *, width: int = 32, layers: int = 2, vocabulary: int = VOCABULARY, texts: Sequence[str] = (), seed: int = 7
) -> Path:
    """A chat model of a family with grouped key-value heads, its control tokens and a chat template, as safetensors.

    Args:
        folder: where to write it.
        family: `llama` or `qwen3`.
        width: hidden size, of four heads.
        layers: decoder layers.
        vocabulary: tokens besides the control tokens.
        texts: what the vocabulary is learnt from besides the invented examples.
        seed: of the weights.
    """
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast, Qwen3Config

    begin, end, others, template = CONTROLS[family]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator([*(e.text for e in examples()), *texts], trainer)
    special = [name for name in (begin, end, *others) if name and "think" not in name]
    tokenizer.add_special_tokens(special)
    tokenizer.add_tokens([AddedToken(name, normalized=False) for name in others if "think" in name])
    pad = "<|pad|>" if family == "llama" else "<|endoftext|>"
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=begin, eos_token=end, pad_token=pad)
    fast.chat_template = template
    fast.save_pretrained(folder)
    shape = {
        "vocab_size": len(fast), "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": width // 4, "intermediate_size": 2 * width, "max_position_embeddings": 2048, "bos_token_id": fast.bos_token_id,
        "eos_token_id": fast.eos_token_id, "pad_token_id": fast.pad_token_id, "tie_word_embeddings": False,
    }  # fmt: skip
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(LlamaConfig(**shape) if family == "llama" else Qwen3Config(**shape))
    for name, weight in model.named_parameters():
        if weight.dim() == 2:  # frozen rows of the usual 0.02 could not be told apart, whatever an adapter does
            spread = {"embed_tokens": 1.0, "lm_head": 0.6}.get(name.split(".")[-2], weight.shape[1] ** -0.5)
            torch.nn.init.normal_(weight, std=spread)
    model.save_pretrained(folder, safe_serialization=True)
    return folder


NOISY: Mapping[str, Any] = {
    "model.dropout": 0.1,
    "adapter.rank": 4,
    "adapter.alpha": 8,
    "adapter.dropout": 0.1,
    "head.dropout": 0.1,
    "data.max_tokens": 64,
    "data.overlap_tokens": 16,
    "train.epochs": 2,
    "train.batch_size": 8,
    "train.learning_rate": 5e-3,
    "train.noise": "neftune",
    "train.precision": "fp32",
    "predict.precision": "fp32",
}
"""Settings over `ner-minilm` under which every step draws from the generators: dropout everywhere, and noise."""


def recipe(base: Path | str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """The bundled recipe on a tiny base, with `NOISY` and then `overrides` on top."""
    return recipes.load("ner-minilm", {"model.base": str(base), **NOISY, **(overrides or {})})


LEARNT_BY_HEART: Mapping[str, Any] = {
    "prompt.thinking": "auto",
    "data.max_tokens": 1200,
    "adapter.rank": 32,
    "adapter.alpha": 64,
    "train.batch_size": 4,
    "train.epochs": 35,
    "train.learning_rate": 7e-3,
    "train.precision": "fp32",
    "predict.precision": "fp32",
}
"""Settings over a recipe of a chat model under which `write_chat_model` of width 64 learns 32 examples by heart."""


def chat_recipe(base: Path | str, overrides: Mapping[str, Any] | None = None, *, name: str = "ner-llama3-8b") -> Recipe:
    """A bundled recipe of a chat model on a tiny base, with `LEARNT_BY_HEART` and then `overrides` on top."""
    return recipes.load(name, {"model.base": str(base), **LEARNT_BY_HEART, **(overrides or {})})
