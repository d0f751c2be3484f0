"""The bundled recipes: what they say of their sources, and that each of them trains and predicts on a small model of its architecture.

The small models have the published settings with their sizes cut down, a vocabulary learnt from the test's own texts, and random
weights: what is tested is that the parts fit, not what they score.
"""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml

import small_bases
import tiny
from fintune import api
from fintune import recipe as recipes
from fintune.data.corpus import bundle
from fintune.data.formats.base import ReadOptions
from fintune.data.load import load as load_data
from fintune.models import shapes
from fintune.models.catalog import catalog
from fintune.recipe import Recipe
from fintune.records import Answer, Example
from fintune.tasks import base as tasks

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("FINTUNE_DATA", "../shared/data"))
ACCOUNTS = ROOT / "docs" / "reproductions"
OWN = {"ner-minilm", "qa-minilm", "sentiment-minilm", "topic-minilm", "ner-qwen3-0.6b", "sentiment-qwen3-0.6b"}
"""Recipes that reproduce nothing."""

NAMES = recipes.available()
REPRODUCING = [name for name in NAMES if name not in OWN]


def text_of(name: str) -> str:
    return recipes.locate(name).read_text(encoding="utf-8")


# ---------------------------------------------------------------- what they say


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_names_what_exists(name: str) -> None:
    recipe = recipes.load(name)
    assert recipe.name == name
    assert recipe.description
    assert recipe.model.base in catalog()
    assert recipe.model.base in shapes.available()
    assert recipe.task in tasks.available()
    for page in re.findall(r"docs/[\w./-]+\.md", text_of(name)):
        assert (ROOT / page).is_file(), page


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_with_a_source_has_all_of_it(name: str) -> None:
    source = recipes.load(name).source
    stated = [bool(source.title), bool(source.url), bool(source.claims), bool(source.notes)]
    assert stated == [name not in OWN] * 4
    assert all(0 < value <= 1 for value in source.claims.values())
    assert not source.url or source.url.startswith("https://")
    assert len(set(source.notes)) == len(source.notes)


@pytest.mark.parametrize("name", REPRODUCING)
def test_every_setting_that_a_note_proposes_can_be_set(name: str) -> None:
    """Notes name the other reading of an ambiguity as `section.key=value`."""
    for note in recipes.load(name).source.notes:
        for override in re.findall(r"\b(?:model|adapter|head|prompt|data|train|predict)\.[a-z_]+=[\w.-]*\w", note):
            changed = recipes.load(name, [override])
            assert changed.settings() != recipes.load(name).settings() or override.startswith("predict."), override


@pytest.mark.parametrize("name", REPRODUCING)
def test_published_precision_and_recall_give_the_published_f1(name: str) -> None:
    """To the rounding of three digits, but for Baichuan2, whose F1 is printed a thousandth too high."""
    claims = recipes.load(name).source.claims
    if "surface_micro_f1" in claims:
        precision, recall, f1 = (claims[f"surface_micro_{measure}"] for measure in ("precision", "recall", "f1"))
        off = abs(2 * precision * recall / (precision + recall) - f1)
        assert off < 0.0015 if "baichuan" in name else off < 0.001


@pytest.mark.parametrize("name", REPRODUCING)
def test_the_account_of_a_source_states_its_claims(name: str) -> None:
    """Under `published figures`, in the digits of the source."""
    source = recipes.load(name).source
    (page,) = {path for path in ACCOUNTS.glob("*.md") if f"]({source.url})" in path.read_text(encoding="utf-8").split("\n## ")[0]}
    figures = page.read_text(encoding="utf-8").partition("## Published figures")[2]
    for value in source.claims.values():
        written = {f"{value:.3f}"[1:], f"{value:.4f}"[1:], f"{100 * value:.2f}", f"{100 * value:.0f}"}
        assert any(re.search(rf"(?<![\d.]){re.escape(form)}(?!\d)", figures) for form in written), value
    assert f"`{name}`" in page.read_text(encoding="utf-8")


# What the sources state, as (rank, alpha, scale, dropout, tokens, epochs, batch, rate, noise, its alpha).
STATED = {
    "ner-llama3-8b": (8, 16, "plain", 0.0, 400, 3, 4 * 6, 5e-5, "none", None),
    "ner-deepseek-r1-8b": (8, 16, "plain", 0.0, 400, 3, 4 * 6, 5e-5, "neftune", 0.1),
    "sentiment-qwen3-8b": (8, 16, "rank-stabilised", 0.1, 360, 3, 3 * 4, 5e-5, "neftune", 0.3),
    "topic-qwen3-8b": (8, 16, "rank-stabilised", 0.1, 360, 3, 3 * 4, 5e-5, "neftune", 0.3),
}
OPEN = {
    "ner-llama3-8b": "A1 A2 A5 A6",
    "ner-deepseek-r1-8b": "A1 A2 A3 A4 A5",
    "topic-qwen3-8b": "A4 A7 A8 A9",
    "sentiment-qwen3-8b": "A4 A7 A8 A9",
}


