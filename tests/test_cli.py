"""The command line as a user meets it: `main()` with arguments, its exit status, standard output and standard error."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

import tiny
from fintune import __version__, cli, demo
from fintune import recipe as recipes
from fintune.data.corpus import bundle
from fintune.data.formats.jsonl import dump


class Result(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def document(self) -> dict:
        """The one JSON document on standard output."""
        lines = self.out.splitlines()
        assert len(lines) == 1
        return json.loads(lines[0])


Command = Callable[..., Result]


@pytest.fixture
def fintune(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Runs a command in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: object, stdin: str | None = None) -> Result:
        monkeypatch.setattr(sys, "argv", ["fintune", *map(str, arguments)])
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
        with pytest.raises(SystemExit) as left:
            cli.main()
        return Result(int(left.value.code or 0), *capsys.readouterr())

    return run


def one_line(result: Result) -> str:
    """The only line on standard error, without the program's name; nothing is on standard output."""
    lines = result.err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("fintune: ")
    assert result.out == ""
    return lines[0].removeprefix("fintune: ")


def write(path: Path, *records: object) -> Path:
    """A JSONL file."""
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return path


def gold(path: Path, count: int = 12) -> Path:
    """A file of annotated examples."""
    return write(path, *(json.loads(dump(example)) for example in tiny.examples(count)))


# ---------------------------------------------------------------- usage


def test_version(fintune: Command) -> None:
    assert fintune("--version") == Result(0, f"fintune {__version__}\n", "")


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], []])
def test_help_names_every_command(fintune: Command, arguments: list[str]) -> None:
    result = fintune(*arguments)
    assert result.status == (0 if arguments else 2)
    assert result.err == ""
    for command in ("check", "train", "evaluate", "predict", "score", "split", "show", "copy", "models", "corpus", "demo"):
        assert command in result.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trian"], "'train'"),
        (["frobnicate"], "No such command"),
        (["train", "ner-minilm", "--dat", "x"], "--data"),
        (["train", "ner-minilm"], "--data"),
        (["check"], "data"),
        (["check", "a", "b"], "(b)"),
        (["check", "a", "--limit", "many"], "--limit"),
        (["check", "bundled:test", "--limit", "0"], "--limit"),
        (["check", "bundled:test", "--rename", "LOC"], "--rename LOC=Location"),
        (["check", "bundled:test", "--scheme", "BILOU"], "--scheme"),
        (["check", "bundled:test", "--occurrences", "last"], "first"),
        (["check", __file__, "--format", "jsnol"], "jsonl"),
        (["check", "bundled:test", "--select", "D9"], "--select"),
        (["split", "bundled:test", "-o", "parts", "--method", "groups"], "'group'"),
        (["split", "bundled:test", "-o", "parts", "--fractions", "0.8,0.2"], "0.8,0.1,0.1"),
        (["split", "bundled:test", "-o", "parts", "--fractions", "0.8,0.2,0.2"], "0.8 0.1 0.1"),
        (["corpus", "--slice", "es", "--kind", "span"], "spans"),
        (["corpus", "--everything"], "--slice"),
        (["predict", "runs/x"], "--text"),
        (["predict", "runs/x", "texts.txt", "--text", "a"], "--text"),
        (["predict", "runs/x", "texts.txt", "--skip-bad"], "--skip-bad"),
    ],
)
def test_usage_errors_are_one_line_and_status_2(fintune: Command, arguments: list[str], said: str) -> None:
    result = fintune(*arguments)
    assert said in one_line(result)
    assert result.status == 2


def test_usage_errors_point_to_the_help_of_the_command(fintune: Command) -> None:
    assert one_line(fintune("check", "--bogus")).endswith("see 'fintune check --help'")


