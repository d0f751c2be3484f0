"""Judges answers: the official SQuAD rules for text, and numbers with their unit and scale for what is computed.

Exact match and F1 follow the v1.1 script (Rajpurkar et al. 2016, arXiv 1606.05250) and, for questions without an answer, the v2.0 one
(Rajpurkar et al. 2018, arXiv 1806.03822). Numbers are equal within `TOLERANCE`; a sign, a unit or a factor of 100 is not forgiven.
Exercised by `pytest tests/metrics/test_answers.py`.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

from fintune.text.numbers import Value, find, plain, read

TOLERANCE = 0.0015
"""Relative difference up to which two numbers are equal: that of DocMath-Eval (Zhao et al. 2024, arXiv 2311.09805), by which Fino1 is
scored. FinQA itself asks for equality after rounding to five decimals (Chen et al. 2021, arXiv 2109.00122), which fits executed programs
and no written answer. Paper: DocMath-Eval strips units and signs and forgives factors of 10, 100, 1,000 and so on; here those are wrong,
and counted as `wrong_sign` and `wrong_scale`."""

WHOLE = 10_000
"""Whole numbers below this are equal or not: the tolerance would take one year for another."""

Verdict = Literal["right", "unanswered", "unasked", "no_number", "wrong_sign", "wrong_scale", "wrong_number", "wrong_text"]
Form = Literal["number", "yes/no", "text", "none"]

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = dict.fromkeys(map(ord, string.punctuation))


def normalise(text: str) -> str:
    """Lower case, without ASCII punctuation, English articles and superfluous blanks, as both SQuAD scripts do."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(predicted: str | None, golds: Sequence[str]) -> float:
    """1.0 where the normalised answer equals one of the gold ones; None is no answer, as is an empty `golds`."""
    if predicted is None or not golds:
        return float(predicted is None and not golds)
    return float(any(normalise(predicted) == normalise(gold) for gold in golds))


def f1(predicted: str | None, golds: Sequence[str]) -> float:
    """The best harmonic mean of precision and recall of normalised tokens over the gold answers.

    Where one side has no tokens, it is 1.0 if neither has, as in v2.0.
    """
    if predicted is None or not golds:
        return float(predicted is None and not golds)
    return max(_overlap(normalise(predicted).split(), normalise(gold).split()) for gold in golds)


def answer_accuracy(predicted: str | None, golds: Sequence[str]) -> float:
    """1.0 where the answer is right: as a number where the gold is one (`same_number`), as text by `exact_match` otherwise."""
    return _best(predicted, golds, same_number)


def rounded_accuracy(predicted: str | None, golds: Sequence[str]) -> float:
    """As `answer_accuracy`, with numbers that may be rounded: equal at the last decimal of the coarser one.

    It is the rule of Program of Thoughts for FinQA (Chen et al. 2022, arXiv 2211.12588), without its factors of 100. What is rounded
    to nothing is not right.
    """
    return _best(predicted, golds, _same_rounded)


def same_number(predicted: Value, gold: Value) -> bool:
    """Whether two numbers say the same: 14.2% is 0.142, and 1.2bn is 1,200,000,000.

    What the gold states the answer must agree with; what the gold leaves out the answer may state. So `$559 million` answers
    559 (a question "in millions") as well as 559,000,000, and 14.2% answers 14.2 as well as 0.142; but 14.2 does not answer 14.2%,
    nor 559 the gold 559 million.
    Two units or currencies that are both stated must be the same.
    """
    return any(_close(amount, gold.amount, whole=_whole(predicted) and _whole(gold)) for amount, _ in _readings(predicted, gold))


def form(gold: str | None) -> Form:
    """What kind of answer it is; None is `none`."""
    if gold is None:
        return "none"
    if read(gold) is not None:
        return "number"
    return "yes/no" if normalise(gold) in ("yes", "no") else "text"


def verdict(predicted: str | None, golds: Sequence[str]) -> Verdict:
    """Right or how it is wrong; with several gold answers, compared with the first."""
    if answer_accuracy(predicted, golds):
        return "right"
    if predicted is None:
        return "unanswered"
    if not golds:
        return "unasked"
    gold = read(golds[0])
    if gold is None:
        return "wrong_text"
    value = number_of(predicted)
    if value is None:
        return "no_number"
    amounts = [amount for amount, _ in _readings(value, gold)]
    if any(_close(-amount, gold.amount, whole=False) for amount in amounts):
        return "wrong_sign"
    return "wrong_scale" if any(_off_by_ten(amount, gold.amount) for amount in amounts) else "wrong_number"


def number_of(predicted: str) -> Value | None:
    """The number of an answer: the whole of it, or the only number in it."""
    value = read(predicted)
    if value is not None:
        return value
    found = find(predicted)
    return found[0] if len(found) == 1 else None


def _best(predicted: str | None, golds: Sequence[str], same: Callable[[Value, Value], bool]) -> float:
    if predicted is None or not golds:
        return float(predicted is None and not golds)
    return float(any(_right(predicted, gold, same) for gold in golds))


def _right(predicted: str, gold: str, same: Callable[[Value, Value], bool]) -> bool:
    expected = read(gold)
    if expected is None:
        return normalise(predicted) == normalise(gold)
    value = number_of(predicted)
    return value is not None and same(value, expected)


def _overlap(predicted: Sequence[str], gold: Sequence[str]) -> float:
    if not predicted or not gold:
        return float(predicted == gold)
    common = (Counter(predicted) & Counter(gold)).total()
    if not common:
        return 0.0
    precision, recall = common / len(predicted), common / len(gold)
    return 2 * precision * recall / (precision + recall)


def _readings(predicted: Value, gold: Value) -> list[tuple[float, float]]:
    """The amounts that an answer may mean beside this gold, each with the size of its last decimal; none where units clash."""
    if "plain" not in (predicted.unit, gold.unit) and predicted.unit != gold.unit:
        return []
    if predicted.currency and gold.currency and predicted.currency != gold.currency:
        return []
    readings = [(predicted.amount, _step(predicted))]
    if gold.unit == "plain" and gold.scale == 1 and predicted.amount != predicted.number:
        readings.append((predicted.number, _decimals(predicted)))
    return readings


def _close(amount: float, gold: float, *, whole: bool) -> bool:
    return amount == gold if whole else abs(amount - gold) <= TOLERANCE * abs(gold)


def _whole(value: Value) -> bool:
    return value.unit != "percent" and value.scale == 1 and value.number.is_integer() and abs(value.number) < WHOLE


def _same_rounded(predicted: Value, gold: Value) -> bool:
    if same_number(predicted, gold):
        return True
    for amount, step in _readings(predicted, gold):
        coarser = max(step, _step(gold))
        # A half of the step, and a little for sums of binary fractions.
        if abs(amount - gold.amount) <= coarser * (0.5 + 1e-9) and (amount == 0) == (gold.amount == 0):
            return True
    return False


def _decimals(value: Value) -> float:
    """The size of the last written decimal: 0.1 for 14.2."""
    return 10.0 ** -len(plain(value.number).partition(".")[2])


def _step(value: Value) -> float:
    return _decimals(value) * value.scale / (100 if value.unit == "percent" else 1)


def _off_by_ten(amount: float, gold: float) -> bool:
    """Whether a power of ten other than 1 makes the amount the gold."""
    if amount * gold <= 0:
        return False
    power = round(math.log10(gold / amount))
    return power != 0 and _close(amount * 10.0**power, gold, whole=False)
