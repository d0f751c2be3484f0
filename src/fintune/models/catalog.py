"""Where a base model's files are: an installed package, a local folder, or the hub. Safetensors only, no remote code.

`locate("minilm")` gives the folder and the licence; it downloads a hub id unless offline. Nothing here imports torch.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fintune.errors import ArtifactError, SafetyError, did_you_mean, nearest

_ALLOWED = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "LICENSE*", "USE_POLICY*"]
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")


@dataclass(frozen=True, slots=True)
class Entry:
    """A block of `catalog.toml`."""

    name: str
    id: str
    revision: str
    family: str
    layers: int
    width: int
    parameters: int
    targets: tuple[str, ...]
    thinking: str
    licence: str
    obligations: str
    used_by: str
    package: str | None = None
    install: str = ""
    path: str = ""
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Base:
    """A base model on disk: `id` and `revision` name it to others, `folder` holds its files; `thinking` is "" where nobody says."""

    name: str
    id: str
    revision: str | None
    folder: Path
    licence: str
    obligations: str
    thinking: str


@cache
def catalog() -> dict[str, Entry]:
    """The catalog by short name."""
    blocks = tomllib.loads((Path(__file__).parent / "catalog.toml").read_text(encoding="utf-8"))
    return {name: Entry(name=name, **{**block, "targets": tuple(block["targets"])}) for name, block in blocks.items()}


def locate(name: str, *, revision: str | None = None) -> Base:
    """Find, fetch where needed, and verify the files of a base model.

    Raises:
        ArtifactError: where the model is not to be had, or its weights are not the expected ones.
        SafetyError: where its weights are pickled only.
    """
    entry = catalog().get(name)
    path = Path(name).expanduser()
    if entry is None and path.is_dir():
        identifier, commit = _named(path.resolve())
        _no_revision(name, revision, "a local folder")
        require_safetensors(path)
        return Base(name, identifier, commit, path.resolve(), "unknown", "See the model's own card.", "")
    if entry is not None and entry.package is not None:
        _no_revision(name, revision, "an installed package")
        return _from_package(entry)
    if entry is None and (name.count("/") != 1 or name.startswith((".", "/", "~"))):
        raise _unknown(name, path)
    identifier = entry.id if entry is not None else name
    folder, commit = _from_hub(identifier, revision or (entry.revision if entry is not None else "main"))
    known = entry or next((e for e in catalog().values() if e.id == identifier), None)
    if known is None:
        return Base(name, identifier, commit, folder, "unknown", "See the model's card on the hub.", "")
    return Base(name, identifier, commit, folder, known.licence, known.obligations, known.thinking)


def _named(folder: Path) -> tuple[str, str | None]:
    """Id and commit of a local folder: its own name, or the hub's where it is a snapshot in the hub's cache."""
    owner, snapshots = folder.parent.parent.name, folder.parent.name
    if snapshots == "snapshots" and owner.startswith("models--"):
        return owner.removeprefix("models--").replace("--", "/"), folder.name
    return folder.name, None


def _no_revision(name: str, revision: str | None, what: str) -> None:
    if revision is not None:
        raise ArtifactError(f"{name!r} is {what}, which has no revision {revision!r}", where="model.revision", fix="leave it out")


def _unknown(name: str, path: Path) -> ArtifactError:
    """The error for a name that is nothing; beside a path, the nearest folder is proposed."""
    if "/" not in name:
        why, fix = "neither a catalog name, a local folder nor a hub id 'owner/name'", did_you_mean(name, catalog())
    else:
        beside = path.parent if path.parent.is_dir() and os.access(path.parent, os.R_OK) else None
        match = nearest(path.name, [p.name for p in beside.iterdir() if p.is_dir()]) if beside is not None else ""
        why, fix = "no such folder", f"did you mean {str(path.with_name(match))!r}?" if match else "check the path"
    return ArtifactError(f"no base model {name!r}", where="model.base", why=why, fix=fix)


def _from_package(entry: Entry) -> Base:
    spec = importlib.util.find_spec(str(entry.package))
    if spec is None or not spec.submodule_search_locations:
        raise ArtifactError(f"the package that carries {entry.name!r} is not installed", where="model.base", fix=f"run: {entry.install}")
    folder = Path(next(iter(spec.submodule_search_locations))) / entry.path
    require_safetensors(folder)
    found = sha256_file(folder / "model.safetensors")
    if found != entry.sha256:
        raise ArtifactError(
            f"the weights of {entry.name!r} have sha256 {found[:16]}…, not {str(entry.sha256)[:16]}…", where=entry.package or "",
            why="they are damaged or another version", fix=f"run: {entry.install} --force-reinstall",
        )  # fmt: skip
    return Base(entry.name, entry.id, entry.revision, folder, entry.licence, entry.obligations, entry.thinking)


def _from_hub(identifier: str, revision: str) -> tuple[Path, str]:
    """Folder of a hub snapshot and the commit it is of; from the local cache where the hub is out of reach."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(identifier, revision=revision, allow_patterns=_ALLOWED))
    except LocalEntryNotFoundError:
        raise ArtifactError(
            f"{identifier!r} is not in the local cache and the hub cannot be reached", where="model.base",
            fix="fetch it once with a network ('hf download'), or give the path of a local folder",
        ) from None  # fmt: skip
    except (HfHubHTTPError, OSError) as error:
        raise ArtifactError(
            f"{identifier!r} at {revision!r} cannot be fetched", where="model.base", why=str(error).splitlines()[0],
            fix="check the name and revision, and for gated models accept the licence and set HF_TOKEN",
        ) from None  # fmt: skip
    require_safetensors(folder)
    return folder, folder.name


def require_safetensors(folder: Path) -> None:
    """Refuse a model folder without safetensors weights.

    Raises:
        ArtifactError: where there are no weights at all.
        SafetyError: where the only weights are pickles, which can run code when loaded.
    """
    if any(folder.glob("*.safetensors")):
        return
    pickles = [path.name for pattern in _PICKLES for path in folder.glob(pattern)]
    if pickles:
        raise SafetyError(
            f"only pickled weights ({pickles[0]})", where=str(folder), why="a pickle can run code when it is loaded",
            fix="convert the model to safetensors, or choose another revision",
        )  # fmt: skip
    raise ArtifactError(
        "no safetensors weights in the model folder", where=str(folder), fix="check the path; of a hub model, take a revision that has some"
    )


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file.

    Raises:
        ArtifactError: where the file is missing.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise ArtifactError("file is missing", where=str(path), fix="reinstall or fetch it again") from None


def weights_hash(folder: Path) -> str:
    """One sha256 over the names and contents of a folder's safetensors files, which identifies a base model's weights."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(f"{path.name}:{sha256_file(path)}\n".encode())
    return digest.hexdigest()