# ---------------------------------------------------------------- recipes


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("name: x\ntask: finance-ner-7\ntrain:\n  epoch: 3\n", 4, "did you mean 'epochs'?"),
        ("name: x\ntask: finance-ner-7\nadaptor:\n  rank: 3\n", 3, "did you mean 'adapter'?"),
        ("name: x\ntask: finance-ner-7\ntrain:\n  epochs: 3\n  epochs: 4\n", 5, "twice"),
        ("name: x\ntask: finance-ner-7\nadapter:\n  rank: 0\n", 4, "'adapter.rank' cannot be 0"),
        ("name: x\ntask: finance-ner-7\ntrain: [\n", 4, "YAML"),
    ],
)
def test_recipe_errors_name_the_line_and_leave_with_4(fintune: Command, tmp_path: Path, text: str, line: int, said: str) -> None:
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    result = fintune("show", "mine.yaml")
    message = one_line(result)
    assert result.status == 4
    assert message.startswith(f"mine.yaml:{line}: ")
    assert said in message


def test_an_unknown_recipe_leaves_with_4_and_the_nearest_name(fintune: Command) -> None:
    result = fintune("train", "ner-minlm", "--data", "bundled:test")
    assert (result.status, "did you mean 'ner-minilm'?" in one_line(result)) == (4, True)


def test_show_lists_the_bundled_recipes(fintune: Command) -> None:
    result = fintune("show")
    assert result.status == 0
    assert [line.split()[0] for line in result.out.splitlines()] == recipes.available()
    assert [recipe["name"] for recipe in fintune("show", "--json").document["recipes"]] == recipes.available()


@pytest.mark.parametrize("name", recipes.available())
def test_a_copied_recipe_means_the_same_and_says_everything(fintune: Command, tmp_path: Path, name: str) -> None:
    assert fintune("copy", name, "mine.yaml", "--set", "train.epochs=7") == Result(0, "mine.yaml\n", "")
    copied = recipes.load(tmp_path / "mine.yaml")
    assert copied == recipes.load(name, ["train.epochs=7", "name=mine"])
    assert fintune("show", "mine.yaml").out == (tmp_path / "mine.yaml").read_text(encoding="utf-8")
    assert fintune("show", "mine.yaml", "--json").document["fingerprint"] == copied.fingerprint()


