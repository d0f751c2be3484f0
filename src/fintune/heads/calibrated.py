"""What is fitted on validation examples after training, kept in the adapter folder as `calibration.json` where there is anything.

The temperature of label probabilities and the confidence below which a label goes to review (`fintune.metrics.calibration`,
`fintune.metrics.selective`); neither changes a prediction. Numbers out of range are refused. Exercised by
`pytest tests/heads/test_sequence.py`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fintune.errors import ArtifactError
from fintune.run import read_json

CALIBRATION = "calibration.json"
SCHEMA_VERSION = 1
_FIX = "restore the file, or train again"


@dataclass(frozen=True, slots=True)
class Calibration:
    """The temperature, 1 where none was fitted; and the least confidence in [0, 1] of a label that stands, None where all do."""

    temperature: float = 1.0
    threshold: float | None = None


def files(fitted: Calibration) -> Mapping[str, str]:
    """The file to keep, by name; none where nothing was fitted."""
    if fitted == Calibration():
        return {}
    record: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "temperature": fitted.temperature}
    if fitted.threshold is not None:
        record["threshold"] = fitted.threshold
    return {CALIBRATION: json.dumps(record) + "\n"}


def read(kept: Path | None) -> Calibration:
    """What an adapter folder keeps; the defaults where there is no folder or no file.

    Raises:
        ArtifactError: where the file holds something else.
    """
    if kept is None or not (kept / CALIBRATION).exists():
        return Calibration()
    record, where = read_json(kept / CALIBRATION), str(kept / CALIBRATION)
    if record.get("schema_version") != SCHEMA_VERSION:
        raise ArtifactError("a calibration of another version", where=where, fix=_FIX)
    temperature, threshold = record.get("temperature"), record.get("threshold")
    if not _number(temperature) or not temperature > 0:
        raise ArtifactError("no temperature above zero", where=where, fix=_FIX)
    if threshold is not None and not (_number(threshold) and 0 <= threshold <= 1):
        raise ArtifactError("a threshold that is no probability", where=where, fix=_FIX)
    return Calibration(float(temperature), None if threshold is None else float(threshold))


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
