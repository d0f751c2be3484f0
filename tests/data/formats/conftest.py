import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fintune.data.formats.base import ReadOptions
from fintune.data.load import load
from fintune.errors import DataError


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., DataError]:
    """Writes bytes or text to a file, asserts that loading it is refused as the contract says, and gives the error.

    `line` is the line the message must name, None where the fault belongs to the file. `says` is a part of the message.
    """

    def check(content, name, says, *, line=None, kind="spans", **options) -> DataError:
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        with pytest.raises(DataError) as caught:
            load(path, ReadOptions(**options), kind=kind)
        assert_contract(caught.value, name, line)
        assert says in str(caught.value)
        return caught.value

    return check


@pytest.fixture
def skipped(tmp_path: Path) -> Callable[..., list[DataError]]:
    """Loads a file leaving bad rows out; asserts the ids that stay and gives the refusals."""

    def check(content, name, ids, *, kind="spans", **options) -> list[DataError]:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        loaded = load(path, ReadOptions(on_bad="skip", **options), kind=kind)
        assert [example.id for example in loaded.examples] == ids
        return list(loaded.rejected)

    return check


def assert_contract(error: DataError, name: str, line: int | None) -> None:
    """Exit status 3, one line, the file, the line where there is one, and a remedy."""
    message = str(error)
    assert error.exit_status == 3
    assert "\n" not in message
    assert len(message) < 600
    place = re.escape(name) + (rf":{line}(:\d+)?:" if line else r"[:\d]*:")
    assert re.search(place, message), message
    assert error.fix.strip()
    assert error.what.strip()
