"""Questions beside stretches of their texts, as the span head reads them: special tokens, segments, windows and gold positions.

Laid out as the tokenizer itself lays out a pair. A tokenizer that puts nothing before a question, and a question that leaves no room
for its text, are refused. Exercised by `pytest tests/heads/test_span.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fintune.errors import ArtifactError, DataError
from fintune.heads.base import IGNORED
from fintune.heads.windows import cut
from fintune.records import Example
from fintune.tasks.base import Purpose

NOWHERE = (IGNORED, IGNORED)
"""Gold of an answer that no window holds whole: it is not learnt."""
NULL = (0, 0)
"""Gold of a window without the answer."""


@dataclass(frozen=True, slots=True)
class Window:
    """A question with a stretch of its text.

    `tokens` are ids with the special ones and `types` their segments. The stretch begins at position `begin` of them and with token
    `first` of the text; `offsets` are its tokens' characters `[start, end)`. `gold` holds the positions of the answer's first and
    last token, 0 where the answer is not in this window, and is None for prediction.
    """

    example: int
    tokens: list[int]
    types: list[int]
    begin: int
    first: int
    offsets: list[tuple[int, int]]
    gold: tuple[int, int] | None

    @property
    def length(self) -> int:
        """Tokens, special ones included."""
        return len(self.tokens)


@dataclass(frozen=True, slots=True)
class Layout:
    """The special tokens before a question, between question and text, and after the text; and the segment of each of the five parts."""

    parts: tuple[list[int], list[int], list[int]]
    segments: tuple[int, int, int, int, int]

    @classmethod
    def of(cls, tokenizer: Any) -> Layout:
        """The layout of a tokenizer's pairs.

        Raises:
            ArtifactError: where it is not a fast one, or no token stands before a question.
        """
        probe = tokenizer("a", "b", return_token_type_ids=True)
        if not tokenizer.is_fast:
            raise ArtifactError("the base model has no fast tokenizer", where=tokenizer.name_or_path, fix="use a model with tokenizer.json")
        owners, ids, types = probe.sequence_ids(0), probe["input_ids"], probe["token_type_ids"]
        question, text = ([i for i, owner in enumerate(owners) if owner == part] for part in (0, 1))
        if not question or not text or not question[0]:
            raise ArtifactError(
                "the tokenizer puts no token before a question", where=tokenizer.name_or_path, why="no answer needs a place to point at",
                fix="use an encoder such as model.base=minilm",
            )  # fmt: skip
        return cls(
            (ids[: question[0]], ids[question[-1] + 1 : text[0]], ids[text[-1] + 1 :]),
            (types[0], types[question[0]], types[question[-1] + 1], types[text[0]], types[-1]),
        )

    def windows(
        self, index: int, example: Example, question: list[int], text: list[int], offsets: list[tuple[int, int]],
        gold: tuple[int, int] | None, purpose: Purpose, *, room: int, overlap: int,
    ) -> Iterator[Window]:  # fmt: skip
        """The windows of one example, in order.

        Args:
            index: of the example.
            example: named in errors.
            question: its ids.
            text: ids of its text.
            offsets: characters of each token of the text.
            gold: first and last token of the answer in the text, None without one.
            purpose: windows have gold for training alone.
            room: tokens of a window, special ones included.
            overlap: tokens of the text that neighbours share.

        Raises:
            DataError: where the question leaves no room for the text.
        """
        before, between, after = self.parts
        head = [*before, *question, *between]
        left = room - len(head) - len(after)
        if left <= overlap:
            raise DataError(
                f"the question of example {example.id!r} leaves room for {max(0, left)} tokens of its text", where=example.where,
                why=f"a window has {room} tokens, of which the next repeats {overlap}",
                fix="raise data.max_tokens, lower data.overlap_tokens, or shorten the question",
            )  # fmt: skip
        first, asked, middle, told, last = self.segments
        cuts = cut(len(text), left, overlap, breaks=[])
        held = gold is None or any(start <= gold[0] and gold[1] < end for start, end in cuts)
        for start, end in cuts:
            types = [first] * len(before) + [asked] * len(question) + [middle] * len(between) + [told] * (end - start) + [last] * len(after)
            inside = gold is not None and start <= gold[0] and gold[1] < end
            place = (gold[0] - start + len(head), gold[1] - start + len(head)) if gold is not None and inside else NULL
            yield Window(
                index, [*head, *text[start:end], *after], types, len(head), start, offsets[start:end],
                None if purpose != "train" else place if held else NOWHERE,
            )  # fmt: skip


def tokens_of(example: Example, offsets: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """The first and the last token of the gold answer; None where there is no answer.

    Raises:
        DataError: where it does not stand in the text, or in characters that the tokenizer drops.
    """
    answer = example.answer
    if answer is None:
        return None
    if answer.start is None:
        raise DataError(
            f"the answer {answer.text[:60]!r} of example {example.id!r} has no place in its text", where=example.where,
            why="a span head learns stretches of the text", fix="leave computed answers out, or set head.type=generative",
        )  # fmt: skip
    start, end = answer.start, answer.start + len(answer.text)
    touched = [i for i, (a, b) in enumerate(offsets) if a < end and start < b]
    if not touched:
        raise DataError(
            f"the answer {answer.text[:60]!r} of example {example.id!r} has no token", where=example.where,
            why="the tokenizer drops its characters", fix="correct the answer, or take the example out",
        )  # fmt: skip
    return touched[0], touched[-1]
