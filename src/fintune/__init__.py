"""fintune: adapt open language models to financial text, and prove what came out.

import fintune as ft
run = ft.train("ner-minilm", data="train.csv", validation="val.csv", output="runs/first")
run.evaluate("test.csv")
run.predict(["Apple paid $ 3 billion for Beats in 2014 ."])
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fintune.api import Run, load, train

__version__ = "0.1.0"
__all__ = ["Run", "__version__", "load", "train"]


# Importing the room `fintune.train` puts it under that name in this module, once. It happens here, where it costs nothing, so that
# `fintune.train(...)` is the function however often and in whatever order the room's files are imported.
import_module("fintune.train")
globals().pop("train")


def __getattr__(name: str) -> Any:
    """Import the interface on first use, so that `import fintune` stays light."""
    if name in ("Run", "load", "train"):
        from fintune import api

        return getattr(api, name)
    raise AttributeError(f"module 'fintune' has no attribute {name!r}")