def test_copy_writes_over_a_file_only_when_told(fintune: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("precious", encoding="utf-8")
    result = fintune("copy", "ner-minilm", "mine.yaml")
    assert (result.status, "--force" in one_line(result)) == (2, True)
    assert (tmp_path / "mine.yaml").read_text(encoding="utf-8") == "precious"
    assert fintune("copy", "ner-minilm", "mine.yaml", "--force").status == 0
    assert recipes.load(tmp_path / "mine.yaml").name == "mine"


def test_the_schema_knows_every_key_and_refuses_others(fintune: Command) -> None:
    schema = json.loads(fintune("show", "--schema").out)
    assert schema["properties"].keys() == recipes.Recipe.model_fields.keys()
    assert schema["additionalProperties"] is False


# ---------------------------------------------------------------- check, split, corpus, models


@pytest.mark.parametrize("slice_", ["train", "validation", "test"])
def test_check_finds_no_error_in_the_bundled_corpus(fintune: Command, slice_: str) -> None:
    result = fintune("check", f"bundled:{slice_}", "--json")
    assert (result.status, result.document["status"]) == (0, "ok")
    assert result.document["examples"] == {"train": len(bundle.load(slice_, "spans"))}


def test_check_finds_what_was_planted(fintune: Command, tmp_path: Path) -> None:
    text = "Norvane Bank paid $ 4.2 million ."
    bad = write(
        tmp_path / "bad.jsonl",
        {"id": "1", "text": text, "spans": [{"start": 0, "end": 12, "label": "Firm"}]},
        {"id": "1", "text": text, "spans": [{"start": 0, "end": 13, "label": "Company"}]},
    )
    held = write(tmp_path / "held.jsonl", {"id": "9", "text": text, "spans": [{"start": 0, "end": 12, "label": "Company"}]})
    result = fintune("check", bad, "--validation", held, "--json")
    assert (result.status, result.document["status"]) == (3, "error")
    found = {finding["code"]: finding for finding in result.document["findings"]}
    assert {"D102", "D201", "D202", "D304", "D401"} <= found.keys()
    assert found["D401"]["severity"] == "error"
    assert "bad.jsonl:1" in found["D401"]["where"]

    table = fintune("check", bad, "--validation", held)
    assert (table.status, table.err) == (3, "")
    assert "D401" in table.out
    assert table.out.splitlines()[-1].startswith("2 train, 1 validation: ")
    assert [f["code"] for f in fintune("check", bad, "--select", "D4", "--ignore", "D402", "--json").document["findings"]] == [
        "D401",
        "D403",
    ]


def test_rows_that_cannot_be_read_stop_or_are_listed(fintune: Command, tmp_path: Path) -> None:
    data = gold(tmp_path / "data.jsonl", 3)
    data.write_text(data.read_text(encoding="utf-8") + '{"id": "4", "txt": "lost"}\n', encoding="utf-8")
    stopped = fintune("check", "data.jsonl")
    message = one_line(stopped)
    assert stopped.status == 3
    assert message.startswith("data.jsonl:4: ")
    skipped = fintune("split", "data.jsonl", "-o", "parts", "--skip-bad")
    assert skipped.status == 0
    assert f"skipped {message}" in skipped.err.splitlines()
    counted = fintune("check", "data.jsonl", "--skip-bad", "--json").document
    assert (counted["status"], counted["examples"], [r["where"] for r in counted["rejected"]]) == ("error", {"train": 3}, ["data.jsonl:4"])


def test_an_unknown_column_is_an_error_with_the_option_that_mends_it(fintune: Command, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("text,ground_trth\n\"Acme rose\",\"{'Company': ['Acme']}\"\n", encoding="utf-8")
    result = fintune("check", "data.csv")
    message = one_line(result)
    assert result.status == 3
    assert "--annotation-column ground_trth" in message
    assert fintune("check", "data.csv", "--annotation-column", "ground_trth", "--ignore", "D4").status == 0


@pytest.mark.parametrize("method", ["paper", "stratified", "group", "time", "hash"])
def test_split_writes_every_example_once(fintune: Command, tmp_path: Path, method: str) -> None:
    result = fintune("split", "bundled:test", "-o", "parts", "--method", method, "--json")
    assert result.status == 0
    parts = {name: (tmp_path / "parts" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines() for name in result.document["examples"]}
    assert {name: len(lines) for name, lines in parts.items()} == result.document["examples"]
    assert sorted(line for lines in parts.values() for line in lines) == sorted(dump(e) for e in bundle.load("test", "spans"))


def test_split_takes_fractions_and_a_seed(fintune: Command, tmp_path: Path) -> None:
    def divided(*arguments: str) -> dict[str, list[str]]:
        assert fintune("split", "bundled:test", "-o", "parts", "--method", "hash", "--force", *arguments).status == 0
        return {path.name: path.read_text(encoding="utf-8").splitlines() for path in (tmp_path / "parts").iterdir()}

    usual, given = divided(), divided("--fractions", "0.8,0.1,0.1", "--seed", "42")
    assert usual == given
    assert divided("--seed", "1") != usual
    halves = divided("--fractions", "0.5,0,0.5")
    assert not halves["validation.jsonl"]
    assert abs(len(halves["train.jsonl"]) - len(halves["test.jsonl"])) < 0.2 * sum(map(len, halves.values()))


def test_split_never_writes_over_data_unasked(fintune: Command, tmp_path: Path) -> None:
    data = gold(tmp_path / "train.jsonl", 20)
    before = data.read_bytes()
    result = fintune("split", "train.jsonl", "-o", ".")
    assert (result.status, "--force" in one_line(result)) == (2, True)
    assert data.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.jsonl"]
    assert fintune("split", "train.jsonl", "-o", ".", "--force").status == 0
    assert data.read_bytes() != before


def test_a_corpus_slice_can_be_written_and_read_back(fintune: Command, tmp_path: Path) -> None:
    assert fintune("corpus", "--slice", "es", "-o", "es.jsonl") == Result(0, "es.jsonl\n", "")
    printed = fintune("corpus", "--slice", "es")
    assert printed.out == (tmp_path / "es.jsonl").read_text(encoding="utf-8")
    assert fintune("check", "es.jsonl", "--json").document["examples"]["train"] == len(bundle.load("es", "spans"))
    everything = [json.loads(line) for line in fintune("corpus", "--slice", "es", "--everything").out.splitlines()]
    assert all({"relations", "questions", "topic"} <= record.keys() for record in everything)
    assert "Licence" in fintune("corpus").out


def test_an_unknown_slice_is_bad_data(fintune: Command) -> None:
    result = fintune("corpus", "--slice", "trian")
    assert (result.status, "did you mean 'train'?" in one_line(result)) == (3, True)


def test_models_show_licence_and_obligations_uncut(fintune: Command) -> None:
    table = fintune("models").out
    for model in fintune("models", "--json").document["models"]:
        assert all(model[key] in table for key in ("name", "id", "licence", "obligations"))


# ---------------------------------------------------------------- score


def predictions(path: Path, count: int = 12) -> Path:
    """Predictions that equal the gold of `gold`, in the form another system would write."""
    return write(
        path,
        *(
            {"id": e.id, "text": e.text, "spans": [{"start": s.start, "end": s.end, "label": s.label} for s in e.spans or ()]}
            for e in tiny.examples(count)
        ),
    )


def test_score_of_perfect_predictions_is_one(fintune: Command, tmp_path: Path) -> None:
    result = fintune("score", predictions(tmp_path / "p.jsonl"), "--data", gold(tmp_path / "d.jsonl"), "--json")
    assert result.status == 0
    assert result.document["metrics"]["micro_f1"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert result.document["floors"].keys() == {"empty"}
    assert result.document["data"]["rejected"] == 0
    with_floor = fintune("score", tmp_path / "p.jsonl", "--data", tmp_path / "d.jsonl", "--gazetteer", tmp_path / "d.jsonl", "--json")
    assert 0 < with_floor.document["floors"]["gazetteer"]["micro_f1"]["value"] <= 1
    assert "Company" in fintune("score", tmp_path / "p.jsonl", "--data", tmp_path / "d.jsonl").out


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        ("{", 3, "p.jsonl:2"),
        ("[]", 3, "p.jsonl:2"),
        ('{"id": "2", "text": "x", "entities": []}', 3, "p.jsonl:2"),
        ('{"id": "2", "spans": []}', 3, "p.jsonl:2"),
        ('{"id": "2", "text": "x", "spans": [{"start": 0, "end": 9, "label": "Company"}]}', 3, "p.jsonl:2"),
        ('{"id": "2", "text": "x", "spans": [{"start": 0.5, "end": 1, "label": "Company"}]}', 3, "p.jsonl:2"),
        ('{"id": "2", "text": "x", "spans": [], "status": "fine"}', 3, "p.jsonl:2"),
        ('{"id": "2", "text": "x", "spans": [], "confidence": "high"}', 3, "p.jsonl:2"),
        ('{"id": "2", "text": "another text", "spans": []}', 3, "not about example '2'"),
        ('{"id": "3", "text": "x", "spans": []}', 3, "no prediction for example '2'"),
    ],
)
def test_predictions_that_are_none_are_refused(fintune: Command, tmp_path: Path, line: str, status: int, said: str) -> None:
    first = predictions(tmp_path / "p.jsonl", 1).read_text(encoding="utf-8")
    (tmp_path / "p.jsonl").write_text(first + line + "\n", encoding="utf-8")
    result = fintune("score", "p.jsonl", "--data", gold(tmp_path / "d.jsonl", 2))
    assert said in one_line(result)
    assert result.status == status


def test_score_needs_no_torch(tmp_path: Path) -> None:
    """As on a laptop where only the torch-free half is installed."""
    predictions(tmp_path / "p.jsonl")
    gold(tmp_path / "d.jsonl")
    program = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "transformers", "peft", "accelerate", "safetensors"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
sys.argv = ["fintune", "score", "p.jsonl", "--data", "d.jsonl", "--json"]
from fintune.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["metrics"]["surface_micro_f1"]["value"] == 1.0


# ---------------------------------------------------------------- --json and failures


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (["check", "--bogus", "--json"], 2, "E-USAGE"),
        (["check", "nowhere.csv", "--json"], 3, "E-DATA"),
        (["show", "ner-minilm", "--set", "train.epoch=1", "--json"], 4, "E-RECIPE"),
        (["evaluate", "runs/none", "--data", "bundled:test", "--json"], 5, "E-ARTIFACT"),
        (["predict", "runs/none", "--text", "a", "--json"], 5, "E-ARTIFACT"),
        (["score", "none.jsonl", "--data", "bundled:test", "--json"], 5, "E-ARTIFACT"),
    ],
)
def test_errors_are_one_json_document_too(fintune: Command, arguments: list[str], status: int, code: str) -> None:
    result = fintune(*arguments)
    assert result.status == status
    assert result.document["schema_version"] == 1
    assert (result.document["error"], result.document["exit_status"]) == (code, status)
    assert len(result.err.splitlines()) == 1


