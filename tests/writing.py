"""Tiny encoder-decoders whose vocabulary, like T5's, has no braces: folders of safetensors and tokenizer, made without a network."""

from __future__ import annotations

import math
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

import tiny

EXTRA = (
    "Do named entity recognition for the following text: None Company Date Location Money Person Product Quantity",
    "[ ] [' '], : \" ' ( ) # ; / |",
    "0 1 2 3 4 5 6 7 8 9 a b c d e f g h i j k l m n o p q r s t u v w x y z",
    "A B C D E F G H I J K L M N O P Q R S T U V W X Y Z & % $ € . - * ! ?",
)


@cache
def _made(extra: tuple[str, ...]) -> str:
    """Words that occur often and all characters, each with the logarithm of its share; training would not give the same twice."""
    counts: Counter[str] = Counter()
    for text in [*(e.text for e in tiny.examples()), *extra]:
        for word in text.split():
            counts.update([f"▁{word}", "▁", *word])
    kept = {piece: count for piece, count in counts.items() if len(piece) == 1 or count > 4}
    total = sum(kept.values())
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    inner = Tokenizer(models.Unigram([*special, *((piece, math.log(kept[piece] / total)) for piece in sorted(kept))], unk_id=2))
    inner.normalizer = normalizers.NFKC()
    inner.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    inner.decoder = decoders.Metaspace()
    inner.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    inner.add_special_tokens(["<pad>", "</s>", "<unk>"])
    return str(inner.to_str())


def tokenizer(extra: tuple[str, ...] = EXTRA) -> Any:
    """A unigram tokenizer of words and marks, without braces, `~`, `<`, line ends or ideographs."""
    inner = Tokenizer.from_str(_made(extra))
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>", pad_token="<pad>", unk_token="<unk>")


def model(*, seed: int = 7) -> Any:
    """A T5 of two layers."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=len(tokenizer()), d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4, dropout_rate=0.0, decoder_start_token_id=0,
        pad_token_id=0, eos_token_id=1, tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(seed)
    return T5ForConditionalGeneration(config)


def write_t5(folder: Path) -> Path:
    """The folder of a base model."""
    model().save_pretrained(folder, safe_serialization=True)
    tokenizer().save_pretrained(folder)
    return folder
