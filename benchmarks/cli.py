"""How long the command line takes to answer where no model is needed: help, version, an error in a recipe, a check of a data file.

Whole processes, as a shell sees them, in turns; `python -c pass` is the floor. The check reads the 1,693 rows of the seven-type
corpus where they are there, else the bundled corpus, and looks for duplicates, leaks and spans out of place.

    python benchmarks/cli.py [--rounds 10]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import common


def process(command: Sequence[str], *, status: int) -> Callable[[int], common.Timing]:
    """Turns of a command that has to end with `status`."""

    def turn(number: int) -> common.Timing:
        began = time.perf_counter()
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - began
        if ended.returncode != status:
            raise SystemExit(f"{' '.join(command)}: status {ended.returncode}, not {status}\n{ended.stderr}")
        return common.Timing(1, seconds)

    return turn


def main() -> None:
    parser = common.options(__doc__, rounds=10)
    given = parser.parse_args()
    data = common.source()
    fintune = [sys.executable, "-m", "fintune.cli"]
    with tempfile.TemporaryDirectory() as scratch:
        recipe = Path(scratch) / "wrong.yaml"
        recipe.write_text("name: wrong\ntask: finance-ner-7\ntrain:\n  epoch: 3\n", encoding="utf-8")
        variants = {
            "python -c pass": process([sys.executable, "-c", "pass"], status=0),
            "--version": process([*fintune, "--version"], status=0),
            "--help": process([*fintune, "--help"], status=0),
            "error in a recipe": process([*fintune, "show", str(recipe)], status=4),
            "check": process([*fintune, "check", data], status=0),
        }
        found = common.in_turns(variants, given.rounds)
    lines = [f"{'':20}{'seconds':>10}{'lowest':>10}{'highest':>10}"]
    for name, turns in found.items():
        seconds = sorted(t.seconds for t in turns)
        lines.append(f"{name:20}{statistics.median(seconds):10.3f}{seconds[0]:10.3f}{seconds[-1]:10.3f}")
    common.publish("cli", "\n".join([*lines, "", *common.circumstances(data)]), given.output)


if __name__ == "__main__":
    main()
