"""The generative head: one contract between training and prediction, nothing cut, and every gold target within what it may write."""

from __future__ import annotations

import json
import math
import os
import shutil
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chatting
import fintune as ft
import tiny
from fintune import api, run
from fintune.data.load import load
from fintune.errors import ArtifactError, GateError, RecipeError
from fintune.heads.build import Built, build
from fintune.heads.calibrated import Calibration
from fintune.heads.generative.chat import Chat
from fintune.heads.generative.conversation import Conversation, Rendered
from fintune.heads.generative.head import REASONING_TOKENS, GenerativeHead
from fintune.metrics.calibration import apply_temperature, fit_temperature
from fintune.recipe import Prompt
from fintune.records import Example, Prediction
from fintune.tasks.base import load_task

SHORT: Mapping[str, Any] = {"train.epochs": 1, "train.learning_rate": 1e-3}
LABELS = ("negative", "neutral", "positive")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chat model that can learn by heart; read only."""
    return tiny.write_chat_model(tmp_path_factory.mktemp("base"), "qwen3", width=64, vocabulary=1000)


@pytest.fixture(scope="module")
def learnt(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that knows twelve examples by heart; read only."""
    return trained(base, tmp_path_factory.mktemp("learnt") / "run", {"train.epochs": 60}, tiny.examples(12))


