"""The solved examples that the prompts of a finished run show, as its adapter folder keeps them.

While a run trains they are chosen from its examples (`fintune.data.demonstrations`). A folder that lacks them is refused.
`pytest tests/heads/generative/test_seq2seq.py -k shown` exercises it.
"""

from __future__ import annotations

from pathlib import Path

from fintune.data.demonstrations import Demonstrations
from fintune.errors import ArtifactError
from fintune.recipe import Prompt

DEMONSTRATIONS = "demonstrations.jsonl"
"""File of the adapter folder with the examples that prompts show."""


def kept_demonstrations(prompt: Prompt, kept: Path | None) -> Demonstrations | None:
    """Those of a finished run; None where there is no run yet, or the recipe shows none.

    Raises:
        ArtifactError: where the file is missing.
    """
    if kept is None or not prompt.demonstrations:
        return None
    place = kept / DEMONSTRATIONS
    try:
        text = place.read_text(encoding="utf-8")
    except OSError as error:
        raise ArtifactError(
            "the demonstrations cannot be read", where=str(place), why=str(error.strerror), fix="restore the file"
        ) from None
    return Demonstrations.load(text, count=prompt.demonstrations, choose=prompt.choose, where=str(place))
