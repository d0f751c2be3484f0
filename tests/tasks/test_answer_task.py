"""The answer task: gold comes back from its target, places are found, and scores are those of the metrics."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintune.data.load import load
from fintune.errors import ArtifactError, DataError, RecipeError
from fintune.metrics.answer_floors import SameAnswer
from fintune.metrics.intervals import Bootstrap
from fintune.recipe import Prompt
from fintune.records import Answer, Example, Prediction
from fintune.tasks.base import documents_of, load_task
from fintune.tasks.final_answer import says_nothing

DATA = Path(os.environ.get("FINTUNE_DATA", "../shared/data"))
PLAN = Bootstrap(replicates=20)
TASK = load_task("financial-reasoning")
REPORT = "Net revenue fell  3.2% to $14 million in 2008.\nIt was 14 before; costs fell 3.2%."
any_text = st.text(max_size=30) | st.sampled_from(["</think>", "Answer: 5", "The answer is 5", "\\boxed{5}", "fell 3.2%", "fell  3.2%"])
texts = any_text.map(str.strip).filter(lambda text: text and not says_nothing(text))


def example(answer, text=REPORT, question="By how much?"):
    return Example("e1", text, question=question, answer=answer, where="rows.jsonl:7")


def blanks_aside(answer):
    return answer and " ".join(answer.text.split())


@given(st.none() | st.builds(Answer, st.none(), texts))
def test_a_target_gives_back_its_computed_answer(answer):
    found = TASK.parse(TASK.target(example(answer)), example(None))
    assert found.status == "ok"
    assert blanks_aside(found.answer) == blanks_aside(answer)
    if found.answer is not None and found.answer.start is None:
        assert found.answer == answer


@given(st.data())
def test_a_target_gives_back_its_extracted_answer(data):
    """With its place, where the place can be told: the first, and no part of a word or number."""
    words = data.draw(st.lists(st.sampled_from(["Acme", "fell", "3.2%", "$", "14", "million", "-", "é"]), min_size=1, max_size=9))
    text = data.draw(st.sampled_from([" ", "  ", "\n"])).join(words)
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    given_answer = Answer(start, text[start:end])
    if not given_answer.text.strip() or given_answer.text != given_answer.text.strip():
        return
    gold = example(given_answer, text=text)
    found = TASK.parse(TASK.target(gold), replace(gold, answer=None))
    assert (found.status, found.answer.text) == ("ok", given_answer.text)
    if found.answer.start is not None:
        assert text.startswith(given_answer.text, found.answer.start)
        assert found.answer.start <= start
    whole_words = text.split() == [*text[:start].split(), *given_answer.text.split(), *text[end:].split()]
    if whole_words and text.count(given_answer.text) == 1:
        assert found.answer == given_answer


@given(st.text(max_size=60))
def test_reading_never_fails(raw):
    found = TASK.parse(raw, example(None))
    assert (found.id, found.text, found.raw) == ("e1", REPORT, raw)
    assert (found.status == "malformed") <= (found.answer is None)
    assert bool(found.reason) == (found.status != "ok")
    TASK.pair(example(Answer(None, "5")), found)


def test_an_answer_gets_its_first_place_and_no_part_of_a_word_or_number():
    places = {raw: TASK.parse(raw, example(None)).answer for raw in ("3.2%", "fell 3.2%", "revenue fell 3.2%", "4 million", "7", "14")}
    assert places == {
        "3.2%": Answer(REPORT.index("3.2%"), "3.2%"),
        "fell 3.2%": Answer(REPORT.index("fell 3.2%"), "fell 3.2%"),
        "revenue fell 3.2%": Answer(REPORT.index("revenue"), "revenue fell  3.2%"),  # its blanks are the text's
        "4 million": Answer(None, "4 million"),
        "7": Answer(None, "7"),
        "14": Answer(REPORT.index("14"), "14"),
    }


def test_the_prompt_has_text_and_question_once_and_demonstrations_as_turns():
    shown = Example("d", "Costs were 3 and 4.", question="Their sum?", answer=Answer(None, "7"))
    messages = TASK.messages(example(None), purpose="predict", demonstrations=[shown])
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert messages[1]["content"] == "7"
    assert [messages[2]["content"].count(part) for part in (REPORT, "By how much?")] == [1, 1]
    assert "Costs were" not in messages[2]["content"]
    assert messages[-1] == TASK.messages(example(Answer(None, "9")), purpose="predict", demonstrations=[shown])[-1]


BAD = [
    (example(None, question=None), "has no question"),
    (example(None, question=" "), "has no question"),
    (example(Answer(None, " ")), "is ' '"),
    (example(Answer(None, "No answer.")), "null where the text does not answer"),
    (example(Answer(3, "Net")), "does not stand at character 3"),
    (example(Answer(len(REPORT), "x")), "does not stand"),
]


@pytest.mark.parametrize(("bad", "says"), BAD)
@pytest.mark.parametrize("use", [TASK.require_gold, TASK.target])
def test_gold_that_cannot_be_learnt_is_refused(bad, says, use):
    with pytest.raises(DataError, match=says) as caught:
        use(bad)
    assert caught.value.where == "rows.jsonl:7"


def test_predictions_of_something_else_are_refused():
    gold = example(Answer(None, "5"))
    for other in (
        Prediction("e2", REPORT),
        Prediction("e1", "x"),
        Prediction("e1", REPORT, spans=()),
        Prediction("e1", REPORT, label="up"),
    ):
        with pytest.raises(DataError):
            TASK.pair(gold, other)


def test_scores_floors_and_malformed_answers():
    golds = [example(Answer(None, "14.2%")), example(Answer(None, "yes")), example(None), example(Answer(18, "3.2%"))]
    raws = ["The answer is 0.142.", "<think>", "", "(3.2%)"]
    pairs = [(gold, TASK.parse(raw, gold)) for gold, raw in zip(golds, raws, strict=True)]
    report = TASK.score(pairs, documents=list("abcd"), floors={"frequent": SameAnswer("yes")}, plan=PLAN)
    assert (report["task"], report["kind"], report["examples"], report["documents"]) == ("financial-reasoning", "answer", 4, 4)
    assert report["malformed"] == {"count": 2, "share": 0.5}
    assert report["metrics"][TASK.main_metric]["value"] == 0.25
    assert report["errors"] | {"wrong_sign": 1, "unanswered": 2} == report["errors"]
    found = {name: floor["answer_accuracy"]["value"] for name, floor in report["floors"].items()}
    assert found.keys() == {"empty", "frequent", "first_word", "nearest_sentence"}
    assert (found["empty"], found["frequent"]) == (0.25, 0.25)


def test_floors_are_learnt_and_read_back():
    learnt = TASK.learn_floors([example(Answer(None, "14.2%")), example(Answer(None, "yes")), example(Answer(None, "Yes."))])
    assert learnt == {"frequent": SameAnswer("Yes.")}
    records = {name: floor.record() for name, floor in learnt.items()}
    assert TASK.read_floors(records, where="floors.json") == learnt
    for other in (None, {}, {"frequent": {}}, {"gazetteer": records["frequent"]}):
        with pytest.raises(ArtifactError):
            TASK.read_floors(other, where="floors.json")


def test_the_description_changes_with_the_prompt():
    assert TASK.describe() == load_task("financial-reasoning").describe()
    assert TASK.describe() != load_task("financial-reasoning", Prompt(marker=" /think")).describe()
    assert (TASK.kind, TASK.labels) == ("answer", ())
    with pytest.raises(RecipeError, match="no labels to show"):
        load_task("financial-reasoning", Prompt(labels="names"))


@pytest.mark.skipif(not (DATA / "qa").is_dir(), reason="needs the shared data (FINTUNE_DATA)")
@pytest.mark.parametrize("name", ["finqa_sample20.json", "convfinqa_dev_a.jsonl"])
def test_real_questions_come_back_and_score_full(name):
    examples = load(DATA / "qa" / name, kind="answer").examples
    predictions = [TASK.parse(f"<think>\n{e.reasoning}\n</think>\n\n{TASK.target(e)}", replace(e, answer=None)) for e in examples]
    assert [p.answer.text for p in predictions] == [e.answer.text for e in examples]
    report = TASK.score(list(zip(examples, predictions, strict=True)), documents=documents_of(examples), plan=PLAN)
    assert report["metrics"]["answer_accuracy"]["value"] == report["metrics"]["exact_match"]["value"] == 1.0
    assert report["floors"]["empty"]["answer_accuracy"]["value"] == 0.0
