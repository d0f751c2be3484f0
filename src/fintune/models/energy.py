"""Energy counters of the machine: RAPL of processors through Linux powercap, NVML of NVIDIA GPUs.

A machine whose counters cannot be read gives None, and so does a counter that fails on the way: nothing is estimated from
nominal power. RAPL counts whole processors with their memory, whoever uses them. `pytest tests/models/test_energy.py` exercises both.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

POWERCAP = Path("/sys/class/powercap")
Source = Literal["rapl", "nvml"]


class Counter(Protocol):
    """Energy since it was opened."""

    @property
    def source(self) -> Source:
        """Where the figures come from."""

    def joules(self) -> float | None:
        """Joules so far; None once a reading has failed."""


class Rapl:
    """Processor packages and, where it is counted apart, their memory.

    The counters of Intel and AMD processors are in microjoules and begin anew at their range, which takes minutes under load: ask
    more often than that.
    """

    source: Source = "rapl"

    def __init__(self, zones: Sequence[Path]) -> None:
        self._zones = {zone: _number(zone / "max_energy_range_uj") for zone in zones}
        self._last = {zone: _number(zone / "energy_uj") for zone in zones}
        self._total = 0
        self._failed = False

    def joules(self) -> float | None:
        """Joules so far; None once a reading has failed."""
        try:
            now = {zone: _number(zone / "energy_uj") for zone in self._zones if not self._failed}
        except (OSError, ValueError):
            self._failed = True
        if self._failed:
            return None
        for zone, reading in now.items():
            self._total += reading - self._last[zone] + (self._zones[zone] if reading < self._last[zone] else 0)
        self._last = now
        return self._total / 1e6


class Nvml:
    """The GPU boards of these handles, in millijoules since their driver was loaded."""

    source: Source = "nvml"

    def __init__(self, library: Any, handles: Sequence[Any]) -> None:
        self._library, self._handles = library, handles
        self._first = self._reading()

    def joules(self) -> float | None:
        """Joules so far; None once a reading has failed."""
        try:
            return (self._reading() - self._first) / 1e3
        except self._library.NVMLError:
            return None

    def _reading(self) -> int:
        return sum(int(self._library.nvmlDeviceGetTotalEnergyConsumption(handle)) for handle in self._handles)


def processors(root: Path = POWERCAP) -> Rapl | None:
    """The counters of all processors; None where there are none or only the administrator may read them."""
    zones = [zone for zone in sorted(root.glob("intel-rapl:*")) if _counts(zone)]
    if not zones:
        return None
    try:
        return Rapl(zones)
    except (OSError, ValueError):
        return None


def graphics(identifiers: Sequence[str]) -> Nvml | None:
    """The counters of GPUs by their ids (`GPU-...`); None without NVML's bindings (nvidia-ml-py) or on boards that count nothing."""
    try:
        import pynvml  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        return Nvml(pynvml, [pynvml.nvmlDeviceGetHandleByUUID(identifier) for identifier in identifiers])
    except pynvml.NVMLError:
        return None


def _counts(zone: Path) -> bool:
    """A package, or memory that stands beside one; cores and graphics are part of their package, `psys` counts packages again."""
    try:
        name = (zone / "name").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return False
    return name.startswith("package") if zone.name.count(":") == 1 else name == "dram"


def _number(file: Path) -> int:
    return int(file.read_text(encoding="ascii"))
