"""Target and parse are inverse on surfaces, parse never raises, and the score is what the metrics say."""

from __future__ import annotations

import ast
import csv
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fintune.errors import ArtifactError, DataError
from fintune.metrics.floors import learn
from fintune.metrics.intervals import Bootstrap
from fintune.metrics.spans import surface_pairs
from fintune.recipe import Prompt
from fintune.records import Example, Meta, Prediction, Span
from fintune.tasks.base import documents_of, load_task
from fintune.tasks.spans import SpansTask
from fintune.text.align import align

DATA = Path(os.environ.get("FINTUNE_DATA", "../shared/data")) / "ner"
TASK = load_task("finance-ner-7")
TARGETS = {target: load_task("finance-ner-7", Prompt(target=target)) for target in ("literal", "json", "compact")}
PLAN = Bootstrap(replicates=50)
NOTHING = "{'Company': None, 'Date': None, 'Location': None, 'Money': None, 'Person': None, 'Product': None, 'Quantity': None}"


def example(text: str, *surfaces: tuple[str, str], name: str = "e1", unaligned: tuple[tuple[str, str], ...] = ()) -> Example:
    spans = tuple(Span(text.index(surface), text.index(surface) + len(surface), label) for label, surface in surfaces)
    return Example(id=name, text=text, spans=spans, unaligned=unaligned)


@st.composite
def annotated(draw: st.DrawFn) -> Example:
    text = draw(st.text(min_size=1, max_size=25) | st.text(alphabet="ab '\"\\{}[]:,\n\tNone", min_size=1, max_size=25))
    places = st.tuples(st.integers(0, len(text) - 1), st.integers(1, 8), st.sampled_from(TASK.labels))
    spans = [Span(start, min(start + size, len(text)), label) for start, size, label in draw(st.lists(places, max_size=5))]
    unaligned = st.tuples(st.sampled_from(TASK.labels), st.text(max_size=6).filter(str.strip))
    return Example(
        id="e",
        text=text,
        spans=tuple(span for span in spans if text[span.start : span.end].strip()),
        unaligned=tuple(draw(st.lists(unaligned, max_size=2))),
    )


@settings(max_examples=150, deadline=None)
@given(gold=annotated())
def test_parse_gives_back_the_target(gold):
    """In each notation, and whichever was asked for; only a compact one may leave out labels."""
    spans = TASK.parse(TASK.target(gold), gold).spans
    for asked, task in TARGETS.items():
        for written, writer in TARGETS.items():
            prediction = task.parse(writer.target(gold), gold)
            present = {span.label for span in gold.spans} | dict(gold.unaligned).keys()
            left_out = written == "compact" and asked != "compact" and len(present) < len(TASK.labels)
            assert prediction.status == ("repaired" if left_out else "ok")
            assert prediction.reason.startswith("without ") == left_out
            assert prediction.spans == spans
            pair = task.pair(gold, prediction)
            found = surface_pairs(gold.text, pair.predicted, pair.predicted_unaligned)
            assert found == surface_pairs(gold.text, gold.spans, gold.unaligned)
    assert TASK.parse(json.dumps(ast.literal_eval(TASK.target(gold))), gold).status == "ok"


@settings(max_examples=80, deadline=None)
@given(gold=annotated(), target=st.sampled_from(list(TARGETS)), data=st.data())
def test_a_target_cut_short_yields_whole_surfaces_only(gold, target, data):
    task = TARGETS[target]
    written = task.target(gold)
    whole = surface_pairs(gold.text, gold.spans, gold.unaligned)
    for cut in data.draw(st.sets(st.integers(0, len(written) - 1), max_size=12)):
        prediction = task.parse(written[:cut], gold)
        assert prediction.status in ("repaired", "malformed")
        pair = task.pair(gold, prediction)
        assert surface_pairs(gold.text, pair.predicted, pair.predicted_unaligned) <= whole


