"""Faults of CoNLL files: the message names the line of the token, and the bad row is its sentence."""

import pytest

FIRST = "Acme NNP B-ORG\nrose VBD O\n\n"
LAST = "\nAjax NNP B-ORG\nfell VBD O\n"

BAD_SENTENCES = [  # lines 4 and following; the second item is the line of the fault
    ("Acme NNP\n", 4, "2 columns, the first token line has 3", {}),
    ("Acme NNP B-ORG extra\n", 4, "4 columns, the first token line has 3", {}),
    ("Acme\n", 4, "1 columns", {}),
    ("up RB O\nAcme NNP\n", 5, "2 columns", {}),
    ("up RB O\nAcme NNP\n#\n", 5, "2 columns", {}),
    ("up RB O\n# comment inside\n", 5, "unknown tag 'inside'", {}),
    ("Acme NNP Z-ORG\n", 4, "unknown tag 'Z-ORG'", {}),
    ("up RB O\nAcme NNP ORG\n", 5, "unknown tag 'ORG'", {}),
    ("Acme NNP o\n", 4, "unknown tag 'o'", {}),
    ("Acme NNP 0\n", 4, "unknown tag '0'", {}),
    ("Acme NNP B-\n", 4, "tag 'B-' has no label", {}),
    ("Acme NNP B\n", 4, "tag 'B' has no label", {}),
    ("Acme NNP I\n", 4, "tag 'I' has no label", {}),
    ("up RB O\nAcme NNP I-ORG\n", 5, "B-ORG is missing before it", {"scheme": "BIO"}),
    ("Acme NNP B-ORG\nInc NNP I-PER\n", 5, "B-PER is missing before it", {"scheme": "BIO"}),
    ("Acme NNP E-ORG\n", 4, "not of the scheme BIO", {"scheme": "BIO"}),
    ("Acme NNP S-ORG\n", 4, "not of the scheme BIO", {"scheme": "BIO"}),
    ("Acme \0 O\n", 4, "NUL character", {}),
]


@pytest.mark.parametrize(("bad", "line", "says", "options"), BAD_SENTENCES, ids=[case[0] for case in BAD_SENTENCES])
def test_a_bad_sentence_is_named_and_may_be_skipped(refused, skipped, bad, line, says, options):
    content = FIRST + bad + LAST
    error = refused(content, "rows.conll", says, line=line, **options)
    end = 4 + bad.count("\n") + 1
    rejected = skipped(content, "rows.conll", ["rows:1", f"rows:{end}"], **options)
    assert [str(one) for one in rejected] == [str(error)]


BAD_FILES = [
    (FIRST, 1, "B-ORG separates nothing", {"scheme": "IOB"}),
    (FIRST, 1, "not of the scheme IO", {"scheme": "IO"}),
    (FIRST, 1, "never ended by E-ORG", {"scheme": "BIOES"}),
    (FIRST, 1, "no column 3: the line has 3", {"tag_column": "3", "format": "conll"}),
    (FIRST, 1, "no column -4", {"token_column": "-4"}),
    (FIRST, 1, "the same column", {"tag_column": "0", "format": "conll"}),
    (FIRST, 1, "unknown tag 'NNP'", {"tag_column": "1", "format": "conll"}),
    ("Acme\nrose\n", 1, "the same column", {"format": "conll"}),
    ("# only\n\n# comments\n", None, "no examples", {"format": "conll"}),
    ("-DOCSTART- -X- O\n\n", None, "no examples", {"format": "conll"}),
    ("Acme\tB-ORG\n \tO\n", 2, "an empty token", {}),
    ("Acme\tB-ORG\n\tO\n", 2, "an empty token", {}),
    ("Acme\tB-ORG\nrose O\n", 2, "1 columns, the first token line has 2", {"format": "conll"}),
    ("Soci\u00e9t\u00e9 O\n".encode("cp1252"), 1, "--encoding cp1252", {}),
    ("Acme O\n", 1, "no label (gold of kind label is needed)", {"kind": "label"}),
]


@pytest.mark.parametrize(("content", "line", "says", "options"), BAD_FILES, ids=[f"{n}: {case[2]}" for n, case in enumerate(BAD_FILES)])
def test_a_bad_file_is_refused(refused, content, line, says, options):
    refused(content, "rows.conll", says, line=line, **options)
