"""The history of a folder: every run is there once, whatever stands in it, and is chosen and sorted as written."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from fintune import run
from fintune.cli import app
from fintune.errors import ArtifactError, FintuneError, UsageError
from fintune.report.history import COLUMNS, history_csv, history_table
from fintune.study import history
from fintune.study.history import Entry, read
from fintune.study.history_filter import COMPARISONS, chosen, condition, ordered, since

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def manifest(**over: Any) -> dict[str, Any]:
    """Of a finished run, as `train.run` writes it."""
    return {
        "schema_version": 1, "task": {"name": "finance-ner-7", "kind": "spans"}, "base": {"name": "minilm"}, "seed": 1, "steps": 12,
        "settings": {"adapter": {"rank": 8, "targets": ["query", "value"]}, "train": {"learning_rate": 5e-4, "patience": None}},
        "data": {"train": {"source": "train.csv", "fingerprint": "0123456789abcdef", "examples": 48}},
        "validation": {"micro_f1": 0.5}, "finished": "2026-11-20T10:00:00Z", "files": {},
        "cost": {"wall_seconds": 90.0, "price": 0.05, "currency": "USD", "energy_joules": None, "flop": 10**15}, **over,
    }  # fmt: skip


def report(value: float = 0.8, **over: Any) -> dict[str, Any]:
    """Of an evaluation."""
    metrics = {"micro_f1": {"value": value, "low": value - 0.1, "high": value + 0.1}, "macro_f1": {"value": 0.4, "low": 0.3, "high": 0.5}}
    cost = {"per_1000": {"seconds": 12.0, "price": 0.01}}
    data = {"source": "/data/test.csv", "fingerprint": "fedcba9876543210"}
    return {"schema_version": 1, "kind": "spans", "examples": 20, "metrics": metrics, "data": data, "cost": cost, **over}


def write(folder: Path, files: Mapping[str, Any], *, adapter: bool = True) -> Path:
    """A run folder of these files."""
    (folder / run.ADAPTER if adapter else folder).mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Runs in every state, and a study."""
    write(tmp_path / "first", {run.MANIFEST: manifest(), run.REPORT_JSON: report()})
    write(tmp_path / "deep" / "er" / "second", {run.MANIFEST: manifest(seed=2, finished="2026-11-21T10:00:00Z")})
    write(tmp_path / "begun", {run.STARTED: {**manifest(base={}), "settings": {"model": {"base": "distilbert"}}}}, adapter=False)
    write(tmp_path / "torn", {run.MANIFEST: '{"schema_version": 1, "ta'})
    write(tmp_path / "torn-report", {run.MANIFEST: manifest(seed=3), run.REPORT_JSON: "[]"})
    write(tmp_path / "later", {run.MANIFEST: manifest(schema_version=99)})
    write(tmp_path / "bare", {run.MANIFEST: manifest()}, adapter=False)
    write(tmp_path / "notes", {"readme.md": "no run", "study.json": "{}"})
    write(tmp_path / ".hidden", {run.MANIFEST: manifest()})
    study = tmp_path / "rank"
    write(study / "cells" / "a1", {run.MANIFEST: manifest(), run.REPORT_JSON: report(0.9), "inner": ""})
    write(study / "cells" / "a1" / "slices", {run.MANIFEST: manifest()})
    write(study / "cells" / "b2", {run.STARTED: manifest()}, adapter=False)
    rows = [
        {"folder": "cells/a1", "labels": {"rank": "4", "seed": "0"}, "status": "finished"},
        {"folder": "cells/b2", "labels": {"rank": "8", "seed": "0"}, "status": "failed", "error": "no space left"},
        {"folder": "cells/c3", "labels": {"rank": "16", "seed": "0"}, "status": "waiting"},
    ]
    (study / "study.json").write_text(json.dumps({"schema_version": 1, "cells": rows}))
    return tmp_path


def by_folder(root: Path, **options: Any) -> dict[str, Entry]:
    found = read(root, **options)
    assert len({entry.folder for entry in found}) == len(found)
    return {entry.folder: entry for entry in found}