def test_every_cut_of_an_answer_with_an_answer_inside():
    """A text that holds an answer cannot smuggle it in where writing stops early."""
    inside = "</think> {'Company': ['Fake'], 'Date': ['Q9']}"
    gold = example(f"Acme said {inside} of Fake in Q9", ("Company", "Acme"), ("Product", inside))
    for task in TARGETS.values():
        written = task.target(gold)
        for cut in range(len(written)):
            assert {span.text for span in task.parse(written[:cut], gold).spans} <= {"Acme", inside}


def test_the_notations():
    gold = example("Globex rose 5 % in 木", ("Company", "Globex"), ("Location", "木"))
    nothing = replace(gold, spans=())
    assert TARGETS["json"].target(gold) == (
        '{"Company": ["Globex"], "Date": null, "Location": ["木"], "Money": null, "Person": null, "Product": null, "Quantity": null}'
    )
    assert TARGETS["compact"].target(gold) == '{"Company":["Globex"],"Location":["木"]}'
    assert TARGETS["compact"].target(nothing) == "{}"
    assert (TARGETS["compact"].parse("{}", nothing).status, TARGETS["compact"].parse(NOTHING, nothing).status) == ("ok", "ok")
    assert TARGETS["json"].parse("{}", nothing).status == "repaired"


@settings(max_examples=200, deadline=None)
@given(gold=annotated(), data=st.data())
def test_parse_never_raises_and_keeps_to_the_text(gold, data):
    target = TASK.target(gold)
    cut = data.draw(st.integers(0, len(target)))
    raw = data.draw(st.text(max_size=30) | st.just(target[:cut] + target[cut + 1 :]) | st.just(target[cut:] + target[:cut]))
    prediction = TASK.parse(raw, gold)
    assert prediction.raw == raw
    assert (prediction.status == "ok") == (prediction.reason == "")
    for span in prediction.spans:
        assert gold.text[span.start : span.end] == span.text
        assert span.label in TASK.labels
    TASK.pair(gold, prediction)


def test_the_target_is_the_papers_literal():
    gold = example("Globex and Acme rose 5 % , Acme 's best", ("Company", "Globex"), ("Company", "Acme"), ("Quantity", "5 %"))
    again = replace(gold, spans=(*gold.spans, Span(27, 31, "Company")), unaligned=(("Product", "Genuine's"),))
    expected = "{'Company': ['Acme', 'Globex'], 'Date': None, 'Location': None, 'Money': None, 'Person': None, "
    assert TASK.target(again) == expected + "'Product': [\"Genuine's\"], 'Quantity': ['5 %']}"


def test_messages_are_the_instruction_and_the_text():
    for purpose in ("train", "predict"):
        assert TASK.messages(example("Acme rose"), purpose=purpose) == [
            {"role": "user", "content": "Do Named Entity Recognition for the following text:\nAcme rose"}
        ]


def test_demonstrations_are_solved_turns():
    shown = [example("Globex fell", ("Company", "Globex"), name="d1"), Example("d2", "Nothing.", spans=())]
    messages = TASK.messages(example("Acme rose"), purpose="train", demonstrations=shown)
    assert [message["role"] for message in messages] == ["user", "assistant", "user", "assistant", "user"]
    assert [message["content"] for message in messages[1::2]] == [TASK.target(one) for one in shown]
    assert messages[-1:] == TASK.messages(example("Acme rose"), purpose="train")
    with pytest.raises(DataError, match="example 'd3' has no spans"):
        TASK.messages(example("Acme rose"), purpose="train", demonstrations=[Example("d3", "Unsolved")])


def test_the_description_is_plain_json_and_tells_tasks_apart():
    described = TASK.describe()
    assert json.loads(json.dumps(described)) == described
    assert [label["name"] for label in described["labels"]] == ["Company", "Date", "Location", "Money", "Person", "Product", "Quantity"]
    assert replace(TASK, prompting=replace(TASK.prompting, instruction="Find names:")).describe() != described
    assert replace(TASK, labels=TASK.labels[::-1], meanings=TASK.meanings[::-1]).describe() != described
    assert TARGETS["json"].describe() != described


