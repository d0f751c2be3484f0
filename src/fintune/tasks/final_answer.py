r"""Reads the final answer out of what a language model wrote, and writes answers so that they are read back.

Accepted around it: a block of thinking, `Answer: ...`, `the final answer is ...`, `\boxed{...}`, bold type. Reasoning that never ends
and empty text are refused. Linear in the length of the text; `pytest tests/tasks/test_final_answer.py`.
"""

from __future__ import annotations

import re

NOTHING = "no answer"
"""Written for a question that the text does not answer; no gold answer may read like it."""

_MARK = "Answer:"
_THINKING, _THOUGHT = "<think>", "</think>"
_REASONING = re.compile(r"##\s*Thinking\b", re.IGNORECASE)
_RESPONSE = re.compile(r"^##\s*Final Response\b:?", re.IGNORECASE | re.MULTILINE)
_ANNOUNCED = re.compile(r"\banswer[*_`\s]*(?:is\b|:|=)[:*_`\s]*(?P<answer>.+)", re.IGNORECASE)
_BOXED = "\\boxed{"
_DECORATION = "*_` \t\r\n"


class UnreadableError(ValueError):
    """Text without an answer, and why."""


def written(answer: str) -> str:
    """The text that `read` gives back as this answer: itself, or after a mark where it would be read as something else."""
    text = answer.strip()
    return text if _plainly(text) else f"{_MARK} {text}"


def says_nothing(text: str) -> bool:
    """Whether a text says that there is no answer."""
    return text.strip().rstrip(".").casefold() == NOTHING


def read(raw: str) -> tuple[str | None, str]:
    """The answer in a model's text, None for none, and how it had to be taken out of it.

    Raises:
        UnreadableError: where there is no answer.
    """
    body = raw.strip()
    if not body:
        raise UnreadableError("no text")
    if not body.startswith(_MARK):  # what is marked is an answer, whatever it looks like
        body = _after_reasoning(body)
    if not body:
        raise UnreadableError("nothing after the reasoning")
    answer, note = _marked(body.removeprefix(_MARK).strip()) if body.startswith(_MARK) else _bare(body)
    if says_nothing(answer):
        return None, note or ("" if answer == NOTHING else f"read as {NOTHING!r}")
    return answer, note


def _plainly(text: str) -> bool:
    """Whether an answer, written alone, is read as itself."""
    try:
        return not text.startswith(_MARK) and _after_reasoning(text) == text and _bare(text) == (text, "")
    except UnreadableError:
        return False


def _marked(rest: str) -> tuple[str, str]:
    """What follows the mark: all of it where `target` would have marked it, else its first line."""
    if not rest:
        raise UnreadableError("an announced answer that is empty")
    return (rest.splitlines()[0].rstrip(), f"{_MARK!r} before the answer") if _plainly(rest) else (rest, "")


def _bare(body: str) -> tuple[str, str]:
    """The answer of a body without mark and reasoning.

    Raises:
        UnreadableError: where nothing is left of it.
    """
    found, note = _last_box(body) or _announced(body) or (body, "")
    answer = found.strip(_DECORATION).strip()
    if not answer:
        raise UnreadableError("marks without text")
    return answer, note or ("decoration around the answer" if answer != body else "")


def _after_reasoning(body: str) -> str:
    """What follows the reasoning, if there is some. Some templates open its block in the prompt.

    Raises:
        UnreadableError: where it never ends.
    """
    headed = _REASONING.match(body) is not None
    before, end, after = body.partition(_THOUGHT)
    if end and not headed:
        return after.strip()
    response = _RESPONSE.search(body)
    if response is not None:
        return body[response.end() :].strip()
    if headed or before.startswith(_THINKING):
        raise UnreadableError("thinking that never ends")
    return body


def _last_box(body: str) -> tuple[str, str] | None:
    r"""The content of the last `\boxed{...}`, whose braces may nest."""
    start = body.rfind(_BOXED)
    if start < 0:
        return None
    depth, begin = 1, start + len(_BOXED)
    for at in range(begin, len(body)):
        depth += {"{": 1, "}": -1}.get(body[at], 0)
        if not depth:
            return body[begin:at].replace("\\%", "%").replace("\\$", "$"), "taken out of a box"
    return None


def _announced(body: str) -> tuple[str, str] | None:
    """What the last line that announces an answer announces, without the full stop of the sentence."""
    for line in reversed(body.splitlines()):
        if found := _ANNOUNCED.search(line.strip()):
            return found["answer"].strip(_DECORATION).removesuffix("."), "taken out of a sentence"
    return None
