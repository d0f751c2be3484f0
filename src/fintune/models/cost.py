"""What a piece of work took: time, memory, energy, operations and, from a stated hourly rate, money.

A `Meter` reads the process and the machine, `record` makes what a manifest and a report keep. Nothing is guessed: what the machine
does not report is None. `pytest tests/train/test_cost.py` exercises it, `docs/how-to/track-runs-and-costs.md` explains it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from fintune.models import energy
from fintune.recipe import Cost

SAMPLED = 10.0
"""Seconds between two readings of the energy counters, which begin anew every few minutes."""
THOUSAND = 1000


@dataclass(frozen=True, slots=True)
class Spent:
    """What one or more processes took.

    Attributes:
        wall_seconds: from beginning to end.
        cpu_seconds: of all threads, and of children that have ended.
        gpu_seconds: wall seconds of each GPU in use, together; None without one.
        peak_memory_bytes: the most that a process has held since it began, also before this work.
        peak_gpu_memory_bytes: the most that tensors held on the GPUs; None without one.
        energy_joules: of the GPUs in use, else of the machine's processors; None where it does not report them.
        energy_source: which counters; None where there are none.
    """

    wall_seconds: float
    cpu_seconds: float
    gpu_seconds: float | None
    peak_memory_bytes: int
    peak_gpu_memory_bytes: int | None
    energy_joules: float | None
    energy_source: energy.Source | None

    def then(self, later: Spent) -> Spent:
        """Both, one after the other: an interrupted run and the one that went on. Energy is known where all of it is."""
        known = self.energy_source == later.energy_source
        return Spent(
            self.wall_seconds + later.wall_seconds,
            self.cpu_seconds + later.cpu_seconds,
            _both(self.gpu_seconds, later.gpu_seconds),
            max(self.peak_memory_bytes, later.peak_memory_bytes),
            _most(self.peak_gpu_memory_bytes, later.peak_gpu_memory_bytes),
            _both(self.energy_joules, later.energy_joules) if known else None,
            self.energy_source if known else None,
        )


def beside(parts: Sequence[Spent]) -> Spent:
    """Processes of one run that worked at the same time on one machine: times and memory add up, the wall clock does not.

    Each process counts the energy of its own GPU, but of processors all count the same.
    """
    first = parts[0]
    gpus = [part.gpu_seconds for part in parts if part.gpu_seconds is not None]
    boards = [part.peak_gpu_memory_bytes for part in parts if part.peak_gpu_memory_bytes is not None]
    joules = [part.energy_joules for part in parts if part.energy_joules is not None]
    apart = first.energy_source == "nvml" and len(joules) == len(parts)
    return Spent(
        max(part.wall_seconds for part in parts),
        sum(part.cpu_seconds for part in parts),
        sum(gpus) if gpus else None,
        sum(part.peak_memory_bytes for part in parts),
        sum(boards) if boards else None,
        sum(joules) if apart else first.energy_joules if first.energy_source == "rapl" else None,
        first.energy_source if apart or first.energy_source == "rapl" else None,
    )


class Meter:
    """Measures from where it is made."""

    def __init__(self, device: torch.device) -> None:
        """Begin.

        Args:
            device: that this process computes on; a GPU's peak of memory begins anew.
        """
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        self._counter = _counter(device)
        self._wall, self._cpu, self._sampled = time.perf_counter(), _cpu_seconds(), time.perf_counter()

    def sample(self) -> None:
        """Keep up with counters that begin anew; to be called now and then, costs nothing most times."""
        if self._counter is not None and time.perf_counter() - self._sampled > SAMPLED:
            self._sampled = time.perf_counter()
            self._counter.joules()

    def read(self) -> Spent:
        """What was spent so far."""
        cuda = self._device.type == "cuda"
        if cuda:
            torch.cuda.synchronize(self._device)
        wall = time.perf_counter() - self._wall
        joules = self._counter.joules() if self._counter is not None else None
        return Spent(
            wall_seconds=wall,
            cpu_seconds=_cpu_seconds() - self._cpu,
            gpu_seconds=wall if cuda else None,
            peak_memory_bytes=peak_memory(),
            peak_gpu_memory_bytes=torch.cuda.max_memory_allocated(self._device) if cuda else None,
            energy_joules=joules,
            energy_source=self._counter.source if self._counter is not None and joules is not None else None,
        )


def record(spent: Spent, *, tokens: int, supervised_tokens: int, flop: int, cost: Cost) -> dict[str, Any]:
    """The cost of a training as its manifest keeps it; `cost` says what an hour of the machine costs."""
    price = None if cost.hourly_rate is None else spent.wall_seconds / 3600 * cost.hourly_rate
    plain = {key: _rounded(value) if isinstance(value, float) else value for key, value in asdict(spent).items()}
    source = {key: plain.pop(key) for key in ("energy_joules", "energy_source")}
    work = {"tokens": tokens, "supervised_tokens": supervised_tokens, "flop": flop}
    return {**plain, **work, **source, "hourly_rate": cost.hourly_rate, "currency": cost.currency, "price": _rounded(price)}


def of_examples(kept: dict[str, Any], examples: int) -> dict[str, Any]:
    """The cost of an evaluation or of predictions: a `record` with the number of texts, and what a thousand of them take."""
    share = THOUSAND / examples if examples else None
    seconds, price = (None if share is None or kept[key] is None else kept[key] * share for key in ("wall_seconds", "price"))
    return {**kept, "examples": examples, "per_1000": {"seconds": _rounded(seconds), "price": _rounded(price)}}


def peak_memory() -> int:
    """The most bytes of memory that this process has held so far."""
    status = Path("/proc/self/status")
    if status.is_file():  # the other source on Linux remembers what the process was before it became a Python
        sizes = [line.split()[1] for line in status.read_text(encoding="ascii", errors="replace").splitlines() if line.startswith("VmHWM:")]
        if sizes:
            return int(sizes[0]) * 1024
    if os.name == "nt":
        import psutil  # comes with accelerate

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _cpu_seconds() -> float:
    """Of this process, all its threads, and its children that have ended."""
    children = os.times()
    return time.process_time() + children.children_user + children.children_system


def _counter(device: torch.device) -> energy.Counter | None:
    if device.type != "cuda":
        return energy.processors()
    return energy.graphics([f"GPU-{torch.cuda.get_device_properties(device).uuid}"])


def _both(one: float | None, other: float | None) -> float | None:
    return one if other is None else other if one is None else one + other


def _most(one: int | None, other: int | None) -> int | None:
    return one if other is None else other if one is None else max(one, other)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.9g}")