def test_gold_that_cannot_be_learnt_is_refused():
    TASK.require_gold(example("Acme", ("Company", "Acme")))
    for wrong in (
        Example("e", "Acme"),
        Example("e", "Acme", spans=(Span(0, 9, "Company"),)),
        Example("e", "Acme", spans=(Span(0, 4, "Org"),)),
    ):
        with pytest.raises(DataError):
            TASK.require_gold(wrong)


def test_the_gazetteer_is_kept_and_read_again():
    learnt = TASK.learn_floors([example("Acme rose", ("Company", "Acme"))])
    kept = json.loads(json.dumps({name: floor.record() for name, floor in learnt.items()}))
    assert TASK.read_floors(kept, where="floors.json") == learnt
    for broken in (None, {}, {"gazetteer": None}):
        with pytest.raises(ArtifactError, match=r"floors\.json"):
            TASK.read_floors(broken, where="floors.json")


def test_the_main_metric_is_in_the_report():
    gold = example("Acme rose", ("Company", "Acme"))
    report = TASK.score([(gold, TASK.parse(TASK.target(gold), gold))], documents=["d"], plan=PLAN)
    assert report["metrics"][TASK.main_metric]["value"] == 1.0


@pytest.mark.parametrize(
    ("raw", "status", "reason"),
    [
        (NOTHING, "ok", ""),
        (f"  {NOTHING}\n", "ok", ""),
        (f"<think>\nAcme? {{'x': }}\n</think>\n\n{NOTHING}", "ok", ""),
        (f"so it is.</think>{NOTHING}", "ok", ""),
        ("so </think>" + NOTHING.replace("'Date': None", "'Date': ['</think>']"), "ok", ""),
        (f"```python\n{NOTHING}\n```", "repaired", "text around the dictionary"),
        (f"{NOTHING}\n{NOTHING}", "repaired", "text around the dictionary"),
        (NOTHING.replace("Date", "date"), "repaired", "label 'date' read as 'Date'"),
        (
            NOTHING.replace("'Quantity': None", "'Ticker': ['A']"),
            "repaired",
            "unknown label 'Ticker' dropped with 1 surfaces; without Quantity",
        ),
        (NOTHING[:-1], "repaired", "the dictionary is not closed"),
        (NOTHING[:-2], "repaired", "an unfinished word is dropped; the dictionary is not closed"),
        (NOTHING.replace("'Company': None", "'Company': ['Acme', 'Acme', ' ']"), "repaired", "2 blank or repeated surfaces dropped"),
        ('[{"label": "Company", "text": "Acme"}]', "malformed", "no label of the task"),
        ("{'x': ['Acme']}", "malformed", "no label of the task"),
        ("{'Company': ['Acme's']}", "malformed", "']' expected"),
        ("{" + ", ".join(f"'u{n}': None" for n in range(30)) + ", 'Date': None}", "repaired", "and 23 more"),
        (f"<think>{NOTHING}, or", "malformed", "thinking that never ends"),
        (f"<think>{NOTHING}</think>", "malformed", "a dictionary is expected, found the end"),
        ("", "malformed", "a dictionary is expected, found the end"),
        ("None", "malformed", "a dictionary is expected, found None"),
        ("[" * 100_000, "malformed", "a dictionary is expected"),
        ('{"a": ' * 50_000, "malformed", "must hold a list"),
    ],
)
def test_status_of_what_was_written(raw, status, reason):
    prediction = TASK.parse(raw, example("Acme"))
    assert prediction.status == status
    assert reason in prediction.reason
    assert bool(prediction.reason) == bool(reason)


def test_text_around_keeps_surfaces_with_braces():
    raw = "Answer: " + NOTHING.replace("'Company': None", "'Company': ['A}b']") + " done}"
    prediction = TASK.parse(raw, example("A}b rose"))
    assert [(span.start, span.end, span.label) for span in prediction.spans] == [(0, 3, "Company")]


def test_blank_and_repeated_surfaces_are_nothing_more():
    gold = example("Acme rose", ("Company", "Acme"))
    prediction = TASK.parse(NOTHING.replace("'Company': None", "'Company': ['', 'Acme', '  ', ' Acme']"), gold)
    assert TASK.pair(gold, prediction).predicted == gold.spans
    assert TASK.pair(gold, prediction).predicted_unaligned == ()


