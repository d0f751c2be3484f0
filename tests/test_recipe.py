"""Recipes: what is refused and how, that what is written is what was meant, and what makes two recipes the same run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fintune import recipe as recipes
from fintune.errors import RecipeError
from fintune.recipe import Recipe, Section
from fintune.tasks.base import load_task

SMALLEST = "name: x\ntask: finance-ner-7\n"

# Another legal value for every key that is not a text, and for those texts that are compared.
OTHERS: dict[str, Any] = {
    "task": "other.toml", "seed": 1, "model.base": "distilbert", "model.revision": "abc", "model.dropout": 0.2,
    "adapter.method": "dora", "adapter.rank": 3, "adapter.alpha": 1.5, "adapter.scale": "rank-stabilised", "adapter.dropout": 0.5,
    "adapter.targets": ["query", "value"], "adapter.initialisation": "pissa", "head.type": "sequence", "head.scheme": "BIOES",
    "head.transitions": "learned", "head.surface": "shape", "head.dropout": 0.2, "data.max_tokens": 512, "data.overlap_tokens": 8,
    "data.words": "fine",
    "train.epochs": 9, "train.batch_size": 4, "train.accumulate": 2, "train.learning_rate": 1e-3, "train.head_learning_rate": 1e-2,
    "train.schedule": "cosine", "train.warmup": 0.5, "train.weight_decay": 0.0, "train.clip": None, "train.label_smoothing": 0.1,
    "train.noise": "neftune", "train.noise_alpha": 1.0, "train.precision": "fp32", "train.keep": "best", "train.metric": "macro_f1",
    "train.patience": 3, "train.checkpoint_every": 10, "train.sharing": "none", "train.pack_tokens": 999, "train.recompute": "always",
    "train.kernels": "none", "train.compile": "block", "model.dtype": "bf16", "model.quantisation": "4bit", "prompt.file": "mine.md",
    "prompt.wording": "drawn", "prompt.labels": "meanings", "prompt.target": "json", "prompt.demonstrations": 2, "prompt.choose": "fixed",
    "prompt.template": "plain", "prompt.thinking": "reason", "prompt.marker": " /no_think", "data.links": "drop", "data.too_long": "drop",
    "predict.batch_tokens": 512, "predict.precision": "bf16", "predict.decoding": "free", "predict.max_new_tokens": 7,
    "predict.adapter": "merged",
    "predict.answer_tokens": 9, "data.leaks": "accept",
    "head.pooling": "mean", "head.words_weight": 0.5, "train.loss": "focal", "train.focal_gamma": 1.0, "train.balance": "weights",
    "train.masking": 0.1, "predict.wanted_precision": 0.98,
    "cost.hourly_rate": 2.5, "cost.currency": "EUR",
    "source.title": "A paper", "source.url": "https://example.org", "source.claims": {"micro_f1": 0.9}, "source.notes": ["open"],
}  # fmt: skip


def keys(section: type[Section] = Recipe, prefix: str = "") -> Iterator[str]:
    """Every dotted key."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from keys(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path | str, *overrides: str) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        recipes.load(path, overrides)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("name", recipes.available())
def test_bundled_recipes_resolve_and_name_a_bundled_task(name: str) -> None:
    loaded = recipes.load(name)
    assert loaded.name == name
    assert loaded.description
    task = load_task(loaded.task, loaded.prompt)
    assert task.labels or task.kind == "answer"


def test_every_key_has_a_meaning_and_all_but_two_a_default(tmp_path: Path) -> None:
    assert set(OTHERS) | {"name", "description"} == set(keys())
    text = recipes.load(written(tmp_path, SMALLEST)).to_yaml(comments=True)
    for line, above in zip(text.splitlines()[1:], text.splitlines(), strict=False):
        if ": " in line and not line.lstrip().startswith("#"):
            assert above.lstrip().startswith("# ")


SECTION_PICKS = st.dictionaries(st.sampled_from(sorted(OTHERS)), st.none(), max_size=12).map(
    lambda chosen: {key: OTHERS[key] for key in chosen}
)
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=20) | st.sampled_from(
    ["1e3", "null", "true", "0x10", "2024-01-01", "- a", "#", "a: b", "'", "3_000", "~", "1:30"]
)


@given(overrides=SECTION_PICKS, name=NAMES, comments=st.booleans())
def test_what_is_written_is_read_as_the_same_recipe(
    tmp_path_factory: pytest.TempPathFactory, overrides: dict[str, Any], name: str, comments: bool
) -> None:
    folder = tmp_path_factory.getbasetemp()
    if overrides.get("predict.adapter") == "merged":
        overrides = {key: value for key, value in overrides.items() if key not in ("model.dtype", "model.quantisation")}
    if overrides.get("head.transitions") == "learned":
        overrides.pop("train.label_smoothing", None)
    loaded = recipes.load(written(folder, SMALLEST), {**overrides, "name": name, "description": name})
    assert recipes.load(written(folder, loaded.to_yaml(comments=comments))) == loaded
    assert recipes.from_settings(loaded.model_dump(mode="json"), "run") == loaded


