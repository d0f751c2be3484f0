"""The margin above which a span head gives no answer, kept in the adapter folder as `no_answer.json` where it is not 0.

It is fitted on validation questions (`SpanHead.fit`). A file without a finite number is refused.
`pytest tests/heads/test_span.py` exercises it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from fintune.errors import ArtifactError
from fintune.run import read_json

NO_ANSWER = "no_answer.json"
SCHEMA_VERSION = 1


def files(margin: float) -> Mapping[str, str]:
    """The file to keep, by name; none for a margin of 0."""
    if margin == 0.0:
        return {}
    return {NO_ANSWER: json.dumps({"schema_version": SCHEMA_VERSION, "margin": margin}) + "\n"}


def margin_in(kept: Path | None) -> float:
    """The margin that an adapter folder keeps, 0 where there is no folder or no file.

    Raises:
        ArtifactError: where the file holds something else.
    """
    if kept is None or not (kept / NO_ANSWER).exists():
        return 0.0
    record = read_json(kept / NO_ANSWER)
    value = record.get("margin") if record.get("schema_version") == SCHEMA_VERSION else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ArtifactError("no finite margin", where=str(kept / NO_ANSWER), fix="restore the file, or train again")
    return float(value)
