"""How a model that thinks before it answers is asked to, or asked not to: marks, switches, and what is learnt of reasoning.

Refuses an empty think block for a vocabulary without the marks, and reasoning where a template leaves no place for it.
`pytest tests/heads/generative/test_chat_thinking.py` exercises it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from fintune.errors import DataError, RecipeError
from fintune.heads.generative.plain_text import Piece

OPEN, CLOSE = "<think>", "</think>"
REASONING, RESPONSE = "## Thinking\n\n", "\n\n## Final Response\n\n"
"""Headings of reasoning and answer for models that have no think marks, as HuatuoGPT-o1 and Fino1 write them."""

Thinking = Literal["none", "empty", "reason"]
Block = Literal["absent", "open", "closed"]
"""What a template itself says of thinking, where the model begins to write."""

SWITCHES: dict[Thinking, tuple[tuple[str, bool], ...]] = {
    "none": (),
    "empty": (("enable_thinking", False),),
    "reason": (("enable_thinking", True),),
}
"""Variables that templates such as Qwen3's read."""


def resolve(thinking: str, known: str, source: str, *, plain: bool, marked: bool) -> Thinking:
    """The switch that a recipe means for a model.

    Args:
        thinking: as `recipe.Prompt.thinking`.
        known: what the catalog says of the model, or "" where it says nothing.
        source: text of the chat template; `plain` is True for one that is not the model's.
        plain: see there.
        marked: whether the vocabulary has the marks of thinking.

    Raises:
        RecipeError: for `empty` without marks.
    """
    if thinking == "auto":
        told = known in ("enable_thinking", "always") or (known == "" and marked and ("enable_thinking" in source or CLOSE in source))
        thinking = "empty" if told and not plain else "none"
    if thinking == "empty" and not marked:
        raise RecipeError(
            "no empty think block for this model", where="prompt.thinking", why=f"its vocabulary has no {OPEN} and {CLOSE}",
            fix="set prompt.thinking=none",
        )  # fmt: skip
    if thinking not in SWITCHES:
        raise RecipeError(f"unknown thinking {thinking!r}", where="prompt.thinking", fix=f"known: auto, {', '.join(SWITCHES)}")
    return thinking


def block(prompt_end: Sequence[Piece], marks: tuple[int, int] | None) -> Block:
    """Whether the words with which a prompt ends open or close a think block."""
    found = [piece.control for piece in prompt_end if marks is not None and piece.control in marks]
    if not found or marks is None:
        return "absent"
    return "open" if found[-1] == marks[0] else "closed"


def closing(thinking: Thinking, thought: Block, *, newline: bool) -> str:
    """What is added to a prompt so that it ends in an empty think block; `newline` is whether the prompt ends with a line end.

    Raises:
        RecipeError: where the model is to reason and the template has closed the block.
    """
    if thinking == "reason" and thought == "closed":
        raise RecipeError(
            "the chat template closes the think block itself", where="prompt.thinking", why="there is no place left for reasoning",
            fix="set prompt.thinking=empty",
        )  # fmt: skip
    if thinking != "empty" or thought == "closed":
        return ""
    if thought == "absent":
        return f"{OPEN}\n\n{CLOSE}\n\n"
    return f"{'' if newline else chr(10)}\n{CLOSE}\n\n"


def reasoned(target: str, reasoning: str | None, *, marks: tuple[int, int] | None, thought: Block, newline: bool) -> list[Piece]:
    """What a model learns to write that is to reason first: between its marks, or under headings where it has none.

    Args:
        target: the answer.
        reasoning: what leads to it.
        marks: ids of the marks.
        thought: whether the prompt has opened the block.
        newline: whether the prompt ends with a line end.

    Raises:
        DataError: where there is no reasoning.
    """
    if reasoning is None:
        raise DataError(
            "an example has no reasoning to learn", where="prompt.thinking", why="the recipe has the model reason before it answers",
            fix="give every example its reasoning, or set prompt.thinking to empty or none",
        )  # fmt: skip
    reasoning = reasoning.strip()
    if marks is None:
        return [Piece(REASONING + reasoning + RESPONSE + target)]
    opening = [] if thought == "open" else [Piece(OPEN, marks[0])]
    lines = reasoning if thought == "open" and newline else f"\n{reasoning}"
    return [*opening, Piece(f"{lines}\n"), Piece(CLOSE, marks[1]), Piece(f"\n\n{target}")]