@pytest.mark.parametrize("key", sorted(OTHERS))
def test_the_fingerprint_is_that_of_what_decides_the_weights(tmp_path: Path, key: str) -> None:
    path = written(tmp_path, SMALLEST)
    plain, changed = recipes.load(path), recipes.load(path, {key: OTHERS[key], "name": "y", "description": "z"})
    decides = not key.startswith(("predict.", "cost.", "source."))
    assert (changed.fingerprint() != plain.fingerprint()) == decides


def test_overrides_are_those_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, SMALLEST)
    for key, value in OTHERS.items():
        shown = yaml.safe_dump(value, default_flow_style=True).splitlines()[0]
        assert recipes.load(path, [f"{key}={shown}"]) == recipes.load(path, {key: value})


@pytest.mark.parametrize("number", ["1e-3", "1.0e-3", "0.001", "1E-3"])
def test_numbers_may_be_written_with_an_exponent(number: str, tmp_path: Path) -> None:
    assert recipes.load("ner-minilm", [f"train.learning_rate={number}"]).train.learning_rate == 1e-3
    assert recipes.load(written(tmp_path, SMALLEST + f"train:\n  clip: {number}\n")).train.clip == 1e-3


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("", "mine.yaml", "mapping"),
        ("- a\n", "mine.yaml", "mapping"),
        ("just text", "mine.yaml", "mapping"),
        ("name: x\n", "mine.yaml", "'task' is missing"),
        ("task: finance-ner-7\n", "mine.yaml", "'name' is missing"),
        ("name: 'x\n", "mine.yaml:2", "YAML"),
        ("name: !!python/object:os.system x\n", "mine.yaml:1", "YAML"),
        (SMALLEST + "1: 2\n", "mine.yaml:3", "'1' cannot be 1"),
        (SMALLEST + "train: 3\n", "mine.yaml:3", "'train' cannot be 3"),
        (SMALLEST + "train:\n", "mine.yaml:3", "'train' cannot be null"),
        (SMALLEST + "train:\n  epochs: 0\n", "mine.yaml:4", "'train.epochs' cannot be 0"),
        (SMALLEST + "train:\n  epochs: 1.5\n", "mine.yaml:4", "'train.epochs' cannot be 1.5"),
        (SMALLEST + "train:\n  learning_rate: .nan\n", "mine.yaml:4", "'train.learning_rate' cannot be NaN"),
        (SMALLEST + "train:\n  learning_rate: .inf\n", "mine.yaml:4", "'train.learning_rate' cannot be Infinity"),
        (SMALLEST + "train:\n  schedule: cosin\n", "mine.yaml:4", "cosine"),
        (SMALLEST + "train:\n  learnin_rate: 1\n", "mine.yaml:4", "did you mean 'learning_rate'?"),
        (SMALLEST + "adapter:\n  targets: [1]\n", "mine.yaml:4", "adapter.targets"),
        (SMALLEST + "adapter:\n  targets: some\n", "mine.yaml:4", "adapter.targets"),
        (SMALLEST + "seed: -1\n", "mine.yaml:3", "'seed' cannot be -1"),
        (SMALLEST + "seed: 4294967296\n", "mine.yaml:3", "'seed' cannot be 4294967296"),
        (SMALLEST + "name: y\n", "mine.yaml:3", "twice"),
        (SMALLEST + "data:\n  max_tokens: 64\n  overlap_tokens: 32\n", "mine.yaml:5", "half of a window"),
        (SMALLEST + "train:\n  accumulate: 3\n", "mine.yaml:4", "multiple of accumulate"),
        (SMALLEST + "head:\n  transitions: learned\ntrain:\n  label_smoothing: 0.1\n", "mine.yaml:6", "no meaning"),
    ],
)
def test_refusals_name_the_place(tmp_path: Path, text: str, place: str, said: str) -> None:
    error = refusal(written(tmp_path, text))
    assert error.where == str(tmp_path / place)
    assert said in str(error)
    assert error.fix


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"name: \xff\n")
    assert "UTF-8" in str(refusal(tmp_path / "mine.yaml"))
    (tmp_path / "folder.yaml").mkdir()
    assert "no recipe file" in str(refusal(tmp_path / "folder.yaml"))
    assert "bundled recipes: " in str(refusal(tmp_path / "none.yaml"))
    assert "'ner-minilm'" in str(refusal("ner-minlm"))
    assert refusal("../recipes/ner-minilm").fix


@pytest.mark.parametrize(
    "override", ["train.epochs", "=3", "", "train.epochs=[", "train.epochs.more=1", "seed.more=1", "train={epochs: 0}"]
)
def test_bad_overrides_are_refused(override: str) -> None:
    assert refusal("ner-minilm", override).where.startswith("--set")


@given(
    key=st.lists(st.sampled_from(["train", "epochs", "seed", "x", "", "adapter", "targets", "model"]), max_size=4),
    value=st.text(max_size=12),
)
def test_no_override_ends_in_anything_but_a_recipe_or_a_refusal(key: list[str], value: str) -> None:
    message = ""
    try:
        recipes.load("ner-minilm", [f"{'.'.join(key)}={value}"])
    except RecipeError as error:
        message = str(error)
    assert "\n" not in message
