"""Cells: ids that change with whatever decides a result and with nothing else, all faults at once, and nested training sets."""

import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from fintune import recipe as recipes
from fintune.data.formats.base import ReadOptions
from fintune.data.formats.jsonl import dump
from fintune.data.load import load
from fintune.data.methods import strata
from fintune.errors import RecipeError
from fintune.records import Example
from fintune.study import sources, spec, subsets
from fintune.study.cells import Maker, grid, listed, task_of

EXAMPLES = tiny.examples()


def study(**changes: Any) -> spec.Spec:
    settings = {
        "name": "x", "question": "?", "recipe": "ner-minilm", "data": {"train": "a", "validation": "b"},
        "axes": {"rank": {"key": "adapter.rank", "values": [4, 8]}, "seed": {"key": "seed", "values": [0, 1]}},
        **changes,
    }  # fmt: skip
    return spec.validate(settings, {}, "x.study.yaml")


def data(folder: Path, train: list[Example] = EXAMPLES[:40], validation: list[Example] = EXAMPLES[40:]) -> sources.Sources:
    files = {"train": folder / "train.jsonl", "validation": folder / "validation.jsonl"}
    for name, examples in (("train", train), ("validation", validation)):
        files[name].write_text("".join(dump(example) + "\n" for example in examples), encoding="utf-8")
    where = spec.Data(train=str(files["train"]), validation=str(files["validation"]))
    return sources.read(task_of(study()), where, ReadOptions(), folder, lambda text: None)


def ids(folder: Path, of: spec.Spec, given: sources.Sources | None = None) -> dict[tuple[str, ...], str]:
    cells = Maker(of, given or data(folder), folder).make(grid(of.axes))
    return {tuple(cell.labels.values()): cell.id for cell in cells}


def test_a_grid_is_every_combination_in_order() -> None:
    points = grid(study().axes)
    assert [{name: choice[0] for name, choice in point.items()} for point in points] == [
        {"rank": rank, "seed": seed} for rank in ("4", "8") for seed in ("0", "1")
    ]
    assert grid({}) == [{}]


def test_another_value_keeps_the_ids_that_were_there(tmp_path: Path) -> None:
    wider = {"rank": {"key": "adapter.rank", "values": [2, 4, 8]}, "seed": {"key": "seed", "values": [0, 1, 2]}}
    before, after = ids(tmp_path, study()), ids(tmp_path, study(axes=wider))
    assert before.items() <= after.items()
    assert len(set(after.values())) == 9


@pytest.mark.parametrize(
    "setting",
    [{"train.epochs": 3}, {"adapter.alpha": 5}, {"train.noise": "neftune"}, {"data.words": "fine"}, {"predict.precision": "fp32"}],
    ids=str,
)
def test_whatever_matters_gives_new_ids(tmp_path: Path, setting: dict[str, Any]) -> None:
    assert set(ids(tmp_path, study()).values()).isdisjoint(ids(tmp_path, study(set=setting)).values())


def test_other_examples_give_new_ids_and_another_place_does_not(tmp_path: Path) -> None:
    first = ids(tmp_path, study())
    (elsewhere := tmp_path / "elsewhere").mkdir()
    assert ids(elsewhere, study(name="y", question="!", limits={"parallel": 3})) == first
    for changed in (data(tmp_path, EXAMPLES[:39]), data(tmp_path, validation=EXAMPLES[41:])):
        assert set(first.values()).isdisjoint(ids(tmp_path, study(), changed).values())


def test_every_cell_that_cannot_be_is_named_with_its_key(tmp_path: Path) -> None:
    axes = {"rank": {"key": "adapter.rank", "values": [0, 4]}, "loss": {"key": "train.lose", "values": ["focal"]}}
    with pytest.raises(RecipeError) as caught:
        ids(tmp_path, study(axes=axes))
    told = str(caught.value)
    assert "2 of 2 cells cannot be" in told
    assert "rank=0 loss=focal" in told
    assert "rank=4 loss=focal" in told
    assert "did you mean 'loss'" in told
    assert "\n" not in told