def test_a_perfect_answer_scores_one_whatever_the_text_lacks():
    gold = [
        example("Acme rose 5 %", ("Company", "Acme"), ("Quantity", "5 %"), unaligned=(("Product", "Rocket"),)),
        example("Nothing here", name="e2"),
    ]
    report = TASK.score([(one, TASK.parse(TASK.target(one), one)) for one in gold], documents=documents_of(gold), plan=PLAN)
    for name in ("micro_f1", "macro_f1", "surface_micro_f1", "surface_macro_f1", "partial_micro_f1", "type_micro_f1", "boundary_micro_f1"):
        assert report["metrics"][name]["value"] == 1.0
    assert (report["unaligned_gold"], report["unaligned_predicted"]) == (1, 1)
    assert sum(report["errors"].values()) == 0


def test_hallucinated_and_unreadable_answers_lower_the_score():
    gold = [example("Acme rose", ("Company", "Acme"), name=f"e{number}") for number in range(4)]
    right = NOTHING.replace("'Company': None", "'Company': ['Acme']")
    raws = [right, right.replace("'Product': None", "'Product': ['Rocket']"), "Acme", NOTHING]
    report = TASK.score([(one, TASK.parse(raw, one)) for one, raw in zip(gold, raws, strict=True)], documents=documents_of(gold), plan=PLAN)
    for rule in ("", "surface_"):
        assert report["metrics"][f"{rule}micro_precision"]["value"] == pytest.approx(2 / 3)
        assert report["metrics"][f"{rule}micro_recall"]["value"] == pytest.approx(2 / 4)
    assert report["malformed"] == {"count": 1, "share": 0.25}
    assert report["errors"] == {"missed": 2, "spurious": 1, "wrong_type": 0, "wrong_boundary": 0, "wrong_type_and_boundary": 0}
    assert report["per_label"]["Product"]["predicted"] == 1


def test_spans_that_were_left_out_after_parsing_do_not_come_back():
    gold = example("Acme rose", ("Company", "Acme"))
    prediction = TASK.parse(TASK.target(gold), gold)
    pair = TASK.pair(gold, replace(prediction, spans=()))
    assert (pair.predicted, pair.predicted_unaligned) == ((), ())


def test_predictions_of_another_system_need_spans_only():
    gold = example("Acme rose", ("Company", "Acme"))
    report = TASK.score([(gold, Prediction("e1", "Acme rose", spans=(Span(0, 4, "Company"),)))], documents=["d"], plan=PLAN)
    assert report["metrics"]["surface_micro_f1"] == {"value": 1.0, "low": 1.0, "high": 1.0}


@pytest.mark.parametrize(
    ("gold", "prediction", "message"),
    [
        (Example("e", "Acme"), Prediction("e", "Acme", spans=()), "example 'e' has no spans"),
        (Example("e", "Acme", spans=()), Prediction("e", "Acme"), "prediction 'e' has no spans"),
        (Example("e", "Acme", spans=()), Prediction("f", "Acme", spans=()), "prediction 'f' is not about example 'e'"),
        (Example("e", "Acme", spans=()), Prediction("e", "Acne", spans=()), "prediction 'e' is not about example 'e'"),
        (Example("e", "Acme", spans=()), Prediction("e", "Acme", spans=(Span(0, 5, "Date"),)), r"span \[0, 5\) of 'Date' \(the text has 4"),
        (Example("e", "Acme", spans=(Span(2, 2, "Date"),), where="x:7"), Prediction("e", "Acme", spans=()), r"x:7: span \[2, 2\)"),
        (Example("e", "Acme", spans=(), unaligned=(("Org", "A"),)), Prediction("e", "Acme", spans=()), "unknown label 'Org'"),
    ],
)
def test_pairs_that_cannot_be_scored_are_refused(gold, prediction, message):
    with pytest.raises(DataError, match=message):
        TASK.score([(gold, prediction)], documents=["d"], plan=PLAN)


