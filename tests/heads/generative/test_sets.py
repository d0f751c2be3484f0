"""The grammar of several labels allows every set in its order and nothing else, for any vocabulary; what is cut off still parses."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer, GenerationConfig

import writing
from fintune.errors import RecipeError
from fintune.heads.generative.constrain import Constraint, Grammars
from fintune.heads.generative.rewriter import Rewriter
from fintune.heads.generative.seq2seq import Seq2SeqHead
from fintune.models.adapter import attach
from fintune.recipe import Adapter, Prompt
from fintune.records import Example
from fintune.tasks.base import load_task
from fintune.tasks.several_reading import SeveralReader, write

STOP = frozenset({1})
LABELS = ("fell", "fell hard", "M&A | deals", 'St. John\'s "own", née')


@pytest.fixture(scope="module")
def tokenizer(tiny_llama: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_llama)


@pytest.fixture(scope="module")
def grammars(tokenizer: Any) -> Grammars:
    return Grammars(tokenizer, STOP)


def bits_of(constraint: Constraint) -> set[int]:
    return set(np.flatnonzero(np.unpackbits(constraint.allowed().view(np.uint8), bitorder="little")).tolist())


def accepts(grammars: Grammars, ids: Sequence[int]) -> bool:
    """Whether the tokens are a whole target, each allowed in its turn."""
    constraint = grammars.several(LABELS)
    for token in ids:
        if constraint.complete or token not in bits_of(constraint):
            return False
        constraint.take([token])
    return constraint.complete or not STOP.isdisjoint(bits_of(constraint))


def test_every_set_in_its_order_is_allowed_and_comes_back(grammars: Grammars, tokenizer: Any) -> None:
    for size in range(len(LABELS) + 1):
        for chosen in itertools.combinations(LABELS, size):
            ids = tokenizer.encode(write(chosen), add_special_tokens=False)
            assert accepts(grammars, ids), chosen
            constraint = grammars.several(LABELS)
            constraint.take(ids)
            assert constraint.close(ids) == write(chosen)


@pytest.mark.parametrize(
    "text", ["", "fell; fell", "fell hard; fell", "none; fell", "fell;fell hard", "fell, fell hard", "Fell", "fell; ", "fe"]
)
def test_nothing_else_is(grammars: Grammars, tokenizer: Any, text: str) -> None:
    assert not accepts(grammars, tokenizer.encode(text, add_special_tokens=False))


@pytest.mark.parametrize("seed", range(30))
def test_whatever_is_written_and_wherever_it_is_cut_it_is_read_as_it_stands(grammars: Grammars, seed: int) -> None:
    draw = random.Random(seed)
    constraint, ids, budget = grammars.several(LABELS), list[int](), draw.choice([3, 9, 200])
    while not constraint.complete and len(ids) < budget:
        tokens = constraint.forced()[: budget - len(ids)] or [draw.choice(sorted(bits_of(constraint)))]
        if not STOP.isdisjoint(tokens):
            break
        constraint.take(tokens)
        ids += tokens
    found, reason = SeveralReader(LABELS).read(constraint.close(ids), reasons=False)
    assert (found is not None, reason) == (True, "")


def test_a_vocabulary_that_cannot_write_a_label_is_refused(grammars: Grammars) -> None:
    with pytest.raises(RecipeError, match=r"cannot write .*every target has it.*rename the label"):
        grammars.several(["half of a pair: \ud800"])


@pytest.mark.parametrize(("decoding", "max_new_tokens"), [("auto", None), ("constrained", 2)])
def test_an_encoder_decoder_writes_a_set_even_untrained(decoding: str, max_new_tokens: int | None, tmp_path: Path) -> None:
    names = "\n".join(f"{label} = ''" for label in ("deal", "'people <a> {b}'", "results"))
    (tmp_path / "events.toml").write_text(f'name = "e"\nkind = "label"\nmultiple = true\ndescription = "d"\n[labels]\n{names}\n')
    task, texts = load_task(tmp_path / "events.toml"), [Example(str(i), f"Acme rose {i} %", labels=()) for i in range(4)]
    network = writing.model()
    network.generation_config = GenerationConfig()
    adapted, _ = attach(network, Adapter(rank=4), task_type="SEQ_2_SEQ_LM")
    made = Seq2SeqHead(task, writing.tokenizer(), prompt=Prompt(), max_tokens=400, too_long="refuse", decoding=decoding,
                       max_new_tokens=max_new_tokens)  # fmt: skip
    assert [item.full.text[-8:] for item in made.encode(texts, "train") if item.full is not None] == ["none</s>"] * 4
    items = made.encode(texts, "predict")
    for found in made.decode(None, texts, items, made.scores(Rewriter(adapted, None).eval(), items)):
        assert found.status in ("ok", "repaired")
        assert found.labels == tuple(label for label in task.labels if label in (found.labels or ()))
