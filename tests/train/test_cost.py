"""What a run and an evaluation say they cost: operations as torch counts them, sums over interruptions, and prices by arithmetic."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

import fintune
import jobs
import tiny
import writing
from fintune import api, run
from fintune.heads.base import IGNORED
from fintune.heads.build import build
from fintune.models import cost, energy, estimate
from fintune.models.cost import Meter, Spent, beside, of_examples, record
from fintune.models.structure import structure
from fintune.models.watch import watched
from fintune.recipe import Cost, Recipe
from fintune.records import Example
from fintune.tasks.base import load_task
from fintune.train import preflight_figures as figures
from fintune.train.run import train

LAYERS = 6
KEYS = {
    "wall_seconds", "cpu_seconds", "gpu_seconds", "peak_memory_bytes", "peak_gpu_memory_bytes", "tokens", "supervised_tokens", "flop",
    "energy_joules", "energy_source", "hourly_rate", "currency", "price",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _small_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """The matrix product that measures the machine is no work of the run."""
    monkeypatch.setitem(estimate._PROBE, "cpu", 8)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the tiny one, with so many layers that the first, which needs no gradient of its input, counts for little."""
    folder = tiny.write_bert(tmp_path_factory.mktemp("deep-bert"))
    config = AutoConfig.from_pretrained(folder)
    config.num_hidden_layers = LAYERS
    torch.manual_seed(1)
    AutoModel.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_chat_model(tmp_path_factory.mktemp("deep-chat"), "llama", layers=LAYERS)


def trained(recipe: Recipe, examples: list[Example], held: list[Example], output: Path) -> dict[str, Any]:
    """The cost of a run."""
    train(recipe, load_task(recipe.task), examples, held, output, data={"train": {"fingerprint": "f"}})
    return run.read_json(output / run.MANIFEST)["cost"]


def operations(act: Callable[[], Any], *, attention: bool = True) -> int:
    """What torch counts; attention of the CPU's own kernel is not among it."""
    kernels = [SDPBackend.MATH] if attention else [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]
    with sdpa_kernel(kernels), FlopCounterMode(display=False) as counter:
        act()
    return counter.get_total_flops()


@pytest.mark.parametrize(
    ("settings", "held"), [({}, 0), ({"train.accumulate": 2}, 12), ({"train.epochs": 2, "train.recompute": "always"}, 0)]
)
def test_operations_of_a_run_are_those_that_torch_counts(encoder, tmp_path, settings, held):
    recipe, examples, kept = tiny.recipe(encoder, {"train.epochs": 1, **settings}), tiny.examples(), {}
    counted = operations(lambda: kept.update(trained(recipe, examples[:30], examples[30 : 30 + held], tmp_path / "run")))
    assert kept["flop"] == pytest.approx(counted, rel=0.02)


@pytest.mark.parametrize("settings", [{"train.sharing": "prefix"}, {"train.sharing": "none", "train.recompute": "always"}])
def test_operations_of_packs_are_those_that_torch_counts_beside_attention(chat, tmp_path, settings):
    recipe, kept = tiny.chat_recipe(chat, {"train.epochs": 1, **settings}), {}
    examples, task = tiny.examples(12), load_task(recipe.task)
    counted = operations(lambda: kept.update(trained(recipe, examples, [], tmp_path / "run")), attention=False)
    built = build(recipe, task)
    load = figures.epoch(recipe, built.head, built.head.encode(examples, "train")).load
    attended = estimate.flops(structure(built.model), estimate.Load(0, load.pairs, 0), recompute=recipe.train.recompute)
    assert kept["flop"] - attended == pytest.approx(counted, rel=0.02)
    assert 0 < attended < kept["flop"] / 2


@pytest.mark.parametrize("base", ["encoder", "chat"])
def test_operations_of_predictions_are_those_that_torch_counts(base, encoder, chat, tmp_path):
    """Of batches, and of texts written token by token after a cache."""
    made = tiny.recipe(encoder) if base == "encoder" else tiny.chat_recipe(chat)
    built, examples, found = build(made, load_task(made.task)), tiny.examples(5), {}
    from fintune.predict.run import measured

    built.model.eval()
    counted = operations(lambda: found.update(measured(built.model, built.head, examples, recipe=made)[1]))
    assert found["flop"] == pytest.approx(counted, rel=1e-6)


