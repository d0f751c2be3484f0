"""Chat templates as skeletons: the words that a template puts around the turns of a conversation, told apart from the turns.

A template never sees what a user wrote. It renders marks in the place of the turns, in a process with bounded time, memory and
output, once for each sequence of roles. Refuses templates that break, that take too much, or that change the turns.
`pytest tests/heads/generative/test_chat_template.py` exercises it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from fintune.errors import RecipeError, SafetyError
from fintune.records import Message

DATE = "2024-07-26"
"""The day that every template is told, so that a prompt is the same tomorrow: what Llama 3.1's template takes where it is told none."""
CHARACTERS, SECONDS = 1 << 20, 30.0
"""Most characters of a rendered template, and most seconds of wall time of the process that renders it."""

_PLAIN = Path(__file__).parent / "templates" / "plain.jinja"
_PROGRAM = Path(__file__).with_name("template_process.py")
_MARK = "\ue000{}\ue001"
_MARKS = re.compile("\ue000([0-9]+)\ue001")
# What a Python process needs to start and to find Jinja; no token or key of the user is among it.
_ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "SYSTEMROOT", "VIRTUAL_ENV", "HOME")

Skeleton = tuple[str | int, ...]
"""A rendered conversation: the template's words, and for each turn its index."""


@dataclass(frozen=True, slots=True)
class Shape:
    """All that a template is told of a conversation: the role of each turn, whether it is empty, and whether the model writes next."""

    turns: tuple[tuple[str, bool], ...]
    generation: bool

    def chat(self) -> dict[str, Any]:
        """The conversation with marks for contents, as variables of the template."""
        messages = [{"role": role, "content": "" if empty else _MARK.format(i)} for i, (role, empty) in enumerate(self.turns)]
        return {"messages": messages, "add_generation_prompt": self.generation}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a template does not take a conversation."""

    why: str


@dataclass(frozen=True, slots=True)
class Template:
    """A Jinja template with its variables (literals of special tokens, switches). `name` is for people."""

    name: str
    source: str
    variables: tuple[tuple[str, str | bool], ...] = ()

    def skeletons(self, shapes: Sequence[Shape]) -> list[Skeleton | Refusal]:
        """What the template puts around the turns of each conversation, or why it does not take it.

        Raises:
            RecipeError: where it is no valid template.
            SafetyError: where it tries to leave the sandbox, or exceeds its time, memory or output.
        """
        return [_skeleton(shape, self._checked(outcome)) for shape, outcome in zip(shapes, self._outcomes(tuple(shapes)), strict=True)]

    def _outcomes(self, shapes: tuple[Shape, ...]) -> Sequence[dict[str, str]]:
        task = {
            "template": self.source, "variables": dict(self.variables), "date": DATE, "characters": CHARACTERS,
            "chats": [shape.chat() for shape in shapes],
        }  # fmt: skip
        outcome = self._checked(_run(json.dumps(task)))
        if "broken" in outcome:
            raise RecipeError(
                f"chat template {self.name!r} is not valid Jinja", where="prompt.template", why=outcome["broken"],
                fix="mend it, or set prompt.template=plain",
            )  # fmt: skip
        texts: Sequence[dict[str, str]] = outcome["texts"]
        return texts

    def _checked(self, outcome: dict[str, Any]) -> dict[str, Any]:
        if "unsafe" in outcome:
            raise SafetyError(
                f"chat template {self.name!r} is refused", where="prompt.template", why=outcome["unsafe"],
                fix="take the template of a source you trust, or set prompt.template=plain",
            )  # fmt: skip
        return outcome


def _skeleton(shape: Shape, outcome: dict[str, str]) -> Skeleton | Refusal:
    if "refused" in outcome:
        return Refusal(outcome["refused"])
    parts = _MARKS.split(outcome["text"])
    found = [int(part) for part in parts[1::2]]
    for index, (role, empty) in enumerate(shape.turns):
        if found.count(index) != (0 if empty else 1):
            return Refusal(f"it writes the {role} turn {found.count(index)} times")
    if len(found) != sum(not empty for _, empty in shape.turns):
        return Refusal("it writes a turn that there is not")
    return tuple(int(part) if i % 2 else part for i, part in enumerate(parts) if i % 2 or part)


def arrangements(messages: Sequence[Message]) -> list[list[Message]]:
    """A conversation as templates may take it: as it is; with the system's words in the first user turn, or with an empty system turn."""
    given = [dict(message) for message in messages]
    if given[0]["role"] != "system":
        return [given, [{"role": "system", "content": ""}, *given]]
    if len(given) < 2 or given[1]["role"] != "user":
        return [given]
    joined = "\n\n".join(m["content"] for m in given[:2] if m["content"])
    return [given, [{"role": "user", "content": joined}, *given[2:]]]


def find(own: str | dict[str, str] | None, template: str) -> tuple[str, str]:
    """Name and text of the template that a recipe means by `template`; `own` is what a tokenizer has.

    Raises:
        RecipeError: where there is none.
    """
    if isinstance(own, dict):
        own = own.get("default")
    if template == "plain" or (template == "auto" and own is None):
        return "plain", _PLAIN.read_text(encoding="utf-8")
    if template in ("auto", "own"):
        if own is None:
            raise RecipeError(
                "the tokenizer has no chat template", where="prompt.template", fix="set prompt.template=plain, or name a Jinja file"
            )
        return "own", own
    path = Path(template).expanduser()
    try:
        return path.name, path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(
            f"no chat template {template!r}", where="prompt.template", why=str(error), fix="own, plain, auto, or the path of a Jinja file"
        ) from None


@lru_cache(maxsize=256)
def _run(task: str) -> dict[str, Any]:
    """What the process says of a task."""
    line = [sys.executable, "-P", str(_PROGRAM)]
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    try:
        done = subprocess.run(
            line, input=task, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return {"unsafe": f"it takes more than {SECONDS:g} seconds"}
    if done.returncode < 0:
        return {"unsafe": f"it takes too much processor time or memory (stopped by signal {-done.returncode})"}
    if done.returncode > 0:
        return {"unsafe": f"it fails: {done.stderr.strip().rpartition(chr(10))[2]}"}
    return json.loads(done.stdout)  # type: ignore[no-any-return]
