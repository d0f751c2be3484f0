"""Every figure of a certificate against a count of its own, for all heads; the record is JSON and the summary tells the essentials."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from certified import LettersChat, LettersHead, built, language_model, recipe, spanned, spans_task, tone_task
from hypothesis import given
from hypothesis import strategies as st

import tiny
from fintune.errors import GateError, RecipeError
from fintune.heads.build import build
from fintune.heads.generative import packs
from fintune.heads.generative.conversation import Rendered
from fintune.heads.noise import Noise
from fintune.models.estimate import Load, packed
from fintune.recipe import Recipe
from fintune.records import Example, Span
from fintune.tasks.base import load_task
from fintune.train import order
from fintune.train.certificate import Certificate
from fintune.train.preflight import certify
from fintune.train.preflight_figures import Segment, labels, segments, spread


def certificate(examples: list[Example], settings: Recipe | None = None, *, task=None, chat: LettersChat | None = None) -> Certificate:
    task = task or spans_task()
    parts = built(task, chat)
    return certify(settings or recipe(), task, parts, examples, parts.head.encode(examples), steps=6)


def test_tokens_and_supervised_tokens():
    examples = spanned(7)
    found = certificate(examples)
    task = spans_task()
    targets = [len(task.target(e)) + 1 for e in examples]  # a token for each letter, and the end
    prompts = [len(task.messages(e, purpose="train")[0]["content"]) + 4 for e in examples]  # <s>, <user>, <end>, <model>
    wholes = [a + b for a, b in zip(targets, prompts, strict=True)]
    assert (found.supervised.min, found.supervised.max, found.supervised.total) == (min(targets), max(targets), sum(targets))
    assert found.supervised.median == statistics.median(targets)
    assert (found.tokens.median, found.tokens.total) == (statistics.median(wholes), sum(wholes))
    assert found.longest == ("e6" if wholes[6] == max(wholes) else f"e{wholes.index(max(wholes))}", max(wholes))
    assert found.unit == "tokens"
    assert (found.examples, found.items) == (7, 7)


@given(st.lists(st.integers(0, 99), min_size=1, max_size=9))
def test_a_spread_is_of_what_was_counted(values):
    found = spread(values)
    assert (found.min, found.max, found.total) == (min(values), max(values), sum(values))
    assert found.median == statistics.median_high(values)


@st.composite
def rendered(draw: st.DrawFn) -> Rendered:
    """Texts whose tokens may share characters, leave some out, and be learnt in stretches."""
    text = draw(st.text(max_size=40) | st.text(alphabet="ab\n", min_size=600, max_size=1500))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
    offsets = [(a, b) for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True) if a < b]
    offsets = [offset for offset in offsets for _ in range(draw(st.integers(0, 2)))]
    return Rendered(tuple(range(len(offsets))), tuple(offsets), text, tuple(draw(st.booleans()) for _ in offsets))


@given(rendered())
def test_segments_are_the_text_and_say_of_each_character_whether_it_is_learnt(case):
    at = 0
    for segment in segments(case):
        at += segment.skipped
        assert case.text[at : at + len(segment.text)] == segment.text
        for place in range(at, at + len(segment.text)):
            tokens = [s for (a, b), s in zip(case.offsets, case.supervised, strict=True) if a <= place < b]
            assert segment.supervised == any(tokens)
        at += len(segment.text)
    assert at == len(case.text)


def test_a_long_stretch_is_shown_without_its_middle():
    text = "a" * 900 + "bc"
    found = segments(Rendered((0, 1), ((0, 900), (900, 902)), text, (False, True)))
    assert found == (Segment("a" * 320, False), Segment("a" * 320, False, 260), Segment("bc", True))


def test_masks_of_the_shortest_the_middle_and_the_longest():
    examples = spanned(5)
    found = certificate(examples)
    task, chat = spans_task(), LettersChat()
    assert [mask.id for mask in found.masks] == ["e0", "e2", "e4"]
    for mask, example in zip(found.masks, (examples[0], examples[2], examples[4]), strict=True):
        prompt = chat.prompt(task.messages(example, purpose="train")).text
        assert [(s.text, s.supervised) for s in mask.segments] == [(prompt, False), (task.target(example) + "<end>", True)]
        assert mask.supervised == len(task.target(example)) + 1
    assert len(certificate(spanned(1)).masks) == 1


def test_labels_seen_and_unseen():
    examples = [*spanned(4), Example("u", "No surface", spans=(), unaligned=(("Money", "$ 3"),))]
    found = labels(spans_task(), examples)
    assert found == {"Company": 4, "Date": 2, "Location": 0, "Money": 1, "Person": 0, "Product": 0, "Quantity": 0}
    assert list(found) == list(spans_task().labels)
    tones = [Example(str(n), "x", label=label) for n, label in enumerate(["positive", "positive", "neutral"])]
    assert labels(tone_task(), tones)["positive"] == 2
    notes = certificate(spanned(2)).notes
    assert "no example of Location, Money, Person, Product, Quantity: the model cannot learn what it never sees" in notes


def test_chat_and_tokens():
    found = certificate(spanned(3))
    assert found.chat["template"] == "letters"
    assert found.chat["fingerprint"] == "f" * 64
    assert (found.chat["beginnings"], found.chat["end_token"], found.chat["padding_token"]) == (1, "<end>", "<pad>")
    assert found.chat["end_supervised"] == 3


def test_a_template_without_a_beginning_is_remarked_upon():
    class Bare(LettersChat):
        def prompt(self, messages):
            whole = super().prompt(messages)
            return Rendered(whole.ids[1:], tuple((a - 3, b - 3) for a, b in whole.offsets[1:]), whole.text[3:], whole.supervised[1:])

    found = certificate(spanned(2), chat=Bare())
    assert found.chat["beginnings"] == 0
    assert "the template leaves out the beginning-of-text token that the tokenizer would add" in found.notes
    assert not any("beginning-of-text" in note for note in certificate(spanned(2)).notes)


def test_modules_and_parameters_are_those_matched():
    found = certificate(spanned(2))
    model, matched = language_model()
    assert found.modules == matched.modules
    assert len(found.modules) == 2 * 7
    assert found.parameters == (sum(p.numel() for p in model.parameters() if p.requires_grad), sum(p.numel() for p in model.parameters()))


def test_steps_prefix_and_savings_are_those_of_the_packs_that_will_be_made():
    examples, settings = spanned(11), recipe(train__batch_size=4, train__accumulate=2)
    found = certificate(examples, settings)
    head = LettersHead(spans_task(), LettersChat())
    items = head.encode(examples)
    batches = order.batches([i.length for i in items], batch_size=4, seed=settings.seed, epoch=0, group=1)
    made = [
        packs.pack(part, sharing="prefix")
        for batch in batches
        for share in order.share(batch, parts=2)
        for part in head.cut([items[i] for i in share])
    ]
    assert found.epoch.steps == len(batches) == 3
    assert found.epoch.load.tokens == sum(pack["tokens"].numel() for pack in made)
    assert found.epoch.load.rows == sum(pack["rows"].numel() for pack in made) == found.supervised.total
    assert found.epoch.largest.tokens == max(pack["tokens"].numel() for pack in made)
    assert found.epoch.prefix == packs.shared(items) > 20
    assert found.saved == pytest.approx(1 - found.epoch.load.tokens / sum(i.length for i in items))
    assert found.saved > 0.1
    assert (found.steps, found.epochs, found.batch) == (6, 2, 4)


def test_without_sharing_nothing_is_saved():
    task = spans_task()
    parts = built(task)
    parts.head.sharing = "none"
    found = certify(recipe(), task, parts, spanned(4), parts.head.encode(spanned(4)), steps=2)
    assert (found.saved, found.epoch.prefix) == (0.0, 0)
    lengths = [item.length for item in parts.head.encode(spanned(4))]
    assert found.epoch.load == packed(0, lengths, found.supervised.total)


def test_memory_and_time_are_estimates_for_the_largest_pack_and_for_all_epochs():
    once, twice = certificate(spanned(4), recipe(train__epochs=1)), certificate(spanned(4), recipe(train__epochs=2))
    assert twice.needs.work == 2 * once.needs.work > 0
    assert once.needs.seconds == pytest.approx(2 * once.needs.work / once.needs.rate)
    trained = once.parameters[0]
    assert once.needs.memory.adapter == once.needs.memory.gradients == 4 * trained
    assert once.needs.memory.weights == 4 * (once.parameters[1] - trained)
    assert once.memory == once.needs.kept == once.needs.memory.total
    assert not once.needs.recomputed
    again = certificate(spanned(4), recipe(train__recompute="always"))
    assert again.needs.recomputed
    assert again.memory == once.memory > again.needs.memory.total
    assert again.needs.work > twice.needs.work


@pytest.mark.parametrize("kind", ["neftune", "uniform"])
def test_the_loudness_of_noise_is_what_the_noise_itself_measures(kind):
    examples = [spanned(1)[0]] * 3
    settings = recipe(train__noise=kind, train__noise_alpha=0.7)
    task = spans_task()
    parts = built(task)
    items = parts.head.encode(examples)
    found = certify(settings, task, parts, examples, items, steps=1).noise
    assert found is not None
    embedded = parts.model.adapted.get_base_model().get_input_embeddings()(torch.tensor([items[0].full.ids]))
    torch.manual_seed(0)
    measured = Noise(kind, 0.7)
    measured(embedded, torch.ones(embedded.shape[:2]))
    assert found.ratio == pytest.approx(float(measured.ratio), rel=0.05)
    assert found.ratio == found.noise / found.embeddings


@pytest.mark.parametrize(("alpha", "negligible"), [(0.3, True), (50.0, False)])
def test_negligible_noise_is_said_to_be(alpha, negligible):
    task = spans_task()
    parts = built(task)
    with torch.no_grad():
        parts.model.adapted.get_base_model().get_input_embeddings().weight.mul_(20)
    found = certify(
        recipe(train__noise="neftune", train__noise_alpha=alpha), task, parts, spanned(2), parts.head.encode(spanned(2)), steps=1
    )
    assert any("which is negligible" in note for note in found.notes) == negligible
    assert certificate(spanned(2)).noise is None


def test_what_was_left_out_is_named():
    task = spans_task()
    parts = built(task)
    examples = spanned(4)
    parts.head.left_out = ["e3"]
    found = certify(recipe(), task, parts, examples, parts.head.encode(examples[:3]), steps=1)
    assert found.left_out == ("e3",)
    assert "too long and left out: 1 examples" in found.notes
    assert "1 too long and left out" in found.summary()


def test_gold_that_a_target_cannot_say_is_counted():
    text = "Acme met Acme in May"
    examples = [*spanned(2), Example("twice", text, spans=(Span(9, 13, "Company"),))]
    found = certificate(examples)
    assert found.unreachable == ("twice",)
    assert any("cannot say the gold of 1 examples exactly" in note for note in found.notes)


def test_refusals_reach_the_caller():
    with pytest.raises(RecipeError, match="too long"):
        certificate(spanned(3), recipe(data__max_tokens=100, data__overlap_tokens=0))
    task = spans_task()
    parts = built(task)
    with pytest.raises(GateError, match="nothing would be learnt"):
        certify(recipe(), task, parts, [], [], steps=1)


@pytest.mark.parametrize("target", ["literal", "json", "compact"])
def test_the_record_is_json_with_every_part(target):
    found = certificate(spanned(3), task=spans_task(target)).record()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["schema_version"] == 1
    assert set(found) == {
        *("schema_version", "head", "task", "kind", "examples", "supervised", "tokens", "longest", "masks", "labels", "unreachable"),
        *("chat", "modules", "parameters", "prefix", "steps", "memory", "time", "noise", "notes"),
    }
    assert found["memory"]["estimated"] is found["time"]["estimated"] is True
    assert found["steps"]["computed_per_epoch"] == certificate(spanned(3), task=spans_task(target)).epoch.load.tokens


def test_the_summary_holds_figures_and_no_text():
    examples = [replace(e, text=e.text.replace("grew", "\x1b[31mgrew")) for e in spanned(3)]
    examples = [replace(e, spans=e.spans[:1]) for e in examples]
    found = certificate(examples).summary()
    assert found.startswith("pre-flight passed: 3 examples, ")
    assert "\x1b" not in found
    assert "(estimated)" in found


def test_a_token_head_is_certified_as_far_as_it_goes(tiny_base):
    settings = tiny.recipe(tiny_base, {"train.batch_size": 8})
    task = load_task(settings.task)
    examples = tiny.examples(20)
    whole = build(settings, task)
    items = whole.head.encode(examples, "train")
    found = certify(settings, task, whole, examples, items, steps=6)
    assert found.unit == "words"
    assert found.supervised.total == sum(len(item.tags) for item in items)
    assert (found.masks, dict(found.chat), found.unreachable) == ((), {}, ())
    assert found.labels["Company"] == sum(s.label == "Company" for e in examples for s in e.spans)
    assert found.epoch.load.tokens >= found.epoch.tokens == sum(item.length for item in items)
    assert found.noise is not None
    assert json.dumps(found.record(), allow_nan=False)
    assert found.epoch.load != Load(0, 0, 0)


def test_unlabelled_texts_teach_a_token_head_nothing(tiny_base):
    settings = tiny.recipe(tiny_base)
    task = load_task(settings.task)
    whole = build(settings, task)
    examples = [Example("a", "Acme rose", where="x.jsonl:1")]
    with pytest.raises(GateError, match=r"x\.jsonl:1: nothing would be learnt"):
        certify(settings, task, whole, examples, whole.head.encode(examples, "train"), steps=1)


def test_a_head_without_a_label_set_is_certified():
    task = SimpleNamespace(**{name: getattr(spans_task(), name) for name in ("name", "kind", "target", "parse", "messages")}, labels=())
    parts = built(task)
    assert dict(certify(recipe(), task, parts, spanned(2), parts.head.encode(spanned(2)), steps=1).labels) == {}
