"""Programs give what Python gives for the same expression, and every step can be checked from what it shows."""

import json
import operator
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintune.data.formats.programs import DECIMALS, DIGITS, ProgramError, run_assignments, run_calls, same_result
from fintune.text.numbers import plain, read

DATA = Path(os.environ.get("FINTUNE_DATA", "../shared/data"))
needs_data = pytest.mark.skipif(not (DATA / "qa").is_dir(), reason="needs the shared data (FINTUNE_DATA)")

SIGNS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}
WORK = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, ">": operator.gt}
numbers = st.decimals(min_value=-10_000, max_value=10_000, places=2).map(float)


@st.composite
def programs(draw):
    """Steps of two operands each: numbers, percentages or earlier results."""
    steps = []
    for index in range(draw(st.integers(1, 4))):
        operands = [draw(st.sampled_from([f"#{draw(st.integers(0, index - 1))}"] if index else [None]) | numbers) for _ in range(2)]
        operands = [plain(draw(numbers)) if operand is None else operand for operand in operands]
        steps.append((draw(st.sampled_from(list(SIGNS))), *(o if isinstance(o, str) else plain(o) for o in operands)))
    return steps


@given(programs())
def test_both_notations_give_what_python_gives(steps):
    calls = ", ".join(f"{name}({first}, {second})" for name, first, second in steps)
    lines = [f"x{index} = {first} {SIGNS[name]} {second}".replace("#", "x") for index, (name, first, second) in enumerate(steps)]
    names: dict[str, float] = {}
    try:
        for line in lines:
            name, _, expression = line.partition(" = ")
            names[name] = eval(expression.replace("- -", "+ "), {}, names)
    except ZeroDivisionError:
        for run in (lambda: run_calls(calls, []), lambda: run_assignments("; ".join(lines))):
            with pytest.raises(ProgramError, match="divi"):
                run()
        return
    for trace in (run_calls(calls, []), run_assignments("; ".join(lines))):
        assert trace.result == names[f"x{len(steps) - 1}"]
        assert len(trace.steps) == len(steps)


@given(programs())
def test_every_step_follows_from_what_it_shows(steps):
    """A trace that does not add up would teach wrong arithmetic."""
    try:
        trace = run_calls(", ".join(f"{name}({first}, {second})" for name, first, second in steps), [])
    except ProgramError:
        return
    for step in trace.steps:
        name, *operands, shown = re.fullmatch(r"(\w+)\((.*), (.*)\) = (.*)", step).groups()
        first, second = (read(operand).amount for operand in operands)
        size = abs(float(shown)) + (abs(first) + abs(second) if name in ("add", "subtract") else 0)
        assert WORK[SIGNS[name]](first, second) == pytest.approx(float(shown), rel=0, abs=0.5 * 10.0**-DECIMALS + 20 * 10.0**-DIGITS * size)


TABLE = [
    ["", "2009", "2008"],
    ["sales", "$ 6427", "$ -9457 ( 9457 )"],
    ["growth , net", "27% ( 27 % )", "28% ( 28 % )"],
    ["words", "a", "b"],
    ["x"],
]


@pytest.mark.parametrize(
    ("program", "result"),
    [
        ("table_max(sales, none)", 6427),
        ("table_min(sales, none)", -9457),
        ("table_sum(sales, none)", -3030),
        ("table_average(growth , net, none)", 0.275),
        ("table_max(sales, none), subtract(#0, const_1000)", 5427),
        ("multiply(3, const_m1)", -3),
        ("exp(2, 3)", 8),
        ("divide(9896, 23.6%)", 9896 / 0.236),
        ("greater(2, 1)", "yes"),
        ("greater(1, 2)", "no"),
    ],
)
def test_operations(program, result):
    trace = run_calls(program, TABLE)
    assert same_result(trace.result, result)
    shown = trace.steps[-1].rpartition(" = ")[2]
    assert shown == result if isinstance(result, str) else same_result(float(shown), result)


BAD = [
    ("", "no steps"), ("add", "no step at 'add'"), ("add(1, 2) add(3, 4)", "no step"), ("add(1)", "two numbers, not 1"),
    ("add(1, 2, 3)", "two numbers, not 3"), ("addd(1, 2)", "did you mean 'add'?"), ("add(1, #0)", "no step '#0' before"),
    ("add(1, #x)", "no step '#x'"), ("greater(1, 2), add(#0, 1)", "#0 is 'no', not a number"), ("add(one, 2)", "'one' is not a number"),
    ("divide(1, 0)", "divi"), ("exp(-8, 0.5)", "no real number"), ("exp(10000, 10000)", "exp"), ("add(1, const_x)", "is not a number"),
    ("table_sum(costs, none)", "no row 'costs'"), ("table_sum(words, none)", "'a' is not a number"), ("table_sum(x, none)", "has no cells"),
    ("__import__(os, none)", "unknown operation"),
]  # fmt: skip


@pytest.mark.parametrize(("program", "says"), BAD)
def test_what_cannot_be_run_is_refused(program, says):
    with pytest.raises(ProgramError) as caught:
        run_calls(program, TABLE)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "program", ["", "1 + 2", "x = 1 +", "x = y", "x = 1 % 2", "x = (1 + 2) * 3", "x = 1 / 0", "x = 1 > 2; y = x + 1", "x = 1;"]
)
def test_assignments_that_cannot_be_run_are_refused(program):
    with pytest.raises(ProgramError):
        run_assignments(program)


@given(st.text(max_size=30) | st.text("addivexp#0123_()., const;=-+*/>%", max_size=40))
def test_any_program_runs_or_is_refused(program):
    for run in (lambda: run_calls(program, TABLE), lambda: run_assignments(program)):
        try:
            trace = run()
        except ProgramError:
            continue
        assert trace.steps


def nested(program):
    """A second, recursive way through FinQA's nested notation, `divide(3.8, divide(100, 100))`."""
    call = re.fullmatch(r"(\w+)\((.*)\)", program)
    if call is None:
        return float(program.removeprefix("const_")) if not program.endswith("%") else float(program[:-1]) / 100
    depth, parts = 0, [""]
    for character in call[2]:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    first, second = (nested(part.strip()) for part in parts)
    return ("yes" if first > second else "no") if call[1] == "greater" else WORK[SIGNS[call[1]]](first, second)


@needs_data
def test_finqa_programs_give_the_stated_and_the_nested_result():
    rows = json.loads((DATA / "qa" / "finqa_sample20.json").read_text())
    assert len(rows) == 20
    for row in rows:
        trace = run_calls(row["qa"]["program"], row["table"])
        assert same_result(trace.result, row["qa"]["exe_ans"]), row["id"]
        if "table_" not in row["qa"]["program"]:
            assert nested(row["qa"]["program_re"]) == trace.result


@needs_data
def test_convfinqa_programs_give_the_stated_result():
    rows = [json.loads(line) for line in (DATA / "qa" / "convfinqa_dev_a.jsonl").read_text().splitlines()]
    assert len(rows) == 232
    assert all(same_result(run_assignments(row["programs"][-1]).result, row["answer"]) for row in rows)
    assert all(run_assignments(program).steps for row in rows for program in row["programs"])