@pytest.fixture(scope="module")
def labelled(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with labels, validated on texts it has not seen; read only."""
    recipe = tiny.chat_recipe(base, {"train.epochs": 4}, name="sentiment-qwen3-8b")
    output = tmp_path_factory.mktemp("labelled") / "run"
    return ft.train(recipe, data=with_labels(16), validation=with_labels(28)[16:], output=output).folder


def trained(base: Path, output: Path, settings: Mapping[str, Any], data: Sequence[Example]) -> Path:
    return ft.train(tiny.chat_recipe(base, settings, name="ner-qwen3-8b"), data=data, output=output).folder


def built(base: Path, settings: Mapping[str, Any] | None = None, *, name: str = "ner-qwen3-8b") -> Built:
    recipe = tiny.chat_recipe(base, settings, name=name)
    return build(recipe, load_task(recipe.task, recipe.prompt))


def with_labels(count: int) -> list[Example]:
    """The invented sentences under labels that only some of their words give away."""
    return [replace(e, spans=None, label=LABELS[len(e.text) % 3]) for e in tiny.examples(count)]


def said(predictions: Sequence[Prediction]) -> list[tuple[str, object, object]]:
    """What predictions say, without how sure they are."""
    return [(p.raw, p.label, tuple((s.start, s.end, s.label) for s in p.spans or ())) for p in predictions]


# One contract


def test_every_prediction_carries_the_contract(learnt: Path) -> None:
    first, second = ft.load(learnt), ft.load(learnt)
    found = first.predict(["Corbrook fell .", "Nothing was decided ."])
    assert {p.prompt_hash for p in found} == {first.model.head.contract} == {second.model.head.contract}
    assert len(first.model.head.contract) == 64


@pytest.mark.parametrize("settings", [
    {"prompt.labels": "meanings"}, {"prompt.target": "json"}, {"prompt.template": "plain"}, {"prompt.thinking": "none"},
    {"prompt.marker": " /no_think"}, {"prompt.wording": "drawn"}, {"prompt.demonstrations": 1},
])  # fmt: skip
def test_whatever_changes_a_prompt_changes_the_contract(base: Path, settings: Mapping[str, Any]) -> None:
    assert built(base, settings).head.contract != built(base).head.contract
    assert built(base, {"seed": 1}).head.contract == built(base).head.contract


def other_template(base: Path) -> None:
    place = base / "chat_template.jinja"
    place.write_text(place.read_text(encoding="utf-8").replace("user", "human") + "{# #}", encoding="utf-8")


def other_merges(base: Path) -> None:
    place = base / "tokenizer.json"
    document = json.loads(place.read_text(encoding="utf-8"))
    document["model"]["merges"].pop()
    place.write_text(json.dumps(document), encoding="utf-8")


@pytest.mark.parametrize(("change", "named"), [(other_template, "template_sha256"), (other_merges, "tokenizer_sha256")])
def test_a_base_that_would_read_otherwise_is_refused(base: Path, tmp_path: Path, change, named: str) -> None:
    own = shutil.copytree(base, tmp_path / "base")
    folder = trained(own, tmp_path / "run", SHORT, tiny.examples(4))
    ft.load(folder).read_model()
    change(own)
    with pytest.raises(ArtifactError, match=f"in another way than in training .changed: {named}.; restore the base model's tokenizer"):
        ft.load(folder).read_model()


# Nothing is cut


def lengths(base: Path, data: Sequence[Example]) -> dict[str, int]:
    return {item.source.id: item.length for item in built(base).head.encode(data, "train")}


def test_too_long_conversations_are_refused_by_name(base: Path) -> None:
    data = tiny.examples(8)
    found = lengths(base, data)
    limit = sorted(found.values())[-3]
    long = [name for name, length in found.items() if length > limit]
    with pytest.raises(RecipeError) as caught:
        built(base, {"data.max_tokens": limit}).head.encode(data, "train")
    assert caught.value.where == "data.max_tokens"
    assert caught.value.what.endswith(f"up to {max(found.values())}: {', '.join(long)}")
    assert str(max(found.values())) in caught.value.fix


def test_too_long_conversations_are_left_out_by_name(base: Path, tmp_path: Path) -> None:
    data = tiny.examples(8)
    found = lengths(base, data)
    limit = sorted(found.values())[-3]
    long = [name for name, length in found.items() if length > limit]
    settings = {**SHORT, "data.max_tokens": limit, "data.too_long": "drop"}
    folder = trained(base, tmp_path / "run", settings, data)
    assert run.read_json(folder / run.PREFLIGHT)["examples"] == {"count": 8, "items": 8 - len(long), "left_out": long}
    rest = trained(base, tmp_path / "rest", settings, [e for e in data if e.id not in long])
    assert run.hash_files(folder / run.ADAPTER) == run.hash_files(rest / run.ADAPTER), "as if they had not been given"


def test_where_all_are_too_long_nothing_is_trained(base: Path, tmp_path: Path) -> None:
    with pytest.raises((GateError, RecipeError)):
        trained(base, tmp_path / "run", {"data.max_tokens": 16, "data.too_long": "drop"}, tiny.examples(4))
    assert not (tmp_path / "run" / run.MANIFEST).exists()


@pytest.mark.parametrize("which", ["learnt", "labelled"])
def test_a_prompt_without_room_is_malformed_and_harms_no_other(request: pytest.FixtureRequest, which: str) -> None:
    model = ft.load(request.getfixturevalue(which))
    texts = ["Corbrook fell .", "Corbrook fell . " * 1000, "Nothing was decided ."]
    one, long, two = model.predict(texts)
    assert (long.status, long.spans or (), long.label, long.probabilities) == ("malformed", (), None, None)
    assert "tokens leaves no room among the 2048 of the base model" in long.reason
    assert said([one, two]) == said(model.predict(texts[::2]))


def test_what_is_left_of_the_context_bounds_what_is_written(learnt: Path) -> None:
    """The position after the last is never asked for."""
    head = ft.load(learnt).model.head
    fill = bisect(range(2000), 2040, key=lambda n: len(head.encode([Example("1", "a " * n)], "predict")[0].prompt.ids))
    found = ft.load(learnt).predict(["a " * fill])[0]
    assert found.status in ("ok", "repaired"), "a grammar completes what it has no room for"


# What may be written is enough


NOTHING = Rendered((), (), "", ())


def gold() -> dict[str, Sequence[Example]]:
    sets: dict[str, Sequence[Example]] = {"bundled": load("bundled:all", kind="spans").examples, "tiny": tiny.examples()}
    if os.environ.get("FINTUNE_DATA"):
        sets["fire"] = load(Path(os.environ["FINTUNE_DATA"]) / "ner" / "fire7_train.csv", kind="spans").examples
    return sets


@pytest.mark.parametrize("name", ["learnt", "llama3", "qwen3"])
def test_every_gold_target_is_within_its_budget(base: Path, name: str) -> None:
    tokenizer = built(base).head.tokenizer if name == "learnt" else chatting.real(name)
    for target in ("literal", "json", "compact"):
        prompt = Prompt(target=target)
        head = GenerativeHead(
            load_task("finance-ner-7", prompt), Chat(tokenizer, template="auto", thinking="auto", known=""), prompt=prompt,
            max_tokens=1 << 20, too_long="refuse", sharing="prefix", pack_tokens=1 << 20, decoding="auto", max_new_tokens=None,
            positions=None,
        )  # fmt: skip
        for examples in gold().values():
            some = examples if target == "literal" else examples[::5]
            short = [e.id for e in some if len(head.chat.plain(head.task.target(e))) >= head._budget(Conversation(0, e, NOTHING))]
            assert short == []


def test_reasoning_has_room_and_no_grammar(base: Path) -> None:
    thinking = {"prompt.thinking": "reason"}
    plain, reasons = built(base).head, built(base, thinking).head
    assert (plain.decoding, reasons.decoding) == ("constrained", "free")
    before, after = (head.encode(tiny.examples(1), "predict")[0] for head in (plain, reasons))
    assert reasons._budget(after) == plain._budget(before) + REASONING_TOKENS
    with pytest.raises(RecipeError, match="constrained"):
        built(base, {**thinking, "predict.decoding": "constrained"})


# What was learnt


def test_constrained_and_free_writing_agree_on_what_was_learnt(learnt: Path) -> None:
    constrained, free = ft.load(learnt), ft.load(learnt)
    assert constrained.model.head.decoding == "constrained"
    free.model.head.decoding = "free"
    examples = tiny.examples(12)
    assert said(constrained.predict(examples)) == said(free.predict(examples))
    task = constrained.task
    assert said(free.predict(examples)) == said([task.parse(task.target(e), e) for e in examples])


@pytest.mark.parametrize("which", ["learnt", "labelled"])
def test_predictions_do_not_depend_on_the_batch(request: pytest.FixtureRequest, which: str) -> None:
    folder = request.getfixturevalue(which)
    texts = [e.text for e in tiny.examples(14)]
    together, alone = ft.load(folder), ft.load(folder)
    alone.recipe = alone.recipe.model_copy(update={"predict": alone.recipe.predict.model_copy(update={"batch_tokens": 64})})
    one, two = together.predict(texts), alone.predict(texts)
    assert said(one) == said(two)
    assert [p.id for p in one] == [p.id for p in two]
    assert [p.confidence for p in two] == pytest.approx([p.confidence for p in one], rel=1e-3)
    assert said(together.predict(texts[::-1])) == said(one)[::-1]


def test_confidences_are_probabilities(learnt: Path) -> None:
    found = ft.load(learnt).predict(tiny.examples(12))
    assert all(0 < p.confidence <= 1 for p in found if p.confidence is not None)
    sure = [s.confidence for p in found for s in p.spans or ()]
    assert all(0.5 < value <= 1 for value in sure if value is not None), "it knows them by heart"
    assert None not in sure


# Labels


def test_the_probabilities_of_the_labels_add_up(labelled: Path) -> None:
    for found in ft.load(labelled).predict(with_labels(20)):
        assert found.probabilities is not None
        assert len(found.probabilities) == len(LABELS)
        assert math.fsum(found.probabilities) == pytest.approx(1, abs=1e-9)
        assert found.label == LABELS[int(np.argmax(found.probabilities))]
        assert found.confidence == max(found.probabilities)
        assert found.status == "ok"


def test_the_temperature_is_fitted_on_validation_kept_and_applied(labelled: Path) -> None:
    model = ft.load(labelled)
    kept = run.read_json(labelled / run.ADAPTER / "calibration.json")["temperature"]
    assert model.model.head.calibration.temperature == kept != 1.0
    held = with_labels(28)[16:]
    calibrated = model.predict(held)
    model.model.head.calibration = Calibration()
    raw = np.log([p.probabilities for p in model.predict(held)])
    assert fit_temperature(raw, np.array([LABELS.index(str(e.label)) for e in held])) == pytest.approx(kept, rel=1e-3)
    assert np.allclose([p.probabilities for p in calibrated], apply_temperature(raw, kept), atol=1e-9)


# Demonstrations


@pytest.mark.parametrize("choose", ["similar", "fixed"])
def test_demonstrations_are_the_same_after_training_and_never_the_example(base: Path, tmp_path: Path, choose: str) -> None:
    settings = {**SHORT, "prompt.demonstrations": 2, "prompt.choose": choose}
    data = tiny.examples(12)
    head = built(base, settings).head
    items = head.encode(data, "train")
    for item in items:
        shown = item.prompt.text
        assert shown.count(item.source.text) == 1 + sum(item.source.text in other.text for other in head.demonstrations.of(item.source))
        assert item.source.id not in [other.id for other in head.demonstrations.of(item.source)]
        assert shown.count("<|im_start|>assistant") == 1 + len(head.demonstrations.of(item.source)) == 3
        assert sum(item.full.supervised) == len(head.chat.plain(head.task.target(item.source))) + 1, "only its own answer is learnt"
    opened = ft.load(trained(base, tmp_path / "run", settings, data))
    assert (opened.folder / run.ADAPTER / "demonstrations.jsonl").is_file()
    texts = [Example("a", "Corbrook fell 18 % ."), *data[:4]]
    now, then = (h.encode(texts, "predict") for h in (opened.model.head, head))
    assert [item.prompt.ids for item in now] == [item.prompt.ids for item in then]
    assert [item.prompt.ids for item in now[1:]] == [item.prompt.ids for item in items[:4]], "in prediction as in training"


def test_a_run_without_its_demonstrations_is_refused(base: Path, tmp_path: Path) -> None:
    folder = trained(base, tmp_path / "run", {**SHORT, "prompt.demonstrations": 1}, tiny.examples(6))
    (folder / run.ADAPTER / "demonstrations.jsonl").unlink()
    with pytest.raises(ArtifactError, match=r"demonstrations\.jsonl is missing"):
        ft.load(folder)


# Sharing and noise


@pytest.mark.parametrize(("settings", "resolved"), [
    ({}, "prefix"), ({"train.noise": "neftune"}, "none"), ({"adapter.dropout": 0.1}, "none"), ({"model.dropout": 0.1}, "none"),
])  # fmt: skip
def test_exact_sharing_gives_way_to_what_is_drawn(base: Path, settings: Mapping[str, Any], resolved: str) -> None:
    head = built(base, {"train.sharing": "exact", **settings}).head
    assert head.sharing == resolved
    pack = head.collate(head.encode(tiny.examples(3), "train"))
    assert (int(pack["prefix"]) > 0) == (resolved == "prefix")
    assert built(base, {"train.sharing": "prefix", **settings}).head.sharing == "prefix"


def test_how_loud_the_noise_was_is_logged(base: Path, tmp_path: Path) -> None:
    found = {}
    for alpha in (1.0, 4.0):
        settings = {**SHORT, "train.noise": "neftune", "train.noise_alpha": alpha}
        records = run.Log(trained(base, tmp_path / str(alpha), settings, tiny.examples(6)) / run.LOG).records()
        found[alpha] = [record["noise_ratio"] for record in records if record["event"] == "step"]
    assert len(found[1.0]) == 2
    assert [4 * ratio for ratio in found[1.0]] == pytest.approx(found[4.0], rel=1e-4), "the same draws, four times as loud"
    assert all(0 < ratio < 1 for ratio in found[4.0])
    quiet = run.Log(trained(base, tmp_path / "quiet", SHORT, tiny.examples(6)) / run.LOG).records()
    assert not [record for record in quiet if "noise_ratio" in record]


def test_a_kind_that_cannot_be_decoded_so_is_refused(base: Path) -> None:
    for name, decoding in (("ner-qwen3-8b", "choices"), ("reasoning-fino1-8b", "constrained")):
        with pytest.raises(RecipeError, match="cannot be decoded as"):
            built(base, {"predict.decoding": decoding, "prompt.thinking": "none"}, name=name)


def test_the_report_of_a_run_is_that_of_its_predictions(learnt: Path, tmp_path: Path) -> None:
    examples = tiny.examples(12)
    report = ft.load(learnt).evaluate(examples, output=tmp_path)
    assert report["metrics"]["micro_f1"]["value"] == 1.0
    opened = ft.load(learnt)
    assert (
        api.score(opened.task, load(examples, kind="spans"), opened.predict(examples), floors={}, source="")["metrics"] == report["metrics"]
    )
