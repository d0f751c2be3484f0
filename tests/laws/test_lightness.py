"""The torch-free half stays light: these commands import neither a model library nor a data frame, wherever torch is installed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import tiny
from fintune.data.formats.jsonl import dump

HEAVY = {"torch", "transformers", "peft", "accelerate", "safetensors", "tokenizers", "pandas", "datasets", "pyarrow", "huggingface_hub"}

PROGRAM = """
import sys
{body}
sys.stderr.write("\\nIMPORTED " + " ".join(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""
COMMAND = """
sys.argv = ["fintune", *{arguments!r}]
from fintune.cli import main
try:
    main()
except SystemExit as left:
    assert not left.code, left.code
"""


def imported(body: str, folder: Path) -> set[str]:
    """Top-level modules that a fresh interpreter has imported after running `body`."""
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(body=body)], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.rpartition("\nIMPORTED ")[2].split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, predictions and a CSV file."""
    place = tmp_path_factory.mktemp("light")
    examples = tiny.examples(12)
    (place / "d.jsonl").write_text("".join(dump(e) + "\n" for e in examples), encoding="utf-8")
    spans = [{"id": e.id, "text": e.text, "spans": []} for e in examples]
    (place / "p.jsonl").write_text("".join(json.dumps(s, ensure_ascii=False) + "\n" for s in spans), encoding="utf-8")
    (place / "d.csv").write_text("text,ground_truth\nAcme rose,\"{'Company': ['Acme']}\"\n", encoding="utf-8")
    return place


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["train", "--help"],
        ["check", "d.jsonl", "--ignore", "D4"],
        ["check", "d.csv", "--ignore", "D4"],
        ["check", "bundled:test"],
        ["score", "p.jsonl", "--data", "d.jsonl", "--gazetteer", "d.jsonl"],
        ["split", "d.jsonl", "-o", "parts", "--force"],
        ["show"],
        ["show", "ner-minilm"],
        ["show", "--schema"],
        ["copy", "ner-minilm", "mine.yaml", "--force"],
        ["models"],
        ["corpus"],
        ["corpus", "--slice", "es"],
    ],
    ids=" ".join,
)
def test_commands_without_a_model_import_no_model_library(folder: Path, arguments: list[str]) -> None:
    assert not imported(COMMAND.format(arguments=arguments), folder) & HEAVY


def test_importing_the_package_imports_next_to_nothing(folder: Path) -> None:
    names = imported("import fintune; fintune.__version__", folder)
    assert not names & (HEAVY | {"numpy", "pydantic", "typer", "rich", "jinja2", "yaml"})


def test_help_and_version_import_no_scoring_and_no_settings(folder: Path) -> None:
    assert not imported(COMMAND.format(arguments=["--version"]), folder) & {"numpy", "pydantic", "jinja2", "yaml"}


def test_the_report_is_drawn_without_a_model_library(folder: Path) -> None:
    body = """
import dataclasses
from pathlib import Path
from fintune import api
from fintune.data.load import load
from fintune.data.predictions import read
from fintune.report.html import ReportInputs, render
from fintune.tasks.base import load_task
loaded, found = load("d.jsonl", kind="spans"), read(Path("p.jsonl"))
report = api.score(load_task("finance-ner-7"), loaded, found, floors={}, source="d.jsonl")
page = render(ReportInputs(report=report, examples=loaded.examples, predictions=found, data_card=report["data"]))
assert "Norvane Bank" in page
"""
    assert not imported(body, folder) & HEAVY


def test_the_law_can_fail(folder: Path) -> None:
    assert imported("import safetensors", folder) & HEAVY == {"safetensors"}
