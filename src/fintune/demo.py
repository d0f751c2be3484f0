"""What `fintune demo` does: train on the bundled corpus, score, predict for texts of its own, write the report.

One demo for each of entities, sentiment, topic and qa. It replaces an earlier demo in its folder, and refuses a folder with any other
finished run. `fintune demo --task sentiment` shows one.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from fintune import run as folders
from fintune.api import train
from fintune.console import Watch, mode, note, terminal
from fintune.errors import UsageError, did_you_mean
from fintune.records import Example
from fintune.report.terminal import prediction_line, score_table


@dataclass(frozen=True, slots=True)
class Demo:
    """One demo: the recipe, what of the corpus it reads, what it overrides to show a result in a minute or two, and its own texts."""

    recipe: str
    label: str
    settings: tuple[str, ...]
    examples: tuple[Example, ...]

    def data(self, split: str) -> str:
        """The corpus under the name of a slice."""
        return f"bundled:{split}{self.label}"


def _texts(*texts: str) -> tuple[Example, ...]:
    return tuple(Example(str(number), text) for number, text in enumerate(texts, start=1))


_REPORT = (
    "Corvane Industries agreed to sell its Malmö packaging plant to Brightwater Partners for €214 million, "
    "Chief Executive Ines Dahl said on Tuesday."
)
_HEADLINES = _texts(
    "Tidewell Foods raised its full-year outlook after quarterly profit beat expectations.",
    "Halden Rail Group cut its dividend by half and warned of further losses.",
    "The annual general meeting of Quillmark Energy will be held in Ostrava on 14 May.",
)
DEMOS = {
    "entities": Demo(
        "ner-minilm", "", ("train.epochs=4",),
        _texts(
            _REPORT,
            "Net sales of the Tidewell insulin pump rose 18% to $96.4 million in the third quarter of 2025, "
            "while the workforce in Ohio shrank by 240 employees.",
            "The Monetary Policy Committee left its benchmark rate unchanged at 4.25% and sees inflation near 2% by the end of next year.",
        ),
    ),
    "sentiment": Demo("sentiment-minilm", "#sentiment", ("train.epochs=3",), _HEADLINES),
    "topic": Demo("topic-minilm", "#topic", ("train.epochs=8",), _HEADLINES),
    "qa": Demo(
        "qa-minilm", "", ("train.epochs=3",),
        (
            Example("1", _REPORT, question="What did Corvane Industries sell?"),
            Example("2", _REPORT, question="How much does the buyer pay?"),
            Example("3", _REPORT, question="What was the net profit of the year?"),
        ),
    ),
}  # fmt: skip


def run(task: str, output: Path | None, *, quiet: bool) -> None:
    """Show the demo of a task.

    Raises:
        UsageError: for a task without a demo, and where `output` holds a finished run that is no demo.
    """
    if task not in DEMOS:
        raise UsageError(f"no demo of {task!r}", where="--task", fix=did_you_mean(task, DEMOS))
    shown = DEMOS[task]
    output = output or Path("runs") / ("demo" if task == "entities" else f"demo-{task}")
    if folders.finished(output):
        source = folders.read_json(output / folders.MANIFEST).get("data", {}).get("train", {}).get("source")
        if source not in {one.data("train") for one in DEMOS.values()}:
            raise UsageError(f"{str(output)!r} holds a run that is no demo", where="--output", fix="choose another folder")
        shutil.rmtree(output)
    note(f"Training {shown.recipe} on the bundled corpus (synthetic, CC0: see 'fintune corpus') ...")
    with Watch(mode(quiet=quiet, json=False)) as watch:
        finished = train(
            shown.recipe, data=shown.data("train"), validation=shown.data("validation"), output=output, overrides=shown.settings,
            listen=watch,
        )  # fmt: skip
    report = finished.evaluate(shown.data("test"))
    console = terminal()
    console.print(score_table(report))
    for example, prediction in zip(shown.examples, finished.predict(shown.examples), strict=True):
        asked = f"{example.question} " if example.question is not None else ""
        console.print(asked, end="")
        console.print(prediction_line(prediction, labels=finished.task.labels), soft_wrap=True)
    print(f"\nThe report: {output / folders.REPORT_HTML}\nNow your own: fintune predict {output} --text '...'")
