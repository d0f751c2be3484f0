"""The report adds up: every mean is that of its examples, intervals hold them, and malformed answers are never right."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fintune.errors import ArtifactError, DataError
from fintune.metrics.answer_floors import EMPTY, RULES, SameAnswer, first_word, from_record, learn, nearest_sentence
from fintune.metrics.answer_report import AnswerPair, build
from fintune.metrics.answers import answer_accuracy, exact_match, f1, form, rounded_accuracy
from fintune.metrics.intervals import Bootstrap
from fintune.records import Answer, Example

PLAN = Bootstrap(replicates=50)
MEASURES = {"answer_accuracy": answer_accuracy, "rounded_accuracy": rounded_accuracy, "exact_match": exact_match, "f1": f1}
texts = st.sampled_from(["14.2%", "0.142", "yes", "no", "net sales", "the net income", "2018", "-3"])
pairs = st.builds(AnswerPair, st.none() | texts, st.lists(texts, max_size=1).map(tuple), st.booleans())


def report(judged, documents=None, **floors):
    clusters = documents or [str(index) for index in range(len(judged))]
    return build(judged, task="t", clusters=clusters, floors=floors, plan=PLAN)


def mean(judged, measure):
    return sum(0.0 if pair.malformed else measure(pair.predicted, pair.golds) for pair in judged) / len(judged)


@settings(max_examples=60, deadline=None)
@given(st.lists(pairs, min_size=1, max_size=8))
def test_every_mean_is_that_of_its_examples(judged):
    found = report(judged, floor=judged)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    shapes = [form(pair.golds[0] if pair.golds else None) for pair in judged]
    for name, measure in MEASURES.items():
        assert found["metrics"][name]["value"] == pytest.approx(mean(judged, measure))
        for shape, row in found["per_label"].items():
            own = [pair for pair, other in zip(judged, shapes, strict=True) if other == shape]
            assert row["support"] == len(own)
            if name in row:
                assert row[name]["value"] == pytest.approx(mean(own, measure))
    assert set(found["per_label"]) == set(shapes)
    numeric = [pair for pair, shape in zip(judged, shapes, strict=True) if shape == "number"]
    assert ("numeric_accuracy" in found["metrics"]) == bool(numeric)
    if numeric:
        assert found["metrics"]["numeric_accuracy"]["value"] == pytest.approx(mean(numeric, answer_accuracy))
    assert found["malformed"] == {"count": sum(p.malformed for p in judged), "share": sum(p.malformed for p in judged) / len(judged)}
    right = round(found["metrics"]["answer_accuracy"]["value"] * len(judged))
    assert sum(found["errors"].values()) == len(judged) - right
    assert found["floors"] == {"floor": found["metrics"]}
    for entry in found["metrics"].values():
        assert 0 <= entry["low"] <= entry["high"] <= 1


def test_questions_with_and_without_an_answer_are_shown_apart():
    judged = [AnswerPair("a b", ("a b",)), AnswerPair("b", ("b c",)), AnswerPair(None, ()), AnswerPair("x", ()), AnswerPair(None, (), True)]
    found = report(judged)["metrics"]
    values = {name: found[name]["value"] for name in ("has_answer_exact_match", "has_answer_f1", "no_answer_accuracy")}
    assert values == pytest.approx({"has_answer_exact_match": 1 / 2, "has_answer_f1": (1 + 2 / 3) / 2, "no_answer_accuracy": 1 / 3})
    assert not {name for name in report(judged[:2])["metrics"] if "no_answer" in name}


def test_intervals_resample_documents():
    judged = [AnswerPair("1", ("1",)), AnswerPair("1", ("2",))] * 20
    apart = report(judged)["metrics"]["answer_accuracy"]
    together = report(judged, ["one" if pair.golds == ("1",) else "other" for pair in judged])["metrics"]["answer_accuracy"]
    assert (together["low"], together["high"]) == (0.0, 1.0)
    assert 0.2 < apart["low"] < 0.5 < apart["high"] < 0.8


def test_nothing_to_judge_is_refused():
    for judged, clusters in (([], []), ([AnswerPair(None, ())], [])):
        with pytest.raises(DataError):
            build(judged, task="t", clusters=clusters, floors={}, plan=PLAN)


def example(text, question="q"):
    return Example("1", "t", question=question, answer=None if text is None else Answer(None, text))


@pytest.mark.parametrize(
    ("golds", "expected"),
    [([], None), (["y", "x"], "x"), (["The x", "y", "y", "x", "x"], "x"), (["x", None, None], None), (["x", None], None), (["1%"], "1%")],
)
def test_the_frequent_answer(golds, expected):
    floor = learn([example(gold) for gold in golds])
    assert floor == SameAnswer(expected)
    assert floor.find("whatever") == (None if expected is None else Answer(None, expected))
    assert from_record(json.loads(json.dumps(floor.record())), where="floors.json") == floor


def test_the_empty_floor_answers_nothing_and_other_records_are_refused():
    assert EMPTY.find("text") is None
    with pytest.raises(DataError, match="has no question"):
        learn([example("a", question=None)])
    for record in (None, {}, {"floor": "gazetteer"}, EMPTY.record() | {"schema_version": 9}, EMPTY.record() | {"answer": 3}):
        with pytest.raises(ArtifactError):
            from_record(record, where="floors.json")


def test_the_rules_of_one_line() -> None:
    text = "positive. Sales rose to 5 million.\nThe plant in Lagos was sold on Monday! Nobody said why"
    assert first_word("Who?", text) == Answer(0, "positive")
    assert nearest_sentence("When was the plant sold?", text) == Answer(text.index("The plant"), "The plant in Lagos was sold on Monday!")
    assert nearest_sentence("Nothing shared", text) == Answer(0, "positive.")
    assert nearest_sentence("Why?", text) == Answer(text.index("Nobody"), "Nobody said why")
    for rule in RULES.values():
        assert rule("Who?", " \n") is None
        for question in ("Who?", "How much did sales rise?"):
            found = rule(question, text)
            assert found is not None
            assert found.start is not None
            assert text.startswith(found.text, found.start)


def test_scores_with_and_without_an_answer_weigh_up_to_the_whole() -> None:
    """As the script for SQuAD v2 reports them: HasAns and NoAns, each over its own questions."""
    pairs = [AnswerPair("5", ("5",)), AnswerPair("6 of 7", ("6",)), AnswerPair(None, ("7",)), AnswerPair(None, ()), AnswerPair("8", ())]
    metrics = build(pairs, task="t", clusters=["a"] * 5, floors={}, plan=Bootstrap(replicates=1))["metrics"]
    value = {name: entry["value"] for name, entry in metrics.items()}
    assert value["no_answer_accuracy"] == 1 / 2
    assert value["has_answer_exact_match"] == 1 / 3
    for name in ("exact_match", "f1"):
        assert value[name] == pytest.approx((3 * value[f"has_answer_{name}"] + 2 * value["no_answer_accuracy"]) / 5)
