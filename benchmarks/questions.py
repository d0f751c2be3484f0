"""What `qa-minilm` scores on answers that stand in reports: one half of the questions of TAT-QA's development set, by document.

It learns from the bundled questions, from questions made of the bundled spans, and from the other half, of which a
quarter of the documents validates together with the bundled validation questions. Documents never fall across parts. Beside
the scores are those of the rules that know no language, and what becomes of it without a part of the training data.

    python benchmarks/questions.py [--seeds 0,1,2] [--parts bundled,derived,reports] [--threads 2] [--set train.epochs=6]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import common
from fintune import api
from fintune import recipe as recipes
from fintune.data.corpus import bundle
from fintune.data.load import load
from fintune.data.questions import about_spans
from fintune.records import Example

FILE = "qa/tatqa_extractive_dev.squad.json"
DERIVED = 800
"""Questions made of spans, so that they do not outnumber those that were asked."""
WANTED = ("exact_match", "f1", "has_answer_f1", "has_answer_exact_match", "no_answer_accuracy")


def number(text: str) -> int:
    """A number that depends on the text alone."""
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)


def halves(path: Path) -> tuple[list[Example], list[Example], list[Example]]:
    """Training, validation and test questions about reports, by document."""
    examples = load(path, kind="answer").examples
    first = [e for e in examples if number(str(e.meta.document)) % 2 == 0]
    test = [e for e in examples if number(str(e.meta.document)) % 2]
    return (
        [e for e in first if number(f"v{e.meta.document}") % 4],
        [e for e in first if number(f"v{e.meta.document}") % 4 == 0],
        test,
    )  # fmt: skip


def main() -> None:
    """Train and score with each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--parts", default="bundled,derived,reports")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--validation-only", action="store_true", help="choose settings: do not look at the test half")
    parser.add_argument("--output", type=Path, default=common.RESULTS, help="folder of the dated file")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    path = common.data_file(FILE)
    if path is None:
        sys.exit(f"{FILE} is not below $FINTUNE_DATA")
    reports, held, test = halves(path)
    derived = sorted(about_spans(bundle.load("train", "spans")), key=lambda e: number(e.id))[:DERIVED]
    known = {"bundled": list(bundle.load("train", "answer")), "derived": derived, "reports": reports}
    train = [e for part in given.parts.split(",") for e in known[part]]
    validation = [*held, *bundle.load("validation", "answer")]
    print(
        {name: len(part) for name, part in known.items()},
        f"validation {len(held)} + {len(validation) - len(held)}, test {len(test)}",
        file=sys.stderr,
    )
    lines = []
    for seed in map(int, given.seeds.split(",")):
        sets = {"reports, validation": held, "bundled, validation": validation[len(held) :]}
        if not given.validation_only:
            sets |= {"reports, test": test, "bundled, test": list(bundle.load("test", "answer"))}
        lines.append(one(train, validation, sets, [f"seed={seed}", *given.overrides]))
        print(json.dumps(lines[-1]), flush=True)
    if not given.validation_only:
        common.publish(
            "questions",
            "\n".join([*common.circumstances(f"{FILE}; parts {given.parts}"), *map(json.dumps, lines), means(lines)]),
            given.output,
        )


def one(
    train: Sequence[Example], validation: Sequence[Example], sets: Mapping[str, Sequence[Example]], settings: Sequence[str]
) -> dict[str, Any]:
    """Train once, and score on each of the sets."""

    def listen(event: Mapping[str, Any]) -> None:
        if event["event"] == "validation":
            print(f"epoch {event['epoch'] + 1}: f1 {event['metrics']['f1']:.3f}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        run = api.train(recipes.load("qa-minilm", settings), data=train, validation=validation, output=Path(folder) / "run", listen=listen)
        found: dict[str, Any] = {"settings": list(settings), "minutes": round((time.perf_counter() - began) / 60, 2)}
        for name, examples in sets.items():
            report = run.evaluate(examples, output=Path(folder) / "scored")
            found[name] = {key: value for key, value in report["metrics"].items() if key in WANTED}
            found[name]["floors"] = {
                floor: {k: v for k, v in f.items() if k in ("exact_match", "f1")} for floor, f in report["floors"].items()
            }
        return found


def means(lines: Sequence[Mapping[str, Any]]) -> str:
    """Mean exact match and F1 over the seeds, of each set."""
    shown = []
    for name in (name for name, value in lines[0].items() if isinstance(value, dict)):
        mean = {key: statistics.mean(line[name][key]["value"] for line in lines) for key in ("exact_match", "f1")}
        shown.append(f"mean {name}: " + ", ".join(f"{key} {value:.3f}" for key, value in mean.items()))
    return "\n".join(shown)


if __name__ == "__main__":
    main()