def test_encoder_decoders_are_counted(tmp_path):
    """Roughly: their cross attention is not in the formula."""
    base = writing.write_t5(tmp_path / "t5")
    made = tiny.chat_recipe(base, {"prompt.template": "auto", "predict.max_new_tokens": 4}, name="ner-t5-base")
    from fintune.predict.run import measured

    built = build(made, load_task(made.task))
    built.model.eval()
    _, found = measured(built.model, built.head, tiny.examples(3), recipe=made)
    assert found["tokens"] > 0
    assert found["flop"] > 0


def test_an_interruption_changes_nothing_but_times(tiny_base, tmp_path):
    settings = {"train.checkpoint_every": 1}
    jobs.run_training(tiny_base, tmp_path / "whole", settings, lambda event: None)

    def stop(event: Mapping[str, Any]) -> None:
        if (event["event"], event.get("step")) == ("checkpoint", 7):
            raise _Enough

    with pytest.raises(_Enough):
        jobs.run_training(tiny_base, tmp_path / "parts", settings, stop)
    first = run.read_json(tmp_path / "parts" / run.CHECKPOINTS / "step-7" / "progress.json")["cost"]["spent"]
    jobs.run_training(tiny_base, tmp_path / "parts", settings, lambda event: None)
    whole, parts = (run.read_json(tmp_path / name / run.MANIFEST)["cost"] for name in ("whole", "parts"))
    for key in ("tokens", "supervised_tokens", "flop", "gpu_seconds"):
        assert parts[key] == whole[key]
    assert parts["wall_seconds"] > first["wall_seconds"] > 0
    assert parts["cpu_seconds"] > first["cpu_seconds"] > 0


class _Enough(Exception):
    """As if the process had died."""


def test_tokens_are_counted_as_what_is_learnt_and_read(recipe, tmp_path):
    made, examples = recipe({"train.epochs": 2, "data.max_tokens": 128, "data.words": "fine"}), tiny.examples(20)
    kept = trained(made, examples, [], tmp_path / "run")
    built = build(made, load_task(made.task))
    items = built.head.encode(examples, "train")
    assert kept["tokens"] == 2 * sum(item.length for item in items) == run.read_json(tmp_path / "run" / run.MANIFEST)["tokens"]
    labels = built.head.collate(items)["labels"]
    assert kept["supervised_tokens"] == 2 * int((labels != IGNORED).sum())
    operations_before = run.read_json(tmp_path / "run" / run.PREFLIGHT)["time"]["operations"]
    assert kept["flop"] == pytest.approx(operations_before, rel=0.05)  # the second epoch is padded otherwise than the first
    assert kept.keys() == KEYS


def test_an_evaluation_says_what_a_thousand_texts_cost(recipe, examples, tmp_path):
    finished = api.train(recipe({"train.epochs": 1, "cost.hourly_rate": 3.0}), data=examples[:30], output=tmp_path / "run")
    report = finished.evaluate(examples[30:50])
    found = report["cost"]
    assert found.keys() == KEYS | {"examples", "per_1000"}
    assert found["examples"] == 20
    assert found["per_1000"]["seconds"] == pytest.approx(found["wall_seconds"] * 50)
    assert found["price"] == pytest.approx(found["wall_seconds"] / 3600 * 3)
    assert found["per_1000"]["price"] == pytest.approx(found["price"] * 50)
    assert run.read_json(tmp_path / "run" / run.REPORT_JSON)["cost"] == found
    _, other = fintune.load(tmp_path / "run").measured(examples[:4], hourly_rate=0.0)
    assert (other["hourly_rate"], other["price"], other["per_1000"]["price"]) == (0.0, 0.0, 0.0)