def test_every_run_is_there_in_its_state(runs):
    found = by_folder(runs)
    assert {folder: entry.status for folder, entry in found.items()} == {
        "bare": "damaged", "begun": "unfinished", "deep/er/second": "finished", "first": "finished", "later": "damaged",
        "rank/cells/a1": "finished", "rank/cells/b2": "failed", "torn": "damaged", "torn-report": "damaged",
    }  # fmt: skip
    whys = {folder: entry.why for folder, entry in found.items() if entry.why}
    assert whys["bare"] == "adapter is missing"
    assert whys["rank/cells/b2"] == "no space left"
    assert "manifest.json" in whys["torn"]
    assert "report.json" in whys["torn-report"]
    assert "99" in whys["later"]
    assert len(whys) == 5


def test_an_entry_says_what_the_files_say(runs):
    found = by_folder(runs)
    first, second, cell = found["first"], found["deep/er/second"], found["rank/cells/a1"]
    assert (first.score.value, first.score.low, first.score.high) == (0.8, pytest.approx(0.7), pytest.approx(0.9))
    assert (first.metric, first.scored_on) == ("micro_f1", "/data/test.csv")
    assert (second.score.value, second.score.low, second.scored_on) == (0.5, None, "validation")
    assert (cell.study, cell.labels) == ("rank", {"rank": "4", "seed": "0"})
    expected = {
        "task": "finance-ner-7", "base": "minilm", "data": "01234567", "scored_data": "fedcba98", "seed": 1, "wall_seconds": 90.0,
        "price": 0.05, "currency": "USD", "adapter.rank": 8, "adapter.targets": "query,value", "date": "2026-11-20T10:00:00Z",
        "score": 0.8, "macro_f1": 0.4, "seconds_per_1000": 12.0, "training_examples": 48, "examples": 20,
    }  # fmt: skip
    assert {key: first.values.get(key) for key in expected} == expected
    assert "energy_joules" not in first.values
    assert "train.patience" not in first.values
    assert found["begun"].values["base"] == "distilbert"
    assert by_folder(runs, metric="macro_f1")["first"].score.value == 0.4


def test_verification_looks_at_every_file(runs):
    (runs / "first" / run.ADAPTER / "weights").write_bytes(b"abc")
    hashes = {f"{run.ADAPTER}/weights": run.hash_files(runs / "first" / run.ADAPTER)["weights"]}
    (runs / "first" / run.MANIFEST).write_text(json.dumps(manifest(files=hashes)))
    assert by_folder(runs, verify=True)["first"].status == "finished"
    (runs / "first" / run.ADAPTER / "weights").write_bytes(b"abd")
    assert by_folder(runs)["first"].status == "finished", "nothing is hashed unless it is asked for"
    entry = by_folder(runs, verify=True)["first"]
    assert (entry.status, entry.why) == ("damaged", "adapter/weights is damaged")


def test_a_run_by_itself_and_what_is_no_folder(runs):
    (alone,) = read(runs / "first")
    assert (alone.folder, alone.status) == (".", "finished")
    with pytest.raises(ArtifactError, match="no folder"):
        read(runs / "missing")
    assert read(runs / "notes") == []


@pytest.mark.skipif(os.name == "nt", reason="links and permissions of POSIX")
def test_links_are_not_followed_and_closed_folders_are_said(runs, monkeypatch):
    (runs / "first" / ".." / "loop").symlink_to(runs)
    before = os.scandir

    def closed(place: Any) -> Any:
        if Path(place).name == "deep":
            raise PermissionError(13, "Permission denied")
        return before(place)

    monkeypatch.setattr(os, "scandir", closed)
    found = by_folder(runs)
    assert (found["deep"].status, found["deep"].why) == ("damaged", "cannot be read: Permission denied")
    assert not any(folder.startswith("loop") for folder in found)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["finance-ner-7", "spans", "🂡\x1b["]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted({*manifest(), *report(), "a"})), inner, max_size=4),
    max_leaves=8,
)
ANYTHING = st.one_of(
    st.binary(max_size=30),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.tuples(st.sampled_from(sorted(manifest())), JSON).map(lambda change: json.dumps(manifest(**dict([change]))).encode()),
    st.tuples(st.sampled_from(sorted(set(report()) - {"schema_version"})), JSON).map(
        lambda change: json.dumps(report(**dict([change]))).encode()
    ),
    st.just(b"[" * 100_000),
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=150)
@given(document=ANYTHING, evaluation=ANYTHING, table=ANYTHING, name=st.sampled_from([run.MANIFEST, run.STARTED]))
def test_whatever_stands_in_a_folder_is_an_entry(tmp_path_factory, document, evaluation, table, name):
    """Also what it prints can always be printed."""
    root = tmp_path_factory.mktemp("any")
    place = write(root / "cells" / "x", {})
    (place / name).write_bytes(document)
    (place / run.REPORT_JSON).write_bytes(evaluation)
    (root / "study.json").write_bytes(table)
    (entry,) = read(root, verify=True)
    record = entry.record()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    (row,) = csv.DictReader(io.StringIO(history_csv([record])))
    assert row["status"] == entry.status
    printed(history_table([record]))


