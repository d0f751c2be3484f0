"""Overlapping windows over texts that are longer than a model reads, and the special tokens around each."""

from __future__ import annotations

from typing import Any

from fintune.errors import ArtifactError


def around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Ids of the special tokens before and after one text.

    Raises:
        ArtifactError: for a tokenizer without offsets.
    """
    probe = tokenizer("a", return_special_tokens_mask=True)
    ids, special = probe["input_ids"], probe["special_tokens_mask"]
    body = [i for i, flag in enumerate(special) if not flag]
    if not tokenizer.is_fast or not body:
        raise ArtifactError("the base model has no fast tokenizer", where=tokenizer.name_or_path, fix="use a model with tokenizer.json")
    return ids[: body[0]], ids[body[-1] + 1 :]


def cut(tokens: int, room: int, overlap: int, *, breaks: list[int]) -> list[tuple[int, int]]:
    """Windows `[start, end)` over `tokens` positions, of at most `room`, beginning at word starts, sharing about `overlap`."""
    if tokens <= room:
        return [(0, tokens)]
    windows = [(0, room)]
    while windows[-1][1] < tokens:
        earliest = windows[-1][1] - overlap
        # The next window begins at the first word start in the shared stretch; a single word longer than that is cut.
        start = next((b for b in breaks if earliest <= b < windows[-1][1]), earliest)
        windows.append((start, min(start + room, tokens)))
    return windows