def test_two_cells_that_are_one_run_are_refused(tmp_path: Path) -> None:
    axes = {"a": {"values": {"as it is": {}, "said again": {"adapter.rank": recipes.load("ner-minilm").adapter.rank}}}}
    with pytest.raises(RecipeError, match="a=said again: the same run as a=as it is"):
        ids(tmp_path, study(axes=axes))


def test_recipes_of_another_task_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="sentiment-3"):
        ids(tmp_path, study(axes={"r": {"key": "recipe", "values": ["ner-minilm", "sentiment-minilm"]}}))


def test_baselines_of_an_encoder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="without training it says nothing"):
        ids(tmp_path, study(baselines=[0]))


def test_listed_cells_name_a_label_of_every_axis() -> None:
    chosen = study(search={"method": "list"}, cells=[{"rank": 4, "seed": 1}, {"rank": "8", "seed": 0}])
    assert [[choice[0] for choice in point.values()] for point in listed(chosen)] == [["4", "1"], ["8", "0"]]
    for wrong, told in (({"rank": 4}, "no label for axis 'seed'"), ({"rank": 5, "seed": 0}, "no '5'"), ({"rnk": 4}, "did you mean 'rank'")):
        with pytest.raises(RecipeError, match=told):
            listed(study(search={"method": "list"}, cells=[wrong]))


def test_a_cell_says_how_to_train_it_by_itself(tmp_path: Path) -> None:
    of = study(
        set={"train.noise": "none"},
        axes={"size": {"key": "data.examples", "values": [10]}, "t": {"key": "adapter.targets", "values": [["query"]]}},
    )
    (cell,) = Maker(of, given := data(tmp_path), tmp_path).make(grid(of.axes))
    words = shlex.split(cell.command(given.validation, tmp_path / "run"))
    overrides = [word for word, before in zip(words[1:], words, strict=False) if before == "--set"]
    assert recipes.load(words[2], overrides) == cell.recipe
    place = Path(words[words.index("--data") + 1])
    cell.train.write((place.parent.mkdir(), place)[1])
    assert load(place, kind="spans").fingerprint == cell.train.fingerprint
    assert len(cell.train.examples) == 10


# ---------------------------------------------------------------- training sets of several sizes

LABELLED = st.lists(st.sampled_from("aaaab"), min_size=1, max_size=60).map(
    lambda labels: [Example(str(i), f"text {i}", label=label) for i, label in enumerate(labels)]
)


@settings(max_examples=50, deadline=None)
@given(examples=LABELLED | st.just(EXAMPLES), seed=st.integers(0, 3))
def test_a_smaller_set_is_a_part_of_a_larger_one_with_the_same_shares(examples: list[Example], seed: int) -> None:
    ranking = subsets.ranking(examples, seed=seed)
    assert sorted(ranking) == list(range(len(examples)))
    counts = Counter(label for example in examples for label in strata(example))
    rarest = [min(strata(e), key=lambda label: (counts[label], label), default="") for e in examples]
    whole = Counter(rarest)
    for size in range(1, len(examples) + 1):
        chosen = subsets.subset(examples, size, seed=seed)
        assert chosen == [examples[i] for i in sorted(ranking[:size])]
        for label, number in Counter(rarest[i] for i in ranking[:size]).items():
            assert abs(number - size * whole[label] / len(examples)) <= 1 + len(whole) / 2  # of the share of this many


def test_sizes_are_counts_or_shares() -> None:
    assert [subsets.count(asked, 200) for asked in (1, 200, 0.25, 1.0, 0.0001)] == [1, 200, 50, 200, 1]
    for wrong in (0, 201, 1.5, 0.0, True, "half", None):
        with pytest.raises(RecipeError):
            subsets.count(wrong, 200)


def test_another_seed_draws_another_set() -> None:
    first, second = (subsets.subset(EXAMPLES, 20, seed=seed) for seed in (0, 1))
    assert first != second
    assert first == subsets.subset(EXAMPLES, 20, seed=0)