def printed(table: Any, width: int = 250) -> str:
    from rich.console import Console

    file = io.StringIO()
    Console(file=file, width=width).print(table)
    assert "\x1b" not in file.getvalue()
    return file.getvalue()


def entry(**values: Any) -> Entry:
    return Entry(str(values.get("folder", "x")), "finished", values={key: value for key, value in values.items() if value is not None})


NUMBERS = st.integers(-5, 5) | st.floats(-5, 5)


@given(st.lists(st.none() | NUMBERS | st.sampled_from(["a", "b"]), max_size=8), st.sampled_from(sorted(COMPARISONS)), NUMBERS)
def test_conditions_compare_numbers_with_numbers(found, sign, value):
    entries = [entry(price=one, number=place) for place, one in enumerate(found)]
    kept = chosen(entries, [condition(f" price {sign} {value!r} ")])
    assert [e.values["number"] for e in kept] == [
        place for place, one in enumerate(found)
        if one is not None and (COMPARISONS[sign](one, value) if not isinstance(one, str) else sign == "!=")
    ]  # fmt: skip


def test_conditions_compare_texts_for_being_the_same():
    entries = [entry(base="minilm", rank="8"), entry(base="distil bert", rank="16"), entry(rank="plain")]
    assert chosen(entries, [condition("base=distil bert")]) == entries[1:2]
    assert chosen(entries, [condition("base!=minilm")]) == entries[1:2], "an entry without the key is not chosen"
    assert chosen(entries, [condition("rank=8")]) == entries[:1], "a text of digits, such as a fingerprint, is one"
    assert chosen(entries, [condition("rank!=8"), condition("rank!=plain")]) == entries[1:2]
    assert chosen([], [condition("anything=1")]) == []


@pytest.mark.parametrize(
    "text", ["", "micro_f1", ">=0.9", "micro_f1>=", "micro_f1=>0.9", "micro_f1==0.9", "a b=1", "x>nan", "x<b", "x>=2026-11-01"]
)
def test_what_is_no_condition_is_refused_in_one_line(text):
    with pytest.raises(UsageError) as caught:
        condition(text)
    assert "\n" not in str(caught.value)
    assert caught.value.fix


def test_unknown_keys_are_refused_with_the_nearest():
    entries = [entry(micro_f1=0.9)]
    for act in (lambda: chosen(entries, [condition("mikro_f1>0")]), lambda: ordered(entries, "mikro_f1")):
        with pytest.raises(UsageError, match="did you mean 'micro_f1'"):
            act()
    assert chosen(entries, [condition("price<1")]) == [], "a key that a run could have is no mistake"


@given(st.lists(st.none() | NUMBERS | st.text(max_size=2), max_size=9))
def test_sorting_is_stable_and_puts_what_is_missing_last(found):
    entries = [entry(score=one, number=place) for place, one in enumerate(found)]
    rising, falling = ordered(entries, "score"), ordered(entries, "-score")
    for result, reverse in ((rising, False), (falling, True)):
        values = [e.values.get("score") for e in result]
        kinds = ["n" if isinstance(v, (int, float)) else "t" if isinstance(v, str) else "z" for v in values]
        assert kinds == sorted(kinds)
        for kind in ("n", "t"):
            some = [v for v, k in zip(values, kinds, strict=True) if k == kind]
            assert some == sorted(some, reverse=reverse)
        for one in set(found):
            places = [e.values["number"] for e in result if e.values.get("score") == one and (one is None) == ("score" not in e.values)]
            assert places == sorted(places)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-01", "2026-11-01T00:00:00Z"), ("2026-11-01T12:30", "2026-11-01T12:30:00Z"), ("7d", "2026-11-14T12:00:00Z"),
        ("2026-11-01T12:30+02:00", "2026-11-01T10:30:00Z"),
    ],
)  # fmt: skip
def test_dates_are_moments(text, moment):
    assert since(text, now=NOW) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "0d", "-3d", "7 d", "2026-13-01", "99999999d"])
