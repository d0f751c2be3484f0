"""The KV-head check of a finished run: its model with fewer or more key and value heads, on the task it was trained for.

`fintune kv-heads RUN --data test.jsonl --heads 8 --heads 4 --heads 1` prints cache, latency and score of each. Pooled heads are not
trained further here, so their scores say what pooling alone destroys. Refused: heads that write no text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fintune.errors import UsageError
from fintune.heads.generative.head import GenerativeHead, Writer
from fintune.metrics.intervals import Bootstrap
from fintune.models.kv_heads import Row, kv_study
from fintune.predict.run import predict
from fintune.recipe import Predict
from fintune.records import Example
from fintune.tasks.base import Task, documents_of

PROMPTS = 32
"""Prompts that latency is measured on, as one batch."""


def study(built: Any, task: Task, settings: Predict, examples: Sequence[Example], counts: Sequence[int]) -> list[Row]:
    """One row for each number of KV heads, scored by the task's main metric.

    Args:
        built: model and head of a run; the adapter is merged into the model, which is of no further use.
        task: of the run.
        settings: how to predict.
        examples: annotated.
        counts: numbers of KV heads.

    Raises:
        UsageError: for another head than the generative one, and for counts that the model's own does not divide or multiply.
    """
    head = built.head
    if not isinstance(head, GenerativeHead):
        raise UsageError("only language models keep keys and values while they write", where="kv-heads", fix="choose a generative run")
    network = built.model.adapted.merge_and_unload().eval()

    def score(variant: Any) -> float:
        found = predict(Writer(variant, None), head, examples, batch_tokens=settings.batch_tokens, precision=settings.precision)
        pairs = list(zip(examples, found, strict=True))
        report = task.score(pairs, documents=documents_of(examples), floors={}, plan=Bootstrap(replicates=1))
        return float(report["metrics"][task.main_metric]["value"])

    prompts = [item.prompt.ids for item in head.encode(examples[:PROMPTS], "predict")]
    return kv_study(network, prompts, counts, score)
