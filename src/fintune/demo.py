"""What `fintune demo` does: train on the bundled corpus, score, extract from three sentences of its own, write the report.

It replaces an earlier demo in its folder, and refuses a folder with any other finished run.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from fintune import run as folders
from fintune.api import train
from fintune.console import Watch, mode, note, terminal
from fintune.errors import UsageError
from fintune.report.terminal import score_table, spans_line

DATA = "bundled:train"

SETTINGS = ["train.epochs=4"]
"""The demo makes fewer passes than the recipe, to show a result in about a minute."""

TEXTS = [
    "Corvane Industries agreed to sell its Malmö packaging plant to Brightwater Partners for €214 million, "
    "Chief Executive Ines Dahl said on Tuesday.",
    "Net sales of the Tidewell insulin pump rose 18% to $96.4 million in the third quarter of 2025, "
    "while the workforce in Ohio shrank by 240 employees.",
    "The Monetary Policy Committee left its benchmark rate unchanged at 4.25% and sees inflation near 2% by the end of next year.",
]


def run(output: Path, *, quiet: bool) -> None:
    """Show the demo.

    Raises:
        UsageError: where `output` holds a finished run that is no demo.
    """
    if folders.finished(output):
        if folders.read_json(output / folders.MANIFEST).get("data", {}).get("train", {}).get("source") != DATA:
            raise UsageError(f"{str(output)!r} holds a run that is no demo", where="--output", fix="choose another folder")
        shutil.rmtree(output)
    note("Training ner-minilm on the bundled corpus (synthetic, CC0: see 'fintune corpus') ...")
    with Watch(mode(quiet=quiet, json=False)) as watch:
        finished = train("ner-minilm", data=DATA, validation="bundled:validation", output=output, overrides=SETTINGS, listen=watch)
    report = finished.evaluate("bundled:test")
    console = terminal()
    console.print(score_table(report))
    for prediction in finished.predict(TEXTS):
        console.print(spans_line(prediction.text, prediction.spans or (), labels=finished.task.labels), soft_wrap=True)
    print(f"\nThe report: {output / folders.REPORT_HTML}\nNow your own: fintune predict {output} --text '...'")
