"""What a generative head's examples are as tokens: rendered conversations with offsets and a mask of what is learnt."""

from __future__ import annotations

from dataclasses import dataclass

from fintune.records import Example


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation as the model reads it.

    `ids` are token ids; for each of them `offsets` has the characters `[start, end)` of `text` it stands for, and `supervised`
    says whether the model learns to write it.
    """

    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    text: str
    supervised: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Conversation:
    """One example as tokens. `example` is its index, `prompt` ends where the model begins to write, and `full` adds the target.

    `full` is None for an example without gold; its ids begin with those of `prompt`.
    """

    example: int
    source: Example
    prompt: Rendered
    full: Rendered | None = None

    @property
    def length(self) -> int:
        """Tokens, those of the target included where there is one."""
        return len((self.full or self.prompt).ids)
