"""The run folder: its files, its manifest, its lock, and writing that a crash cannot tear.

A file is complete under its name or not there at all: written under a temporary name, flushed to the disk, renamed, and the
folder flushed. A run is finished when `manifest.json` stands in it, which is written last and hashes everything else.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from fintune.errors import ArtifactError, ResourceError

RECIPE, MANIFEST, STARTED, LOG, FLOORS = "recipe.yaml", "manifest.json", "started.json", "log.jsonl", "floors.json"
ADAPTER, CHECKPOINTS, PREFLIGHT = "adapter", "checkpoints", "preflight.json"
PREDICTIONS, REPORT_JSON, REPORT_HTML = "predictions.jsonl", "report.json", "report.html"

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write_file(path: Path, content: bytes | str) -> None:
    """Write a file whole: temporary name, fsync, rename, fsync of the folder.

    Raises:
        ResourceError: where the disk does not take it; the file that stood there before is intact.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            sync(file)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise disk_error(error, path, needed=len(data)) from None


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON document whole, keys in the order given, no NaN."""
    write_file(path, json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON document of a run.

    Raises:
        ArtifactError: where it is missing or not a JSON object.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"no {path.name}", where=str(path.parent), fix="is this a run folder?") from None
    except (ValueError, OSError) as error:
        raise ArtifactError("file cannot be read", where=str(path), why=str(error), fix="restore it, or train again") from None
    if not isinstance(document, dict):
        raise ArtifactError("file does not hold a JSON object", where=str(path), fix="restore it, or train again")
    return document


def sync(file: IO[Any]) -> None:
    """Flush a file to the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk; systems that cannot open folders do it by themselves."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def disk_error(error: OSError, path: Path, *, needed: int = 0) -> ResourceError:
    """The error of ours for one of the operating system's: what could not be written, and how much space is left."""
    reason = f"{error.strerror or error}; {f'{needed} bytes needed, ' if needed else ''}{_free(path)} bytes free"
    if error.errno in _NO_SPACE:
        what, fix = f"no space left to write {path.name}", "free some space (or raise the quota) and run the same command again"
    else:
        what, fix = f"cannot write {path.name}", "check the folder's permissions and the disk, then run the same command again"
    return ResourceError(what, where=str(path.parent), why=reason, fix=fix)


def _free(path: Path) -> str:
    """Free bytes on the disk that `path` is or would be on; a failing disk may not even tell."""
    existing = next((folder for folder in path.absolute().parents if folder.exists()), Path("/"))
    try:
        return str(shutil.disk_usage(existing).free)
    except OSError:
        return "an unknown number of"


def temporaries(folder: Path) -> list[Path]:
    """Files that `write_file` had begun when its process died; also those of a process that is writing now."""
    return [path for path in folder.glob(".*.tmp") if path.is_file()]


def hash_files(folder: Path, *, but: frozenset[str] = frozenset()) -> dict[str, str]:
    """sha256 of every file below `folder` by relative path, in order, leaving out names in `but`."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in but
    }


def verify_files(folder: Path, hashes: Mapping[str, str]) -> str:
    """What is wrong with the files of `folder` as compared with their hashes, or ""."""
    for name, expected in hashes.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        try:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            return f"{name} cannot be read: {error.strerror or error}"
        if found != expected:
            return f"{name} is damaged"
    return ""


def finished(folder: Path) -> bool:
    """Whether the run of this folder came to its end."""
    return (folder / MANIFEST).is_file()


def manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a finished run, its adapter and recipe verified against it.

    Raises:
        ArtifactError: where the run is missing, unfinished, or a file differs from its hash.
    """
    if not folder.is_dir():
        raise ArtifactError(f"no run folder {str(folder)!r}", fix="give the --output folder of a 'fintune train'")
    if not finished(folder):
        state = "an unfinished run" if (folder / STARTED).is_file() else "not a run folder"
        raise ArtifactError(state, where=str(folder), why=f"it has no {MANIFEST}", fix="run the same 'fintune train' again to finish it")
    document = read_json(folder / MANIFEST)
    complaint = verify_files(folder, document.get("files", {}))
    if complaint:
        raise ArtifactError(complaint, where=str(folder), why="the file differs from the manifest", fix="restore it, or train again")
    return document


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold a run folder for this process; the system lets go of it however the process ends.

    Raises:
        ArtifactError: where another process holds it; the error names its process id.
        ResourceError: where the folder cannot be made or its disk has no locks.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("a+")
    except OSError as error:
        raise disk_error(error, folder / ".lock") from None
    with file:
        try:
            taken = _take(file)
        except OSError as error:  # not held by another process: this disk cannot lock
            raise disk_error(error, folder / ".lock") from None
        if not taken:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise ArtifactError(
                "another process is working in this folder",
                where=str(folder),
                why=f"process {holder}",
                fix="wait, or choose another --output",
            )
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield


def _take(file: IO[str]) -> bool:
    if os.name == "nt":
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Log:
    """`log.jsonl`: one JSON record a line, appended; on resuming, records after the checkpoint are dropped."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def records(self) -> list[dict[str, Any]]:
        """Complete records; a torn last line is left out.

        Raises:
            ArtifactError: where another line is damaged.
        """
        lines = self._lines()
        for number, record in enumerate(lines, start=1):
            if record is None:
                raise ArtifactError("line is not a JSON object", where=f"{self.path}:{number}", fix="remove the line, or restore the file")
        return [record for record in lines if record is not None]

    def rewind(self, step: int) -> int:
        """Drop what was logged after `step`, which will happen again, and damaged lines; gives how many were damaged."""
        lines = self._lines()
        kept = [record for record in lines if record is not None and record.get("step", 0) <= step]
        write_file(self.path, "".join(_line(record) for record in kept))
        return lines.count(None)

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a record."""
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(_line(record))
        except OSError as error:
            raise disk_error(error, self.path) from None

    def sync(self) -> None:
        """Flush the records to the disk, so that a checkpoint never stands without what led to it."""
        try:
            with self.path.open("a", encoding="utf-8") as file:
                sync(file)
        except OSError as error:
            raise disk_error(error, self.path) from None

    def _lines(self) -> list[dict[str, Any] | None]:
        """Each line that came to its end: its record, or None where it is damaged."""
        if not self.path.is_file():
            return []
        return [_record(line) for line in self.path.read_bytes().split(b"\n")[:-1]]


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def make(place: Path) -> None:
    """Make a folder with those above it.

    Raises:
        ResourceError: where the system refuses.
    """
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, place) from None
