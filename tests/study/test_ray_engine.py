"""A study on a local Ray gives the bytes of one without; where Ray is missing, the extra is named before anything runs."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from study_jobs import write

from fintune import run as folders
from fintune.errors import ResourceError
from fintune.study.ray_engine import Ray

MAIN = """
import sys
from fintune.study.ablate import ablate
study = ablate(sys.argv[1], output=sys.argv[2], engine=sys.argv[3])
print(study.failed)
sys.exit(bool(study.failed))
"""


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ResourceError, match=r"fintune\[scale\]"):
        Ray(1)


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
@pytest.mark.slow
def test_cells_on_ray_have_the_bytes_of_forked_ones(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    study = write(tmp_path, tiny_base, axes={"loss": {"key": "train.loss", "values": ["cross-entropy", "focal"]}})
    hashes = {}
    for engine in ("ray", "local"):
        output = tmp_path / engine
        ended = subprocess.run([sys.executable, "-c", MAIN, str(study), str(output), engine], capture_output=True, text=True, timeout=300)
        assert "sequence head alone" in ended.stdout, ended.stderr[-2000:]
        rows = folders.read_json(output / "study.json")["cells"]
        assert [row["status"] for row in rows] == ["finished", "failed"]
        hashes[engine] = folders.hash_files(output / rows[0]["folder"] / folders.ADAPTER)
    assert hashes["ray"] == hashes["local"]
