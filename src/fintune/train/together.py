"""What the processes of one run do together: the first acts on the run folder and all learn how it went; all stop at one step.

A process by itself exchanges nothing. Only what the run's own processes made is exchanged, over the connection of accelerate.
`tests/laws/test_processes.py` exercises it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object

from fintune.errors import FintuneError

Found = TypeVar("Found")


def leads() -> bool:
    """Whether this is the first process, which writes and speaks for all."""
    return bool(PartialState().is_main_process)


def first(act: Callable[[], Found]) -> Found | None:
    """Have the first process act while the others wait; None for these.

    Raises:
        FintuneError: in every process, where the first one failed.
    """
    if PartialState().num_processes == 1:
        return act()
    found, failure = None, [None]
    if leads():
        try:
            found = act()
        except FintuneError as error:
            failure = [error]
    broadcast_object_list(failure)
    if failure[0] is not None:
        raise failure[0]
    return found


def gathered(own: Sequence[Any]) -> list[Any]:
    """What all processes have, in their order."""
    return list(gather_object(list(own)))


def reseed(seed: int, step: int) -> None:
    """Give each of several processes draws of its own for a step; they depend on nothing before it, so that none are saved.

    A process by itself goes on drawing, and its checkpoints keep the state of its generators.
    """
    state = PartialState()
    if state.num_processes > 1:
        torch.manual_seed(random.Random(f"{seed}/{step}/{state.process_index}").getrandbits(63))
