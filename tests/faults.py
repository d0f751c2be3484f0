"""A disk that fails where it is told to: every call that changes files is counted, and the chosen one fails or ends the process.

For forked children only: the functions of `os` and `open` are replaced for good.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

ERRORS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EROFS": errno.EROFS}
FAULTS = (*ERRORS, "die")
"""`ENOSPC` refuses one call, `EIO` and `EROFS` that and all later ones, `die` ends the process in the midst of it."""
DEAD = 99
"""Exit status of a process that died of a fault."""
WRITING = "wxa+"


class Disk:
    """Counts calls below `root`; `calls` says what they were. Call number `at` (from 1) has the fault."""

    def __init__(self, root: Path, *, fault: str, at: int) -> None:
        self.root, self.fault, self.at = os.path.abspath(root), fault, at
        self.calls: list[str] = []

    def install(self) -> None:
        """Take the place of the functions that change files."""
        for name in ("replace", "rename", "mkdir", "unlink", "rmdir", "chmod"):
            setattr(os, name, self._checked(name, getattr(os, name)))
        os.open = self._checked("open folder", os.open)
        os.fsync = self._checked("fsync", os.fsync)
        plain = io.open

        def opened(file: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
            if not set(mode) & set(WRITING) or not self._ours(file):
                return plain(file, mode, *rest, **named)
            self.call(f"open {Path(file).name}", lambda: None)
            return _File(plain(file, mode, *rest, **named), self)

        builtins.open = io.open = opened  # type: ignore[assignment]

    def call(self, name: str, half: Callable[[], None]) -> None:
        """Count a call; where it is the chosen one do `half` of it and fail."""
        self.calls.append(name)
        number = len(self.calls)
        if number == self.at:
            half()
            if self.fault == "die":
                os._exit(DEAD)
        lasting = self.fault in ("EIO", "EROFS")
        if number == self.at or (lasting and 0 < self.at < number):
            raise OSError(ERRORS[self.fault], os.strerror(ERRORS[self.fault]))

    def _ours(self, path: Any) -> bool:
        return isinstance(path, str | os.PathLike) and (os.path.abspath(path) + os.sep).startswith(self.root + os.sep)

    def _checked(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *rest: Any, **named: Any) -> Any:
            inside = named.get("dir_fd") is not None or isinstance(path, int) or self._ours(path)
            if inside:
                self.call(name if isinstance(path, int) else f"{name} {os.path.basename(path)}", lambda: None)
            return function(path, *rest, **named)

        return call


class _File:
    """An open file whose writes are counted; the one that fails has put half of its bytes on the disk."""

    def __init__(self, file: Any, disk: Disk) -> None:
        self.file, self.disk = file, disk

    def write(self, content: Any) -> Any:
        def half() -> None:
            self.file.write(content[: len(content) // 2])
            self.file.flush()

        self.disk.call(f"write {Path(self.file.name).name}", half)
        return self.file.write(content)

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)
