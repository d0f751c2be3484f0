"""What the label and question recipes for a CPU score on public data: several seeds, with the floors beside them.

A test part is held out: of sentences and topics so that its texts have no near duplicate in the rest (`stratified`), of headlines with
all entities of each (`group`), of TFNS at random, and scored once more without such texts (`clean`). A part of the rest validates, and
chose whatever was chosen. The model is trained on what is left, and the floors on the same rows. The seed of the split stays, that of
the training varies.

    python benchmarks/accuracy.py sentiment [--seeds 0,1,2] [--threads 2] [--set train.epochs=3]
    python benchmarks/accuracy.py topic
    python benchmarks/accuracy.py tfns
    python benchmarks/accuracy.py per-entity
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

import common
from fintune import api
from fintune import recipe as recipes
from fintune.data.formats.base import ReadOptions
from fintune.data.formats.jsonl import dump
from fintune.data.load import load
from fintune.data.split import Fractions, split

WANTED = ("accuracy", "macro_f1", "mcc", "ece", "log_loss")


@dataclass(frozen=True)
class Trial:
    """A data set, the recipe for it, and how much of it trains, validates and tests."""

    file: str
    recipe: str
    fractions: Fractions
    settings: tuple[str, ...] = ()
    method: str = "stratified"
    rename: Mapping[str, str] = field(default_factory=dict)
    on_bad: Literal["stop", "skip"] = "stop"


TRIALS = {
    "sentiment": Trial("sentiment/fpb_allagree.jsonl", "sentiment-minilm", (0.7, 0.1, 0.2)),
    "topic": Trial("topic/twitter_topic20_train.jsonl.gz", "topic-minilm", (0.86, 0.04, 0.1)),
    "per-entity": Trial(
        "sentiment/sentfin_train.jsonl",
        "sentiment-minilm",
        (0.82, 0.08, 0.1),
        ("task=sentiment-per-entity", "train.epochs=4", "train.masking=0.15", "train.label_smoothing=0"),
        "group",
        on_bad="skip",
    ),
    "tfns": Trial(
        "sentiment/tfns_train.jsonl",
        "sentiment-minilm",
        (0.82, 0.08, 0.1),
        ("data.links=drop", "train.epochs=5", "train.masking=0.15", "train.label_smoothing=0"),
        method="paper",
        rename={"0": "negative", "1": "positive", "2": "neutral"},
    ),
}


def main() -> None:
    """Train and score one recipe with each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trial", choices=list(TRIALS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--validation-only", action="store_true", help="choose settings: do not look at the test part")
    parser.add_argument("--output", type=Path, default=common.RESULTS, help="folder of the dated file")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    trial = TRIALS[given.trial]
    path = common.data_file(trial.file)
    if path is None:
        sys.exit(f"{trial.file} is not below $FINTUNE_DATA")
    data = load(path, ReadOptions(rename=trial.rename, on_bad=trial.on_bad), kind="label").examples
    parts = split(data, method=trial.method, fractions=trial.fractions)
    print(", ".join(f"{name} {len(part):,}" for name, part in parts.parts().items()), *given.overrides, file=sys.stderr, flush=True)
    lines = []
    for seed in map(int, given.seeds.split(",")):
        settings = [*trial.settings, f"seed={seed}", *given.overrides]
        lines.append(one(trial, parts.train, parts.validation, parts.test, settings, look=not given.validation_only))
        print(json.dumps(lines[-1]), flush=True)
    if not given.validation_only:
        common.publish(f"accuracy-{given.trial}", "\n".join([*common.circumstances(trial.file), table(lines)]), given.output)


def one(
    trial: Trial, train: Sequence[Any], validation: Sequence[Any], test: Sequence[Any], settings: Sequence[str], *, look: bool
) -> dict[str, Any]:  # fmt: skip
    """Train once; the scores on validation examples after each epoch, and where it may be looked at on the test part."""
    scores: list[float] = []

    def listen(event: Mapping[str, Any]) -> None:
        if event["event"] == "validation":
            scores.append(round(event["metrics"]["accuracy"], 4))
            print(
                f"epoch {event['epoch'] + 1}: {event['metrics']['accuracy']:.4f} {event['metrics']['macro_f1']:.4f}",
                file=sys.stderr,
                flush=True,
            )

    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        files = {name: Path(folder) / f"{name}.jsonl" for name in ("train", "validation", "test")}
        for file, part in zip(files.values(), (train, validation, test), strict=True):
            file.write_text("".join(dump(example) + "\n" for example in part), encoding="utf-8")
        resolved = recipes.load(trial.recipe, settings)
        run = api.train(resolved, data=files["train"], validation=files["validation"], output=Path(folder) / "run", listen=listen)
        found: dict[str, Any] = {"settings": list(settings), "minutes": round((time.perf_counter() - began) / 60, 2), "validation": scores}
        found["training_minutes"] = round(run.manifest["seconds"] / 60, 2)
        held = run.evaluate(files["validation"], output=Path(folder) / "held")["metrics"]
        found["calibrated on validation"] = {name: round(held[name]["value"], 4) for name in ("accuracy", "ece", "log_loss")}
        if look:
            report = run.evaluate(files["test"], output=Path(folder) / "test", clean=trial.method == "paper")
            found |= {name: report["metrics"][name] for name in WANTED if name in report["metrics"]}
            found["floors"] = {name: {k: v for k, v in f.items() if k in ("accuracy", "macro_f1")} for name, f in report["floors"].items()}
            if "clean" in report:
                clean = report["clean"]
                found["clean"] = {"examples": clean["examples"]} | {name: clean["metrics"][name] for name in ("accuracy", "macro_f1")}
            found |= {"at 90 % coverage": at_coverage(report["selective"])}
        return found


def at_coverage(curve: Mapping[str, Any], wanted: float = 0.9) -> dict[str, float]:
    """Share of wrong labels among all, and among the most certain ones."""
    point = min(curve["points"], key=lambda point: abs(point["coverage"] - wanted))
    return {"coverage": point["coverage"], "error of all": curve["error"], "error": point["error"]}


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """One line a seed, the mean of each metric below."""
    rows = [json.dumps(line) for line in lines]
    means = {name: statistics.mean(line[name]["value"] for line in lines) for name in WANTED if name in lines[0]}
    return "\n".join([*rows, "mean " + ", ".join(f"{name} {value:.4f}" for name, value in means.items())])


if __name__ == "__main__":
    main()
