"""Training sets of several sizes out of one: a smaller set is a part of every larger one, and labels keep their shares.

Refuses more examples than there are. `pytest tests/study/test_cells.py`.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence

from fintune.data.methods import strata
from fintune.errors import RecipeError
from fintune.records import Example
from fintune.study.spec import SIZE


def ranking(examples: Sequence[Example], *, seed: int) -> list[int]:
    """Indices of the examples in the order in which sets take them up.

    Each example belongs to the rarest of its labels. The k-th of n examples of a label, in an order drawn by `seed`, stands at
    (k - 1/2) / n of the way, so that every set has each label's share of them to within one example.
    """
    held = [strata(example) for example in examples]
    counts = Counter(label for labels in held for label in labels)
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for index, labels in enumerate(held):
        groups[min(labels, key=lambda label: (counts[label], label), default="")].append(index)
    places: list[tuple[float, str, int]] = []
    for name, members in groups.items():
        random.Random(f"{seed}/{name}").shuffle(members)
        places += [((k + 0.5) / len(members), name, index) for k, index in enumerate(members)]
    return [index for _, _, index in sorted(places)]


def subset(examples: Sequence[Example], size: int, *, seed: int) -> list[Example]:
    """So many of the examples, in the order of the data."""
    return [examples[index] for index in sorted(ranking(examples, seed=seed)[:size])]


def count(asked: object, of: int) -> int:
    """How many examples a size is: a whole number is a count, any other number from 0 to 1 a share.

    Raises:
        RecipeError: where it is neither, or more than there are.
    """
    if isinstance(asked, float) and 0 < asked <= 1:
        return max(1, round(asked * of))
    if isinstance(asked, int) and not isinstance(asked, bool) and asked >= 1:
        if asked <= of:
            return asked
        raise RecipeError(f"{asked} training examples of {of}", where=SIZE, fix=f"give at most {of}, or a share such as 0.5")
    raise RecipeError(f"{asked!r} is no size of training data", where=SIZE, fix="give a whole number, or a share such as 0.25")
