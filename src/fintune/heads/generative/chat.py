"""Conversations as a model reads them: a task's messages in the model's own chat template, or in a plain one for base models.

What users wrote never becomes a control token or a role, the prompt of training is that of prediction id by id, and what is
learnt is known while it is written. Refuses templates and thinking switches that the model does not have.
`pytest tests/heads/generative/test_chat.py` exercises it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from fintune.errors import ArtifactError, RecipeError
from fintune.heads.generative import thinking as thoughts
from fintune.heads.generative.conversation import Rendered
from fintune.heads.generative.plain_text import Piece, PlainText
from fintune.heads.generative.template import DATE, Refusal, Shape, Skeleton, Template, arrangements, find
from fintune.records import Message

_PROBE, _ANSWER = {"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}


class Chat:
    """One way of writing conversations for one tokenizer.

    `end` is the id that the model learns to end with, `stop` all ids that end what it writes, and `padding` one that is neither
    of them and that nothing teaches. `lead` are blanks that the template has the model write before a target.

    Args:
        tokenizer: a fast one of transformers.
        template: `auto`, `own`, `plain` or the path of a Jinja file, as `recipe.Prompt.template`.
        thinking: as `recipe.Prompt.thinking`.
        known: what the catalog says of the model's thinking: `none`, `enable_thinking`, `always`, or "" where it says nothing.
        extra_stop: further ids that end what the model writes, such as those of its generation settings.

    Raises:
        RecipeError: for a template that there is not or that is not valid, and for `empty` or `reason` where they cannot be had.
        SafetyError: for a template that takes too much or leaves its sandbox.
        ArtifactError: for a tokenizer without `tokenizer.json`, or without any token to end or to pad with.
    """

    def __init__(self, tokenizer: Any, *, template: str, thinking: str, known: str, extra_stop: Iterable[int] = ()) -> None:
        self.tokenizer = tokenizer
        self._words = PlainText(tokenizer)
        self._marks = self._think_marks()
        name, source = find(tokenizer.chat_template, template)
        self.thinking = thoughts.resolve(thinking, known, source, plain=name == "plain", marked=self._marks is not None)
        special = tuple((key, text) for key, text in sorted(tokenizer.special_tokens_map.items()) if isinstance(text, str))
        self._template = Template(name, source, special + thoughts.SWITCHES[self.thinking])
        self._chosen: dict[Shape, tuple[int, Skeleton]] = {}
        self._learn([([_PROBE], True), ([_PROBE, _ANSWER], False)])
        _, asked = self._skeleton([_PROBE], generation=True)
        self._thought = thoughts.block(self._words.pieces(str(asked[-1])), self._marks)
        self._closing = thoughts.closing(self.thinking, self._thought, newline=str(asked[-1]).endswith("\n"))
        self._last = self._pieces([_PROBE])[-1]
        self.lead, self.end = self._around_the_answer()
        self.stop = frozenset({self.end, *extra_stop, *([tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else [])})
        self.padding = self._unused()
        special_ids = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special} | set(tokenizer.all_special_ids)
        self._dropped = special_ids - {*(self._marks or ()), tokenizer.unk_token_id}

    def prompt(self, messages: Sequence[Message]) -> Rendered:
        """What the model sees before it writes; nothing of it is supervised.

        Raises:
            RecipeError: where the template takes no such conversation.
        """
        return self._rendered(self._pieces(messages), before=None, start=0, supervised=False)

    def conversation(self, messages: Sequence[Message], target: str, reasoning: str | None = None) -> Rendered:
        """The prompt, then what the model learns to write: the target, after its reasoning if it is to reason, and the end token.

        The prompt is tokenised apart from the target: its ids are exactly those of `prompt`.

        Raises:
            DataError: where the model is to reason and there is no reasoning.
            RecipeError: where the template takes no such conversation.
        """
        prompt = self.prompt(messages)
        written = self._rendered(self._answer(target, reasoning), before=self._last, start=len(prompt.text), supervised=True)
        return Rendered(
            prompt.ids + written.ids, prompt.offsets + written.offsets, prompt.text + written.text, prompt.supervised + written.supervised
        )

    def plain(self, text: str) -> tuple[int, ...]:
        """Ids of a target as it stands after a prompt, without the end token."""
        return self._words.encode(self.lead + text, self._words.place_after(self._last)).ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids that a model wrote: special tokens dropped, marks of thinking kept, blanks as they are."""
        words = [i for i in map(int, ids) if i not in self._dropped]
        return str(self.tokenizer.decode(words, skip_special_tokens=False, clean_up_tokenization_spaces=False)).removeprefix(self.lead)

    def describe(self) -> dict[str, Any]:
        """Everything that determines the ids of a conversation, as plain JSON."""
        return {
            "template": self._template.name,
            "template_sha256": hashlib.sha256(self._template.source.encode()).hexdigest(),
            "tokenizer_sha256": self._words.sha256,
            "variables": dict(self._template.variables),
            "date": DATE,
            "thinking": self.thinking,
            "end": self._literal(self.end),
            "stop": sorted(map(self._literal, self.stop)),
            "padding": self._literal(self.padding),
            "bos": self.prompt([_PROBE]).ids.count(self.tokenizer.bos_token_id),
        }

    def fingerprint(self) -> str:
        """sha256 over `describe`."""
        return hashlib.sha256(json.dumps(self.describe(), sort_keys=True).encode()).hexdigest()

    def _literal(self, token: int) -> str:
        return str(self.tokenizer.convert_ids_to_tokens(token))

    def _think_marks(self) -> tuple[int, int] | None:
        ids = {literal: i for i, literal in self._words.controls.items()}
        return (ids[thoughts.OPEN], ids[thoughts.CLOSE]) if thoughts.OPEN in ids and thoughts.CLOSE in ids else None

    def _pieces(self, messages: Sequence[Message]) -> list[Piece]:
        """A conversation up to where the model writes: the template's words, read for control tokens, and the turns, not read."""
        contents, skeleton = self._skeleton(messages, generation=True)
        closing = self._words.pieces(self._closing) if self._closing else ()
        return [piece for part in skeleton for piece in self._part(part, contents) if piece.text] + list(closing)

    def _part(self, part: str | int, contents: Sequence[str]) -> Sequence[Piece]:
        return (Piece(contents[part]),) if isinstance(part, int) else self._words.pieces(part)

    def _skeleton(self, messages: Sequence[Message], *, generation: bool) -> tuple[list[str], Skeleton]:
        """Contents of the turns as the template takes them, and its words around them."""
        ways = arrangements(messages)
        if _shape(messages, generation) not in self._chosen:
            self._learn([(messages, generation)])
        way, skeleton = self._chosen[_shape(messages, generation)]
        return [m["content"] for m in ways[way]], skeleton

    def _learn(self, conversations: Sequence[tuple[Sequence[Message], bool]]) -> None:
        """Ask the template, once for all, how it writes conversations of these shapes."""
        shapes = [[_shape(way, generation) for way in arrangements(messages)] for messages, generation in conversations]
        outcomes = iter(self._template.skeletons([shape for ways in shapes for shape in ways]))
        for ways in shapes:
            found = [next(outcomes) for _ in ways]
            taken = [(i, skeleton) for i, skeleton in enumerate(found) if not isinstance(skeleton, Refusal)]
            if not taken:
                roles = ", ".join(role for role, _ in ways[0].turns)
                raise RecipeError(
                    f"chat template {self._template.name!r} takes no conversation of {roles}", where="prompt.template",
                    why="; ".join(dict.fromkeys(o.why for o in found if isinstance(o, Refusal))), fix="set prompt.template=plain",
                )  # fmt: skip
            self._chosen[ways[0]] = taken[0]

    def _rendered(self, pieces: Iterable[Piece], *, before: Piece | None, start: int, supervised: bool) -> Rendered:
        """Pieces as tokens; `before` is what stands in front of them and `start` the character at which they begin."""
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        text = ""
        for plain, group in groupby(pieces, key=lambda piece: piece.control is None):
            for piece in [Piece("".join(p.text for p in group))] if plain else group:
                place = start + len(text)
                if piece.control is None:
                    tokens = self._words.encode(piece.text, self._words.place_after(before))
                    ids += tokens.ids
                    offsets += [(place + a, place + b) for a, b in tokens.offsets]
                else:
                    ids.append(piece.control)
                    offsets.append((place, place + len(piece.text)))
                text, before = text + piece.text, piece
        return Rendered(tuple(ids), tuple(offsets), text, (supervised,) * len(ids))

    def _answer(self, target: str, reasoning: str | None) -> list[Piece]:
        """What the model learns to write."""
        pieces = [Piece(target)]
        if self.thinking == "reason":
            newline = self._last.text.endswith("\n")
            pieces = thoughts.reasoned(target, reasoning, marks=self._marks, thought=self._thought, newline=newline)
        return [*([Piece(self.lead)] if self.lead else []), *pieces, Piece(self._literal(self.end), self.end)]

    def _around_the_answer(self) -> tuple[str, int]:
        """Blanks that the template puts before an assistant's words but not into the prompt, and the token that ends them."""
        _, asked = self._skeleton([_PROBE], generation=True)
        _, answered = self._skeleton([_PROBE, _ANSWER], generation=False)
        at = max(i for i, part in enumerate(answered) if isinstance(part, int))
        asked_words, words = (str(part[-1]) if isinstance(part[-1], str) else "" for part in (asked, answered[:at]))
        lead = words.removeprefix(asked_words) if words.startswith(asked_words) and not self._closing else ""
        after = self._words.pieces(str(answered[at + 1])) if at + 1 < len(answered) else ()
        first = next((piece for piece in after if piece.control is not None or piece.text.strip()), None)
        end = first.control if first is not None and first.control is not None else self.tokenizer.eos_token_id
        if end is None:
            raise ArtifactError(
                "neither chat template nor tokenizer has a token that ends what is written", where=self.tokenizer.name_or_path,
                fix="use a base model whose tokenizer has an eos token",
            )  # fmt: skip
        return lead if not lead.strip() else "", end

    def _unused(self) -> int:
        """An id for padding that is never learnt and ends nothing: the tokenizer's own, or one that its vocabulary keeps in reserve."""
        taken = self.stop | set(self._marks or ())
        free = {i: literal.lower() for i, literal in sorted(self._words.controls.items()) if i not in taken}
        named = [i for word in ("pad", "reserved", "unused") for i, literal in free.items() if word in literal]
        for token in (self.tokenizer.pad_token_id, *named, self.tokenizer.bos_token_id, self.tokenizer.unk_token_id, *free):
            if token in free:
                return int(token)
        raise ArtifactError(
            "the tokenizer has no token to pad with but the end token", where=self.tokenizer.name_or_path,
            fix="add a pad token to its vocabulary",
        )  # fmt: skip


def _shape(messages: Sequence[Message], generation: bool) -> Shape:
    return Shape(tuple((m["role"], not m["content"]) for m in messages), generation)
