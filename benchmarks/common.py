"""What the timings share: rows to work on, variants in turns, a table of medians, and a dated file with command and machine.

Figures of one process are compared with each other only: all variants take turns in it, in another order each round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TOKENIZERS_PARALLELISM="false")

RESULTS = Path(__file__).parent / "results"
CORPUS = "bundled:train"


@dataclass(frozen=True, slots=True)
class Timing:
    """One turn of one variant: how much was done, of whatever the benchmark counts, and in how many seconds."""

    done: float
    seconds: float

    @property
    def rate(self) -> float:
        """Done in a second."""
        return self.done / self.seconds


def data_file(name: str) -> Path | None:
    """A file below the folder with real data (`FINTUNE_DATA`, else `../shared/data`), or None where it is not there."""
    path = Path(os.environ.get("FINTUNE_DATA", "../shared/data")) / name
    return path if path.is_file() else None


def source() -> str:
    """The training rows of the seven-type corpus where they are there, else the bundled corpus."""
    return str(data_file("ner/fire7_train.csv") or CORPUS)


def options(description: str | None, **numbers: int) -> argparse.ArgumentParser:
    """A parser with one whole number for each of `numbers`, and `--output`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in numbers.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value, help=f"default {value}")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the dated file")
    return parser


def in_turns(variants: Mapping[str, Callable[[int], Timing]], rounds: int) -> dict[str, list[Timing]]:
    """`rounds` turns of each variant, told the round; every round begins with another one, so that none always goes first."""
    found: dict[str, list[Timing]] = {name: [] for name in variants}
    for number in range(rounds):
        names = list(variants)
        names = names[number % len(names) :] + names[: number % len(names)]
        for name in names:
            found[name].append(variants[name](number))
            print(f"round {number + 1}: {name}: {found[name][-1].rate:.1f} a second", file=sys.stderr, flush=True)
    return found


def median(turns: Sequence[Timing]) -> float:
    """Median rate."""
    return statistics.median(t.rate for t in turns)


def ratio(turns: Sequence[Timing], others: Sequence[Timing]) -> float:
    """Median over rounds of how many times as fast as the other a variant was in the same round."""
    return statistics.median(t.rate / o.rate for t, o in zip(turns, others, strict=True))


def table(found: Mapping[str, Sequence[Timing]], *, unit: str, against: Sequence[str]) -> str:
    """Medians and extremes of rates, and the median over rounds of each variant's ratio to those in `against`."""
    width = max(map(len, found)) + 2
    lines = [f"{'':{width}}{unit:>14}{'lowest':>10}{'highest':>10}" + "".join(f"{'x ' + name:>{len(name) + 6}}" for name in against)]
    for name, turns in found.items():
        rates = [t.rate for t in turns]
        columns = "".join(f"{ratio(turns, found[other]):{len(other) + 6}.2f}" for other in against)
        lines.append(f"{name:{width}}{median(turns):14.1f}{min(rates):10.1f}{max(rates):10.1f}" + columns)
    return "\n".join(lines)


def circumstances(data: str) -> list[str]:
    """Command, data, date, machine and versions."""
    from fintune.train.claim import versions
    from fintune.train.save import hardware

    machine: dict[str, Any] = {**hardware(), "load": [round(x, 2) for x in os.getloadavg()]}
    return [
        f"command: python benchmarks/{' '.join([Path(sys.argv[0]).name, *sys.argv[1:]])}",
        f"data: {data}",
        f"date: {time.strftime('%Y-%m-%d')}",
        json.dumps(machine),
        json.dumps(versions()),
    ]


def publish(name: str, text: str, folder: Path) -> None:
    """Print a report and keep it as `NAME-DATE.txt`."""
    print(text)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}-{time.strftime('%Y-%m-%d')}.txt").write_text(text + "\n", encoding="utf-8")
