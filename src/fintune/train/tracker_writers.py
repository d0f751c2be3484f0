"""The process of a tracker: reads a run's facts and events as JSON lines, and writes them with one library into a local store.

    python -m fintune.train.tracker_writers tensorboard

`fintune.train.trackers` starts it. It says `ready` once the store is open, ends with its input, and marks a run whose input
ended early as stopped. Everything else that it or its library says goes to standard error.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

PROJECT = "fintune"
_STEP = ("loss", "norm", "rate", "noise_ratio")
_PARAMETERS, _LONGEST = 100, 500
"""What MLflow takes at once, and of one value at most."""


class Store(Protocol):
    """One run in the store of a library."""

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Figures of a step."""

    def close(self, *, finished: bool) -> None:
        """Write out what there is."""


class TensorBoard:
    """Event files in the run's folder; of a run that goes on, what was written after its checkpoint is marked as undone."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        self._writer = EventFileWriter(given["store"])
        if given["step"]:
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._writer.add_event(self._event(wall_time=time.time(), step=given["step"] + 1, session_log=start))

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Figures of a step."""
        summary = self._summary(value=[self._summary.Value(tag=name, simple_value=value) for name, value in values.items()])
        self._writer.add_event(self._event(wall_time=time.time(), step=step, summary=summary))

    def close(self, *, finished: bool) -> None:
        """Write out what there is."""
        self._writer.close()


class MLflow:
    """A run in the SQLite store of the folder above; one that goes on is taken up where it was."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        from mlflow import entities
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        self._metric = entities.Metric
        self._client = MlflowClient(tracking_uri=f"sqlite:///{given['store']}")
        artifacts = Path(given["store"]).with_name("mlflow-artifacts").as_uri()
        found = self._client.get_experiment_by_name(PROJECT)
        try:
            experiment = found.experiment_id if found else self._client.create_experiment(PROJECT, artifact_location=artifacts)
        except MlflowException:  # another run has made it meanwhile
            experiment = self._client.get_experiment_by_name(PROJECT).experiment_id
        self._run = self._before(experiment, given["folder"]) if given["step"] else None
        self._last = 0
        if self._run is None:
            tags = {"fintune.folder": given["folder"]}
            self._run = self._client.create_run(experiment, run_name=Path(given["folder"]).name, tags=tags).info.run_id
            parameters = [entities.Param(key, str(value)[:_LONGEST]) for key, value in flat(given)]
            for start in range(0, len(parameters), _PARAMETERS):
                self._client.log_batch(self._run, params=parameters[start : start + _PARAMETERS])
        else:
            self._client.update_run(self._run, status="RUNNING")
            self._last = max((metric.step for metric in self._client.get_metric_history(self._run, "loss")), default=0)
        self._waiting: list[Any] = []
        self._written = time.monotonic()

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Figures of a step, about once a second; those that an interrupted run has written already are the same again."""
        if step > self._last or "loss" not in values:
            self._waiting += [self._metric(name, value, int(time.time() * 1000), step) for name, value in values.items()]
        if time.monotonic() - self._written > 1 or len(self._waiting) > 500:
            self._flush()

    def close(self, *, finished: bool) -> None:
        """Write out what there is."""
        self._flush()
        self._client.set_terminated(self._run, status="FINISHED" if finished else "KILLED")

    def _flush(self) -> None:
        if self._waiting:
            self._client.log_batch(self._run, metrics=self._waiting)
        self._waiting, self._written = [], time.monotonic()

    def _before(self, experiment: str, folder: str) -> str | None:
        """The latest run of this folder, which the interrupted process began."""
        runs = self._client.search_runs([experiment], order_by=["attributes.start_time DESC"])
        return next((run.info.run_id for run in runs if run.data.tags.get("fintune.folder") == folder), None)


class Trackio:
    """A run in the SQLite store of the folder above."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        import trackio

        self._run = trackio.init(
            project=PROJECT, name=Path(given["folder"]).name, config=dict(flat(given)), resume="allow" if given["step"] else "never",
            embed=False, auto_log_gpu=False, auto_log_cpu=False,
        )  # fmt: skip

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Figures of a step."""
        self._run.log(dict(values), step=step)

    def close(self, *, finished: bool) -> None:
        """Write out what there is."""
        self._run.finish()


LIBRARIES: Mapping[str, type[TensorBoard] | type[MLflow] | type[Trackio]] = {
    "tensorboard": TensorBoard, "mlflow": MLflow, "trackio": Trackio,
}  # fmt: skip


def figures(event: Mapping[str, Any]) -> dict[str, float]:
    """What is drawn of an event, by name."""
    if event["event"] == "validation":
        return {f"validation/{name}": value for name, value in event["metrics"].items()}
    values = {name: event[name] for name in _STEP if name in event}
    return {**values, "tokens_per_second": event["tokens"] / max(event["seconds"], 1e-9)}


def flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """`("settings.train.epochs", 3)` and so on, for each leaf; where it is written does not belong to it."""
    for key, value in document.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        elif prefix or key not in ("store", "folder", "step"):
            yield prefix + key, value


def serve(library: str, lines: Iterable[str]) -> Iterator[str]:
    """Write what the lines say; yields what is to be answered.

    Args:
        library: of `LIBRARIES`.
        lines: the facts of the run, then its events.
    """
    documents = map(json.loads, lines)
    store: Store = LIBRARIES[library](next(documents))
    yield "ready\n"
    finished = False
    for event in documents:
        if event["event"] == "end":
            finished = True
        else:
            store.write(figures(event), event["step"])
    store.close(finished=finished)


def main(arguments: Sequence[str]) -> None:
    """Serve standard input."""
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the run, which will close the input
        signal.signal(number, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries print
    for answer in serve(arguments[0], sys.stdin):
        answers.write(answer)
        answers.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
