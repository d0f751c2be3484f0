"""The temperature of a head's label probabilities, kept in the adapter folder as `calibration.json` where it is not 1.

It is fitted on validation examples (`fintune.metrics.calibration`) and changes no prediction. A file without a number above zero
is refused. `tests/heads/test_sequence.py` exercises it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from fintune.errors import ArtifactError
from fintune.run import read_json

CALIBRATION = "calibration.json"
SCHEMA_VERSION = 1


def files(temperature: float) -> Mapping[str, str]:
    """The file to keep, by name; none for a temperature of 1."""
    if temperature == 1.0:
        return {}
    return {CALIBRATION: json.dumps({"schema_version": SCHEMA_VERSION, "temperature": temperature}) + "\n"}


def temperature_in(kept: Path | None) -> float:
    """The temperature that an adapter folder keeps, 1 where there is no folder or no file.

    Raises:
        ArtifactError: where the file holds something else.
    """
    if kept is None or not (kept / CALIBRATION).exists():
        return 1.0
    record = read_json(kept / CALIBRATION)
    value = record.get("temperature") if record.get("schema_version") == SCHEMA_VERSION else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value > 0):
        raise ArtifactError("no temperature above zero", where=str(kept / CALIBRATION), fix="restore the file, or train again")
    return float(value)
