"""Where cells run on a Ray cluster: each a task in a fresh worker process, its results in the study's folder, which all nodes share.

It connects to the cluster of `RAY_ADDRESS`, or starts a Ray of its own on this machine; nothing is reported to anyone. Each cell
prepares for itself. Refused where Ray is not installed. `pytest tests/study/test_ray_engine.py`.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from fintune.errors import ResourceError
from fintune.study.launch import WORKER, Event, environment

SHARE = 0.9
"""Of the cluster's memory, what cells may take."""


class Ray:
    """A launcher; see `fintune.study.launch.Launcher`."""

    def __init__(self, threads: int) -> None:
        """Connect.

        Args:
            threads: processors that one cell takes.

        Raises:
            ResourceError: where Ray is not installed, or the cluster cannot be reached.
        """
        if importlib.util.find_spec("ray") is None:
            raise ResourceError("Ray is not installed", where="--engine ray", fix="run: pip install 'fintune[scale]'")
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"  # a task without GPUs leaves the visible ones as they are
        self.ray: Any = import_module("ray")
        self.threads = threads
        self.cells: dict[Any, str] = {}
        address = os.environ.get("RAY_ADDRESS")
        here: dict[str, Any] = {} if address else {"include_dashboard": False}
        variables = {name: environment()[name] for name in ("PYTHONPATH", "TOKENIZERS_PARALLELISM")}
        try:
            self.ray.init(
                address=address, log_to_driver=False, configure_logging=False, runtime_env={"env_vars": variables},
                ignore_reinit_error=True, **here,
            )  # fmt: skip
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            raise ResourceError(
                "the Ray cluster cannot be reached", where=f"RAY_ADDRESS={address or ''}", why=str(error).partition("\n")[0],
                fix="check the address, or unset it to use this machine",
            ) from None  # fmt: skip
        self.gpus = int(self.ray.cluster_resources().get("GPU", 0))

    def prepare(self, job: Mapping[str, Any]) -> Event:
        """What the cluster has; the cells are prepared in their own processes."""
        has = self.ray.cluster_resources()
        cores = int(has.get("CPU", 1))
        slots = min(self.gpus, cores) if self.gpus else max(1, cores // self.threads)
        # Ray itself assigns GPUs to tasks.
        return {"bytes": None, "memory": int(SHARE * has.get("memory", 0)), "cores": slots * self.threads, "slots": slots, "devices": 0}

    def start(self, job: Mapping[str, Any]) -> None:
        """Hand a job to the cluster; its worker process serves it alone."""
        asked = {"num_cpus": job["threads"], "num_gpus": 1 if self.gpus else 0, "max_calls": 1, "max_retries": 0}
        self.cells[self.ray.remote(**asked)(_perform).remote(dict(job))] = job["cell"]

    def events(self, timeout: float) -> list[Event]:
        """The jobs that have ended; what they tell meanwhile stays in their logs."""
        if not self.cells:
            return []
        found: list[Event] = []
        for reference in self.ray.wait(list(self.cells), timeout=timeout)[0]:
            cell, status = self.cells.pop(reference), 1
            try:
                status, told = self.ray.get(reference)
                found += [{**event, "cell": cell} for event in told]
            except self.ray.exceptions.RayError as error:
                found.append({"event": "failed", "cell": cell, "error": f"Ray: {str(error).partition(chr(10))[0]}"})
            found.append({"event": "ended", "cell": cell, "status": status})
        return found

    def stop(self, number: int) -> None:
        """Interrupt all jobs: they save their state."""
        for reference in self.cells:
            self.ray.cancel(reference, force=False)

    def close(self) -> None:
        """End what still runs, and leave the cluster."""
        for reference in self.cells:
            self.ray.cancel(reference, force=True)
        self.ray.shutdown()


def _perform(job: dict[str, Any]) -> tuple[int, list[dict[str, Any]]]:
    """In a worker: do a job; its exit status, and how it says it ended."""
    return import_module(WORKER).alone(job)  # type: ignore[no-any-return]