@pytest.mark.parametrize("name", STATED)
def test_the_systems_have_the_values_of_their_sources(name: str) -> None:
    r = recipes.load(name)
    noise = None if r.train.noise == "none" else r.train.noise_alpha
    assert STATED[name] == (
        r.adapter.rank, r.adapter.alpha, r.adapter.scale, r.adapter.dropout, r.data.max_tokens, r.train.epochs, r.train.batch_size,
        r.train.learning_rate, r.train.noise, noise,
    )  # fmt: skip
    assert (r.train.precision, r.head.type, r.adapter.targets, r.train.warmup) == ("bf16", "generative", "all-linear", 0)
    notes = " ".join(r.source.notes)
    assert [code for code in OPEN[name].split() if f"{code}, " not in notes] == []


def test_the_papers_instruction_is_the_first_line_of_the_prompt() -> None:
    """arXiv 2606.10392: the instruction, then the sentence, and no word of the types."""
    recipe = recipes.load("ner-deepseek-r1-8b")
    task = tasks.load_task(recipe.task, recipe.prompt)
    (message,) = task.messages(Example("1", "Acme paid $ 5 ."), purpose="train")
    assert message == {"role": "user", "content": "Do Named Entity Recognition for the following text:\nAcme paid $ 5 ."}


def test_what_a_recipe_writes_explicitly_is_no_stray_key() -> None:
    """Recipes of one system differ in what their names say, so that a score is one of the base."""
    for topic in (name for name in NAMES if name.startswith("topic-") and recipes.load(name).source.url):
        sentiment = recipes.load(topic.replace("topic-", "sentiment-"))
        assert {**sentiment.settings(), "task": "topic-20"} == recipes.load(topic).settings()


@pytest.mark.skipif(not (DATA / "tokenizers").is_dir(), reason="needs the shared data (FINTUNE_DATA)")
@pytest.mark.parametrize(
    ("name", "vocabulary", "end", "template", "data"),
    [
        ("ner-llama3-8b", "llama3", "<|end_of_text|>", None, "ner/fire7_train.csv"),
        ("ner-qwen3-8b", "qwen3", "<|im_end|>", "qwen3.jinja", "ner/fire7_train.csv"),
        ("topic-qwen3-8b", "qwen3", "<|im_end|>", "qwen3.jinja", "topic/twitter_topic20_train.jsonl.gz"),
        ("sentiment-qwen3-8b", "qwen3", "<|im_end|>", "qwen3.jinja", "sentiment/fpb_allagree.jsonl"),
    ],
)
def test_the_published_token_limit_holds_the_papers_data(name: str, vocabulary: str, end: str, template: str | None, data: str) -> None:
    """With the real vocabulary and template, for the longest texts: nothing that was trained on had to be cut."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    from fintune.heads.generative.chat import Chat

    packed = gzip.decompress((DATA / "tokenizers" / vocabulary / "tokenizer.json.gz").read_bytes())
    begin = "<|begin_of_text|>" if vocabulary == "llama3" else None
    fast = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(packed.decode()), bos_token=begin, eos_token=end)
    if template:
        fast.chat_template = (DATA / "tokenizers" / "chat_templates" / template).read_text(encoding="utf-8")
    recipe = recipes.load(name)
    task = tasks.load_task(recipe.task, recipe.prompt)
    chat = Chat(fast, template=recipe.prompt.template, thinking=recipe.prompt.thinking, known="")
    longest = sorted(load_data(DATA / data, ReadOptions(), kind=task.kind).examples, key=lambda example: -len(example.text))[:60]
    lengths = [len(chat.conversation(task.messages(e, purpose="train"), written(task, e)).ids) for e in longest]
    assert recipe.data.max_tokens / 2 < max(lengths) <= recipe.data.max_tokens


def written(task: Any, example: Example) -> str:
    """The target; of a label the longest there is, since data sets have numbers or names of their own."""
    return max(task.labels, key=len) if task.kind == "label" else task.target(example)


# ---------------------------------------------------------------- that they run


REASONED = [
    Example(
        str(number), f"Revenue was ${before} million in 2020 and ${before + gain} million in 2021.", question="How much did revenue grow?",
        answer=Answer(None, f"{gain} million"), reasoning=f"Take {before} from {before + gain}: {gain} is left.",
    )
    for number, (before, gain) in enumerate([(100, 7), (250, 31), (80, 12), (64, 8), (910, 45), (33, 3), (570, 19), (205, 66)])
]  # fmt: skip


def examples_of(task: str) -> list[Example]:
    """Eleven examples: eight to train, three to score."""
    if task == "finance-ner-7":
        return tiny.examples(11)
    if task == "financial-reasoning":
        return [*REASONED, *REASONED[:3]]
    if task == "financial-questions":
        return sorted(bundle.load("train", "answer"), key=lambda example: (len(example.text), example.id))[:11]
    slice_ = "train#topic" if task == "topic-20" else "train#sentiment"
    return sorted(bundle.load(slice_, "label"), key=lambda example: (len(example.text), example.id))[:11]


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Makes the small model of a base and task once."""
    made: dict[tuple[str, str], Path] = {}

    def base_of(recipe: Recipe) -> Path:
        key = recipe.model.base, recipe.task
        if key not in made:
            task = tasks.load_task(recipe.task, recipe.prompt)
            examples = examples_of(recipe.task)
            said = [m["content"] for e in examples[:2] for m in task.messages(e, purpose="train")]
            texts = [*said, *(e.text for e in examples), *(task.target(e) for e in examples), *(e.reasoning or "" for e in examples)]
            made[key] = small_bases.write(tmp_path_factory.mktemp("base"), recipe.model.base, texts)
        return made[key]

    return base_of


