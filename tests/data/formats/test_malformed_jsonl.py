"""Faults of a JSONL line, each between two good lines: the message names line 2, and skipping keeps exactly the others."""

import pytest

GOOD = '{"id": "%s", "text": "Acme rose", "spans": [{"start": 0, "end": 4, "label": "Company"}]}'


def line(rest):
    return '{"text": "Acme rose", ' + rest + "}"


def span(rest):
    return line('"spans": [{' + rest + "}]")


def answer(rest):
    return line('"spans": [], "question": "Who?", "answer": ' + rest)


BAD = [
    # the JSON itself
    ("{", "not valid JSON"),
    ('{"text": "Acme rose", "spans": []', "complete the object"),
    ('{"text": "Acme rose" "spans": []}', "not valid JSON"),
    ("{'text': 'Acme rose', 'spans': []}", "Python literal"),
    ('{"text": "Acme rose", "spans": [],}', "comma before the closing bracket"),
    ('{"text": "Acme rose", "spans": [1,]}', "comma before the closing bracket"),
    ('{"text": "Acme rose", "spans": []} {"text": "b", "spans": []}', "a line of its own"),
    ('{"text": "Acme\trose", "spans": []}', "write line ends and tabs"),
    ('{"text": "Acme \\x rose", "spans": []}', "not valid JSON"),
    ('{"text": "Acme rose', "not valid JSON"),
    ('{text: "Acme rose"}', "not valid JSON"),
    ("Acme rose", "not valid JSON"),
    (line('"spans": [], "spans": []'), "'spans' stands twice"),
    (span('"start": 0, "start": 1, "end": 4, "label": "C"'), "'start' stands twice"),
    (span('"start": NaN, "end": 4, "label": "C"'), "NaN is not JSON"),
    (span('"start": 0, "end": Infinity, "label": "C"'), "Infinity is not JSON"),
    (span('"start": -Infinity, "end": 4, "label": "C"'), "-Infinity is not JSON"),
    (line('"spans": [], "id": "\\ud800"'), "half of a surrogate pair"),
    (line('"spans": [], "id": "\\udc00\\ud83d"'), "half of a surrogate pair"),
    (line('"spans": [], "meta": {"\\udfff": null}'), "half of a surrogate pair"),
    ("[" * 100_000, "nested too deeply"),
    ('{"spans":' * 100_000, "nested too deeply"),
    (span('"start": ' + "9" * 5000 + ', "end": 4, "label": "C"'), "too many digits"),
    ('{"text": "Acme \0 rose", "spans": []}', "NUL character"),
    # the record
    ("[]", "not a JSON object"),
    ('"Acme rose"', "not a JSON object"),
    ("3", "not a JSON object"),
    ("null", "not a JSON object"),
    ("{}", "no 'text'"),
    ('{"sentence": "Acme rose", "spans": []}', "unknown key 'sentence'"),
    ('{"txt": "Acme rose", "spans": []}', "did you mean 'text'?"),
    (line('"span": []'), "did you mean 'spans'?"),
    (line('"entities": []'), "unknown key 'entities'"),
    (line('"Spans": []'), "did you mean 'spans'?"),
    ('{"text": "", "spans": []}', "'text' is empty"),
    ('{"text": " \\t\\u00a0", "spans": []}', "'text' is empty"),
    ('{"text": null, "spans": []}', "'text' is None"),
    ('{"text": 3, "spans": []}', "'text' is 3"),
    ('{"text": ["Acme"], "spans": []}', "'text' is ['Acme']"),
    (line('"spans": [], "id": ""'), "'id' is ''"),
    (line('"spans": [], "id": null'), "'id' is None"),
    (line('"spans": [], "id": true'), "'id' is True"),
    (line('"spans": [], "id": 1.5'), "'id' is 1.5"),
    (line('"spans": [], "id": ["a"]'), "'id' is ['a']"),
    # the spans
    (line('"spans": null'), "'spans' is None, not a list"),
    (line('"spans": {}'), "'spans' is {}, not a list"),
    (line('"spans": "Acme"'), "not a list"),
    (line('"spans": [[0, 4, "Company"]]'), "span 1 is [0, 4, 'Company'], not an object"),
    (line('"spans": [null]'), "span 1 is None"),
    (span(""), "span 1 has no 'start'"),
    (span('"start": 0, "label": "C"'), "span 1 has no 'end'"),
    (span('"end": 4, "label": "C"'), "span 1 has no 'start'"),
    (span('"start": 0, "end": 4'), "the label of span 1 is None"),
    (span('"start": 0, "end": 4, "label": ""'), "the label of span 1 is ''"),
    (span('"start": 0, "end": 4, "label": 7'), "the label of span 1 is 7"),
    (span('"start": 0, "end": 4, "lable": "C"'), "did you mean 'label'?"),
    (span('"start": 0, "end": 4, "label": "C", "score": 1'), "unknown key of span 1 'score'"),
    (span('"start": true, "end": 4, "label": "C"'), "the start of span 1 is True"),
    (span('"start": 0, "end": false, "label": "C"'), "the end of span 1 is False"),
    (span('"start": "0", "end": 4, "label": "C"'), "the start of span 1 is '0'"),
    (span('"start": 0.0, "end": 4, "label": "C"'), "the start of span 1 is 0.0"),
    (span('"start": 0, "end": 1e400, "label": "C"'), "the end of span 1 is inf"),
    (span('"start": null, "end": 4, "label": "C"'), "the start of span 1 is None"),
    (span('"start": -1, "end": 4, "label": "C"'), "is -1, outside the text of 9 characters"),
    (span('"start": 0, "end": 10, "label": "C"'), "is 10, outside the text of 9 characters"),
    (span('"start": 4, "end": 0, "label": "C"'), "span 1 ends at 0 and starts at 4"),
    (span('"start": 4, "end": 4, "label": "C"'), "span 1 ends at 4 and starts at 4"),
    (span('"start": 0, "end": 3, "label": "C", "text": "Acme"'), "the end is exclusive: give 4"),
    (span('"start": 1, "end": 5, "label": "C", "text": "Acme"'), "count from 0, not from 1"),
    (span('"start": 3, "end": 7, "label": "C", "text": "rose"'), "it starts at 5"),
    (span('"start": 0, "end": 4, "label": "C", "text": "Ajax"'), "occurs nowhere in the text"),
    (span('"start": 0, "end": 4, "label": "C", "text": null'), "the text of span 1 is None"),
    (span('"start": 0, "end": 4, "label": "C", "text": 4'), "the text of span 1 is 4"),
    (span('"start": 0, "end": 4, "label": "C", "alignment": "fuzzy"'), "the alignment of span 1 is 'fuzzy'"),
    ('{"text": "😀 Acme", "spans": [{"start": 3, "end": 6, "label": "C", "text": "Acme"}]}', "it starts at 2"),
    ('{"text": "😀 Acme up", "spans": [{"start": 3, "end": 7, "label": "C", "text": "Acme"}]}', "count from 0"),
    ('{"text": "😀😀 Acme up", "spans": [{"start": 5, "end": 9, "label": "C", "text": "Acme"}]}', "count UTF-16 units"),
    ('{"text": "été Acme up", "spans": [{"start": 6, "end": 10, "label": "C", "text": "Acme"}]}', "the offsets count bytes"),
    # label, question, answer, meta, unaligned
    (line('"spans": [], "label": null'), "'label' is None"),
    (line('"spans": [], "label": " "'), "'label' is ' '"),
    (line('"spans": [], "label": true'), "'label' is True"),
    (line('"spans": [], "label": 1.0'), "'label' is 1.0"),
    (line('"spans": [], "label": ["a"]'), "'label' is ['a']"),
    (line('"spans": [], "question": "Who?"'), "a 'question' without an 'answer'"),
    (line('"spans": [], "answer": null'), "an 'answer' without a 'question'"),
    (line('"spans": [], "question": "", "answer": null'), "'question' is empty"),
    (line('"spans": [], "question": 1, "answer": null'), "'question' is 1"),
    (answer('"Acme"'), "'answer' is 'Acme', not an object"),
    (answer("[]"), "'answer' is [], not an object"),
    (answer("{}"), "the text of 'answer' is None"),
    (answer('{"start": 0}'), "the text of 'answer' is None"),
    (answer('{"start": "0", "text": "Acme"}'), "the start of 'answer' is '0'"),
    (line('"spans": [], "reasoning": ""'), "'reasoning' is empty"),
    (line('"spans": [], "reasoning": ["a"]'), "'reasoning' is ['a']"),
    (answer('{"start": 0, "text": ""}'), "the text of 'answer' is ''"),
    (answer('{"start": true, "text": "Acme"}'), "the start of 'answer' is True"),
    (answer('{"start": 2, "text": "Acme"}'), "it starts at 0"),
    (answer('{"start": 99, "text": "Acme"}'), "outside the text"),
    (answer('{"start": 0, "text": "Acme", "end": 4}'), "unknown key of 'answer' 'end'"),
    (answer('{"answer_start": 0, "text": "Acme"}'), "did you mean 'start'?"),
    (line('"spans": [], "meta": null'), "'meta' is None, not an object"),
    (line('"spans": [], "meta": "10-K"'), "'meta' is '10-K', not an object"),
    (line('"spans": [], "meta": {"doc": "a"}'), "did you mean 'document'?"),
    (line('"spans": [], "meta": {"document": 1.5}'), "'document' is 1.5"),
    (line('"spans": [], "meta": {"group": ["a"]}'), "'group' is ['a']"),
    (line('"spans": [], "meta": {"published": "yesterday"}'), "not an ISO 8601 time"),
    (line('"spans": [], "meta": {"published": "31.12.2023"}'), "not an ISO 8601 time"),
    (line('"spans": [], "meta": {"published": 20231231}'), "'published' is 20231231"),
    (line('"spans": [], "unaligned": "Acme"'), "'unaligned' holds 'Acme'"),
    (line('"spans": [], "unaligned": [["Company", "Acme"]]'), "'unaligned' holds"),
    (line('"spans": [], "unaligned": [{"label": "C"}]'), "'unaligned' holds"),
    # the kind
    ('{"text": "Acme rose"}', "no spans (gold of kind spans is needed)"),
    (line('"label": "up"'), "no spans (gold of kind spans is needed)"),
]


