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
ADAPTER, CHECKPOINTS = "adapter", "checkpoints"
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
    if error.errno in _NO_SPACE:
        free = shutil.disk_usage(path.parent if path.parent.exists() else Path(path.anchor or ".")).free
        return ResourceError(
            f"no space left to write {path.name}", where=str(path.parent),
            why=f"{needed} bytes needed, {free} free" if needed else f"{free} bytes free",
            fix="free some space and run the same command again",
        )  # fmt: skip
    return ResourceError(
        f"cannot write {path.name}", where=str(path.parent), why=error.strerror or str(error), fix="check the folder's permissions"
    )


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
        if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
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
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("a+")
    except OSError as error:
        raise disk_error(error, folder / ".lock") from None
    with file:
        if not _take(file):
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
    except OSError:
        return False
    return True


class Log:
    """`log.jsonl`: one JSON record a line, appended; on resuming, records after the checkpoint are dropped."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def records(self) -> list[dict[str, Any]]:
        """Complete records; a torn last line is left out."""
        if not self.path.is_file():
            return []
        lines = self.path.read_text(encoding="utf-8").split("\n")
        return [json.loads(line) for line in lines[:-1] if line]

    def rewind(self, step: int) -> None:
        """Drop what was logged after `step`, which will happen again."""
        kept = [record for record in self.records() if record.get("step", 0) <= step]
        write_file(self.path, "".join(json.dumps(record) + "\n" for record in kept))

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a record."""
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
        except OSError as error:
            raise disk_error(error, self.path) from None
