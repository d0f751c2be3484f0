"""Every number of a label report equals the one computed alone; its bins, floors and faults are where a reader looks for them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fintune.errors import DataError
from fintune.metrics import calibration
from fintune.metrics.intervals import Bootstrap, percentiles, resample
from fintune.metrics.label_report import Judged, build, judged
from fintune.metrics.labels import SCORES, brier, count, ids_of, log_loss
from fintune.metrics.spans import MEASURES

LABELS = ("A", "B", "C")
PLAN = Bootstrap(replicates=60, seed=4, level=0.8)
GOLD = ["A", "A", "B", "B", "A", "C", "A", "B", "A", "A", "B", "A"]
PREDICTED = ["A", "B", "B", "B", "A", "A", "A", "A", "C", "A", "B", "B"]
UNREAD = ["A", None, "B", "B", None, "A", "A", "A", "C", "A", "B", "B"]
CLUSTERS = [f"d{number // 2}" for number in range(12)]


def probabilities() -> np.ndarray:
    """Each favours the predicted label, by a share that differs."""
    rows = np.random.default_rng(1).random((12, 3)) * 0.3
    rows[np.arange(12), ids_of(PREDICTED, labels=LABELS)] += np.linspace(0.5, 3, 12)
    return rows / rows.sum(axis=1, keepdims=True)


SYSTEM = judged(GOLD, PREDICTED, labels=LABELS, probabilities=probabilities())
FLOORS = {"majority": judged(GOLD, ["A"] * 12, labels=LABELS)}
REPORT = build(SYSTEM, task="t", labels=LABELS, clusters=CLUSTERS, floors=FLOORS, plan=PLAN)


def entry(value: float, samples: np.ndarray) -> dict[str, float]:
    low, high = percentiles(samples, level=PLAN.level)
    return {"value": float(value), "low": float(low), "high": float(high)}


@pytest.mark.parametrize("name", SCORES)
def test_each_score_equals_the_one_computed_alone(name):
    for scores, system in ((REPORT["metrics"], SYSTEM), (REPORT["floors"]["majority"], FLOORS["majority"])):
        counts = count(system.gold, system.predicted, labels=3)
        expected = entry(SCORES[name](counts.sum(axis=0)), SCORES[name](resample(counts, CLUSTERS, plan=PLAN)))
        assert scores[name] == pytest.approx(expected)


@pytest.mark.parametrize(("name", "score"), [("log_loss", log_loss), ("brier", brier)])
def test_means_of_proper_scores_equal_those_computed_alone(name, score):
    each = score(probabilities(), SYSTEM.gold)
    totals = resample(np.stack([each, np.ones(12)], axis=-1), CLUSTERS, plan=PLAN)
    assert REPORT["metrics"][name] == pytest.approx(entry(each.mean(), totals[:, 0] / totals[:, 1]))


def test_the_calibration_error_and_its_bins_equal_those_computed_alone():
    confidence = probabilities().max(axis=1)
    right = SYSTEM.gold == SYSTEM.predicted
    member = calibration.members(confidence)
    cells = calibration.sums(confidence, right, member)
    expected = entry(calibration.error(cells.sum(axis=0)), calibration.error(resample(cells, CLUSTERS, plan=PLAN)))
    assert REPORT["metrics"]["ece"] == pytest.approx(expected)
    assert REPORT["calibration"] == calibration.record(confidence, right, examples=12, level=PLAN.level, seed=PLAN.seed)
    assert REPORT["calibration"]["bins"] == calibration.table(confidence, right, member, level=PLAN.level)


@pytest.mark.parametrize("label", LABELS)
def test_each_label_equals_the_one_computed_alone(label):
    row = REPORT["per_label"][label]
    counts = count(SYSTEM.gold, SYSTEM.predicted, labels=3)[:, LABELS.index(label)]
    for name, measure in MEASURES.items():
        assert row[name] == pytest.approx(entry(measure(counts.sum(axis=0)), measure(resample(counts, CLUSTERS, plan=PLAN))))
    assert (row["support"], row["predicted"]) == (GOLD.count(label), PREDICTED.count(label))


def test_the_frame_of_the_report():
    assert (REPORT["schema_version"], REPORT["task"], REPORT["kind"], REPORT["examples"], REPORT["documents"]) == (1, "t", "label", 12, 6)
    assert REPORT["bootstrap"] == {"replicates": 60, "seed": 4, "level": 0.8}
    assert REPORT["malformed"] == {"count": 0, "share": 0.0}
    assert REPORT["confusion"] == {"labels": ["A", "B", "C", "none"], "counts": [[4, 2, 1, 0], [1, 3, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]}
    assert json.loads(json.dumps(REPORT, allow_nan=False)) == REPORT


def test_without_probabilities_there_is_no_calibration_to_speak_of():
    report = build(judged(GOLD, UNREAD, labels=LABELS), task="t", labels=LABELS, clusters=CLUSTERS, floors={}, plan=PLAN)
    assert report["calibration"] == {"examples": 0, "bins": []}
    assert set(report["metrics"]) == set(SCORES)
    assert report["malformed"] == {"count": 2, "share": 2 / 12}
    assert report["confusion"]["counts"][0] == [3, 1, 1, 2]
    assert report["metrics"]["accuracy"]["value"] == pytest.approx(6 / 12)
    assert report["per_label"]["A"]["support"] == 7


def test_nothing_to_score_is_refused():
    empty = Judged(np.zeros(0, np.int64), np.zeros(0, np.int64))
    with pytest.raises(DataError, match="0 examples"):
        build(empty, task="t", labels=LABELS, clusters=[], floors={}, plan=PLAN)
