"""How sure a model was of each surface that it wrote: the probability of the tokens that spell it and end it.

The closing quote belongs to a surface, since it decides where the surface ends. Nothing here is calibrated, and a surface that a
repair or a completion brought in has no confidence. `tests/heads/generative/test_confidence.py` exercises it.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from tokenizers.decoders import DecodeStream

from fintune.heads.generative.generate import Written
from fintune.records import Span

_STRING = re.compile(r"""(?P<string>"(?:[^"\\\n]|\\.)*+"|'(?:[^'\\\n]|\\.)*+')(?P<colon>\s*:)?""")

_OPENING = re.compile(r"\{\s*[\"']")
_THOUGHT = "</think>"


def confidences(tokenizer: Any, written: Written, spans: Sequence[Span]) -> list[float | None]:
    """The probability in [0, 1] of each span's surface under its label, or None where it was not written so.

    Args:
        tokenizer: the fast tokenizer that `written` is in.
        written: a dictionary of lists of surfaces, in any format of `tasks.spans`.
        spans: what the task read from it.
    """
    text, places = _read(tokenizer, written.ids)
    surfaces: dict[tuple[str, str], float] = {}
    for label, surface, start, end in _surfaces(text):
        tokens = [at for at, (left, right) in enumerate(places) if left < end and right > start]
        probability = math.exp(sum(written.logprobs[at] for at in tokens))
        surfaces.setdefault((label.strip().casefold(), " ".join(surface.split())), min(probability, 1.0))
    return [surfaces.get((span.label.casefold(), " ".join(span.text.split()))) for span in spans]


def _read(tokenizer: Any, ids: Sequence[int]) -> tuple[str, list[tuple[int, int]]]:
    """The text of tokens, and the characters `[start, end)` of it that each had a part in."""
    stream = DecodeStream(skip_special_tokens=True)
    text, places, waiting = "", list[tuple[int, int]](), 0
    for token in ids:
        piece = stream.step(tokenizer.backend_tokenizer, token)
        waiting += 1
        if piece is not None:  # else the token ends within a character
            places += [(len(text), len(text) + len(piece))] * waiting
            text += piece
            waiting = 0
    return text, places + [(len(text), len(text))] * waiting


def _surfaces(text: str) -> Iterator[tuple[str, str, int, int]]:
    """Label, surface, and the characters of the surface with its closing quote, for each string of a list."""
    label = ""
    opening = _OPENING.search(text, max(text.rfind(_THOUGHT), 0))
    for string in _STRING.finditer(text, opening.start() if opening else 0):
        value = _value(string["string"])
        if string["colon"]:
            label = value
        else:
            yield label, value, string.start("string") + 1, string.end("string")


def _value(string: str) -> str:
    """What a string token stands for; as it is where it has a broken escape."""
    for read in (json.loads, ast.literal_eval):
        try:
            return str(read(string))
        except (ValueError, SyntaxError):
            continue
    return string[1:-1]
