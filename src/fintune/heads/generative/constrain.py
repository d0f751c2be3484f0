"""What a model may write: a valid target whose strings all stand in the text, between word boundaries; or labels of the set.

Grammars are llguidance's (`pip install 'fintune[train]'`), made for each text in about two milliseconds. A text that runs out of budget
is completed: its unfinished string is dropped, the list closed, the labels left over are empty. Refused are vocabularies that
cannot write the target's own marks, and texts whose grammar is too large. `tests/laws/test_grounded.py` exercises it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fintune.errors import RecipeError, ResourceError
from fintune.heads.generative import sets
from fintune.heads.generative.listed import Listed
from fintune.heads.generative.targets import STYLES, Target
from fintune.heads.generative.vocabulary import Vocabulary

if TYPE_CHECKING:
    from llguidance import LLExecutor, LLMatcher

# Work that llguidance may put into one grammar and into one token: far beyond any text that a model has context for.
_FUEL, _ITEMS = 1 << 30, 1 << 24


class Constraint(Protocol):
    """What may be written, for one text and once; it moves on with every token taken."""

    @property
    def complete(self) -> bool:
        """Whether the text is finished and nothing but a stop token may follow."""
        ...

    def allowed(self) -> NDArray[np.int32]:
        """Tokens that may come next, stop tokens included: 32 a word, the lowest bit first."""
        ...

    def forced(self) -> list[int]:
        """Tokens that must come next, as far as they are known; not yet taken."""
        ...

    def take(self, tokens: Sequence[int]) -> None:
        """Moves on by tokens that were allowed or forced."""
        ...

    def close(self, ids: Sequence[int]) -> str:
        """The text of `ids`, which are all tokens taken; completed where it is not complete."""
        ...


class Grammars:
    """Constraints for one vocabulary.

    Args:
        tokenizer: a fast tokenizer of transformers.
        stop: ids that end a text.
        lead: blanks that the model writes before a target, as its template has it.
        spell: how a text is given to a vocabulary that lacks some of its characters, character by character.
        unspell: the way back, for what the model wrote.

    Raises:
        RecipeError: without llguidance.
    """

    def __init__(
        self, tokenizer: Any, stop: frozenset[int], *, lead: str = "",
        spell: Callable[[str], str] = str, unspell: Callable[[str], str] = str,
    ) -> None:  # fmt: skip
        self._vocabulary, self._stop, self._lead = Vocabulary(tokenizer, stop), stop, lead
        self._spell, self._unspell = spell, unspell
        self._makers = ThreadPoolExecutor()

    def spans(self, text: str, labels: Sequence[str], target: Target) -> Constraint:
        """Exactly the targets of `tasks.spans` in one format, with strings from `text` that begin and end at word boundaries.

        Raises:
            RecipeError: where the vocabulary cannot write a mark or label of the format.
            ResourceError: on first use, where the text is too long for a grammar.
        """
        style = STYLES[target]
        self._require_marks(style.marks(labels), fix="set prompt.target to another format, or choose another base")
        rules = style.grammar(text, labels, writes=self._vocabulary.writes, spell=self._spell)
        return self._grammar(rules, lambda written: style.completed(written, labels))

    def several(self, labels: Sequence[str]) -> Constraint:
        """Exactly the targets of `tasks.several`: labels in the order of the set, or that there is none.

        Raises:
            RecipeError: where the vocabulary cannot write a label.
        """
        self._require_marks(sets.marks(labels), fix="rename the label, or choose another base")
        return self._grammar(sets.grammar(labels, spell=self._spell), lambda written: sets.completed(written, labels))

    def _require_marks(self, marks: str, *, fix: str) -> None:
        if lacking := sorted({c for c in self._spell(marks) if not self._vocabulary.writes(c)}):
            raise RecipeError(
                f"the vocabulary cannot write {' '.join(lacking)}", where="predict.decoding", why="every target has it", fix=fix
            )

    def _grammar(self, rules: str, completed: Callable[[str], str]) -> Constraint:
        """A constraint to what the rules allow, the first of which is the right side of `start`."""
        from llguidance import LLMatcher, LLParserLimits

        limits = LLParserLimits(
            initial_lexer_fuel=_FUEL, step_lexer_fuel=_FUEL, step_max_items=_ITEMS, max_lexer_states=_ITEMS, max_grammar_size=_ITEMS
        )
        opening = f"{json.dumps(self._vocabulary.opening)}? {json.dumps(self._lead)}"
        grammar = f"start: {opening} {rules}"
        tokens = self._vocabulary.tokens
        matcher = self._makers.submit(lambda: LLMatcher(tokens, grammar, log_level=0, limits=limits))

        def close(ids: Sequence[int], complete: bool) -> str:
            written = self._unspell(self._vocabulary.text(ids)).lstrip()
            return written if complete else completed(written)

        return _Grammar(matcher, close, words=-(-tokens.vocab_size // 32))

    def labels(self, labels: Sequence[str]) -> Constraint:
        """Exactly one of the names, in the tokens that the vocabulary writes it in."""
        return Listed([self._vocabulary.ids(self._spell(self._lead + label)) for label in labels], labels, self._stop)


class _Grammar:
    """A constraint that llguidance keeps; it is made in the background, so that many can be made at a time."""

    def __init__(self, making: Future[LLMatcher], close: Callable[[Sequence[int], bool], str], *, words: int) -> None:
        self._making, self._close, self.words = making, close, words

    @property
    def matcher(self) -> LLMatcher:
        """The state that llguidance has.

        Raises:
            ResourceError: where the text is too long for a grammar.
        """
        matcher = self._making.result()
        if matcher.is_error():
            raise ResourceError(
                "no grammar could be made for a text", where="predict.decoding", why=matcher.get_error().partition("\n")[0],
                fix="shorten the text, or set predict.decoding=free",
            )  # fmt: skip
        return matcher

    @property
    def complete(self) -> bool:
        """See `Constraint`, as for all that follows."""
        return self.matcher.is_stopped()

    def allowed(self) -> NDArray[np.int32]:
        """Stop tokens among them only where the text is a whole target."""
        return allowed([self])[0]

    def forced(self) -> list[int]:
        """Tokens as the vocabulary would write what is forced; short of a last one that could yet grow."""
        tokens = self.matcher.compute_ff_tokens()
        return tokens[: self.matcher.validate_tokens(tokens)]  # some vocabularies begin them with a blank of their own

    def take(self, tokens: Sequence[int]) -> None:
        """Moves on."""
        self.matcher.consume_tokens(list(tokens))

    def close(self, ids: Sequence[int]) -> str:
        """A target."""
        return self._close(ids, self.complete)


def allowed(constraints: Sequence[Constraint]) -> list[NDArray[np.int32]]:
    """`Constraint.allowed` of each, in order; those of llguidance all at once, on all processors."""
    grammars = [constraint for constraint in constraints if isinstance(constraint, _Grammar)]
    found = iter(())
    if grammars:
        from llguidance.numpy import fill_next_token_bitmask_par

        bits = np.zeros((len(grammars), grammars[0].words), dtype=np.int32)
        fill_next_token_bitmask_par(_executor(), [(grammar.matcher, row) for row, grammar in enumerate(grammars)], bits)
        found = iter(bits)
    return [next(found) if isinstance(constraint, _Grammar) else constraint.allowed() for constraint in constraints]


@cache
def _executor() -> LLExecutor:
    from llguidance import LLExecutor

    return LLExecutor()