def test_every_json_document_says_its_version(fintune: Command, tmp_path: Path) -> None:
    gold(tmp_path / "d.jsonl")
    predictions(tmp_path / "p.jsonl")
    for arguments in (
        ["check", "d.jsonl"], ["show"], ["show", "ner-minilm"], ["models"], ["score", "p.jsonl", "--data", "d.jsonl"],
        ["split", "d.jsonl", "-o", "parts"],
    ):  # fmt: skip
        assert fintune(*arguments, "--json").document["schema_version"] == 1


def test_an_unexpected_error_leaves_with_1_and_keeps_its_traceback(fintune: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("fintune.recipe.load", broken)
    result = fintune("show", "ner-minilm")
    message = one_line(result)
    assert result.status == 1
    assert "ZeroDivisionError: planted" in message
    log = Path(message.split("traceback is in ")[1].split(",")[0])
    assert "Traceback" in log.read_text(encoding="utf-8")
    log.unlink()
    assert "Traceback" in fintune("--debug", "show", "ner-minilm").err
    told = fintune("show", "ner-minilm", "--json")
    assert told.document["error"] == "E-UNEXPECTED"
    Path(told.err.split("traceback is in ")[1].split(",")[0]).unlink()


def test_an_interruption_leaves_with_130(fintune: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fintune.recipe.load", interrupted)
    assert fintune("show", "ner-minilm") == Result(130, "", "fintune: interrupted\n")
    assert fintune("show", "ner-minilm", "--json").document["exit_status"] == 130


@pytest.mark.parametrize(
    "arguments",
    [["split", "bundled:test", "-o", "file/parts"], ["copy", "ner-minilm", "file/mine.yaml"], ["corpus", "--slice", "es", "-o", "file/x"]],
)
def test_what_cannot_be_written_leaves_with_6(fintune: Command, tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    result = fintune(*arguments)
    assert result.status == 6
    assert "cannot write" in one_line(result)


# ---------------------------------------------------------------- a run, from training to prediction


def tiny_recipe(folder: Path, base: Path) -> Path:
    """A recipe file on the tiny base."""
    path = folder / "tiny.yaml"
    path.write_text(tiny.recipe(base, {"train.epochs": 1}).to_yaml(), encoding="utf-8")
    return path


def test_train_evaluate_predict(fintune: Command, tmp_path: Path, tiny_base: Path) -> None:
    recipe, data, held = tiny_recipe(tmp_path, tiny_base), gold(tmp_path / "train.jsonl", 60), gold(tmp_path / "held.jsonl", 12)

    trained = fintune("train", recipe, "--data", data, "--validation", held, "-o", "runs/first", "--set", "train.epochs=2", "--json")
    assert (trained.status, trained.err) == (0, "")
    assert trained.document["task"] == "finance-ner-7"
    assert trained.document["examples"] == 12

    again = fintune("train", recipe, "--data", data, "-o", "runs/first")
    assert (again.status, "finished run" in one_line(again)) == (5, True)

    shown = fintune("train", recipe, "--data", data, "--split", "stratified", "-o", "runs/second")
    assert (shown.status, shown.out) == (0, "runs/second\n")
    assert "parameters" in shown.err
    assert "validation" in shown.err

    report = fintune("evaluate", "runs/first", "--data", held, "-o", "elsewhere", "--json")
    assert report.status == 0
    assert report.document["metrics"].keys() >= {"micro_f1", "macro_f1", "surface_micro_f1", "surface_macro_f1"}
    assert report.document["floors"].keys() == {"empty", "gazetteer"}
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == ["predictions.jsonl", "report.html", "report.json"]

    scored = fintune("score", "elsewhere/predictions.jsonl", "--data", held, "--gazetteer", data, "--json").document
    assert {**scored, "data": None, "cost": None} == {**report.document, "data": None, "cost": None}

    piped = fintune("evaluate", "runs/first", "--data", "-", "-o", "piped", "--json", stdin=held.read_text(encoding="utf-8"))
    assert piped.document["metrics"] == report.document["metrics"]

    table = fintune("evaluate", "runs/first", "--data", held, "--quiet")
    assert (table.status, table.err) == (0, "")
    assert "Company" in table.out
    assert table.out.splitlines()[-1] == "runs/first/report.html"

    check_predict(fintune, tmp_path)


def check_predict(fintune: Command, folder: Path) -> None:
    """Every way of asking a run for predictions gives the same ones."""
    texts = ["Norvane Bank paid $ 4.2 million .", "Nothing was decided .", "Überseehandel 银行 rose"]
    (folder / "texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    from_file = fintune("predict", "runs/first", "texts.txt", "--quiet")
    assert (from_file.status, from_file.err) == (0, "")
    found = [json.loads(line) for line in from_file.out.splitlines()]
    assert [prediction["text"] for prediction in found] == texts

    def spans(predictions: list[dict]) -> list[object]:
        return [prediction["spans"] for prediction in predictions]

    piped = fintune("predict", "runs/first", "-", "-q", stdin="\n".join(texts) + "\n")
    assert spans([json.loads(line) for line in piped.out.splitlines()]) == spans(found)
    document = fintune("predict", "runs/first", *(part for text in texts for part in ("--text", text)), "--json").document
    assert spans(document["predictions"]) == spans(found)
    assert fintune("predict", "runs/first", "texts.txt", "-o", "found.jsonl", "-q") == Result(0, "", "")
    assert (folder / "found.jsonl").read_text(encoding="utf-8") == from_file.out
    shown = fintune("predict", "runs/first", "--text", texts[0], "-q").out
    plain = shown.replace("‹", "").replace("›", "")
    assert plain.startswith("Norvane Bank")
    (folder / "texts.csv").write_text("story\nNothing was decided .\n", encoding="utf-8")
    assert "--text-column" in one_line(fintune("predict", "runs/first", "texts.csv", "-q"))
    assert fintune("predict", "runs/first", "texts.csv", "--text-column", "story", "-q").status == 0


@pytest.mark.parametrize(
    ("task", "folder", "floor"), [("entities", "demo", "floor: gazetteer, micro"), ("sentiment", "demo-sentiment", "floor: words")]
)
def test_demo(
    fintune: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_base: Path, task: str, folder: str, floor: str
) -> None:
    """The whole demo, on a base too small to learn anything."""
    small = ("train.epochs=1", "train.batch_size=64", "train.precision=fp32", "data.max_tokens=64", "data.overlap_tokens=16")
    shown = demo.DEMOS[task]
    monkeypatch.setitem(demo.DEMOS, task, replace(shown, settings=(f"model.base={tiny_base}", *small)))
    result = fintune("demo", "--task", task, "--quiet")
    assert result.status == 0
    assert floor in result.out
    plain = result.out.replace("‹", "").replace("›", "")
    assert all(example.text.split(" ", maxsplit=1)[0] in plain for example in shown.examples)
    assert (tmp_path / "runs" / folder / "report.html").is_file()
    assert f"runs/{folder}/report.html" in result.out


def test_an_unknown_demo_is_refused_with_the_nearest(fintune: Command) -> None:
    result = fintune("demo", "--task", "sentimental")
    assert (result.status, "did you mean 'sentiment'" in one_line(result).lower()) == (2, True)


def test_demo_replaces_a_demo_and_nothing_else(fintune: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "runs" / "mine"
    run.mkdir(parents=True)
    (run / "manifest.json").write_text('{"data": {"train": {"source": "mine.csv"}}}', encoding="utf-8")
    result = fintune("demo", "-o", "runs/mine")
    assert (result.status, "is no demo" in one_line(result)) == (2, True)
    assert (run / "manifest.json").is_file()
