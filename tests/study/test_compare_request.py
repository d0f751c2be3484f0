"""A request says itself as a command, and the command means the same request."""

from __future__ import annotations

import shlex

import pytest
import typer
from typer.testing import CliRunner

from fintune import cli_compare
from fintune.data.formats.base import ReadOptions
from fintune.errors import RecipeError, UsageError
from fintune.metrics.intervals import Bootstrap
from fintune.metrics.paired import REPLICATES
from fintune.study import compare as compared
from fintune.study.compare_request import Request, named_pairs, plan_of, short_names, split_groups

REQUESTS = (
    Request(systems=("runs/a", "runs/b c/predictions.jsonl")),
    Request(
        systems=("a",), groups={"rank 8": ("x", "y"), "r'4": ("z",)}, data="test.jsonl", task="my.toml", metrics=("micro_f1", "macro_f1"),
        against="a", ids="common", plan=Bootstrap(500, 3, 0.9),
    ),
    Request(
        study="runs/s", by=("rank", "noise"), where={"size": "100"},
        options=ReadOptions(rename={"LOC": "Location"}, limit=5, on_bad="skip"),
    ),
)  # fmt: skip


@pytest.mark.parametrize("request_", REQUESTS)
def test_the_command_means_the_same_request(request_, monkeypatch):
    asked = []
    monkeypatch.setattr(compared, "compare", lambda request, *, output: asked.append(request) or compared.Comparison({}, ()))
    monkeypatch.setattr("fintune.api.compare", compared.compare)
    app = typer.Typer()
    app.command()(cli_compare.compare)
    words = shlex.split(request_.command())
    assert words[:2] == ["fintune", "compare"]
    result = CliRunner().invoke(app, [*words[2:], "--json"])
    assert result.exit_code == 0, result.output
    (found,) = asked
    assert (found.groups, found.where, found.options.rename) == (
        dict(request_.groups),
        dict(request_.where),
        dict(request_.options.rename),
    )
    assert found == request_
    assert found.command() == request_.command()


def test_usual_values_are_not_in_the_command():
    assert Request(systems=("a", "b")).command() == "fintune compare a b"
    assert plan_of(replicates=None, seed=None, level=None) == Bootstrap(REPLICATES)
    assert plan_of(replicates=7, seed=None, level=0.9) == Bootstrap(7, 0, 0.9)
    with pytest.raises(RecipeError, match="0 bootstrap replicates"):
        plan_of(replicates=0, seed=None, level=None)


def test_names_are_the_shortest_that_differ():
    assert short_names(["runs/a", "runs/b"]) == ["a", "b"]
    assert short_names(["x/seed0", "y/seed0", "z/other"]) == ["x/seed0", "y/seed0", "other"]
    assert short_names(["runs/a/predictions.jsonl", "theirs.jsonl"]) == ["a", "theirs"]
    with pytest.raises(UsageError, match="given twice"):
        short_names(["runs/a", "runs/../runs/a"])


def test_groups_and_pairs():
    assert split_groups(["r8=a,b", "r=c=d"]) == {"r8": ("a", "b"), "r": ("c=d",)}
    for wrong in (["r8"], ["=a"], ["r8="], ["a=b", "a=c"], ["a=x,x"], ["a=,"]):
        with pytest.raises(UsageError, match="--group"):
            split_groups(wrong)
    assert named_pairs(["rank=4"], flag="--where") == {"rank": "4"}
