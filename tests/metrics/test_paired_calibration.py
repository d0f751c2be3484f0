"""The tests err about as often as they say: the simulation of `benchmarks/calibration_of_tests.py` on a few hundred pairs.

Bounds are those that a right rate leaves once in ten thousand; what a comparison must not do (sentences as if independent, seeds left
out) leaves them in the same simulation, so that they can be left.
"""

from __future__ import annotations

import importlib
import math
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from fintune.metrics.intervals import Bootstrap

PAIRS, REPLICATES, DOCUMENTS = 250, 199, 60
WIDTH = 3.9


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    folder = str(Path(__file__).parents[2] / "benchmarks")
    sys.path.insert(0, folder)
    try:
        found = importlib.import_module("calibration_of_tests")
    finally:
        sys.path.remove(folder)
    found.LUCK = 0.4  # documents that differ much, so that few pairs show who takes their sentences as independent
    return found


@pytest.fixture(scope="module")
def null(simulation) -> Counter[str]:
    """What is claimed of pairs without a difference."""
    found = Counter[str]()
    for number in range(PAIRS):
        random = np.random.default_rng([8, number])
        true = dict.fromkeys(simulation.MADE["spans"][2], 0.0)
        plan = Bootstrap(REPLICATES, seed=number)
        found.update(simulation.claims(random, "spans", loss=0.0, true=true, documents=DOCUMENTS, plan=plan))
    return found


def within(count: int, rate: float, *, slack: float = 0.0) -> bool:
    return abs(count / PAIRS - rate) <= WIDTH * math.sqrt(rate * (1 - rate) / PAIRS) + slack


@pytest.mark.parametrize("score", ["micro_f1", "macro_f1"])
def test_null_pairs_are_told_apart_one_time_in_twenty(null, score):
    assert within(null[f"{score}: randomisation"], 0.05)
    assert within(null[f"{score}: interval excludes zero"], 0.05, slack=0.01)  # percentiles of few documents are a little narrow
    assert within(null[f"{score}: interval holds the truth"], 0.95, slack=0.01)


def test_sentences_of_one_document_taken_as_independent_would_be_noticed(null):
    assert not within(null["micro_f1: randomisation, sentences as if independent"], 0.05)


def test_intervals_over_seeds_hold_the_truth_and_those_over_documents_do_not(simulation):
    found = Counter[str]()
    for number in range(PAIRS):
        random, plan = np.random.default_rng([9, number]), Bootstrap(REPLICATES, seed=number)
        found.update(simulation.seeds(random, spread=0.06, documents=DOCUMENTS, plan=plan))
    assert within(found["micro_f1: interval over seeds and documents"], 0.95, slack=0.01)
    assert not within(found["micro_f1: interval over documents only"], 0.95, slack=0.01)


def test_mcnemar_rejects_as_often_as_its_coins_allow(simulation):
    found = Counter[str]()
    for number in range(PAIRS):
        found.update(simulation._coins(np.random.default_rng([10, number]), DOCUMENTS, 0.0))
    rejected, expected = found["accuracy: McNemar"], found["accuracy: McNemar, expected"]
    assert rejected / PAIRS <= 0.05 + WIDTH * math.sqrt(0.05 * 0.95 / PAIRS)
    assert abs(rejected - expected) <= WIDTH * math.sqrt(2 * 0.03 * PAIRS)
