"""Every failure a user can cause or mend: what, where, why, how to mend it, and the exit status that goes with it.

The command line prints `str(error)` as one line and leaves with `exit_status`; nothing else may end a command.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FintuneError(Exception):
    """A failure with a place and a remedy.

    Args:
        what: what is wrong, in a few words, with the offending value.
        where: `file:line`, recipe key or option; empty where there is none.
        why: the reason or the rule that is broken; may be empty.
        fix: the exact thing to do; may be empty.
    """

    exit_status = 1
    code = "E-UNEXPECTED"

    def __init__(self, what: str, *, where: str = "", why: str = "", fix: str = "") -> None:
        self.what, self.where, self.why, self.fix = what, where, why, fix
        super().__init__(what)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.why:
            text += f" ({self.why})"
        if self.fix:
            text += f"; {self.fix}"
        return " ".join(text.split())

    def record(self) -> dict[str, object]:
        """The error as one JSON object, for `--json`."""
        return {
            "error": self.code, "what": self.what, "where": self.where, "why": self.why,
            "fix": self.fix, "exit_status": self.exit_status,
        }  # fmt: skip


class UsageError(FintuneError):
    """A command line that cannot be carried out as written."""

    exit_status, code = 2, "E-USAGE"


class DataError(FintuneError):
    """Input data that does not follow its format or the task."""

    exit_status, code = 3, "E-DATA"


class RecipeError(FintuneError):
    """A recipe with an unknown key, a value out of range or parts that do not fit."""

    exit_status, code = 4, "E-RECIPE"


class ArtifactError(FintuneError):
    """A run, adapter, base model or checkpoint that is missing, corrupt or of another kind."""

    exit_status, code = 5, "E-ARTIFACT"


class ResourceError(FintuneError):
    """Disk, memory or a lock that could not be had."""

    exit_status, code = 6, "E-RESOURCE"


class GateError(FintuneError):
    """A quality gate that did not pass, such as a training that became non-finite."""

    exit_status, code = 7, "E-GATE"


class SafetyError(FintuneError):
    """Something that is refused because it could run foreign code or disclose data."""

    exit_status, code = 8, "E-SAFETY"


def nearest(name: str, known: Iterable[str], *, alike: float = 0.5) -> str:
    """The known name most like `name`, or "" where none is at least `alike` (share of common characters, 0 to 1)."""
    matches = difflib.get_close_matches(str(name), [str(k) for k in known], n=1, cutoff=alike)
    return matches[0] if matches else ""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A remedy line for an unknown name: the nearest one, or all of them."""
    known = list(known)
    match = nearest(name, known)
    return f"did you mean {match!r}?" if match else f"known: {', '.join(map(str, known))}"
