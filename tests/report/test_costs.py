"""The cost of a run on its page and below its scores; older runs have none, and what was not measured is said."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from fintune.report import costs
from fintune.report.score_table import score_table

COST = {
    "wall_seconds": 90.0, "cpu_seconds": 170.5, "gpu_seconds": None, "peak_memory_bytes": 3 * 2**30, "peak_gpu_memory_bytes": None,
    "tokens": 12_345, "supervised_tokens": 678, "flop": 2_500_000_000_000, "energy_joules": None, "energy_source": None,
    "hourly_rate": 4.0, "currency": "EUR", "price": 0.1,
}  # fmt: skip
EVALUATION = {**COST, "supervised_tokens": 0, "examples": 200, "per_1000": {"seconds": 450.0, "price": 0.5}}


def rows(group: costs.Group) -> dict[str, str]:
    return dict(group.rows)


def test_figures_are_those_of_the_run_in_words():
    training, evaluation = costs.costs({"cost": COST}, {"cost": EVALUATION})
    assert rows(training) == {
        "time": "90 s", "processor time": "2 min 50 s", "most memory": "3 GiB", "tokens": "12,345, 678 units learnt",
        "operations, estimated": "2.5 TFLOP", "energy": "this machine does not report it", "price": "0.1 EUR, at 4.00 EUR an hour",
    }  # fmt: skip
    assert rows(evaluation)["rate"] == "1,000 texts in 7 min 30 s for 0.5 EUR"
    assert rows(evaluation)["price"] == "0.1 EUR for 200 texts, at 4.00 EUR an hour"


def test_what_was_not_stated_is_not_invented():
    (training,) = costs.costs({"cost": {**COST, "price": None, "hourly_rate": None, "energy_joules": 1500.0, "energy_source": "rapl"}}, {})
    assert rows(training)["price"] == "no hourly rate was stated"
    assert rows(training)["energy"] == "1.5 kJ (all processors of the machine, whoever used them)"
    assert costs.costs({}, {}) == ()
    assert costs.line({}) == ""


@pytest.mark.parametrize("cost", [None, "much", {}, {"per_1000": 3}, {"per_1000": {"seconds": "x"}}, {"wall_seconds": float("nan")}])
def test_odd_files_do_no_harm(cost):
    costs.costs({"cost": cost}, {"cost": cost})
    assert costs.line({"cost": cost}) == ""


def test_the_terminal_says_the_rate():
    file = io.StringIO()
    Console(file=file, width=120).print(score_table({"metrics": {}, "examples": 200, "cost": EVALUATION}))
    assert "200 examples · 1,000 texts in 7 min 30 s for 0.5 EUR" in " ".join(file.getvalue().split())
