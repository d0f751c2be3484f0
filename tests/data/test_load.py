import dataclasses
import hashlib
import io
import json
import sys
import types

import pytest

from fintune.data.formats.base import ReadOptions
from fintune.data.formats.jsonl import dump
from fintune.data.load import fingerprint, load, load_texts
from fintune.errors import DataError, UsageError
from fintune.records import Answer, Example, Meta, Span

EXAMPLES = [
    Example(id="1", text="Acme rose", spans=(Span(0, 4, "ORG", "Acme"),), label="up"),
    Example(
        id="2", text="Ajax fell", spans=(Span(5, 9, "MOVE", "fell"), Span(0, 4, "ORG", "Ajax")), label="down", unaligned=(("ORG", "X"),)
    ),
]
LINES = "".join(dump(example) + "\n" for example in EXAMPLES)


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(LINES)
    return path


@pytest.fixture
def stdin(monkeypatch):
    def give(content):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))

    return give


def placeless(examples):
    return [dataclasses.replace(example, where="") for example in examples]


def test_a_path_a_string_and_examples_load_alike(rows):
    for source in (rows, str(rows), EXAMPLES, tuple(EXAMPLES)):
        loaded = load(source, kind="spans")
        assert placeless(loaded.examples) == EXAMPLES
        assert (loaded.rejected, loaded.unaligned, loaded.fingerprint) == ((), 1, fingerprint(EXAMPLES))
    assert load(rows, kind="spans").format == "jsonl"
    assert load(EXAMPLES, kind="spans").format == "examples"


def test_the_fingerprint_is_of_ids_texts_and_gold_in_order():
    base = fingerprint(EXAMPLES)
    first, second = EXAMPLES
    assert fingerprint(EXAMPLES[::-1]) != base
    for change in (
        {"id": "3"}, {"text": "Ajax Fell"}, {"label": "up"}, {"label": None}, {"spans": None}, {"spans": ()}, {"unaligned": ()},
        {"question": "Who?"}, {"question": "Who?", "answer": Answer(0, "Ajax")}, {"spans": second.spans[:1]},
    ):  # fmt: skip
        assert fingerprint([first, dataclasses.replace(second, **change)]) != base, change
    same = dataclasses.replace(second, spans=second.spans[::-1], where="elsewhere:9", meta=Meta(document="d"))
    assert fingerprint([first, same]) == base
    canonical = ["1", "Acme rose", [[0, 4, "ORG"]], "up", None, None, []]
    assert fingerprint([first]) == hashlib.sha256((json.dumps(canonical, separators=(",", ":")) + "\n").encode()).hexdigest()


def test_the_format_does_not_change_the_fingerprint(tmp_path):
    (tmp_path / "a.csv").write_text("id,text,label\n1,Acme rose,up\n")
    (tmp_path / "b.jsonl").write_text('{"label": "up", "text": "Acme rose", "id": 1}\n')
    assert load(tmp_path / "a.csv", kind="label").fingerprint == load(tmp_path / "b.jsonl", kind="label").fingerprint


def test_repeated_ids_are_kept_and_rejections_counted(rows):
    rows.write_text(LINES + "{}\n" + LINES)
    with pytest.raises(DataError, match=r"rows\.jsonl:3: no 'text'"):
        load(rows, kind="spans")
    loaded = load(rows, ReadOptions(on_bad="skip"), kind="spans")
    assert [example.id for example in loaded.examples] == ["1", "2", "1", "2"]
    assert [error.where for error in loaded.rejected] == [f"{rows}:3"]


def test_labels_are_renamed_everywhere():
    loaded = load(EXAMPLES, ReadOptions(rename={"ORG": "Company", "down": "negative"}), kind="label")
    assert [[span.label for span in example.spans] for example in loaded.examples] == [["Company"], ["MOVE", "Company"]]
    assert [example.label for example in loaded.examples] == ["up", "negative"]
    assert loaded.examples[1].unaligned == (("Company", "X"),)


def test_the_limit_counts_examples_and_stops_reading(rows):
    rows.write_text("{}\n" + LINES + "junk\n")
    loaded = load(rows, ReadOptions(limit=1, on_bad="skip"), kind="spans")
    assert ([example.id for example in loaded.examples], len(loaded.rejected)) == (["1"], 1)
    assert len(load(rows, ReadOptions(limit=2, on_bad="skip"), kind="spans").rejected) == 1


@pytest.mark.parametrize(
    ("kind", "says"), [("spans", "no spans"), ("label", "no label"), ("answer", "no question")],
)  # fmt: skip
def test_examples_without_the_gold_of_the_kind_are_refused(kind, says):
    with pytest.raises(DataError, match=says) as caught:
        load([Example(id="7", text="a")], kind=kind)
    assert caught.value.where == "example '7'"


