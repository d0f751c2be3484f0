"""Other ways to predict labels than fintune's, for `labels.py`: transformers' Trainer and pipeline with stock PEFT, and ONNX Runtime.

Each gives the probabilities of all texts, from the texts. ONNX Runtime scores the batches that fintune makes; an exported network
reads one window of any length. Nothing is to be run here: `python benchmarks/labels.py`.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.state import AcceleratorState
from peft import PeftModel
from torch import Tensor, nn
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    pipeline,
)

from fintune.records import Example


class Stock:
    """The adapter in stock transformers and PEFT, and its texts."""

    def __init__(self, base: Path, adapter: Path, texts: Sequence[Example], *, labels: Sequence[str], max_tokens: int) -> None:
        self.base, self.adapter, self.labels, self.max_tokens = base, adapter, tuple(labels), max_tokens
        self.texts = [e.text for e in texts]
        self.tokenizer: Any = AutoTokenizer.from_pretrained(adapter)

    def model(self) -> Any:
        """The classifier, read anew."""
        stock = AutoModelForSequenceClassification.from_pretrained(
            self.base, num_labels=len(self.labels), id2label=dict(enumerate(self.labels))
        )  # fmt: skip
        return PeftModel.from_pretrained(stock, self.adapter).eval()

    def trainer(self, batch: int, *, bf16: bool = False) -> Callable[[], np.ndarray]:
        """`Trainer.predict` on tokenised rows, padded to the longest of each batch as they come."""
        AcceleratorState._reset_state()
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                folder, per_device_eval_batch_size=batch, bf16=bf16, use_cpu=True, report_to=[], disable_tqdm=True,
            )  # fmt: skip
            trainer = Trainer(self.model(), arguments, data_collator=DataCollatorWithPadding(self.tokenizer))

        def way() -> np.ndarray:
            coded = self.tokenizer(self.texts, truncation=True, max_length=self.max_tokens)
            rows = [{name: column[i] for name, column in coded.items()} for i in range(len(self.texts))]
            return softmax(trainer.predict(rows).predictions)  # type: ignore[arg-type]

        way()  # the precision of the moment is taken up by the first batch
        return way

    def pipeline(self, batch: int) -> Callable[[], np.ndarray]:
        """The text-classification pipeline with the scores of all labels."""
        asked = pipeline("text-classification", model=self.model(), tokenizer=self.tokenizer, top_k=None, device="cpu")
        places = {label: number for number, label in enumerate(self.labels)}

        def way() -> np.ndarray:
            found = np.zeros((len(self.texts), len(self.labels)))
            for row, scores in zip(found, asked(self.texts, batch_size=batch), strict=True):
                for score in scores:
                    row[places[score["label"]]] = score["score"]
            return found

        return way


def softmax(scores: np.ndarray) -> np.ndarray:
    """Probabilities of scores `(texts, labels)`."""
    return torch.softmax(torch.from_numpy(scores).double(), 1).numpy()


class Network(nn.Module):
    """A merged network without any adapter's code, called like fintune's classifier with pooling at the first token."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Scores `(batch, labels)`."""
        scores: Tensor = self.network(input_ids=tokens, attention_mask=mask).logits
        return scores.float()


class Session(nn.Module):
    """An ONNX file in ONNX Runtime, called like fintune's classifier."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self.place = nn.Parameter(torch.zeros(0))  # a model is where its parameters are

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Scores `(batch, labels)`."""
        return torch.from_numpy(self.session.run(None, {"tokens": tokens.numpy(), "mask": mask.numpy()})[0])


def exported(network: nn.Module, batch: dict[str, Tensor], folder: Path) -> tuple[Session, Session]:
    """A network in ONNX Runtime: in fp32, and with weights (by output channel) and activations (by tensor, as they come) in 8 bits."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    logging.getLogger().setLevel(logging.ERROR)  # where the quantiser gives advice
    whole, eight = folder / "whole.onnx", folder / "eight.onnx"
    shapes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")}
    torch.onnx.export(
        network, (batch["tokens"], batch["mask"]), whole, dynamo=True, input_names=["tokens", "mask"], output_names=["scores"],
        dynamic_shapes={"tokens": shapes, "mask": shapes}, external_data=False, verbose=False,
    )  # fmt: skip
    graph = onnx.load(whole)
    del graph.graph.value_info[:]  # some shapes are of before the exporter's own rewriting; they are inferred anew
    onnx.save(graph, whole)
    quantize_dynamic(whole, eight, weight_type=QuantType.QInt8, per_channel=True)
    return Session(whole), Session(eight)
