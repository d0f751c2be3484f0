"""What cannot be compared is refused with the example, the file and the mend; what can be is compared on what all have."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from compared_systems import gold, outputs, write_gold, write_run

from fintune.data import predictions as seam
from fintune.errors import ArtifactError, DataError, FintuneError, UsageError
from fintune.metrics.intervals import Bootstrap
from fintune.records import Example, Span
from fintune.run import write_file
from fintune.study.compare import compare
from fintune.study.compare_request import Request

PLAN = Bootstrap(50)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path


def run(place: Path, name: str, examples: list[Example], *, file: str, kind: str = "spans") -> str:
    data = write_gold(place / file, examples)
    return str(write_run(place / name, outputs(examples, skill=0.7, seed=len(name)), data=data, kind=kind))


def refused(*systems: str, **more: object) -> FintuneError:
    with pytest.raises(FintuneError) as error:
        compare(Request(systems=systems, plan=PLAN, **more))  # type: ignore[arg-type]
    assert error.value.fix
    assert "\n" not in str(error.value)
    return error.value


def no_spans(example: Example) -> Example:
    return replace(example, spans=())


def other_text(example: Example) -> Example:
    return replace(example, text=example.text + " .")


def other_label(example: Example) -> Example:
    return replace(example, spans=tuple(replace(span, label="Company") for span in example.spans or ()))


@pytest.mark.parametrize(("change", "words"), [(no_spans, "other spans"), (other_text, "another text"), (other_label, "other spans")])
def test_gold_that_differs_is_refused_with_the_first_example(place: Path, change: Callable[[Example], Example], words: str) -> None:
    examples = gold("spans", 12)
    changed = [change(e) if e.id in ("7", "9") else e for e in examples]
    error = refused(run(place, "a", examples, file="one.jsonl"), run(place, "bb", changed, file="two.jsonl"))
    assert isinstance(error, DataError)
    assert f"at example '7': {words}" in error.what
    assert str(place / "a") in error.what
    assert f"{place / 'bb'}, {place / 'two.jsonl'}:7" == error.where


def test_gold_with_more_or_fewer_examples_is_refused_but_for_common(place: Path) -> None:
    examples = gold("spans", 12)
    few = run(place, "a", examples[:10], file="one.jsonl")
    many = run(place, "bb", examples, file="two.jsonl")
    assert "example '11'" in refused(few, many).what
    assert "example '11': it is missing" in refused(many, few).what
    found = compare(Request(systems=(few, many), ids="common", plan=PLAN)).document
    assert found["examples"] == 10
    assert found["systems"][0]["metrics"]["micro_f1"]["value"] == pytest.approx(_score(few, examples[:10], place))


def _score(folder: str, examples: list[Example], place: Path) -> float:
    from fintune.api import score
    from fintune.data.load import load
    from fintune.tasks.base import load_task

    data = write_gold(place / "check.jsonl", examples)
    loaded = load(data, kind="spans")
    report = score(load_task("finance-ner-7"), loaded, seam.read(Path(folder) / "predictions.jsonl"), floors={}, source="x")
    return report["metrics"]["micro_f1"]["value"]


def test_the_order_of_examples_makes_no_other_gold(place: Path) -> None:
    examples = gold("spans", 12)
    one, two = run(place, "a", examples, file="one.jsonl"), run(place, "bb", examples[::-1], file="two.jsonl")
    ordered, turned = (compare(Request(systems=pair, plan=PLAN)).document for pair in ((one, two), (two, one)))
    first, second = ordered["pairs"][0]["metrics"]["micro_f1"], turned["pairs"][0]["metrics"]["micro_f1"]
    assert (first["value"], first["p_value"]) == (-second["value"], second["p_value"])


def test_ids_that_do_not_match_are_refused_but_for_common(place: Path) -> None:
    examples = gold("spans", 12)
    full = run(place, "a", examples, file="one.jsonl")
    file = place / "theirs.jsonl"
    write_file(file, seam.dump(outputs(examples, skill=0.8, seed=1)[3:]))
    error = refused(full, str(file))
    assert error.what == "no prediction for example '1' and 2 more"
    assert error.where == str(file)
    assert "--common" in error.fix
    extra = [*outputs(examples, skill=0.8, seed=1)[3:], replace(outputs(examples, skill=1, seed=1)[0], id="zz")]
    write_file(file, seam.dump(extra))
    found = compare(Request(systems=(full, str(file)), ids="common", plan=PLAN)).document
    assert found["examples"] == 9
    assert any("3 of 12 examples left out" in note for note in found["notes"])
    assert any("1 prediction for no example" in note for note in found["notes"])
    write_file(file, seam.dump(extra[-1:]))
    assert "no example in common" in refused(full, str(file), ids="common").what


def test_predictions_about_another_text_are_refused(place: Path) -> None:
    examples = gold("spans", 6)
    full, file = run(place, "a", examples, file="one.jsonl"), place / "theirs.jsonl"
    write_file(file, seam.dump([replace(p, text=p.text + "!") if p.id == "4" else p for p in outputs(examples, skill=1, seed=1)]))
    error = refused(full, str(file))
    assert "example '4'" in error.what
    assert error.where == str(file)


def test_prediction_files_need_gold_and_task(place: Path) -> None:
    examples = gold("spans", 6)
    files = []
    for seed in (1, 2):
        files.append(str(place / f"{seed}.jsonl"))
        write_file(Path(files[-1]), seam.dump(outputs(examples, skill=0.7, seed=seed)))
    assert isinstance(refused(*files), UsageError)
    assert "--task" in refused(*files).fix
    assert "--data" in refused(*files, task="finance-ner-7").fix
    data = str(write_gold(place / "gold.jsonl", examples))
    assert compare(Request(systems=tuple(files), task="finance-ner-7", data=data, plan=PLAN)).document["examples"] == 6


def test_data_that_changed_or_went_are_refused_unless_given(place: Path) -> None:
    examples = gold("spans", 6)
    one, two = run(place, "a", examples, file="one.jsonl"), run(place, "bb", examples, file="one.jsonl")
    write_gold(place / "one.jsonl", [no_spans(e) for e in examples])
    error = refused(one, two)
    assert isinstance(error, ArtifactError)
    assert "changed since" in error.what
    (place / "one.jsonl").unlink()
    assert "cannot be read" in refused(one, two).what
    data = str(write_gold(place / "moved.jsonl", examples))
    assert not [n for n in compare(Request(systems=(one, two), data=data, plan=PLAN)).document["notes"] if "other data" in n]
    changed = str(write_gold(place / "moved.jsonl", [no_spans(e) for e in examples]))
    assert [n for n in compare(Request(systems=(one, two), data=changed, plan=PLAN)).document["notes"] if "other data" in n]


def test_other_tasks_are_refused(place: Path) -> None:
    spans = run(place, "a", gold("spans", 6), file="one.jsonl")
    labels = run(place, "bb", gold("label", 6), file="two.jsonl", kind="label")
    error = refused(spans, labels)
    assert "kind of task" in error.what
    assert error.where == labels


def test_predictions_of_another_kind_are_refused_with_their_file(place: Path) -> None:
    examples = gold("label", 6)
    labels, file = run(place, "a", examples, file="one.jsonl", kind="label"), place / "theirs.jsonl"
    write_file(file, "".join(json.dumps({"id": e.id, "text": e.text, "spans": []}) + "\n" for e in examples))
    error = refused(labels, str(file))
    assert str(file) in error.where
    assert "no label" in error.what
    spans = replace(gold("spans", 1)[0], spans=(Span(0, 3, "Nonsense"),))
    write_file(file, seam.dump([replace(outputs([spans], skill=1, seed=0)[0], spans=spans.spans)]))
    assert "Nonsense" in refused(run(place, "cc", gold("spans", 1), file="one.jsonl"), str(file)).what


def test_repeated_ids_are_paired_in_order(place: Path) -> None:
    examples = [replace(e, id="same") for e in gold("spans", 5)]
    one = run(place, "a", examples, file="one.jsonl")
    two = run(place, "bb", examples, file="one.jsonl")
    assert compare(Request(systems=(one, two), plan=PLAN)).document["examples"] == 5
