import os
import sys

import pytest

from fintune.data.formats.base import ReadOptions
from fintune.data.load import load, load_texts
from fintune.errors import DataError, UsageError

LINE = '{"text": "%s", "spans": [], "label": "up"}\n'


def texts(path, **options):
    return [example.text for example in load(path, ReadOptions(**options), kind="label").examples]


def fill(folder, **files):
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def test_files_of_a_folder_by_split(tmp_path):
    fill(tmp_path, data__train_0_dot_jsonl=LINE % "a", data__train_1_dot_csv="text,label\nb,up\n", data__test_dot_jsonl=LINE % "c",
         README_dot_md="# x", _dot_cache__train_dot_jsonl="junk")  # fmt: skip
    assert texts(tmp_path) == ["a", "b"]
    assert texts(tmp_path, split="test") == ["c"]


def test_files_that_speak_of_no_split_are_read_in_order(tmp_path):
    fill(tmp_path, b_dot_jsonl=LINE % "b", a_dot_csv="text,label\na,up\n")
    assert texts(tmp_path) == ["a", "b"]
    assert texts(tmp_path, split="b") == ["b"]
    assert [example.text for example in load_texts(tmp_path)] == ["a", "b"]


def test_a_fault_in_a_folder_names_file_and_line(tmp_path):
    fill(tmp_path, train_dot_jsonl=LINE % "a" + "{}\n")
    with pytest.raises(DataError, match="no 'text'") as caught:
        texts(tmp_path)
    assert caught.value.where == f"{tmp_path}/train.jsonl:2"


@pytest.mark.parametrize(
    ("files", "says", "options"),
    [
        ({}, "no data files in the folder", {}),
        ({"rows__README_dot_md": "# x"}, "no data files in the folder", {}),
        ({"rows___dot_hidden_dot_jsonl": LINE % "a"}, "no data files in the folder", {}),
        ({"rows__test_dot_jsonl": LINE % "a", "rows__dev_dot_jsonl": LINE % "b"}, "splits found: dev, test", {}),
        ({"rows__train_dot_jsonl": LINE % "a", "rows__test_dot_jsonl": LINE % "b"}, "did you mean 'train'?", {"split": "trian"}),
        ({"rows__dataset_dict_dot_json": "{}"}, "the data set cannot be read", {}),
        ({"rows__state_dot_json": "not JSON", "rows__dataset_info_dot_json": "{}"}, "the data set cannot be read", {}),
    ],
)
def test_a_bad_folder_is_refused(tmp_path, refused, files, says, options):
    if any("_dot_json" in name and not name.endswith("jsonl") for name in files):
        pytest.importorskip("datasets")
    (tmp_path / "rows").mkdir()
    fill(tmp_path, **files)
    refused(None, "rows", says, **options)


@pytest.fixture
def datasets():
    return pytest.importorskip("datasets")


def test_saved_data_sets_with_class_labels_and_tags(tmp_path, datasets):
    tags = datasets.ClassLabel(names=["O", "B-ORG", "I-ORG"])
    features = datasets.Features({
        "tokens": datasets.List(datasets.Value("string")), "ner_tags": datasets.List(tags),
        "text": datasets.Value("string"), "label": datasets.ClassLabel(names=["down", "up"]),
    })  # fmt: skip
    rows = {"tokens": [["Acme", "Inc", "rose"]], "ner_tags": [[1, 2, 0]], "text": ["Acme Inc rose"], "label": [1]}
    table = datasets.Dataset.from_dict(rows, features=features)
    table.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": table, "test": table}).save_to_disk(tmp_path / "two")
    for name in ("one", "two"):
        (tagged,) = load(tmp_path / name, kind="spans").examples
        assert [(span.text, span.label) for span in tagged.spans] == [("Acme Inc", "ORG")]
        assert texts(tmp_path / name) == ["Acme Inc rose"]
        assert load(tmp_path / name, kind="label").examples[0].label == "up"
    with pytest.raises(DataError, match="splits found: test, train"):
        load(tmp_path / "two", ReadOptions(split="dev"), kind="label")
    table.to_parquet(tmp_path / "three.parquet")
    assert load(tmp_path / "three.parquet", kind="spans").examples[0].spans == tagged.spans


def test_a_bad_row_of_a_data_set_is_counted(tmp_path, datasets):
    datasets.Dataset.from_dict({"text": ["a", None, "c"], "label": ["x", "y", None]}).save_to_disk(tmp_path / "rows")
    loaded = load(tmp_path / "rows", ReadOptions(on_bad="skip"), kind="label")
    assert [example.id for example in loaded.examples] == ["rows:1"]
    assert [error.where for error in loaded.rejected] == [f"{tmp_path}/rows:2", f"{tmp_path}/rows:3"]


def test_a_hub_name_goes_to_the_library_without_code_or_telemetry(monkeypatch, datasets):
    calls = []

    def load_dataset(*args, **options):
        calls.append((args, options))
        return datasets.DatasetDict({"train": datasets.Dataset.from_dict({"headline": ["a"], "sentiment": ["up"], "noise": [1]})})

    monkeypatch.delenv("HF_HUB_DISABLE_TELEMETRY", raising=False)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    (example,) = load("org/name.v2", kind="label").examples
    assert (example.id, example.text, example.label, example.where) == ("name.v2:1", "a", "up", "org/name.v2:1")
    assert calls == [(("org/name.v2",), {})]
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"


@pytest.mark.parametrize("kind_of_error", [ConnectionError, FileNotFoundError, ValueError, RuntimeError])
def test_what_the_library_raises_becomes_one_line(monkeypatch, datasets, kind_of_error):
    def load_dataset(name):
        raise kind_of_error("no such data set\nwith a long story")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(DataError, match=r"^org/name: the data set cannot be read \(no such data set\); check the name"):
        load("org/name", kind="label")


def test_without_the_library_the_remedy_is_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UsageError, match=r"pip install 'fintune\[hub\]'"):
        load("org/name", kind="label")
