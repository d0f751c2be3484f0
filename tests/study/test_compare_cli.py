"""`fintune compare` as a user meets it: a table, one document, four files, and one line where it cannot be done."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest
from compared_systems import gold, outputs, write_gold, write_run

from fintune import cli


def fintune(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["fintune", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "160")
    with pytest.raises(SystemExit) as left:
        cli.main()
    return int(left.value.code or 0), *capsys.readouterr()


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    examples = gold("spans", 30)
    data = write_gold(tmp_path / "gold.jsonl", examples)
    return [write_run(tmp_path / f"r{n}", outputs(examples, skill=s, seed=n), data=data, kind="spans") for n, s in enumerate((0.95, 0.4))]


def test_table_and_files(runs, tmp_path, capsys, monkeypatch):
    status, out, err = fintune(capsys, monkeypatch, "compare", *runs, "--replicates", 200, "-o", tmp_path / "out" / "page")
    assert status == 0
    assert "r0 is better than r1 by" in out
    assert "Gold" in out
    assert err == f"{tmp_path}/out/page/comparison.html\n"
    document = json.loads((tmp_path / "out/page/comparison.json").read_text(encoding="utf-8"))
    assert document["command"] == f"fintune compare {runs[0]} {runs[1]} --replicates 200"
    assert "".join(document["command"].split()) in "".join(out.split())  # a terminal breaks lines
    rows = list(csv.DictReader((tmp_path / "out/page/comparison.csv").open(encoding="utf-8")))
    assert [float(row["value"]) for row in rows] == [entry["value"] for entry in document["pairs"][0]["metrics"].values()]
    assert {path.name for path in (tmp_path / "out/page").iterdir()} == {f"comparison.{ending}" for ending in ("html", "md", "csv", "json")}


def test_one_document(runs, capsys, monkeypatch):
    status, out, err = fintune(capsys, monkeypatch, "compare", *runs, "--replicates", 100, "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["schema_version"] == 1
    assert out.count("\n") == 1


def test_the_printed_command_gives_the_printed_figures(runs, capsys, monkeypatch):
    import shlex

    _, out, _ = fintune(capsys, monkeypatch, "compare", *runs, "--replicates", 100, "--metric", "macro_f1", "--json")
    document = json.loads(out)
    _, again, _ = fintune(capsys, monkeypatch, *shlex.split(document["command"])[1:], "--json")
    assert json.loads(again) == document


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["r0"], 2, "a comparison needs two"),
        (["r0", "r1", "--metric", "f9"], 2, "no score 'f9'"),
        (["r0", "r1", "--level", "95"], 4, "interval level 95"),
        (["r0", "nowhere"], 5, "no predictions file"),
        (["r0", "r1", "--group", "x"], 2, "NAME=VALUE"),
    ],
)
def test_what_cannot_be_done_is_one_line(runs, tmp_path, capsys, monkeypatch, arguments, status, words):
    monkeypatch.chdir(tmp_path)
    left, out, err = fintune(capsys, monkeypatch, "compare", *arguments)
    assert (left, out) == (status, "")
    assert words in err
    assert err.count("\n") == 1
