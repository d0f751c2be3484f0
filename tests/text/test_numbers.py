"""Numbers are read as written, or not at all; what is written is read back."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintune.text.numbers import Value, find, plain, read, written

SCALES = (1.0, 1e2, 1e3, 1e5, 1e6, 1e7, 1e9, 1e12)
floats = st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number or 0.0)
decimals = st.decimals(min_value=0, max_value=10**9, places=3).map(float).map(lambda number: number or 0.0)


@st.composite
def values(draw, numbers=floats):
    match draw(st.sampled_from(["plain", "percent", "currency"])):
        case "percent":
            return Value(draw(numbers), "percent", draw(st.sampled_from([1.0, 0.01])))
        case "currency":
            return Value(draw(numbers), "currency", draw(st.sampled_from(SCALES)), draw(st.sampled_from(["USD", "EUR", "JPY", "CHF"])))
    return Value(draw(numbers), "plain", draw(st.sampled_from(SCALES)))


@given(values())
def test_what_is_written_is_read_back(value):
    assert read(written(value)) == value


@given(floats)
def test_plain_notation_is_the_same_float_without_an_exponent(number):
    assert float(plain(number)) == number
    assert "e" not in plain(number)


@given(values(decimals), st.text(" \n\t", max_size=3), st.text(" \n", max_size=3))
def test_offsets_are_those_of_the_number_in_the_text(value, before, after):
    text = written(value)
    for found in (read(before + text + after), *find(f"It was {text}, after all")):
        assert found == value
    (found,) = find(f"It was {text}, after all")
    assert f"It was {text}, after all"[found.start : found.end] == text
    found = read(before + text + after)
    assert (found.start, found.end) == (len(before), len(before) + len(text))


@given(values(decimals))
def test_brackets_and_signs_are_the_same_negative(value):
    text = written(value)
    expected = Value(-value.number, value.unit, value.scale, value.currency)
    forms = {f"-{text}", f"\N{MINUS SIGN}{text}", f"({text})", f"( {text} )"}
    if value.currency in ("USD", "EUR", "JPY"):
        digits, _, scale = text[1:].partition(" ")
        forms |= {f"{text[0]}-{text[1:]}", f"{text[0]} -{text[1:]}", f"{text[0]}({digits}) {scale}"}
    for form in forms:
        assert read(form) == expected, form
        assert find(f"a {form} b") == (expected,)


@given(decimals)
def test_groups_of_thousands_are_the_same_number(number):
    assert read(f"{number:,.3f}") == Value(float(f"{number:.3f}"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("14.2 percent", Value(14.2, "percent")),
        ("14.2 Per Cent", Value(14.2, "percent")),
        ("2.3 percentage points", Value(2.3, "percent")),
        ("25 bps", Value(25, "percent", 0.01)),
        ("1.2bn", Value(1.2, "plain", 1e9)),
        ("5m", Value(5, "plain", 1e6)),
        ("$1,234.5 million", Value(1234.5, "currency", 1e6, "USD")),
        ("US$ 5", Value(5, "currency", 1, "USD")),
        ("$5 USD", Value(5, "currency", 1, "USD")),
        ("75 billion yen", Value(75, "currency", 1e9, "JPY")),
        ("310,000 €", Value(310000, "currency", 1, "EUR")),
        ("(12.4)%", Value(-12.4, "percent")),
        ("(12.4%)", Value(-12.4, "percent")),
        ("$(23,158)", Value(-23158, "currency", 1, "USD")),
        ("+.5", Value(0.5)),
    ],
)
def test_notations(text, expected):
    assert read(text) == expected
    assert find(f"In all, {text}.") == (expected,)


@pytest.mark.parametrize("text", [
    "", "yes", "no", "twelve", "%", "$", "1.234,5", "1,23", "1,2345", "1,234,56", "310 000", "3/4", "5-6", "5%-6%", "5 million-6 million",
    "2.5x", "1e5", "2018-05-01", "12:30", "b5", "$5 EUR", "$5%", "5 million percent", "-(5)", "(5", "5)", "--5", "٣", "9" * 400, "5 and 6",
])  # fmt: skip
def test_anything_else_is_no_number(text):
    assert read(text) is None


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("5%-6% or 5 million-6 million, 1.234,5, 2018-05-01 and 310 000", []),
        ("(5 shares, $3) of 7.", [5, 3, 7]),
        ("q3 B2B 2.5x 4th", []),
        ("Sales of 12,345 in 2008 and 5 m of pipe", [12345, 2008, 5]),
    ],
)
def test_numbers_within_prose(text, numbers):
    assert [value.number for value in find(text)] == numbers


@given(st.text(max_size=40) | st.text("0123456789.,()-−+$€%kmbnilo USD", max_size=40))
def test_every_text_is_read_or_refused_and_reading_agrees_with_finding(text):
    value = read(text)
    if value is not None:
        assert math.isfinite(value.amount) or value.scale > 1
        assert find(text) == (value,)
        assert read(text[value.start : value.end]) == value
    for found in find(text):
        assert text[found.start : found.end].strip("() \n") != ""


@pytest.mark.parametrize("unit", ["(", "1,111", "5 ", "$ ", "- ", "1.", "5 million-", "us ", "5%(", "1,", "9"])
def test_long_texts_take_linear_time(unit):
    """A quadratic search would take hours here."""
    assert len(find(unit * (200_000 // len(unit)))) <= 200_000
