"""The benchmarks of a GPU on a tiny shape and the CPU: every row runs or says why not, and what ran computed the same gradient."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
CPU = ("T0", "T1", "T2", "T4", "T5", "T6", "T8")
"""Rows of training that need nothing but a CPU."""


def run(script: str, *options: str, data: Path, output: Path) -> str:
    """What a benchmark prints."""
    command = [sys.executable, str(BENCHMARKS / script), "--shape", "tiny", "--device", "cpu", "--rounds", "1", "--output", str(output)]
    done = subprocess.run([*command, *options], env={**os.environ, "FINTUNE_DATA": str(data)}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def line(printed: str, name: str) -> str:
    """The first line of a table that begins with a name."""
    return next(row for row in printed.splitlines() if row.startswith(f"{name} "))


def test_training_runs_what_a_cpu_can_to_the_same_gradient_and_says_why_the_rest_does_not(tmp_path: Path) -> None:
    names = (*CPU, "T3b", "T7", "T8b", "T10")
    options = ("--steps", "1", "--batch", "4", "--conversations", "8", "--whole", "--variants", ",".join(names))
    printed = run("gpu_training.py", *options, data=tmp_path, output=tmp_path)
    (record,) = [json.loads(path.read_text()) for path in tmp_path.glob("gpu-training-on-cpu-*.json")]
    assert next(tmp_path.glob("gpu-training-on-cpu-*.txt")).read_text().strip() == printed.strip()
    rows = record["tiny"]["rows"]
    assert list(rows) == list(names)
    for name, row in rows.items():
        assert len(row["milliseconds"]) == (1 if name in CPU else 0)
        assert bool(row["why"]) == (name not in CPU)
        assert not row["why"] or row["why"] in line(printed, name)
    assert "Liger" in rows["T7"]["why"]
    assert "left out: T9" in printed
    # Three epochs of two steps, by the fastest of what is ours.
    assert re.search(r"the whole recipe by (T5|T6|T8): 6 steps in", printed)
    # And all of them learn the same.
    told = printed.partition("relative errors")[2]
    for name in CPU:
        loss, gradient, loss_in_half, gradient_in_half = map(float, re.findall(r"\d\.\de[+-]\d\d", line(told, name)))
        assert loss < 1e-6
        assert gradient < 1e-5
        assert loss_in_half < 1e-2
        assert 1e-4 < gradient_in_half < 5e-2  # it is another arithmetic, and not another gradient


def test_extraction_runs_on_drawn_lengths(tmp_path: Path) -> None:
    printed = run("gpu_extraction.py", "--documents", "4", "--batch", "2", data=tmp_path, output=tmp_path)
    for name in ("I0 generate", "I1 generate, sorted", "I3 free", "C0 generate, padded", "C1 last token, padded", "C3 choices"):
        assert re.search(r"\d+\.\d", line(printed, name))
    assert "there are no texts to write from" in printed


@pytest.mark.slow
def test_extraction_writes_gold_targets_under_grammars(tmp_path: Path) -> None:
    place = os.environ.get("FINTUNE_DATA", "")
    if not place or not (Path(place) / "tokenizers").is_dir():
        pytest.skip("FINTUNE_DATA is not set: the real tokenizers are not at hand")
    pytest.importorskip("llguidance")
    printed = run("gpu_extraction.py", "--documents", "2", "--batch", "2", data=Path(place), output=tmp_path)
    assert re.search(r"\d+\.\d", line(printed, "I3 constrained"))
    assert "topics, topic/" in printed


def attended(query: Tensor, key: Tensor, value: Tensor, ahead: int, scale: float) -> Tensor:
    """Causal attention `(tokens, heads, width)` of one sequence, in which query t sees keys up to t + ahead."""
    seen = torch.arange(len(key))[None] <= torch.arange(len(query))[:, None] + ahead
    scores = torch.einsum("qhd,khd->hqk", query.float(), key.float()) * scale
    return torch.einsum("hqk,khd->qhd", scores.masked_fill(~seen, -torch.inf).softmax(-1), value.float()).to(query.dtype)


def kernel(bottom: bool) -> Callable[..., Tensor]:
    """A stand-in for `varlen_attn` whose last query stands at the last key, or whose first query stands at the first."""

    def varlen_attn(
        query: Tensor, key: Tensor, value: Tensor, cu_seq_q: Tensor, cu_seq_k: Tensor, max_q: int, max_k: int, *,
        scale: float, window_size: tuple[int, int], enable_gqa: bool = False,
    ) -> Tensor:  # fmt: skip
        del max_q, max_k, window_size, enable_gqa
        key, value = (x.repeat_interleave(query.shape[1] // x.shape[1], 1) for x in (key, value))
        pieces = zip(*(x.split(c.diff().tolist()) for x, c in ((query, cu_seq_q), (key, cu_seq_k), (value, cu_seq_k))), strict=True)
        return torch.cat([attended(q, k, v, len(k) - len(q) if bottom else 0, scale) for q, k, v in pieces])

    return varlen_attn


@pytest.fixture
def common(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module that both benchmarks share."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("gpu_common")


@pytest.mark.parametrize(("prefix", "heads"), [(0, 32), (0, 8), (24, 8)])
def test_a_kernel_is_taken_for_right_only_where_branches_see_their_prefix(common: Any, prefix: int, heads: int) -> None:
    cpu = torch.device("cpu")
    assert "as packs take it" in common.checked(kernel(True), "bottom", prefix, heads, cpu)
    # Without a prefix queries and keys are as many, and both are the same.
    assert ("NOT WHAT PACKS" in common.checked(kernel(False), "top", prefix, heads, cpu)) == (prefix > 0)


def test_a_twin_shares_weights_and_nothing_else(common: Any) -> None:
    from fintune import recipe as recipes

    model = common.network(common.config("tiny"), recipes.load("ner-llama3-8b"), torch.device("cpu"), torch.float32)
    twin = common.twin(model)
    assert all(one is other for one, other in zip(model.parameters(), twin.parameters(), strict=True))
    tokens = torch.tensor([[5, 6, 7]])
    before = model(input_ids=tokens).logits
    assert torch.equal(twin(input_ids=tokens).logits, before)
    twin.get_base_model().model.layers[0].mlp.forward = lambda x: 0 * x
    twin.get_base_model().set_attn_implementation("eager")
    assert not torch.equal(twin(input_ids=tokens).logits, before)
    assert torch.equal(model(input_ids=tokens).logits, before)
    assert model.get_base_model().config._attn_implementation != "eager"


def test_what_fails_ends_nothing_and_is_not_tried_again(common: Any) -> None:
    turns: list[tuple[str, int]] = []

    def works(number: int) -> str:
        turns.append(("works", number))
        return "1 ms"

    def fails(number: int) -> str:
        turns.append(("fails", number))
        raise torch.OutOfMemoryError("out of\nmemory")

    found = common.in_turns({"fails": fails, "works": works}, 3, until=float("inf"))
    assert found == {"fails": "OutOfMemoryError: out of memory"}
    assert turns == [("fails", 0), ("works", 0), ("works", 1), ("works", 2)]
    assert common.in_turns({"works": works}, 3, until=0.0) == {}
    assert len(turns) == 4