SECONDS = st.floats(0, 1e6)
MAYBE = st.none() | SECONDS
SPENT = st.builds(
    Spent, SECONDS, SECONDS, MAYBE, st.integers(0, 10**12), st.none() | st.integers(0, 10**12), SECONDS, st.sampled_from(["rapl", "nvml"])
) | st.builds(Spent, SECONDS, SECONDS, MAYBE, st.integers(0, 10**12), st.none(), st.none(), st.none())


@given(SPENT, SPENT, SPENT)
def test_sums_do_not_depend_on_where_a_run_was_interrupted(a, b, c):
    left, right = dataclasses.asdict(a.then(b).then(c)), dataclasses.asdict(a.then(b.then(c)))
    assert left == pytest.approx(right)
    sources = {a.energy_source, b.energy_source, c.energy_source}
    assert left["energy_source"] == (sources.pop() if len(sources) == 1 else None), "known where all of it is"
    assert left["peak_memory_bytes"] == max(a.peak_memory_bytes, b.peak_memory_bytes, c.peak_memory_bytes)


@given(st.lists(SPENT, min_size=1, max_size=4))
def test_processes_side_by_side_take_no_longer_than_the_longest(parts):
    found = beside(parts)
    assert found.wall_seconds == max(part.wall_seconds for part in parts)
    assert found.cpu_seconds == pytest.approx(sum(part.cpu_seconds for part in parts))
    assert beside(parts[:1]) == parts[0]
    if {part.energy_source for part in parts} == {"rapl"}:
        assert found.energy_joules == parts[0].energy_joules, "all read the counters of one machine"
    if {part.energy_source for part in parts} == {"nvml"}:
        assert found.energy_joules == pytest.approx(sum(part.energy_joules for part in parts))


@given(SPENT, st.none() | st.floats(0, 1e4), st.integers(0, 5000))
def test_prices_are_arithmetic_and_records_plain_json(spent, rate, examples):
    kept = record(spent, tokens=3, supervised_tokens=2, flop=10**20, cost=Cost(hourly_rate=rate))
    found = of_examples(kept, examples)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert kept.keys() == KEYS
    assert (kept["price"] is None) == (rate is None)
    if rate is not None:
        assert kept["price"] == pytest.approx(spent.wall_seconds / 3600 * rate, rel=1e-6)
    assert (found["per_1000"]["seconds"] is None) == (examples == 0)


def test_the_meter_reads_what_the_process_does(monkeypatch):
    class Steps:
        source = "rapl"
        readings: Iterator[float | None] = iter([5.0, 9.0, None])

        def joules(self) -> float | None:
            return next(self.readings)

    monkeypatch.setattr(energy, "processors", Steps)
    monkeypatch.setattr(cost, "SAMPLED", -1.0)
    meter = Meter(torch.device("cpu"))
    meter.sample()  # takes the first reading
    held = torch.ones(40_000_000)  # 160 MB
    before = meter.read()
    assert (before.energy_joules, before.energy_source) == (9.0, "rapl")
    assert before.peak_memory_bytes > held.nbytes
    assert before.gpu_seconds is None is before.peak_gpu_memory_bytes
    spun = subprocess.run([sys.executable, "-c", "sum(i * i for i in range(300_000))"], check=True)
    after = meter.read()
    assert spun.returncode == 0
    assert after.cpu_seconds >= before.cpu_seconds + 0.005, "children that have ended count"
    assert after.wall_seconds > before.wall_seconds
    assert (after.energy_joules, after.energy_source) == (None, None)


def test_watching_leaves_no_trace(tiny_base):
    network = AutoModelForSequenceClassification.from_pretrained(tiny_base)
    model = type("Held", (), {})()
    model.adapted = type("Adapted", (), {"get_base_model": lambda self: network})()
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])
    with watched(model) as seen:
        network(input_ids=torch.ones(2, 4, dtype=torch.long), attention_mask=mask)
    network(input_ids=torch.ones(9, 4, dtype=torch.long))
    assert seen.load == estimate.Load(8, 32, 2)
    assert seen.tokens == 5
    assert not any(module._forward_pre_hooks for module in network.modules())
