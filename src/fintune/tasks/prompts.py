"""What is said to a model: a task's fields put into the layouts of a prompt file, by the recipe's `prompt` settings.

Text never becomes layout: a brace in it is a brace. Wordings are drawn from the example's id alone, so that a conversation
does not depend on order, seed or process. `fintune.tasks.prompt_file` reads the files; `tests/tasks/test_prompts.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fintune.errors import RecipeError
from fintune.recipe import Prompt
from fintune.records import Message, Purpose
from fintune.tasks.layout import Layout
from fintune.tasks.prompt_file import PromptFile, locate, read

# Settings that say where something lies or belong to the chat template: they do not change a message.
_NOT_OF_THE_MESSAGES = {"file", "template", "thinking"}


@dataclass(frozen=True, slots=True)
class Prompting:
    """A prompt file with the settings of a recipe, and the instruction and description of a task."""

    file: PromptFile
    settings: Prompt
    instruction: str
    description: str

    def messages(
        self,
        fields: Mapping[str, str],
        *,
        labels: Sequence[tuple[str, str]],
        key: str,
        purpose: Purpose,
        demonstrations: Sequence[tuple[Mapping[str, str], str]] = (),
    ) -> list[Message]:
        """The conversation that ends where the model begins to write.

        Args:
            fields: what the kind asks about: `text`, and `question` for answers.
            labels: (name, meaning) pairs in the order of the target; a meaning may be empty.
            key: the example's id, which draws the wording and nothing else.
            purpose: `train` draws among the wordings, `predict` among those held out.
            demonstrations: (fields, target) pairs, which become earlier turns of user and assistant, in this order.

        Returns:
            Messages with `role` and `content`; contents have no blanks at their ends, and demonstrations share the wording.
        """
        said = {"instruction": self._instruction(key, purpose), "labels": self._labels(labels), "format": self._format()}
        messages: list[Message] = []
        if system := self.file.system.fill(said).strip():
            messages.append({"role": "system", "content": system})
        layout = self.file.turn
        for shown, target in demonstrations:
            messages.append({"role": "user", "content": layout.fill({**said, **shown}).strip()})
            messages.append({"role": "assistant", "content": target.strip()})
            layout = self.file.later
        turn = layout.fill({**said, **fields}).strip() + self.settings.marker
        return [*messages, {"role": "user", "content": turn.strip()}]

    def describe(self) -> dict[str, Any]:
        """Everything that determines the messages apart from labels and examples, as plain JSON."""
        return {
            "name": self.file.name,
            "version": self.file.version,
            "sha256": self.file.sha256,
            "text": self.file.text,
            "settings": self.settings.model_dump(mode="json", exclude=_NOT_OF_THE_MESSAGES),
        }

    def _instruction(self, key: str, purpose: Purpose) -> str:
        if self.settings.wording == "fixed":
            return self.instruction
        wordings = self.file.wordings if purpose == "train" else self.file.held_out
        return drawn(wordings, key).fill({"description": self.description})

    def _labels(self, labels: Sequence[tuple[str, str]]) -> str:
        if self.settings.labels == "none":
            return ""
        if self.settings.labels == "names":
            return self.file.names.fill({"names": ", ".join(name for name, _ in labels)})
        meanings = "\n".join(f"- {name}: {meaning}" if meaning else f"- {name}" for name, meaning in labels)
        return self.file.meanings.fill({"meanings": meanings})

    def _format(self) -> str:
        if self.settings.labels == "none":
            return ""
        formats = dict(self.file.formats)
        return formats[self.settings.target if self.settings.target in formats else ""]


def drawn(wordings: Sequence[Layout], key: str) -> Layout:
    """The wording of a key: the first eight bytes of its sha256 as a number, modulo the number of wordings."""
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    return wordings[int.from_bytes(digest[:8], "big") % len(wordings)]


def prompting(kind: str, *, instruction: str, description: str, settings: Prompt) -> Prompting:
    """The prompting of a task.

    Args:
        kind: the task's kind, which the prompt file must be for.
        instruction: the task's own; the prompt file's where empty.
        description: what the task is about, in a few words, for drawn wordings.
        settings: the recipe's section.

    Raises:
        RecipeError: for a prompt file that cannot be read or is for another kind, or labels asked of a kind that has none.
    """
    path = locate(kind if settings.file == "auto" else settings.file)
    file = read(path)
    if file.kind != kind:
        fix = "choose a prompt file of that kind, or prompt.file=auto"
        raise RecipeError(f"prompt file for kind {file.kind!r}, task of kind {kind!r}", where=str(path), fix=fix)
    if settings.labels != "none" and not file.formats:
        raise RecipeError(f"tasks of kind {kind!r} have no labels to show", where="prompt.labels", fix="set prompt.labels=none")
    return Prompting(file, settings, instruction or file.instruction, description)
