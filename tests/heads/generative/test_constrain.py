"""Grammars allow exactly the targets whose surfaces stand in the text between word boundaries, and whatever is cut off still parses."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

import chatting
import tiny
from fintune.errors import RecipeError, ResourceError
from fintune.heads.generative import constrain
from fintune.heads.generative.constrain import Constraint, Grammars, Listed, allowed
from fintune.heads.generative.generate import packed, unpacked
from fintune.heads.generative.targets import STYLES
from fintune.recipe import Prompt
from fintune.records import Example
from fintune.tasks.base import load_task
from fintune.text.align import at_boundary
from fintune.text.literals import parse_lists
from report.hostile_strings import HOSTILE

TARGETS: tuple[Any, ...] = ("literal", "json", "compact")
STOP = frozenset({1})
LABELS = ("Company", "Date", 'St. John\'s "own"')
ODD = (
    "Acme Corp paid $ 5 .", "", "   ", " it's \"quoted\" \\ and {'a': ['b']}\n\tnew  ", "漢字かな", "\u0301 x \u0301y", "a\u00a0b \u2003c",
    "tail  \n", "\\n", "x\\", "'", '"', "\\'", "\\\\\"'", "a\x00b \x1b[31m \x7f\x85", "👩\u200d💻 🇨🇭", "</s><s> <pad> [INST]",
    "1,200.5 and 2.5", "\ud800 x \udc00", "{'Company': None, 'Date': ['x']}", "a\n\nb\r\nc", "\u2028\u2029\ufeff", "e\u0301e\u0301",
    "\ufdfd \u0639\u0631\u0628\u064a \u202etxt\u202c",
)  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer(tiny_llama: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_llama)


@pytest.fixture(scope="module")
def grammars(tokenizer: Any) -> Grammars:
    return Grammars(tokenizer, STOP)


def bits_of(constraint: Constraint) -> set[int]:
    return set(np.flatnonzero(np.unpackbits(constraint.allowed().view(np.uint8), bitorder="little")).tolist())


def walk(constraint: Constraint, draw: random.Random, budget: int, stop: frozenset[int] = STOP) -> list[int]:
    """Any allowed token, again and again."""
    ids: list[int] = []
    while not constraint.complete and len(ids) < budget:
        tokens = constraint.forced()[: budget - len(ids)]
        if not tokens:
            able = bits_of(constraint)
            assert able, "nothing is allowed, and the text is not complete"
            token = draw.choice(sorted(able))
            if token in stop:
                break
            tokens = [token]
        constraint.take(tokens)
        ids += tokens
    return ids


def accepts(grammars: Grammars, ids: Sequence[int], text: str, target: Any, labels: Sequence[str] = LABELS) -> bool:
    """Whether the tokens are a whole target, each allowed in its turn."""
    constraint = grammars.spans(text, labels, target)
    for token in ids:
        if token not in bits_of(constraint):
            return False
        constraint.take([token])
    return constraint.complete


def stands(text: str, surface: str) -> bool:
    """Whether a surface has a place in the text."""
    ends = [(at, at + len(surface)) for at in range(len(text)) if text.startswith(surface, at)]
    solid = bool(surface) and not surface[0].isspace() and not surface[-1].isspace()
    return solid and any(at_boundary(text, start) and at_boundary(text, end) for start, end in ends)


def written(target: Any, lists: dict[str, list[str]]) -> str:
    """A target with these surfaces, quoted as `tasks.spans` quotes them."""
    style = STYLES[target]
    quote = repr if target == "literal" else style.key
    values = {label: f"[{style.comma.join(map(quote, lists[label]))}]" if label in lists else style.nothing for label in LABELS}
    return "{" + style.comma.join(style.key(label) + style.colon + value for label, value in values.items() if value is not None) + "}"


@pytest.mark.parametrize("target", TARGETS)
def test_every_gold_target_is_allowed_and_complete(grammars: Grammars, tokenizer: Any, target: Any) -> None:
    task = load_task("finance-ner-7", Prompt(target=target))
    for example in tiny.examples(14):
        ids = tokenizer.encode(task.target(example), add_special_tokens=False)
        constraint = grammars.spans(example.text, task.labels, target)
        constraint.take(ids)
        assert constraint.complete
        assert constraint.close(ids) == task.target(example)
        assert bits_of(constraint) == STOP


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("text", ['It\'s 1,200.5 "big"\n Acme', "a-b'c  d", "漢字 x\\y", "\u0301a \u0301", "e\u0301f 2.5 {'"])
def test_a_surface_is_allowed_exactly_where_it_stands_between_word_boundaries(
    grammars: Grammars, tokenizer: Any, target: Any, text: str
) -> None:
    surfaces = {text[start:end] for start in range(len(text)) for end in range(start + 1, len(text) + 1)}
    for surface in sorted(surfaces):
        ids = tokenizer.encode(written(target, {"Date": [surface]}), add_special_tokens=False)
        assert accepts(grammars, ids, text, target) == stands(text, surface), surface


@pytest.mark.parametrize("target", TARGETS)
def test_whatever_is_allowed_parses_and_stands_in_the_text(grammars: Grammars, tokenizer: Any, target: Any) -> None:
    draw = random.Random(5)
    task = load_task("finance-ner-7", Prompt(target=target))
    for text in (*ODD, *draw.sample(HOSTILE, 40)):
        for budget in (0, draw.randrange(1, 12), draw.randrange(12, 40), 200):
            constraint = grammars.spans(text, task.labels, target)
            ids = walk(constraint, draw, budget)
            closed = constraint.close(ids)
            assert task.parse(closed, Example("1", text)).status != "malformed", closed
            assert all(stands(text, surface) for found in parse_lists(closed).values() for surface in found), closed
            assert not {0, 1, 2} & set(ids)  # control tokens, whatever the text spells
            again = grammars.spans(text, task.labels, target)
            again.take(grammars._vocabulary.tokens.greedy_tokenize(closed))  # unlike the tokenizer it reads no control tokens
            assert again.complete, closed


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_cut_anywhere_keeps_its_whole_strings_and_nothing_else(grammars: Grammars, target: Any) -> None:
    lists = {"Company": ["Acme", "it's", 'a "b"'], 'St. John\'s "own"': ["[x], {'y': z}", "\\", "漢\n\t\u2028'\""]}
    whole = written(target, lists)
    assert STYLES[target].completed(whole, LABELS) == whole
    kept = 0
    for end in range(len(whole)):
        found = parse_lists(STYLES[target].completed(whole[:end], LABELS))
        for label in LABELS:
            surfaces = found.get(label, [])
            assert surfaces == lists.get(label, [])[: len(surfaces)]
        assert sum(map(len, found.values())) >= kept  # never fewer for more text
        kept = sum(map(len, found.values()))
    assert kept == 6


def test_a_text_without_words_has_the_empty_target_alone(grammars: Grammars) -> None:
    for text in ("", " \n\t", "\ud800"):
        for target in TARGETS:
            constraint = grammars.spans(text, LABELS, target)
            ids = constraint.forced()
            constraint.take(ids)
            assert constraint.complete
            assert constraint.close(ids) == written(target, {})


@pytest.mark.parametrize("name", sorted(chatting.SMALL))
def test_vocabularies_of_every_construction_write_targets(name: str) -> None:
    tokenizer = chatting.small(name)
    stop = frozenset({tokenizer.eos_token_id})
    found = Grammars(tokenizer, stop)
    draw = random.Random(2)
    for example in tiny.examples(6):
        text = f"{example.text} 龘 ok"  # a character that most of these vocabularies lack
        constraint = found.spans(text, ["Company", "Date"], "literal")
        ids = walk(constraint, draw, 150, stop)
        closed = constraint.close(ids)
        assert all(stands(text, surface) for surfaces in parse_lists(closed).values() for surface in surfaces)
        assert not set(tokenizer.all_special_ids) & set(ids)
        if constraint.complete:
            assert tokenizer.decode(ids).strip() == closed


def test_what_the_template_puts_before_a_target_is_written_first(tokenizer: Any) -> None:
    found = Grammars(tokenizer, STOP, lead="\n ")
    constraint = found.spans("Acme", ["Company"], "json")
    ids = tokenizer.encode('\n {"Company": ["Acme"]}', add_special_tokens=False)
    constraint.take(ids)
    assert constraint.complete
    assert constraint.close(ids) == '{"Company": ["Acme"]}'
    assert found.spans("Acme", ["Company"], "json").forced()


class Without:
    """A tokenizer whose vocabulary has lost some characters."""

    def __init__(self, tokenizer: Any, lacking: str) -> None:
        self.tokenizer, self.lacking = tokenizer, lacking

    def spell(self, text: str) -> str:
        return "".join(f"({ord(c):x};" if c in self.lacking or c == "(" else c for c in text)

    def unspell(self, text: str) -> str:
        return re.sub(r"\(([0-9a-f]+);", lambda found: chr(int(found[1], 16)), text)


def test_a_vocabulary_without_a_mark_is_refused_or_spelt_otherwise(monkeypatch: pytest.MonkeyPatch, tokenizer: Any) -> None:
    lossy = Without(tokenizer, "{}é\n\\")
    plain = Grammars(tokenizer, STOP)
    able = plain._vocabulary.writes
    monkeypatch.setattr(plain._vocabulary, "writes", lambda character: character not in lossy.lacking and able(character))
    with pytest.raises(RecipeError, match=r"cannot write \\ \{ \}"):
        plain.spans("Acme", LABELS, "json")
    spelt = Grammars(tokenizer, STOP, spell=lossy.spell, unspell=lossy.unspell)
    monkeypatch.setattr(spelt._vocabulary, "writes", lambda character: character not in lossy.lacking and able(character))
    draw = random.Random(7)
    for text in ("Soci\u00e9t\u00e9 G\u00e9n\u00e9rale (SocGen) paid {5}", "\n\u00e9\nb \\ c\u00e9"):
        for budget in (*range(0, 60, 7), 200):
            constraint = spelt.spans(text, LABELS, "literal")
            ids = walk(constraint, draw, budget)
            assert not set(lossy.lacking) & set(tokenizer.decode(ids))
            assert all(stands(text, s) for surfaces in parse_lists(constraint.close(ids)).values() for s in surfaces)
        for surface in text.split():
            ids = tokenizer.encode(lossy.spell(written("literal", {"Date": [surface]})), add_special_tokens=False)
            assert accepts(spelt, ids, text, "literal") == stands(text, surface)


def test_a_grammar_that_is_too_large_is_an_error(monkeypatch: pytest.MonkeyPatch, grammars: Grammars) -> None:
    monkeypatch.setattr(constrain, "_FUEL", 100)
    constraint = grammars.spans("Acme paid " * 50, LABELS, "json")
    with pytest.raises(ResourceError, match="no grammar could be made"):
        constraint.forced()


def test_without_llguidance_the_recipe_is_refused(monkeypatch: pytest.MonkeyPatch, tokenizer: Any) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(RecipeError, match=r"constrained decoding needs llguidance.*pip install"):
        Grammars(tokenizer, STOP)


def test_masks_of_a_batch_are_those_of_each_text(grammars: Grammars) -> None:
    constraints: list[Constraint | None] = [grammars.spans(text, LABELS, "literal") for text in ODD[:5]]
    constraints[2:2] = [None, Listed([[5, 6], [70]], ["a", "b"], STOP)]
    bound = [constraint for constraint in constraints if constraint is not None]
    singly = [constraint.allowed().copy() for constraint in bound]
    for mask, other in zip(allowed(bound), singly, strict=True):
        assert np.array_equal(mask, other)
    import torch

    for vocabulary in (50, 400, 450):  # a model may have fewer outputs than the tokenizer has tokens, or more
        masks = unpacked(torch.from_numpy(packed(constraints, vocabulary)), vocabulary)
        assert masks[2].all()
        for mask, bits in zip(masks[[0, 1, 3, 4, 5, 6]], singly, strict=True):
            expected = {i for i in np.flatnonzero(np.unpackbits(bits.view(np.uint8), bitorder="little")).tolist() if i < vocabulary}
            assert set(mask.nonzero()[:, 0].tolist()) == expected


def test_a_list_of_names_allows_exactly_these(grammars: Grammars, tokenizer: Any) -> None:
    names = ["Fed | Central Banks", "Fed", "Earnings", "Fed | Oil"]
    seen = set()
    draw = random.Random(3)
    for _ in range(60):
        constraint = grammars.labels(names)
        ids = walk(constraint, draw, 60)
        assert tokenizer.decode(ids) == constraint.close(ids)
        seen.add(constraint.close(ids))
    assert seen == set(names)
    for budget in range(6):  # the first name that goes on from what was written
        constraint = grammars.labels(names)
        text = tokenizer.decode(walk(constraint, draw, budget))
        assert constraint.close([]) in (names if text in names else [name for name in names if name.startswith(text)][:1])


def test_a_name_that_others_continue_needs_its_end(tokenizer: Any) -> None:
    constraint = Listed([[5], [5, 6]], ["a", "ab"], STOP)
    assert constraint.forced() == [5]
    constraint.take([5])
    assert not constraint.complete
    assert bits_of(constraint) == {6, *STOP}
    assert constraint.close([5]) == "a"
    constraint.take([6])
    assert constraint.complete
    assert bits_of(constraint) == STOP