def test_an_unanswered_question_is_gold():
    (example,) = load([Example(id="7", text="a", question="b")], kind="answer").examples
    assert example.answer is None


def test_nothing_to_load_is_an_error():
    with pytest.raises(DataError, match="no examples"):
        load([], kind="spans")


@pytest.mark.parametrize(
    ("content", "expected"), [(LINES, "jsonl"), ("text,label,entities\nAcme rose,up,{}\n", "csv"), ("Acme B-X\n", "conll")]
)
def test_standard_input(stdin, content, expected):
    stdin(content)
    loaded = load("-", kind="spans")
    assert loaded.format == expected
    assert loaded.examples[0].where == f"stdin:{2 if expected == 'csv' else 1}"


def test_faults_of_standard_input_are_named(stdin):
    stdin(LINES + "{}\n")
    with pytest.raises(DataError, match=r"^stdin:3: no 'text'"):
        load("-", kind="spans")
    stdin("")
    with pytest.raises(DataError, match=r"^stdin: the file is empty"):
        load("-", kind="spans")


def test_texts_have_no_gold_whatever_the_format(rows, stdin, tmp_path):
    expected = [Example(id="1", text="Acme rose"), Example(id="2", text="Ajax fell")]
    assert placeless(load_texts(rows)) == expected
    assert placeless(load_texts(EXAMPLES)) == expected
    (tmp_path / "rows.csv").write_text("id,sentence,ground_truth\n1,Acme rose,junk\n2,Ajax fell,junk\n")
    assert placeless(load_texts(tmp_path / "rows.csv")) == expected
    (tmp_path / "rows.conll").write_text("Acme nonsense\nrose x\n\nAjax y\nfell z\n")
    assert [example.text for example in load_texts(tmp_path / "rows.conll")] == ["Acme rose", "Ajax fell"]
    stdin("Acme rose\n\nAjax, text\n")
    assert [(example.id, example.text) for example in load_texts("-")] == [("stdin:1", "Acme rose"), ("stdin:3", "Ajax, text")]
    stdin('{"text": "a", "question": "b"}\n')
    assert [(example.text, example.question) for example in load_texts("-")] == [("a", "b")]
    (tmp_path / "rows.txt").write_text("\ufefftext\r\nAcme\u2028rose\r\n")
    assert [example.text for example in load_texts(tmp_path / "rows.txt")] == ["text", "Acme\u2028rose"]


def test_a_bad_text_to_predict_stops_whatever_the_options(rows):
    rows.write_text(LINES + "{}\n")
    with pytest.raises(DataError, match="no 'text'"):
        load_texts(rows, ReadOptions(on_bad="skip"))


def test_the_bundled_corpus_is_asked_for_a_slice(monkeypatch):
    calls = []

    def give(slice_, kind):
        calls.append((slice_, kind))
        return EXAMPLES

    monkeypatch.setitem(sys.modules, "fintune.data.corpus.bundle", types.SimpleNamespace(load=give))
    assert load("bundled", kind="spans").format == "bundled"
    load("bundled:newswire/test", ReadOptions(limit=1), kind="label")
    assert placeless(load_texts("bundled:train")) == [dataclasses.replace(e, spans=None, label=None, unaligned=()) for e in EXAMPLES]
    assert calls == [("", "spans"), ("newswire/test", "label"), ("train", "spans")]


@pytest.mark.parametrize("name", ["data/train.jsonl", "data/train.csv.gz", "nowhere", "a/b/c", "./org/name"])
def test_a_missing_path_is_not_taken_for_a_hub_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match="no such file"):
        load(name, kind="spans")


def test_a_name_beside_existing_files_is_a_missing_file(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="no such file"):
        load("data/train", kind="spans")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UsageError, match="datasets"):
        load("org/name", kind="spans")


def test_each_option_names_its_flag():
    flags = {field.name: field.metadata.get("option") for field in dataclasses.fields(ReadOptions)}
    assert flags.pop("gold") is None
    assert flags.pop("on_bad") == "--skip-bad"
    assert flags.pop("split") == "--hub-split"
    assert flags == {name: "--" + name.replace("_", "-") for name in flags}


def test_reading_imports_nothing_heavy(rows):
    import subprocess

    code = (
        f"from fintune.data.load import load; load({str(rows)!r}, kind='spans'); import sys; print([m for m in HEAVY if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", "HEAVY = ('torch', 'transformers', 'datasets', 'pyarrow', 'pandas', 'numpy'); " + code],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
