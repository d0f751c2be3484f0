import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintune.text.bio import TagError, TokenSpan, breaks, decode, encode, split_tag

SCHEMES = ["BIO", "IOB", "IO", "BIOES"]


@st.composite
def token_spans(draw):
    """Spans of two labels without overlap, touching or not, and a number of tokens that holds them."""
    spans, at = [], 0
    for gap, size, label in draw(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from(["PER", "B-ORG"])), max_size=6)):
        spans.append(TokenSpan(at + gap, at + gap + size, label))
        at += gap + size
    return spans, at + draw(st.integers(0, 2))


tag_lists = st.lists(st.sampled_from(["O"] + [f"{prefix}-{label}" for prefix in "BIES" for label in ("PER", "LOC")]), max_size=9)


def melted(spans):
    """Neighbours of one label joined, as IO cannot part them."""
    result = []
    for span in spans:
        if result and result[-1].end == span.start and result[-1].label == span.label:
            result[-1] = result[-1]._replace(end=span.end)
        else:
            result.append(span)
    return result


def conlleval(tags):
    """Spans by the published start and end conditions of the CoNLL scorer (with S as in its later versions), tag by tag."""
    spans, start, last, last_type = [], None, "O", ""
    for at, tag in enumerate([*tags, "O"]):
        kind, _, type_ = tag.partition("-")
        changed = last_type != type_
        ends = (last, kind) in {(a, b) for a in "BI" for b in "BSO"} | {(a, b) for a in "ES" for b in "EIBSO"}
        if start is not None and (ends or (last != "O" and changed)):
            spans.append(TokenSpan(start, at, last_type))
            start = None
        starts = kind in "BS" or (last, kind) in {("E", "E"), ("E", "I"), ("O", "E"), ("O", "I"), ("S", "E"), ("S", "I")}
        if starts or (kind != "O" and changed):
            start = at
        last, last_type = kind, type_
    return spans


@pytest.mark.parametrize("scheme", SCHEMES)
@given(token_spans())
def test_round_trip(scheme, drawn):
    spans, length = drawn
    tags = encode(spans, length, scheme)
    expected = melted(spans) if scheme == "IO" else spans
    assert len(tags) == length
    assert decode(tags, scheme) == decode(tags) == expected
    assert breaks(tags, scheme) == []


@given(tag_lists)
def test_decodes_as_the_conll_scorer(tags):
    assert decode(tags) == conlleval(tags)


@given(tag_lists)
def test_spans_cover_exactly_the_tagged_tokens(tags):
    covered = [at for start, end, _ in decode(tags) for at in range(start, end)]
    assert covered == [at for at, tag in enumerate(tags) if tag != "O"]
    assert all(tags[at].endswith(label) for start, end, label in decode(tags) for at in range(start, end))


@given(tag_lists)
def test_a_sequence_without_breaks_is_what_encode_writes(tags):
    for scheme in SCHEMES:
        try:
            clean = not breaks(tags, scheme)
        except TagError:
            continue
        assert clean == (encode(decode(tags, scheme), len(tags), scheme) == tags)


@pytest.mark.parametrize(
    ("scheme", "tags", "at", "says"),
    [
        ("BIO", ["O", "I-PER"], 1, "B-PER is missing before it"),
        ("BIO", ["B-LOC", "I-PER"], 1, "continues nothing"),
        ("IOB", ["O", "B-PER"], 1, "separates nothing"),
        ("BIOES", ["B-PER", "O"], 0, "never ended"),
        ("BIOES", ["O", "E-PER"], 1, "continues nothing"),
        ("BIOES", ["S-PER", "I-PER", "E-PER"], 1, "continues nothing"),
        ("BIOES", ["B-PER", "I-PER"], 1, "never ended"),
    ],
)
def test_breaks_are_named(scheme, tags, at, says):
    first = breaks(tags, scheme)[0]
    assert (first.at, first.tag) == (at, tags[at])
    assert says in first.reason


@pytest.mark.parametrize(
    ("scheme", "tag", "says"),
    [
        ("auto", "Z-PER", "unknown tag 'Z-PER'"),
        ("auto", "PER", "unknown tag"),
        ("auto", "", "unknown tag"),
        ("auto", "o", "unknown tag"),
        ("auto", "B-", "has no label"),
        ("auto", "I", "has no label"),
        ("IO", "I", "has no label"),
        ("BIO", "E-PER", "not of the scheme BIO"),
        ("IOB", "S-PER", "not of the scheme IOB"),
        ("IO", "B-PER", "not of the scheme IO"),
    ],
)
def test_unknown_tags_are_refused_never_taken_for_outside(scheme, tag, says):
    with pytest.raises(TagError, match="token 2: ") as caught:
        decode(["O", tag], scheme)
    assert says in caught.value.reason


def test_bare_labels_are_io_tags():
    assert split_tag("PER", "IO") == ("I", "PER")
    assert decode(["PER", "PER", "O", "LOC"], "IO") == [(0, 2, "PER"), (3, 4, "LOC")]


@pytest.mark.parametrize("spans", [[(0, 2, "A"), (1, 3, "A")], [(1, 1, "A")], [(2, 4, "A")], [(-1, 1, "A")]])
def test_encode_refuses_spans_that_do_not_fit(spans):
    with pytest.raises(ValueError, match="overlaps, is empty or leaves"):
        encode([TokenSpan(*span) for span in spans], 3, "BIO")