@pytest.mark.parametrize(("bad", "says"), BAD, ids=[f"{number}: {says}" for number, (_, says) in enumerate(BAD)])
def test_a_bad_line_is_named_and_may_be_skipped(refused, skipped, bad, says):
    content = f"{GOOD % 'first'}\n{bad}\n{GOOD % 'last'}\n"
    error = refused(content, "rows.jsonl", says, line=2)
    rejected = skipped(content, "rows.jsonl", ["first", "last"])
    assert [str(one) for one in rejected] == [str(error)]


@pytest.mark.parametrize(
    ("content", "kind", "says", "line"),
    [
        ('[\n{"text": "a", "spans": []}\n]', "spans", "a JSON array, not JSON Lines", 1),
        ('[{"text": "a", "spans": []}]', "spans", "jq -c", 1),
        ('{\n  "text": "a"\n}\n', "spans", "must end on the line", 1),
        ('{"text": "a", "spans": []}\n', "label", "no label (gold of kind label is needed)", 1),
        ('{"text": "a", "spans": []}\n', "answer", "no question (gold of kind answer is needed)", 1),
        ("\n\n \n", "spans", "no examples", None),
        ('\n\n{"text": ""}\n', "spans", "'text' is empty", 3),
    ],
)
def test_a_bad_file_is_refused(refused, content, kind, says, line):
    refused(content, "rows.jsonl", says, line=line, kind=kind)


def test_where_every_row_is_bad_the_first_is_raised_even_when_skipping(refused):
    refused('{"text": ""}\n{"text": "a"}\n', "rows.jsonl", "'text' is empty", line=1, on_bad="skip")
