"""Conversations that are too long to learn from: refused by name, or left out by name. Nothing is cut, which would lose its target.

`pytest tests/heads/generative/test_seq2seq.py -k long` exercises it.
"""

from __future__ import annotations

from collections.abc import Sequence

from fintune.errors import RecipeError
from fintune.heads.generative.conversation import Conversation

_SHOWN = 8


def within(items: Sequence[Conversation], *, max_tokens: int, too_long: str) -> tuple[list[Conversation], list[str]]:
    """The conversations of at most `max_tokens` tokens, and the ids of the others.

    Raises:
        RecipeError: where there are others and `too_long` is `refuse`.
    """
    others = [item for item in items if item.length > max_tokens]
    if others and too_long == "refuse":
        longest = max(item.length for item in others)
        named = ", ".join(item.source.id for item in others[:_SHOWN]) + (" …" if len(others) > _SHOWN else "")
        raise RecipeError(
            f"{len(others)} conversations are longer than {max_tokens} tokens, up to {longest}: {named}", where="data.max_tokens",
            why="cutting them would take away targets", fix=f"set data.max_tokens={longest} or data.too_long=drop",
        )  # fmt: skip
    return [item for item in items if item.length <= max_tokens], [item.source.id for item in others]
