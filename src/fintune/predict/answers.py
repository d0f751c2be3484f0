"""Questions asked one at a time or in lists, answered like the question-answering pipeline that transformers had before version 5.

Each answer is a dictionary with `answer`, `score` (a probability), `start` and `end` (characters of the context); no answer is the
empty text at 0. Heads that write answers are refused. `pytest tests/predict/test_asking.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fintune.errors import UsageError
from fintune.heads.span import Found, SpanHead
from fintune.predict.run import scored
from fintune.recipe import Predict
from fintune.records import Example

Reply = dict[str, Any]


def answer(
    model: Any, head: Any, *, question: str | Sequence[str], context: str | Sequence[str], top_k: int, settings: Predict
) -> Reply | list[Reply] | list[list[Reply]]:  # fmt: skip
    """The likeliest answers to one question or to several.

    Args:
        model: of the head, on its device.
        head: a span head.
        question: one, or a list.
        context: the text of each question, or one for all.
        top_k: answers of each question, of which no answer is one; fewer where the text has fewer.
        settings: batch size and precision.

    Returns:
        One dictionary for one question and `top_k` of 1; a list over answers for more; for a list of questions a list of either.

    Raises:
        UsageError: for lists of different lengths, `top_k` below 1, a blank question or context, or a head that writes answers.
    """
    if not isinstance(head, SpanHead):
        raise UsageError("this run does not extract answers", where="head.type", fix="use Run.predict, or train with head.type=span")
    if top_k < 1:
        raise UsageError(f"top_k is {top_k}", fix="ask for at least one answer")
    single = isinstance(question, str)
    questions = [question] if isinstance(question, str) else list(question)
    contexts = [context] * len(questions) if isinstance(context, str) else list(context)
    if len(contexts) != len(questions):
        raise UsageError(f"{len(questions)} questions and {len(contexts)} contexts", fix="give each question its context")
    if not all(text.strip() for text in (*questions, *contexts)):
        raise UsageError("a question or context is blank", fix="leave it out")
    examples = [Example(str(i), text, question=asked) for i, (asked, text) in enumerate(zip(questions, contexts, strict=True), 1)]
    parts = scored(model, head, examples, batch_tokens=settings.batch_tokens, precision=settings.precision)
    replies = [[_reply(found) for found in ranked] for part in parts for ranked in head.nbest(*part, top=top_k)]
    shaped = [ranked[0] for ranked in replies] if top_k == 1 else replies
    return shaped[0] if single else shaped


def _reply(found: Found) -> Reply:
    return {"answer": found.text, "score": found.probability, "start": found.start or 0, "end": found.end or 0}
