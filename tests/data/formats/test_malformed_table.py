"""Faults of CSV rows, headers and annotation cells: the message names the physical line on which the row starts."""

import pytest

HEADER = "id,text,ground_truth\n"


def cell(annotation):
    """A row whose annotation cell is `annotation`."""
    return 'bad,Acme rose,"' + annotation.replace('"', '""') + '"'


BAD_ROWS = [
    # the cell of the annotation
    (cell("['Acme']"), "a dictionary is expected"),
    (cell("None"), "a dictionary is expected, found None"),
    (cell("Acme"), "a dictionary is expected, found Acme"),
    (cell("3"), "a dictionary is expected, found 3"),
    (cell(""), "'ground_truth' is empty"),
    (cell("  "), "'ground_truth' is empty"),
    (cell("{'Company': 'Acme'}"), "must hold a list of strings or None"),
    (cell("{'Company': ['Acme', 3]}"), "found 3"),
    (cell("{'Company': [None]}"), "found None"),
    (cell("{'Company': [['Acme']]}"), "found ["),
    (cell("{'Company': {'Acme': 1}}"), "found {"),
    (cell("{'Company': ('Acme',)}"), "found ("),
    (cell("{'Company': True}"), "found True"),
    (cell("{3: ['Acme']}"), "a label in quotes is expected"),
    (cell("{Company: ['Acme']}"), "a label in quotes is expected"),
    (cell("{'Company': ['Acme']"), "found the end"),
    (cell("{'Company': ['Acme}"), "a string that is never closed"),
    (cell("{'Company': ['Acme'], 'Company': []}"), "stands twice"),
    (cell("{'Company': ['Acme' 'Ajax']}"), "']' expected"),
    (cell("{'Company': ['']}"), 'an empty string under'),
    (cell("{'Company': [' ']}"), 'an empty string under'),
    (cell("{'': ['Acme']}"), "an empty label"),
    (cell(r"{'Company': ['\ud800']}"), "surrogate"),
    (cell(r"{'Company': ['\x4']}"), "broken escape"),
    (cell("{'Company': " + "[" * 50_000), "found ["),
    (cell('{"Company":' * 50_000), "found {"),
    (cell("{'Company': " + "-" * 50_000 + "1}"), "must hold a list"),
    (cell("{'Company': __import__('os').system('true')}"), "found __import__"),
    (cell("{'Company': ['Acme'] + ['Ajax']}"), "expected after the list of 'Company', found +"),
    # the row
    ("bad,,{}", "'text' is empty"),
    ("bad,   ,{}", "'text' is empty"),
    (",Acme rose,{}", "'id' is ''"),
    ("bad,Acme rose", "2 cells, the header has 3"),
    ("bad,Acme, rose,{}", "4 cells, the header has 3"),
    ("bad", "1 cells, the header has 3"),
    ("bad;Acme rose;{}", "1 cells, the header has 3"),
    ("bad,Acme rose,{},", "4 cells, the header has 3"),
    ('bad,"Acme" rose,{}', "' ' after a closing quote"),
    ('bad,"say "yes" now",{}', "'y' after a closing quote"),
    ("bad,Acme \0 rose,{}", "NUL character"),
]  # fmt: skip


@pytest.mark.parametrize(("bad", "says"), BAD_ROWS, ids=[f"{number}: {says}" for number, (_, says) in enumerate(BAD_ROWS)])
def test_a_bad_row_is_named_and_may_be_skipped(refused, skipped, bad, says):
    content = HEADER + 'first,"Acme\nrose, again","{""Company"": [""Acme""]}"\n' + bad + "\nlast,Acme rose,{'Company': None}\n"
    error = refused(content, "rows.csv", says, line=4)
    rejected = skipped(content, "rows.csv", ["first", "last"])
    assert [str(one) for one in rejected] == [str(error)]


def test_the_column_in_the_cell_is_named(refused):
    refused(HEADER + cell("{'Company': ['Acme'], 'Date': 2012}"), "rows.csv", "'ground_truth', character 31: 'Date' must hold", line=2)