def test_an_unknown_label_is_named_with_the_nearest_and_the_remedy():
    gold = Example("e", "Acme", spans=(Span(0, 4, "Compny"),), where="train.jsonl:3")
    with pytest.raises(DataError, match=r"train\.jsonl:3: unknown label 'Compny'.*did you mean 'Company'.*--rename Compny=Company"):
        TASK.target(gold)


def test_no_examples_are_refused():
    with pytest.raises(DataError, match="0 examples"):
        TASK.score([], documents=[], plan=PLAN)


def test_report_is_plain_json_without_nan_and_does_not_depend_on_order():
    gold = [replace(example("Acme rose", ("Company", "Acme"), name=f"e{n}"), meta=Meta(document=f"d{n % 3}")) for n in range(7)]
    raws = [NOTHING, NOTHING.replace("'Company': None", "'Company': ['Acme']"), "?", NOTHING.replace("'Date': None", "'Date': ['rose']")]
    pairs = [(one, TASK.parse(raws[n % 4], one)) for n, one in enumerate(gold)]
    floors = {"gazetteer": learn(gold[:1])}
    report = TASK.score(pairs, documents=documents_of(gold), floors=floors, plan=PLAN)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report == TASK.score(pairs[::-1], documents=documents_of(gold[::-1]), floors=floors, plan=PLAN)
    assert (report["examples"], report["documents"], report["task"]) == (7, 3, "finance-ner-7")
    assert report["floors"]["empty"].keys() == report["floors"]["gazetteer"].keys() == report["metrics"].keys()
    assert report["floors"]["empty"]["micro_f1"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert report["floors"]["gazetteer"]["micro_f1"]["value"] == 1.0
    assert len(report["confusion"]["counts"]) == len(report["confusion"]["labels"]) == 8
    for scores in (report["metrics"], report["floors"]["gazetteer"]):
        assert all(0.0 <= score[end] <= 1.0 for score in scores.values() for end in ("value", "low", "high"))


def read_rows(name: str) -> list[tuple[Example, dict[str, list[str] | None], str]]:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is not here; set FINTUNE_DATA to the folder with the data")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    read = []
    for number, row in enumerate(rows):
        lists = ast.literal_eval(row["ground_truth"])
        spans, unaligned = align(row["text"], {label: found or [] for label, found in lists.items()}, occurrences="all")
        read.append((Example(f"{name}:{number}", row["text"], spans=spans, unaligned=unaligned), lists, row["ground_truth"]))
    return read


def test_targets_of_the_papers_data_are_its_cells_where_these_are_sorted():
    rows = read_rows("fire7_val.csv")
    unsorted = 0
    for gold, lists, cell in rows:
        if all(found is None or found == sorted(found) for found in lists.values()):
            assert TASK.target(gold) == cell
        else:
            unsorted += 1
            assert ast.literal_eval(TASK.target(gold)) == {label: found and sorted(found) for label, found in lists.items()}
    assert (len(rows), unsorted) == (211, 16)


def test_the_papers_data_scored_against_itself_and_its_gazetteer():
    train, held_out = ([row[0] for row in read_rows(name)] for name in ("fire7_train.csv", "fire7_val.csv"))
    pairs = [(one, TASK.parse(TASK.target(one), one)) for one in held_out]
    report = TASK.score(pairs, documents=documents_of(held_out), floors={"gazetteer": learn(train)}, plan=PLAN)
    assert report["metrics"]["micro_f1"]["value"] == report["metrics"]["surface_macro_f1"]["value"] == 1.0
    # The published floor on the 213 test rows, which are not here, is .423; the validation rows are a little easier.
    floor = report["floors"]["gazetteer"]["surface_micro_f1"]
    assert floor["value"] == pytest.approx(0.452, abs=0.001)
    assert floor["low"] < 0.423 < floor["high"] < 0.55


def test_tasks_are_values():
    assert isinstance(TASK, SpansTask)
    assert load_task("finance-ner-7") == TASK
    assert hash(TASK) == hash(load_task("finance-ner-7"))
