"""What is fitted on validation examples makes probabilities likelier, and holds the wanted precision on these very examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fintune.metrics.several import log_loss, truths
from fintune.records import Example, Prediction
from fintune.tasks.base import load_task
from fintune.train.fitted import fitted

TOML = 'name = "events"\nkind = "label"\nmultiple = true\ndescription = "d"\n[labels]\ndeal = ""\npeople = ""\nresults = ""\n'
SENTIMENT = load_task("sentiment-3")


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("task") / "events.toml"
    path.write_text(TOML, encoding="utf-8")
    return load_task(path)


def judged(task: Any, *, margin: float, sharpness: float) -> tuple[list[Example], list[Prediction]]:
    """Texts whose gold follows the logits, with probabilities that are too sure by a factor."""
    draw = np.random.default_rng(3)
    logits = draw.normal(size=(200, 3)) * 4
    gold = draw.random((200, 3)) < 1 / (1 + np.exp(-logits))
    chances = 1 / (1 + np.exp(-logits * sharpness))
    examples, found = [], []
    for n in range(200):
        names = [tuple(label for label, yes in zip(task.labels, row, strict=True) if yes) for row in (gold[n], logits[n] > margin)]
        examples.append(Example(str(n), "text", labels=names[0]))
        found.append(Prediction(str(n), "text", labels=names[1], probabilities=tuple(chances[n])))
    return examples, found


def test_a_temperature_undoes_too_much_certainty(task: Any) -> None:
    examples, found = judged(task, margin=0.0, sharpness=3.0)
    temperature, threshold = fitted(task, examples, found, wanted=None)
    assert threshold is None
    assert temperature == pytest.approx(3.0, rel=0.15)
    gold = truths([e.labels or () for e in examples], labels=task.labels)
    before = np.array([p.probabilities for p in found])
    after = 1 / (1 + (1 / before - 1) ** (1 / temperature))
    assert log_loss(after, gold).mean() < log_loss(before, gold).mean()


@pytest.mark.parametrize("margin", [0.0, 0.7])
def test_what_stands_has_the_wanted_precision_in_whole_sets(task: Any, margin: float) -> None:
    examples, found = judged(task, margin=margin, sharpness=1.0)
    temperature, threshold = fitted(task, examples, found, wanted=0.75)
    assert temperature is not None
    assert threshold is not None
    stand = []
    for example, prediction in zip(examples, found, strict=True):
        chances = [1 / (1 + (1 / p - 1) ** (1 / temperature)) for p in prediction.probabilities or ()]
        sure = [p if label in (prediction.labels or ()) else 1 - p for label, p in zip(task.labels, chances, strict=True)]
        if min(sure) >= threshold:
            stand.append(set(example.labels or ()) == set(prediction.labels or ()))
    assert 5 < len(stand) < 200
    assert np.mean(stand) >= 0.75


def test_of_one_label_nothing_has_changed() -> None:
    rows = [(0.7, 0.2, 0.1), (0.1, 0.8, 0.1), (0.3, 0.3, 0.4), (0.5, 0.4, 0.1)]
    examples = [Example(str(n), "a", label=label) for n, label in enumerate(("negative", "neutral", "positive", "neutral"))]
    found = [Prediction(str(n), "a", label="?", probabilities=row) for n, row in enumerate(rows)]
    temperature, threshold = fitted(SENTIMENT, examples, found, wanted=0.9)
    assert temperature is not None
    assert threshold is not None
    assert 0 < threshold < 1
    assert fitted(SENTIMENT, examples, [Prediction(str(n), "a", label="neutral") for n in range(4)], wanted=0.9) == (None, None)
