"""A room imports only lower rooms, and the torch-free half no model library: the contracts of import-linter in pyproject.toml."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_contracts_are_kept(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from importlinter.cli import lint_imports

    monkeypatch.chdir(ROOT)
    status = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert status == 0, capsys.readouterr().out


def test_every_room_has_a_layer() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = next(contract["layers"] for contract in settings["contracts"] if contract["type"] == "layers")
    placed = {name.strip().removeprefix("fintune.") for layer in layers for name in layer.split("|")}
    package = ROOT / "src" / "fintune"
    rooms = {path.name for path in package.iterdir() if (path / "__init__.py").is_file()}
    files = {path.stem for path in package.glob("*.py")} - {"__init__"}
    assert placed == rooms | files
