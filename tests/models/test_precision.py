"""Which arithmetic a recipe means on which processor."""

from __future__ import annotations

import pytest
import torch

from fintune.errors import RecipeError
from fintune.models import precision
from fintune.models.precision import arithmetic


@pytest.mark.parametrize(
    ("asked", "able", "given"),
    [("auto", True, torch.bfloat16), ("auto", False, torch.float32), ("fp32", True, torch.float32), ("fp32", False, torch.float32),
     ("bf16", True, torch.bfloat16)],
)  # fmt: skip
def test_auto_is_bf16_where_there_are_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch, asked: str, able: bool, given: torch.dtype
) -> None:
    monkeypatch.setattr(precision, "_has_bf16", lambda device: able)
    assert arithmetic(asked, "cpu") == given


def test_bf16_is_refused_where_it_would_be_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_has_bf16", lambda device: False)
    with pytest.raises(RecipeError, match=r"train.precision: this device has no bf16; set it to auto or fp32"):
        arithmetic("bf16", "cpu")


def test_other_devices_are_taken_to_have_none() -> None:
    assert arithmetic("auto", "mps") == torch.float32