BAD_FILES = [
    # headers
    ("", "the file is empty", None, {}),
    ("\n\n", "blank lines only", None, {}),
    ("text,ground_truth\n", "a header and no rows", 1, {}),
    ("text,ground_truth\n\n\n", "a header and no rows", 1, {}),
    ("txt,ground_truth\na,{}\n", "name it: --text-column txt", 1, {}),
    ("Sentences,ground_truth\na,{}\n", "name it: --text-column Sentences", 1, {}),
    ("my text,ground_truth\na,{}\n", "name it: --text-column 'my text'", 1, {}),
    ("a,b\n1,2\n", "name it: --text-column NAME", 1, {}),
    ("a,b\n1,2\n", "columns found: a, b", 1, {}),
    ("text,groundtruth\na,{}\n", "name it: --annotation-column groundtruth", 1, {}),
    ("text,anotation\na,{}\n", "name it: --annotation-column anotation", 1, {}),
    ("text,label\na,up\n", "no column for the annotation", 1, {}),
    ("text,lable\na,up\n", "name it: --label-column lable", 1, {"kind": "label"}),
    ("text,ground_truth\na,{}\n", "no column for the label", 1, {"kind": "label"}),
    ("text,answer\na,c\n", "no column for the question", 1, {"kind": "answer"}),
    ("text,qustion,answer\na,b,c\n", "name it: --question-column qustion", 1, {"kind": "answer"}),
    ("text,question,anwser\na,b,c\n", "name it: --answer-column anwser", 1, {"kind": "answer"}),
    ("question,answer\na,b\n", "name the column of the text with --text-column", 2, {"kind": "answer"}),
    ("question,answer\nContext: a Question:,b\n", "read as 'TEXT Question: QUESTION'", 2, {"kind": "answer"}),
    ("text,question,answer\na,,c\n", "'question' is empty", 2, {"kind": "answer"}),
    ("text,question,answer\na,b,\n", "'answer' is empty", 2, {"kind": "answer"}),
    ("question,ground_truth\na,{}\n", "no column for the text", 1, {}),
    ("tokens,tag\na,b\n", "name it: --tag-column tag", 1, {}),
    ("text,text,ground_truth\na,b,{}\n", "column 'text' stands twice", 1, {}),
    ("text,ground_truth\na,{}\n", "did you mean --text-column text?", 1, {"text_column": "texts"}),
    ("text,ground_truth\na,{}\n", "give --text-column one of these", 1, {"text_column": "zzz"}),
    ("text,ground_truth\na,{}\n", "did you mean --annotation-column ground_truth?", 1, {"annotation_column": "groundtruth"}),
    ("text,label\na,up\n", "did you mean --label-column label?", 1, {"label_column": "labels", "kind": "label"}),
    ('"text,ground_truth\na,{}\n', "never closed", 1, {}),
    ('"text"x,ground_truth\na,{}\n', "'x' after a closing quote", 1, {}),
    # rows of label tables
    ("text,label\na,up\nb,\n", "'label' is ''", 3, {"kind": "label"}),
    ("text,label\na,up\n\nb, \n", "'label' is ' '", 4, {"kind": "label"}),
    ("text,label,published\na,up,soon\n", "not an ISO 8601 time", 2, {"kind": "label"}),
    # quotes over several lines
    ('text,ground_truth\n"a\nb\nc,{}\nd,{}\n', "never closed", 2, {}),
    ('text,ground_truth\na,{}\n"b\nc",{}\n"d\n', "never closed", 5, {}),
    ('text,ground_truth\n"a\nb"c,{}\n', "after a closing quote (on line 3)", 2, {}),
    ('text,ground_truth\r\n"a\r\nb",{}\r\nc\r\n', "1 cells, the header has 2", 4, {}),
    # delimiters
    ("text;ground_truth\na;{}\nb;c;{}\n", "3 cells, the header has 2", 3, {}),
    ("text\tground_truth\na\t{}\nb\n", "1 cells, the header has 2", 3, {}),
    ("text|ground_truth\na|{}\n", "no column for the text", 1, {}),
    # encodings
    ("text,ground_truth\na,{}\nétat,{}\n".encode("cp1252"), "--encoding cp1252", 3, {}),
    ("text,ground_truth\na,{}\n\x81tat,{}\n".encode("latin-1"), "--encoding latin-1", 3, {}),
    ("text,ground_truth\na,{}\n".encode("utf-16"), "give --encoding utf-16", 1, {}),
    ("text,ground_truth\na,{}\n".encode("utf-16-be"), "give --encoding utf-16-be", 1, {}),
    ("text,ground_truth\ra,{}\r", "bare carriage returns", 1, {}),
]


@pytest.mark.parametrize(
    ("content", "says", "line", "options"), BAD_FILES, ids=[f"{number}: {case[1]}" for number, case in enumerate(BAD_FILES)]
)
def test_a_bad_table_is_refused(refused, content, says, line, options):
    refused(content, "rows.csv", says, line=line, **options)


def test_an_open_quote_costs_only_its_own_row(skipped):
    content = 'id,text,label\na,one,up\nb,"two,up\nc,three,up\nd,"four ""x""\nand more",down\ne,"five,up\n'
    rejected = skipped(content, "rows.csv", ["a", "c", "d"], kind="label")
    assert [error.where.rpartition("rows.csv:")[2] for error in rejected] == ["3", "7"]