def small(name: str, bases: Any, changes: Mapping[str, Any] = MappingProxyType({})) -> Recipe:
    """The recipe on a small base of the same architecture, for one epoch in steps of four."""
    recipe = recipes.load(name, changes)
    shortened = {
        "model.base": str(bases(recipe)), "train.epochs": 1, "train.batch_size": 4, "train.precision": "fp32", "predict.precision": "fp32",
        "predict.max_new_tokens": 24,
    }  # fmt: skip
    if recipe.head.type == "generative":
        shortened["data.max_tokens"] = 2048  # a small vocabulary cuts finer
    return recipes.load(name, {**changes, **shortened})


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_trains_and_predicts(name: str, bases: Any, tmp_path: Path) -> None:
    """Two steps of four examples, then three predictions, through the recipe's own prompt, template, packs and decoding."""
    recipe, examples = recipes.load(name), examples_of(recipes.load(name).task)
    run = api.train(small(name, bases), data=examples[:8], output=tmp_path / "run")
    assert run.manifest["steps"] == 2
    report = run.evaluate(examples[8:])
    assert (report["task"], report["examples"]) == (recipe.task, 3)
    assert (tmp_path / "run" / "report.html").is_file()
    if recipe.task != "financial-reasoning":
        assert recipe.source.claims.keys() <= report["metrics"].keys()
    if recipe.head.type == "generative":
        certified(tmp_path / "run", recipe)
        assert report["malformed"]["count"] == 0 or recipe.task == "financial-reasoning"
    again = yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text(encoding="utf-8"))
    assert again["source"]["claims"] == recipe.source.claims


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("ner-deepseek-r1-8b", {"model.base": "deepseek-r1-distill-llama-8b"}),
        ("ner-deepseek-r1-8b", {"train.noise": "uniform", "train.sharing": "exact"}),
        ("ner-llama3-8b", {"model.base": "llama3-8b-instruct", "adapter.targets": "attention", "predict.decoding": "free"}),
        ("topic-qwen3-8b", {"prompt.marker": "", "predict.decoding": "free", "train.sharing": "none"}),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(map(str, value.values())),
)
def test_the_other_readings_of_the_sources_run_too(name: str, changes: dict[str, Any], bases: Any, tmp_path: Path) -> None:
    recipe, examples = recipes.load(name, changes), examples_of(recipes.load(name).task)
    run = api.train(small(name, bases, changes), data=examples[:8], output=tmp_path / "run")
    certified(tmp_path / "run", recipe)
    assert run.evaluate(examples[8:])["examples"] == 3


def certified(run: Path, recipe: Recipe) -> None:
    """The prompt is not learnt, the answer is to its end, and the template thinks as the recipe says."""
    for mask in json.loads((run / "preflight.json").read_text(encoding="utf-8"))["masks"]:
        asked = "".join(segment["text"] for segment in mask["segments"] if not segment["supervised"])
        learnt = [segment["supervised"] for segment in mask["segments"]]
        assert learnt == sorted(learnt)
        assert set(learnt) == {False, True}
        assert recipe.prompt.marker in asked
    if recipe.model.base != "t5-base":
        chat = json.loads((run / "adapter" / "head.json").read_text(encoding="utf-8"))
        assert chat["thinking"] == ("none" if recipe.prompt.thinking == "auto" else recipe.prompt.thinking)


@pytest.mark.parametrize("name", ["ner-llama3-8b", "ner-qwen3-8b", "topic-qwen3-8b", "ner-t5-base", "sentiment-roberta", "ner-bert-base"])
def test_the_adapter_sits_where_it_does_at_full_size(name: str, bases: Any, tmp_path: Path) -> None:
    """The small model's adapter has the same modules by name, in every layer."""
    from fintune.heads.build import build

    recipe = recipes.load(name)
    labels = tasks.load_task(recipe.task, recipe.prompt).labels
    matched = build(small(name, bases), tasks.load_task(recipe.task, recipe.prompt)).matched
    full = shapes.adapted(recipe, outputs=2 * len(labels) + 1)[1]
    assert matched.names == full.names

    def leaves(modules: Sequence[str]) -> set[str]:
        return {re.sub(r"\.\d+\.", ".N.", module) for module in modules}

    assert leaves(matched.modules) == leaves(full.modules)