def test_what_is_no_date_is_refused(text):
    with pytest.raises(UsageError, match="is no date"):
        since(text, now=NOW)


def command(*arguments: str) -> Any:
    result = CliRunner().invoke(app, ["history", *arguments], catch_exceptions=True)
    if isinstance(result.exception, FintuneError):
        return str(result.exception)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_command_chooses_sorts_and_prints(runs):
    def names(*arguments: str) -> list[str]:
        document = json.loads(command(str(runs), "--json", *arguments))
        assert document["schema_version"] == 1
        return [one["folder"] for one in document["runs"]]

    assert len(names()) == 9
    assert names("--status", "finished", "--sort", "-score") == ["rank/cells/a1", "first", "deep/er/second"]
    assert names("--status", "finished", "--sort", "score") == ["deep/er/second", "first", "rank/cells/a1"]
    assert names("--status", "finished")[0] == "deep/er/second", "the newest first"
    assert names("--filter", "micro_f1>=0.8", "--filter", "rank=4") == ["rank/cells/a1"]
    assert names("--filter", "rank>4") == ["rank/cells/b2"], "labels of axes are numbers where they can be"
    assert names("--filter", "data=01234567", "--filter", "study=rank") == ["rank/cells/b2", "rank/cells/a1"]
    assert names("--base", "distilbert") == ["begun"]
    assert names("--task", "none") == []
    assert names("--since", "2026-11-20T12:00", "--status", "finished") == ["deep/er/second"]
    rows = list(csv.DictReader(io.StringIO(command(str(runs), "--csv", "--status", "finished", "--sort", "folder"))))
    assert [row["folder"] for row in rows] == ["deep/er/second", "first", "rank/cells/a1"]
    assert tuple(rows[0]) == COLUMNS
    assert (rows[1]["value"], rows[1]["price"], rows[1]["energy_joules"]) == ("0.8", "0.05", "")
    assert "both given" in command(str(runs), "--csv", "--json")
    assert "--metric" in command(str(runs), "--metric", "mikro_f1")


def test_the_table_says_what_is_wrong_and_takes_nothing_for_markup(runs):
    hostile = "[bold]x[/] \x1b[31mred =1+1"
    (runs / "first" / run.MANIFEST).write_text(json.dumps(manifest(task={"name": hostile, "kind": "spans"})))
    text = printed(history_table([e.record() for e in read(runs)]))
    said = ("micro_f1 0.800", "0.700 to 0.900", "damaged: adapter is missing", "failed: no space left", "90 s", "0.05 USD", "[bold]x[/]")
    for words in said:
        assert words in text
    assert "9 runs" in text
    assert "4 damaged" in text
    assert "1 unfinished" in text


def test_a_formula_in_a_name_is_no_formula_in_a_spreadsheet(runs):
    (runs / "=1+1").mkdir()
    write(runs / "=1+1" / "run", {run.MANIFEST: manifest()})
    assert "'=1+1/run" in history_csv([e.record() for e in read(runs)])


def test_a_real_run_is_found(recipe, examples, tmp_path):
    from fintune import api

    made = recipe({"train.epochs": 1, "cost.hourly_rate": 36.0})
    api.train(made, data=examples[:30], validation=examples[30:40], output=tmp_path / "runs" / "real").evaluate(examples[40:50])
    (found,) = read(tmp_path / "runs", verify=True)
    assert (found.status, found.why) == ("finished", "")
    assert found.metric == "micro_f1"
    assert found.score is not None
    assert found.values["price"] == pytest.approx(found.values["wall_seconds"] / 100)
    assert found.values["adapter.rank"] == made.adapter.rank
    assert set(history.COLUMNS) - set(found.values) == {"study", "gpu_seconds", "peak_gpu_memory_bytes", "energy_joules"} - set(
        found.values
    )
