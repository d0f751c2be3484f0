"""The pre-flight certificate of a made-up run, as `train.certificate` records one."""

from __future__ import annotations

from typing import Any

PROMPT = (
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nDo Named Entity Recognition for the following text:\n{}<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)
LEARNT = "{{'Company': ['{}'], 'Date': None, 'Location': None, 'Money': None, 'Person': None, 'Product': None, 'Quantity': None}}<|eot_id|>"


def mask(identifier: str, text: str, company: str, skipped: int = 0) -> dict[str, Any]:
    """An example as it is learnt."""
    segments = [
        {"text": PROMPT.format(text), "supervised": False, "skipped": 0},
        {"text": LEARNT.format(company), "supervised": True, "skipped": skipped},
    ]
    return {"id": identifier, "tokens": 96 + len(text) // 4, "supervised": 61, "segments": segments}


def record() -> dict[str, Any]:
    """Everything a certificate may hold."""
    names = [f"model.layers.{n}.self_attn.{name}" for n in range(32) for name in ("q_proj", "k_proj", "v_proj", "o_proj")]
    return {
        "schema_version": 1, "head": "generative", "task": "finance-ner-7", "kind": "spans",
        "examples": {"count": 1693, "items": 1691, "left_out": ["d40-2", "d71-1"]},
        "supervised": {"unit": "tokens", "min": 44, "median": 61, "max": 240, "total": 104_117},
        "tokens": {"min": 109, "median": 192, "max": 498, "total": 333_520},
        "longest": {"id": "d12-4", "tokens": 498, "limit": 512},
        "masks": [
            mask("d03-1", "Oatwell fell.", "Oatwell"),
            mask("d08-2", "Shares of Corvane rose 3% after it sold its plant.", "Corvane"),
            mask("d12-4", "A long report. " * 12, "Kestrel", 420),
        ],
        "labels": {"Company": 1789, "Date": 1317, "Location": 445, "Money": 664, "Person": 285, "Product": 0, "Quantity": 442},
        "unreachable": ["d02-1"],
        "chat": {
            "template": "own", "thinking": "none",
            "template_sha256": "1ab2" * 16, "tokenizer_sha256": "2bc3" * 16, "fingerprint": "3cd4" * 16,
            "beginnings": 1, "end_token": "<|eot_id|>", "end_supervised": 1691, "padding_token": "<|finetune_right_pad_id|>",
        },
        "modules": {"count": 128, "names": names},
        "parameters": {"trainable": 6_815_744, "total": 8_037_076_992},
        "prefix": {"tokens": 16, "saved": 0.081},
        "steps": {
            "total": 213, "per_epoch": 71, "epochs": 3, "batch": 24, "tokens_per_epoch": 333_520, "computed_per_epoch": 306_500,
            "projected_per_epoch": 104_117,
        },
        "memory": {
            "weights": 16_060_522_496, "adapter": 27_262_976, "gradients": 27_262_976, "optimizer": 54_527_000,
            "activations": 29_800_000_000, "logits": 1_950_000_000, "total": 47_919_575_448, "without_recomputation": 47_919_575_448,
            "recomputed": False, "room": 150_121_000_000, "device": "cuda", "estimated": True,
        },
        "time": {"operations": 26_500_000_000_000_000, "rate": 7.1e14, "seconds": 74.6, "estimated": True},
        "noise": {"kind": "neftune", "alpha": 0.3, "noise": 1.9e-4, "embeddings": 0.0221, "ratio": 0.0086},
        "notes": [
            "too long and left out: 2 examples",
            "no example of Product: the model cannot learn what it never sees",
            "the noise is 0.86% of the embeddings, which is negligible: a larger train.noise_alpha would be heard",
        ],
    }  # fmt: skip
