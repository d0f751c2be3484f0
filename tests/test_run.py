from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintune import run
from fintune.errors import ArtifactError, ResourceError


def test_a_file_is_replaced_whole(tmp_path: Path):
    path = tmp_path / "a.txt"
    for content in ("first", b"\x00second", ""):
        run.write_file(path, content)
        assert path.read_bytes() == (content if isinstance(content, bytes) else content.encode())
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def failing(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, name, fail)


@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "no space left to write a.txt (No space left on device; 3 bytes needed, "),
        (errno.EDQUOT, "no space left to write a.txt (Disk quota exceeded; 3 bytes needed, "),
        (errno.EROFS, "cannot write a.txt (Read-only file system; 3 bytes needed, "),
        (errno.EIO, "cannot write a.txt (Input/output error; 3 bytes needed, "),
    ],
)
def test_a_disk_that_refuses_is_told_in_one_line(tmp_path, monkeypatch, call, number, says):
    (tmp_path / "a.txt").write_text("old")
    with monkeypatch.context() as patch:
        failing(patch, call, number)
        with pytest.raises(ResourceError) as caught:
            run.write_file(tmp_path / "a.txt", "new")
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}: {says}")
    assert " bytes free); " in message
    assert caught.value.exit_status == 6
    assert (tmp_path / "a.txt").read_text() == ("new" if call == "open" else "old")  # only the folder was left to flush
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_free_bytes_are_those_of_the_disk_the_file_would_be_on(tmp_path, monkeypatch):
    asked = []
    usage = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: asked.append(Path(path)) or usage(path))
    run.disk_error(OSError(errno.ENOSPC, "full"), tmp_path / "not" / "yet" / "there")
    assert asked == [tmp_path]


def test_a_disk_that_does_not_even_tell_its_free_bytes(tmp_path, monkeypatch):
    def fail(path: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(shutil, "disk_usage", fail)
    assert "an unknown number of bytes free" in str(run.disk_error(OSError(errno.EIO, "Input/output error"), tmp_path / "a"))


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match=r"cannot write \.lock"), run.lock(tmp_path / "file" / "run"):
        pass


def test_a_disk_without_locks_is_not_taken_for_another_process(tmp_path, monkeypatch):
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(ResourceError, match="No locks available"), run.lock(tmp_path):
        pass


def test_the_lock_can_be_had_again(tmp_path):
    for _ in range(2):
        with run.lock(tmp_path):
            assert (tmp_path / ".lock").read_text() == str(os.getpid())
            with pytest.raises(ArtifactError, match=f"process {os.getpid()}"), run.lock(tmp_path):
                pass


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no a.json"),
        (b"{", "cannot be read"),
        (b"[]", "not hold a JSON object"),
        (b"\xff", "cannot be read"),
        (b"", "cannot be read"),
    ],
)
def test_a_damaged_document_is_refused(tmp_path, content, says):
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ArtifactError, match=says):
        run.read_json(tmp_path / "a.json")


def test_no_document_holds_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        run.write_json(tmp_path / "a.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


FILES = {"adapter/a": b"one", "adapter/deep/b": b"two", "recipe.yaml": b"three"}


def whole(folder: Path) -> dict[str, str]:
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return run.hash_files(folder)


def test_hashes_verify_what_they_were_made_of(tmp_path):
    hashes = whole(tmp_path)
    assert set(hashes) == set(FILES)
    assert run.verify_files(tmp_path, hashes) == ""


@pytest.mark.parametrize("name", FILES)
def test_damage_is_found(tmp_path, name, monkeypatch):
    hashes = whole(tmp_path)
    (tmp_path / name).write_bytes(FILES[name][:-1] + b"?")
    assert run.verify_files(tmp_path, hashes) == f"{name} is damaged"
    (tmp_path / name).unlink()
    assert run.verify_files(tmp_path, hashes) == f"{name} is missing"
    (tmp_path / name).mkdir()
    assert run.verify_files(tmp_path, hashes) == f"{name} is missing"


def test_a_file_that_cannot_be_read_is_a_complaint(tmp_path, monkeypatch):
    hashes = whole(tmp_path)

    def fail(path: Path) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", fail)
    assert run.verify_files(tmp_path, hashes) == "adapter/a cannot be read: Input/output error"


def test_a_manifest_is_what_makes_a_run(tmp_path):
    with pytest.raises(ArtifactError, match="no run folder"):
        run.manifest(tmp_path / "missing")
    with pytest.raises(ArtifactError, match="not a run folder"):
        run.manifest(tmp_path)
    run.write_json(tmp_path / run.STARTED, {})
    with pytest.raises(ArtifactError, match="an unfinished run"):
        run.manifest(tmp_path)
    hashes = whole(tmp_path / "files")
    run.write_json(tmp_path / run.MANIFEST, {"files": {f"files/{name}": sha for name, sha in hashes.items()}})
    assert set(run.manifest(tmp_path)) == {"files"}
    (tmp_path / "files" / "recipe.yaml").write_bytes(b"another")
    with pytest.raises(ArtifactError, match=r"files/recipe\.yaml is damaged"):
        run.manifest(tmp_path)


RECORDS = st.lists(
    st.fixed_dictionaries({"step": st.integers(0, 9), "text": st.text(), "loss": st.floats(allow_nan=False, allow_infinity=False)})
)


@given(records=RECORDS, step=st.integers(0, 9), tail=st.binary(max_size=20).filter(lambda b: b"\n" not in b))
def test_a_log_gives_back_what_was_logged(tmp_path_factory, records, step, tail):
    log = run.Log(tmp_path_factory.mktemp("log") / "log.jsonl")
    for record in records:
        log.append(record)
    log.sync()
    assert log.records() == records
    with log.path.open("ab") as file:
        file.write(tail)  # torn by a crash
    assert log.records() == records
    assert log.rewind(step) == 0
    assert log.records() == [record for record in records if record["step"] <= step]


@pytest.mark.parametrize("line", [b"\0\0\0", b"[1]", b"{", b"\xff", b""])
def test_a_damaged_line_is_refused_with_its_place_and_dropped_on_rewinding(tmp_path, line):
    log = run.Log(tmp_path / "log.jsonl")
    log.append({"step": 1})
    with log.path.open("ab") as file:
        file.write(line + b"\n")
    log.append({"step": 2})
    with pytest.raises(ArtifactError, match=r"log\.jsonl:2: line is not a JSON object"):
        log.records()
    assert log.rewind(9) == 1
    assert log.records() == [{"step": 1}, {"step": 2}]


def test_a_log_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        run.Log(tmp_path / "log.jsonl").append({"loss": float("inf")})
    assert run.Log(tmp_path / "log.jsonl").records() == []


def test_without_a_file_the_log_is_empty(tmp_path):
    assert run.Log(tmp_path / "log.jsonl").records() == []


def test_temporaries_are_those_of_writers(tmp_path):
    for name in (".a.json.12.tmp", "a.tmp", ".hidden", "b.json"):
        (tmp_path / name).write_text(json.dumps(name))
    (tmp_path / ".adapter.tmp").mkdir()
    assert [p.name for p in run.temporaries(tmp_path)] == [".a.json.12.tmp"]
