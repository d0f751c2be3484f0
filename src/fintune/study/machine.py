"""What this machine has for cells: processors, and memory that is free."""

from __future__ import annotations

import os
from pathlib import Path

SHARE = 0.9
"""Of the memory that is free when a study begins, what its cells may take together."""


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpu(number: int) -> str:
    """What CUDA_VISIBLE_DEVICES has to say for one of the GPUs that this process may use, counted from 0."""
    allowed = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return allowed[number] if allowed else str(number)


def memory() -> int:
    """Bytes that cells may take together: a share of what the system says is available, or where it does not, of all there are."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(SHARE * available)
