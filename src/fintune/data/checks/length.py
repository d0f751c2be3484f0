"""Whether examples fit into the model's window. Without a tokenizer, tokens are estimated from words."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fintune.data.checks.base import Context, finding, many
from fintune.data.near import UNSPACED
from fintune.records import Example, Finding

# A word between blanks, or one character where words are not separated by blanks.
_UNIT = re.compile(rf"[{UNSPACED}]|[^\s{UNSPACED}]+")


def estimate(text: str, tokens_per_word: float) -> int:
    """Tokens of a text, estimated from the words between blanks and from single ideographs."""
    words = len(text.split()) if text.isascii() else sum(1 for _ in _UNIT.finditer(text))
    return round(words * tokens_per_word)


def too_long(context: Context) -> Iterator[Finding]:
    """Text and question have more tokens than the limit, and would be cut or windowed."""
    limit, exact = context.limits.max_tokens, context.tokens
    bad: list[tuple[int, Example]] = []
    for example in context.examples:
        text = example.text if example.question is None else f"{example.question}\n{example.text}"
        size = exact(text) if exact is not None else estimate(text, context.limits.tokens_per_word)
        if size > limit:
            bad.append((size, example))
    if bad:
        longest = max(size for size, _ in bad)
        measure = "tokens" if exact is not None else "tokens by estimate"
        message = f"{many(len(bad), 'example')} of more than {limit:,} {measure}, the longest of {longest:,}"
        concerned = [example for _, example in bad]
        yield finding("D501", message, concerned, fix="split them at sentence ends, or raise the limit of the recipe")
