"""What a finished training run leaves: the adapter folder, put in place whole, and the facts of its manifest."""

from __future__ import annotations

import os
import platform
import re
import shutil
from pathlib import Path
from typing import Any

import torch

from fintune import run
from fintune.heads.build import Built, save
from fintune.recipe import Recipe


def save_adapter(built: Built, recipe: Recipe, output: Path) -> None:
    """Write the adapter folder under a temporary name, flush it, and put it in place whole.

    Raises:
        ResourceError: where the disk does not take it.
    """
    writing, place = output / ".adapter.tmp", output / run.ADAPTER
    try:
        shutil.rmtree(writing, ignore_errors=True)
        writing.mkdir()
        save(built, writing, recipe)
        for path in writing.iterdir():
            path.chmod(0o644)
            with path.open("rb+") as file:
                run.sync(file)
        run.sync_folder(writing)
        shutil.rmtree(place, ignore_errors=True)  # of an attempt that ended before its manifest
        writing.rename(place)
        run.sync_folder(output)
    except Exception as error:
        shutil.rmtree(writing, ignore_errors=True)
        failure = _of_the_disk(error)
        if failure is None:
            raise
        raise run.disk_error(failure, place) from None


def _of_the_disk(error: Exception) -> OSError | None:
    """The operating system's error behind an exception; libraries in Rust tell its number in words."""
    if isinstance(error, OSError):
        return error
    told = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(told[1]), os.strerror(int(told[1]))) if told else None


def facts(built: Built, output: Path) -> dict[str, Any]:
    """Parameters, base, hardware and file hashes, as the manifest keeps them."""
    files = {f"{run.ADAPTER}/{name}": sha for name, sha in run.hash_files(output / run.ADAPTER).items()}
    files |= {name: sha for name, sha in run.hash_files(output).items() if name in (run.RECIPE, run.FLOORS, run.PREFLIGHT)}
    matched, base = built.matched, built.base
    return {
        "parameters": {"trainable": matched.trainable, "total": matched.total, "matched_modules": list(matched.modules)},
        "base": {"name": base.name, "id": base.id, "revision": base.revision, "licence": base.licence, "obligations": base.obligations},
        "hardware": hardware(),
        "files": files,
    }


def hardware() -> dict[str, Any]:
    """The machine in words, for a person who wants to repeat a figure."""
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "machine": platform.machine(), "system": platform.system(), "processor": _processor(), "cores": os.cpu_count(),
        "threads": torch.get_num_threads(), "devices": devices,
    }  # fmt: skip


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:  # other systems say it through the platform module
        return platform.processor()
    return platform.processor()
