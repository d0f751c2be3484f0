"""Energy counters are read as the kernel and the driver keep them, over their wrap-around, and give None where they cannot be."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintune.models import energy

RANGE = 1_000_000


def zone(root: Path, name: str, called: str, reading: int = 0) -> Path:
    """A zone of powercap as it stands in sysfs."""
    folder = root / name
    folder.mkdir()
    for file, content in {"name": called, "max_energy_range_uj": str(RANGE), "energy_uj": str(reading)}.items():
        (folder / file).write_text(f"{content}\n", encoding="ascii")
    return folder


@given(steps=st.lists(st.tuples(st.integers(0, RANGE - 1), st.integers(0, RANGE - 1)), max_size=20))
def test_the_sum_is_that_of_the_work_whatever_wraps(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int]]) -> None:
    root = tmp_path_factory.mktemp("powercap")
    (root / "intel-rapl").mkdir()
    zones = [zone(root, "intel-rapl:0", "package-0", 7), zone(root, "intel-rapl:1", "package-1", RANGE - 1)]
    counter = energy.processors(root)
    assert counter is not None
    readings, total = [7, RANGE - 1], 0
    for added in steps:
        total += sum(added)
        readings = [(reading + more) % RANGE for reading, more in zip(readings, added, strict=True)]
        for folder, reading in zip(zones, readings, strict=True):
            (folder / "energy_uj").write_text(str(reading), encoding="ascii")
        assert counter.joules() == pytest.approx(total / 1e6)
    assert counter.joules() == counter.joules()


def test_what_is_part_of_a_package_is_not_counted_again(tmp_path: Path) -> None:
    names = {"intel-rapl:0": "package-0", "intel-rapl:0:0": "core", "intel-rapl:0:1": "dram", "intel-rapl:1": "psys"}
    zones = {called: zone(tmp_path, name, called) for name, called in names.items()}
    zone(tmp_path, "intel-rapl-mmio:0", "package-0")
    counter = energy.processors(tmp_path)
    assert counter is not None
    for called, amount in {"package-0": 100_000, "core": 50_000, "dram": 20_000, "psys": 300_000}.items():
        (zones[called] / "energy_uj").write_text(str(amount), encoding="ascii")
    assert counter.joules() == pytest.approx(0.12)


@pytest.mark.parametrize("content", [None, "", "many"])
def test_a_counter_that_cannot_be_read_gives_nothing_and_never_again(tmp_path: Path, content: str | None) -> None:
    folder = zone(tmp_path, "intel-rapl:0", "package-0")
    counter = energy.processors(tmp_path)
    assert counter is not None
    file = folder / "energy_uj"
    if content is None:
        file.unlink()
    else:
        file.write_text(content, encoding="ascii")
    assert energy.processors(tmp_path) is None
    assert counter.joules() is None
    file.write_text("5", encoding="ascii")
    assert counter.joules() is None, "a part of the energy is not the energy"


def test_a_machine_without_counters_has_none(tmp_path: Path) -> None:
    assert energy.processors(tmp_path) is None
    assert energy.processors(tmp_path / "missing") is None
    zone(tmp_path, "intel-rapl:0", "psys")
    assert energy.processors(tmp_path) is None


class _Refused(Exception):
    """As pynvml.NVMLError."""


def _library(readings: dict[str, int | None]) -> Any:
    """Bindings as nvidia-ml-py has them, over boards with these readings in millijoules."""

    def handle(identifier: str) -> str:
        if identifier not in readings:
            raise _Refused
        return identifier

    def total(board: str) -> int:
        found = readings[board]
        if found is None:
            raise _Refused
        return found

    return SimpleNamespace(
        NVMLError=_Refused, nvmlInit=lambda: None, nvmlDeviceGetHandleByUUID=handle, nvmlDeviceGetTotalEnergyConsumption=total
    )


def test_boards_count_since_the_counter_was_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    readings: dict[str, int | None] = {"GPU-a": 5_000, "GPU-b": 1_000, "GPU-c": 9}
    monkeypatch.setitem(sys.modules, "pynvml", _library(readings))
    counter = energy.graphics(["GPU-a", "GPU-b"])
    assert counter is not None
    readings |= {"GPU-a": 6_500, "GPU-b": 1_250, "GPU-c": 99_999}
    assert counter.joules() == pytest.approx(1.75)
    readings["GPU-a"] = None
    assert counter.joules() is None


def test_without_bindings_or_a_board_that_counts_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert energy.graphics(["GPU-a"]) is None
    monkeypatch.setitem(sys.modules, "pynvml", _library({"GPU-a": None}))
    assert energy.graphics(["GPU-a"]) is None
    assert energy.graphics(["GPU-z"]) is None
