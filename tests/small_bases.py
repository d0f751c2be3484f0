"""Small models of every architecture that a recipe names, with the kind of tokenizer and chat template that its base has.

The settings are the published ones with sizes cut down, the vocabulary is learnt from the texts given, the weights are random.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tiny
from fintune.models import shapes

SPECIAL = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
DEEPSEEK = (
    "{{- bos_token }}{%- for message in messages %}{%- if message.role == 'user' %}{{- '<｜User｜>' + message.content }}{%- else %}"
    "{{- '<｜Assistant｜>' + message.content.split('</think>')[-1] + '<｜end▁of▁sentence｜>' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<｜Assistant｜>' }}{%- endif %}"
)
OPENING = DEEPSEEK.replace("{{- '<｜Assistant｜>' }}", "{{- '<｜Assistant｜><think>\\n' }}")
"""Of the R1 distillations, whose prompt opens the think block."""
_R1 = ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", ("<｜User｜>", "<｜Assistant｜>", "<｜▁pad▁｜>", "<think>", "</think>"))
_HEADERS = ("<|start_header_id|>", "<|end_header_id|>", "<|end_of_text|>", "<|finetune_right_pad_id|>")
# Of the decoders: begin, end, other control tokens, chat template.
CHATS: dict[str, tuple[str | None, str, tuple[str, ...], str | None]] = {
    "llama3-8b": ("<|begin_of_text|>", "<|end_of_text|>", ("<|reserved_special_token_0|>",), None),
    "llama3-8b-instruct": ("<|begin_of_text|>", "<|eot_id|>", _HEADERS, tiny.HEADERS),
    "llama3.1-8b-instruct": ("<|begin_of_text|>", "<|eot_id|>", _HEADERS, tiny.HEADERS),
    "qwen3": (None, "<|im_end|>", ("<|im_start|>", "<|endoftext|>", "<think>", "</think>"), tiny.CHATML),
    "deepseek-r1-8b": (*_R1, DEEPSEEK),
    "deepseek-r1-distill-llama-8b": (*_R1, OPENING),
}


def write(folder: Path, name: str, texts: Sequence[str]) -> Path:
    """A model of the architecture and kind of tokenizer of a base, small and random, as the hub would hold it."""
    import torch
    from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    config = shapes.config(name)
    family = config.model_type
    if family in ("bert", "distilbert"):
        fast = wordpiece(texts, lower=not name.endswith("-cased"))
    elif family == "roberta":
        fast = roberta(texts)
    elif family == "t5":
        fast = unigram(texts)
    elif name in ("llama-7b", "llama2-7b", "baichuan2-7b"):
        fast = pairs_of_characters(texts)
    else:
        fast = pairs_of_bytes(texts, *CHATS[name if name in CHATS else family])
    fast.save_pretrained(folder)
    auto = {"t5": AutoModelForSeq2SeqLM}.get(family, AutoModel if "bert" in family else AutoModelForCausalLM)
    torch.manual_seed(7)
    auto.from_config(cut(config, len(fast), fast)).save_pretrained(folder)
    return folder


def cut(config: Any, vocabulary: int, fast: Any) -> Any:
    """The settings with two layers of width 32 and four heads, and as many queries to a key as published."""
    settings = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": vocabulary}
    if config.model_type == "t5":
        settings = {
            "d_model": 32,
            "d_ff": 64,
            "d_kv": 8,
            "num_layers": 2,
            "num_decoder_layers": 2,
            "num_heads": 4,
            "vocab_size": vocabulary,
        }
    if config.model_type == "distilbert":
        settings = {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4, "vocab_size": vocabulary}
    if hasattr(config, "num_key_value_heads"):
        settings["num_key_value_heads"] = max(1, 4 * config.num_key_value_heads // config.num_attention_heads)
        settings["head_dim"] = 8
    kept = {key: value for key, value in config.to_dict().items() if key not in ("layer_types", "head_dim", "model_type")}
    ids = {f"{token}_token_id": getattr(fast, f"{token}_token_id") for token in ("bos", "eos", "pad")}
    return type(config)(**{**kept, **settings, **ids})


def wordpiece(texts: Sequence[str], *, lower: bool) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import BertTokenizerFast

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=600, special_tokens=list(SPECIAL.values()), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return BertTokenizerFast(tokenizer_object=tokenizer, do_lower_case=lower, model_max_length=512)


def roberta(texts: Sequence[str]) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=600, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    )
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", cls_token="<s>", eos_token="</s>", sep_token="</s>", pad_token="<pad>",
        unk_token="<unk>", mask_token="<mask>", model_max_length=512,
    )  # fmt: skip


def unigram(texts: Sequence[str]) -> Any:
    """A vocabulary like T5's, which has no braces."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    plain = [re.sub(r"[{}]", "", text) for text in texts]
    tokenizer.train_from_iterator(
        [*plain, "0123456789 abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ .,:;'\"()[]%$-/&?!"],
        trainers.UnigramTrainer(vocab_size=400, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False),
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>", unk_token="<unk>")


def pairs_of_bytes(texts: Sequence[str], begin: str | None, end: str, others: Sequence[str], template: str | None) -> Any:
    """As Llama 3 and Qwen3 have it; control tokens stand outside the merges."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False))
    control = [token for token in (begin, end, *others) if token]
    tokenizer.add_special_tokens([token for token in control if "think" not in token])
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in control if "think" in token])
    if begin:
        first = (begin, tokenizer.token_to_id(begin))
        tokenizer.post_processor = processors.TemplateProcessing(single=[begin, "$A"], pair=[begin, "$A", "$B"], special_tokens=[first])
    pad = next((token for token in others if "pad" in token or token == "<|endoftext|>"), None)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=begin, eos_token=end, pad_token=pad)
    fast.chat_template = template
    return fast


def pairs_of_characters(texts: Sequence[str]) -> Any:
    """As Llama 2 has it: blanks are marked, and what the vocabulary lacks is written in bytes."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    real = ["<unk>", "<s>", "</s>"]
    special = [*real, *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")  # no token crosses a blank; afterwards merges see to it
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=900, special_tokens=special, show_progress=False))
    kept = {**json.loads(tokenizer.to_str()), "pre_tokenizer": None}
    # Bytes are words of the vocabulary, not control tokens.
    kept["added_tokens"] = [token for token in kept["added_tokens"] if token["content"] in real]
    tokenizer = Tokenizer.from_str(json.dumps(kept))
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
