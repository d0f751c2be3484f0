"""The page and the terminal speak of any number of labels: sets, decisions, what is missing, and what floors reach."""

from __future__ import annotations

import io
import random
from functools import cache
from typing import Any

import made_up_run
import pytest
from rich.console import Console

from fintune.data.card import card
from fintune.metrics.intervals import Bootstrap
from fintune.records import Example, Prediction
from fintune.report.browser import browse
from fintune.report.html import ReportInputs, render
from fintune.report.terminal import prediction_line, score_table
from fintune.tasks.base import documents_of, load_task

LABELS = ("deal", "people <b>", "results")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("task") / "events.toml"
    names = "\n".join(f'"{label}" = ""' for label in LABELS)
    path.write_text(f'name = "events"\nkind = "label"\nmultiple = true\ndescription = "d"\n[labels]\n{names}\n', encoding="utf-8")
    task, (examples, predictions) = load_task(path), made()
    floors = task.learn_floors(examples)
    return task.score(
        list(zip(examples, predictions, strict=True)), documents=documents_of(examples), floors=floors, plan=Bootstrap(replicates=50)
    )


@cache
def made() -> tuple[tuple[Example, ...], tuple[Prediction, ...]]:
    """Invented headlines; decisions are wrong about one time in ten."""
    draw, examples, found = random.Random(4), [], []
    for n in range(80):
        gold = tuple(label for label in LABELS if draw.random() < 0.4)
        chances = tuple(
            round(draw.uniform(0.5, 1) if (label in gold) == (draw.random() < 0.9) else draw.uniform(0, 0.5), 3) for label in LABELS
        )
        given = tuple(label for label, p in zip(LABELS, chances, strict=True) if p > 0.5)
        sure = min(max(p, 1 - p) for p in chances)
        examples.append(Example(f"n{n}", f"Corvane reports {n} of {n % 7}", labels=gold))
        found.append(Prediction(f"n{n}", examples[-1].text, labels=given, probabilities=chances, confidence=sure))
    return tuple(examples), tuple(found)


def page(report: dict[str, Any]) -> str:
    examples, predictions = made()
    metrics = {name: report["metrics"][name]["value"] for name in ("micro_f1", "accuracy", "hamming_loss")}
    log = [{**record, "metrics": metrics} if record["event"] == "validation" else record for record in made_up_run.log()]
    return render(
        ReportInputs(report=report, examples=examples, predictions=predictions, data_card=card(examples, source="test.jsonl"), log=log)
    )


def test_the_page_says_what_the_scores_mean(report: dict[str, Any]) -> None:
    text = page(report)
    for said in (
        "labels the model gives", "get exactly their labels", "always the most frequent set of labels", "Hamming loss", "Whole sets",
        "Not given", "Wrongly given", "Errors of the probabilities", "Ranking precision", "By label", "reliability: confidence",
        "Of the texts that have a label, the share that was given it.", "3</dd>",
    ):  # fmt: skip
        assert said in text, said
    for wrong in (" spans", "people <b>", "Confusion matrix"):
        assert wrong not in text.partition("<main>")[2], wrong
    assert "people &lt;b&gt;" in text


def test_the_browser_shows_what_is_missing_and_too_much() -> None:
    examples = [
        Example("a", "x", labels=("deal", "results")), Example("b", "y", labels=()), Example("c", "z", labels=("deal",)),
        Example("d", "u", labels=()),
    ]  # fmt: skip
    predictions = [
        Prediction("a", "x", labels=("deal", "people <b>"), probabilities=(0.9, 0.8, 0.3), confidence=0.7),
        Prediction("b", "y", labels=()),
        Prediction("c", "z", status="malformed", raw="?", reason="no list"),
        Prediction("d", "u", label="deal"),
    ]
    found = browse(examples, predictions, labels=LABELS)
    assert (found.judged, found.faulty, found.unpaired) == (3, 2, 1)
    first, second = found.entries
    assert (first.errors, first.counts) == (2, ("1 not given", "1 wrongly given"))
    assert [(line.name, line.labels) for line in first.lines[1:]] == [
        ("Gold", (("deal", ""), ("results", ""))), ("Predicted", (("deal", "0.900"), ("people <b>", "0.800"))),
        ("Missed", (("results", "0.300"),)),
    ]  # fmt: skip
    assert (second.errors, second.counts) == (1, ("could not be read",))


def printed(shown: Any) -> str:
    stream = io.StringIO()
    Console(file=stream, width=140, color_system=None).print(shown)
    return stream.getvalue()


def test_the_terminal_shows_scores_and_labels(report: dict[str, Any]) -> None:
    table = printed(score_table(report))
    for said in ("Whole sets", "Hamming loss", "floor: majority", "floor: words", "people <b>", "texts"):
        assert said in table, said
    assert printed(prediction_line(made()[1][0])).strip()
    shown = Prediction("1", "Acme [rose]", labels=("deal", "results"), confidence=0.93)
    assert printed(prediction_line(shown)).strip() == "[deal; results 0.930] Acme [rose]"
    assert printed(prediction_line(Prediction("1", "Acme", labels=()))).strip() == "[no label] Acme"


def test_an_older_reader_knows_the_kind_by_its_metrics(report: dict[str, Any]) -> None:
    from fintune.report.figures import kind_of

    assert kind_of({name: value for name, value in report.items() if name != "kind"}) == kind_of(report) == "labels"
