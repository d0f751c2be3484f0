import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintune.data.formats.base import ReadOptions, Source
from fintune.data.formats.jsonl import dump, read
from fintune.data.load import fingerprint
from fintune.records import Answer, Example, Meta, Span

TYPES = ["Company", "Date", "Location", "Money", "Person", "Product", "Quantity"]
any_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30).filter(str.strip)
optional = st.none() | any_text


@st.composite
def examples(draw):
    """Whatever the contract can hold: spans may overlap and come in any order."""
    text = draw(any_text)
    spans = []
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(text) - 1))
        end = draw(st.integers(start + 1, len(text)))
        alignment = draw(st.sampled_from(["exact", "normalised", "predicted"]))
        spans.append(Span(start, end, draw(st.sampled_from(TYPES)), text[start:end], alignment))
    question = draw(optional)
    start = draw(st.integers(0, len(text) - 1))
    answers = st.none() | st.builds(Answer, st.none(), any_text)
    answers |= st.just(Answer(start, text[start:])) if text[start:].strip() else st.nothing()
    return Example(
        id=draw(any_text),
        text=text,
        spans=tuple(spans) if draw(st.booleans()) else None,
        label=draw(optional),
        question=question,
        answer=draw(answers) if question else None,
        reasoning=draw(optional),
        meta=Meta(draw(optional), draw(st.none() | st.datetimes().map(lambda t: t.isoformat())), draw(optional), draw(optional)),
        unaligned=tuple(draw(st.lists(st.tuples(any_text, any_text), max_size=2))),
    )


def read_back(content, **options):
    rows = [*read(Source("rows.jsonl", data=content.encode()), ReadOptions(**options))]
    assert all(isinstance(row, Example) for row in rows), rows
    return rows


def exact(example):
    """Everything but the place, with the fields that equality leaves out."""
    spans = example.spans if example.spans is None else [(*vars_of(span),) for span in example.spans]
    gold = (spans, example.label, example.question, example.answer, example.reasoning)
    return (example.id, example.text, *gold, example.meta, example.unaligned)


def vars_of(span):
    return span.start, span.end, span.label, span.text, span.alignment


@given(st.lists(examples(), min_size=1, max_size=4))
def test_what_dump_writes_read_gives_back(drawn):
    content = "".join(dump(example) + "\n" for example in drawn)
    assert content.count("\n") == len(content.splitlines()) == len(drawn)
    found = read_back(content)
    assert [exact(example) for example in found] == [exact(example) for example in drawn]
    assert fingerprint(found) == fingerprint(drawn)


@given(examples())
def test_dump_writes_only_keys_of_the_contract(example):
    record = json.loads(dump(example))
    assert set(record) <= {"id", "text", "spans", "label", "question", "answer", "reasoning", "meta", "unaligned"}
    assert ("answer" in record) == ("question" in record) == (example.question is not None)


def test_seven_types_round_trip():
    words = [f"{label}{number}" for number, label in enumerate(TYPES)]
    text = " ".join(words)
    spans = tuple(Span(text.index(word), text.index(word) + len(word), label, word) for word, label in zip(words, TYPES, strict=True))
    example = Example(id="7", text=text, spans=spans, where="rows.jsonl:1")
    assert read_back(dump(example)) == [example]


def test_ids_are_strings_numbers_or_the_place():
    rows = read_back('{"text": "a"}\n\n{"id": 7, "text": "b"}\n{"id": "x", "text": "c"}\n')
    assert [(row.id, row.where) for row in rows] == [("rows:1", "rows.jsonl:1"), ("7", "rows.jsonl:3"), ("x", "rows.jsonl:4")]


def test_overlaps_and_repeated_ids_are_left_to_check():
    span = {"start": 0, "end": 2, "label": "A"}
    line = json.dumps({"id": 1, "text": "abc", "spans": [span, span | {"start": 1, "end": 3}, span]})
    assert [len(row.spans) for row in read_back(f"{line}\n{line}\n")] == [3, 3]


def test_a_question_may_lack_its_answer_only_in_texts_to_predict():
    rows = read_back('{"text": "a", "question": "b", "label": "c", "reasoning": "d", "spans": []}', gold="none")
    assert [exact(row) for row in rows] == [("rows:1", "a", None, None, "b", None, None, Meta(), ())]


def test_an_answer_without_a_start_is_computed():
    line = '{"text": "a", "question": "b", "answer": %s}\n'
    rows = read_back(line % '{"text": "7%"}' + line % '{"start": null, "text": "c"}')
    assert [row.answer for row in rows] == [Answer(None, "7%"), Answer(None, "c")]


def test_reasoning_changes_the_fingerprint_where_there_is_some():
    plain, reasoned, otherwise = (Example("1", "a", question="b", answer=Answer(None, "c"), reasoning=r) for r in (None, "d", "e"))
    assert len({fingerprint([one]) for one in (plain, reasoned, otherwise)}) == 3


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_marks_line_ends_and_separators_inside_texts(end, mark):
    texts = ["a\u2028b", "c\x85d", "e\u2029f", "g\x0ch"]
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in texts]
    assert [row.text for row in read_back(mark + end.join(lines))] == texts


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "cp1252", "utf-8-sig"])
def test_other_encodings_when_stated(tmp_path, encoding):
    (tmp_path / "rows.jsonl").write_bytes('{"text": "Société 1"}\n{"text": "Société 2"}\r\n'.encode(encoding))
    rows = [*read(tmp_path / "rows.jsonl", ReadOptions(encoding=encoding))]
    assert [row.text for row in rows] == ["Société 1", "Société 2"]
    assert [row.where for row in rows] == [f"{tmp_path}/rows.jsonl:{number}" for number in (1, 2)]


def test_gzip_is_transparent_also_in_several_members(tmp_path):
    lines = [f'{{"text": "text {number}"}}\n'.encode() for number in range(3000)]
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(b"".join(gzip.compress(line) for line in lines[:20]) + gzip.compress(b"".join(lines[20:])))
    rows = [*read(path, ReadOptions())]
    assert [row.id for row in rows] == [f"rows:{number}" for number in range(1, 3001)]
    assert rows[-1].text == "text 2999"


def test_rows_are_given_one_by_one():
    """A reader holds one line at a time: the first row comes before a later fault is seen."""
    rows = read(Source("rows.jsonl", data=b'{"text": "a"}\n' + b"\xff\n"), ReadOptions())
    assert isinstance(next(rows), Example)
