"""What a terminal shows: tables in files and pipes do not depend on a terminal that is not there."""

import pytest

from fintune.console import WIDTH, terminal


def test_a_pipe_is_as_wide_as_stated_unless_columns_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert terminal().width == WIDTH
    monkeypatch.setenv("COLUMNS", "77")
    assert terminal().width == 77
