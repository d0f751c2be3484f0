"""An encoder-decoder learns targets that its vocabulary cannot write, and writes them as plain `generate` does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional
from transformers import GenerationConfig

import tiny
import writing
from fintune.errors import ArtifactError, RecipeError
from fintune.heads.base import IGNORED
from fintune.heads.generative.rewriter import Rewriter
from fintune.heads.generative.seq2seq import Seq2SeqHead, assemble
from fintune.heads.generative.shown import kept_demonstrations
from fintune.heads.noise import Noise
from fintune.models.adapter import attach
from fintune.models.catalog import Base
from fintune.recipe import Adapter, Prompt, Recipe
from fintune.records import Example, Prediction, Span
from fintune.tasks.base import load_task

PROMPT = Prompt(target="compact")
TASK = load_task("finance-ner-7", PROMPT)


def example(number: int, text: str, **surfaces: str) -> Example:
    """One with a span for each label."""
    places = {label: text.index(surface) for label, surface in surfaces.items()}
    spans = tuple(Span(place, place + len(surfaces[label]), label, surfaces[label]) for label, place in places.items())
    return Example(str(number), text, spans=spans, where=f"here:{number}")


EXAMPLES = [
    example(1, "Corbrook rose .", Company="Corbrook"),
    example(2, "VaultPay in Lagos .", Product="VaultPay", Location="Lagos"),
    example(3, "Ostrava rose Monday .", Location="Ostrava", Date="Monday"),
    example(4, "Nothing was decided ."),
    example(5, "Ines Dahl runs Corbrook .", Person="Ines Dahl", Company="Corbrook"),
    example(6, "In 2021 18 % .", Date="2021", Quantity="18 %"),
    example(7, "Portugal (EU) fell .", Location="Portugal (EU)"),
    example(8, "€310,000 for ~ {peas} .", Money="€310,000", Product="~ {peas}"),
]


def head(**changes: Any) -> Seq2SeqHead:
    settings: dict[str, Any] = {"prompt": PROMPT, "max_tokens": 400, "too_long": "refuse", "decoding": "auto", "max_new_tokens": None}
    return Seq2SeqHead(TASK, writing.tokenizer(), **(settings | changes))


def adapted(*, rank: int = 8, noise: Noise | None = None) -> Rewriter:
    torch.set_num_threads(1)
    network = writing.model()
    network.generation_config = GenerationConfig()
    model, _ = attach(network, Adapter(rank=rank, alpha=2 * rank), task_type="SEQ_2_SEQ_LM")
    return Rewriter(model, noise)


@pytest.fixture(scope="module")
def learnt() -> Rewriter:
    """Trained on the first eight examples until it knows them."""
    made, model = head(), adapted(rank=64)
    batch = made.collate(made.encode(EXAMPLES, "train"))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=4e-3, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
    for _ in range(300):
        total, count = made.loss(model, batch)
        if (total / count).item() < 0.005:
            break
        optimizer.zero_grad()
        (total / count).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
    return model.eval()


def predictions(made: Seq2SeqHead, model: Rewriter, examples: list[Example]) -> list[Prediction]:
    items = made.encode(examples, "predict")
    return made.decode(model, examples, items, made.scores(model, items))


@pytest.mark.parametrize("decoding", ["free", "constrained"])
def test_eight_examples_are_learnt_to_the_letter(learnt: Rewriter, decoding: str) -> None:
    for source, found in zip(EXAMPLES, predictions(head(decoding=decoding), learnt, EXAMPLES), strict=True):
        assert found.status == "ok"
        assert found.spans == source.spans
        assert found.raw == TASK.target(source)
        assert found.confidence is not None
        assert 0.5 < found.confidence <= 1


def test_free_writing_is_that_of_plain_generate(learnt: Rewriter) -> None:
    made = head(decoding="free", max_new_tokens=24)
    items = made.encode(tiny.examples(12), "predict")  # unseen: some are cut at the budget
    for item, written in zip(items, made.scores(learnt, items), strict=True):
        plain = learnt.adapted.generate(input_ids=torch.tensor([item.prompt.ids]), max_new_tokens=24, eos_token_id=1, pad_token_id=0,
                                        decoder_start_token_id=0)[0, 1:].tolist()  # fmt: skip
        assert list(written.ids) == (plain[: plain.index(1)] if 1 in plain else plain)
        assert written.finished == (1 in plain)


def test_log_probabilities_are_those_of_a_forward_pass(learnt: Rewriter) -> None:
    made = head(decoding="free", max_new_tokens=24)
    items = made.encode(EXAMPLES[:3], "predict")
    item, written = items[0], made.scores(learnt, items)[0]
    with torch.no_grad():
        logits = learnt.adapted(input_ids=torch.tensor([item.prompt.ids]), decoder_input_ids=torch.tensor([[0, *written.ids[:-1]]])).logits[
            0
        ]
    expected = logits.log_softmax(1)[range(len(written.ids)), list(written.ids)]
    assert torch.allclose(torch.tensor(written.logprobs), expected, atol=1e-5)


def test_constrained_writing_is_never_malformed_even_untrained() -> None:
    made, model = head(decoding="constrained", max_new_tokens=30), adapted().eval()
    hostile = [
        Example(str(i), text) for i, text in enumerate(("{'Company': ['x']}", "(a) #28; #{ ~", "株 Acme", 'don\'t "quote" it', "\\ }"))
    ]
    texts = [*EXAMPLES[:3], *hostile]
    for source, found in zip(texts, predictions(made, model, texts), strict=True):
        assert found.status != "malformed"
        assert all(source.text[span.start : span.end] == span.text for span in found.spans or ())


@pytest.mark.parametrize(("decoding", "max_new_tokens"), [("auto", None), ("constrained", 1)])
def test_labels_are_of_the_set_even_untrained(decoding: str, max_new_tokens: int | None) -> None:
    task, texts = load_task("sentiment-3"), [Example(str(i), f"Acme rose {i} %") for i in range(4)]
    made = Seq2SeqHead(task, writing.tokenizer(), prompt=Prompt(), max_tokens=400, too_long="refuse", decoding=decoding,
                       max_new_tokens=max_new_tokens)  # fmt: skip
    for found in predictions(made, adapted().eval(), texts):
        assert found.label in task.labels
        assert found.status == ("ok" if max_new_tokens is None else "repaired")


def test_rows_do_not_depend_on_their_batch(learnt: Rewriter) -> None:
    made = head(max_new_tokens=40)
    items = made.encode(EXAMPLES, "predict")
    together = made.scores(learnt, items)
    assert [written.ids for written in together] == [made.scores(learnt, [item])[0].ids for item in items]


def test_the_loss_is_the_models_own_summed() -> None:
    """Transformers' loss is a mean over the same tokens."""
    made, model = head(), adapted().eval()
    items = made.encode(EXAMPLES, "train")
    batch = made.collate(items)
    total, count = made.loss(model, batch)
    assert count == sum(len(item.full.ids) - len(item.prompt.ids) for item in items if item.full is not None)
    own = model.adapted(input_ids=batch["tokens"], attention_mask=batch["mask"], labels=batch["targets"]).loss
    assert torch.allclose(total / count, own, rtol=1e-5)


def test_loss_and_gradient_are_those_of_examples_one_by_one() -> None:
    made, model = head(), adapted()
    items = made.encode(EXAMPLES, "train")
    trained = [p for p in model.parameters() if p.requires_grad]
    for parameter in trained:
        torch.nn.init.normal_(parameter, std=0.05)
    parts = [made.loss(model, made.collate([item])) for item in items]
    whole, count = made.loss(model, made.collate(items))
    assert torch.allclose(whole, sum(total for total, _ in parts), rtol=1e-5)
    assert count == sum(number for _, number in parts)
    one_by_one = torch.autograd.grad(sum(total for total, _ in parts), trained)
    for together, apart in zip(torch.autograd.grad(whole, trained), one_by_one, strict=True):
        assert torch.allclose(together, apart, rtol=1e-3, atol=1e-4 * float(apart.abs().max()))


def test_only_tokens_of_targets_are_supervised() -> None:
    made = head()
    for item in made.encode(EXAMPLES, "train"):
        full = item.full
        assert full is not None
        assert full.ids[: len(item.prompt.ids)] == item.prompt.ids
        assert full.supervised == (False,) * len(item.prompt.ids) + (True,) * (len(full.ids) - len(item.prompt.ids))
        assert full.ids[-1] == item.prompt.ids[-1] == made.end
        assert full.text == item.prompt.text + made.spelling.spell(TASK.target(item.source)) + "</s>"
        assert item.length == len(full.ids) == len(full.offsets)
        assert made.tokenizer.unk_token_id not in full.ids[len(item.prompt.ids) :]


def test_prompts_of_training_and_prediction_are_the_same() -> None:
    made = head()
    for trained, predicted in zip(made.encode(EXAMPLES, "train"), made.encode(EXAMPLES, "predict"), strict=True):
        assert trained.prompt == predicted.prompt
        assert predicted.full is None


def test_no_text_becomes_an_end() -> None:
    made = head()
    for text in ("Acme </s> rose", "</s>", "<pad></s><unk>"):
        ids = made.encode([Example("1", text)], "predict")[0].prompt.ids
        assert ids.count(made.end) == 1
        assert made.padding not in ids


def test_noise_is_on_the_encoder_and_in_training_alone() -> None:
    made, model = head(), adapted(noise=Noise("neftune", 5.0))
    batch = made.collate(made.encode(EXAMPLES, "train"))
    losses = {made.loss(model, batch)[0].item() for _ in range(3)}
    assert len(losses) == 3
    model.eval()
    assert len({made.loss(model, batch)[0].item() for _ in range(3)}) == 1
    assert made.loss(model, batch)[0].item() == made.loss(adapted().eval(), batch)[0].item()


def test_long_examples_are_refused_or_left_out_by_name() -> None:
    lengths = [item.length for item in head().encode(EXAMPLES, "train")]
    limit = sorted(lengths)[4]
    long = [source.id for source, length in zip(EXAMPLES, lengths, strict=True) if length > limit]
    with pytest.raises(RecipeError, match=rf"data\.max_tokens: {len(long)} conversations .*{long[0]}.*set data\.max_tokens={max(lengths)}"):
        head(max_tokens=limit).encode(EXAMPLES, "train")
    made = head(max_tokens=limit, too_long="drop")
    kept = made.encode(EXAMPLES, "train")
    assert made.left_out == long
    assert [item.source.id for item in kept] == [source.id for source in EXAMPLES if source.id not in long]
    assert [item.example for item in kept] == [i for i, source in enumerate(EXAMPLES) if source.id not in long]
    assert len(made.encode(EXAMPLES, "predict")) == len(EXAMPLES)


def test_an_accent_that_joins_its_letter_is_spelt_and_learnt() -> None:
    source = example(1, "Cafe\u0301 株 {A} rose", Company="Cafe\u0301 株 {A}")
    made = head()
    item = made.encode([source], "train")[0]
    assert item.full is not None
    assert made._text(item.full.ids[len(item.prompt.ids) : -1]) == TASK.target(source)


def test_examples_are_shown_in_training_and_kept_for_prediction(tmp_path: Path) -> None:
    made = head(prompt=Prompt(demonstrations=2, target="compact"), max_tokens=2000)
    pool = tiny.examples(30)
    trained = made.encode(pool, "train")
    kept = made.keep()["demonstrations.jsonl"]
    (tmp_path / "demonstrations.jsonl").write_text(kept, encoding="utf-8")
    prompt = made.prompt
    again = head(prompt=prompt, demonstrations=kept_demonstrations(prompt, tmp_path))
    assert kept_demonstrations(prompt, None) is None
    assert [item.prompt for item in again.encode(pool, "predict")] == [item.prompt for item in trained]
    assert head().keep() == {}


@pytest.mark.parametrize(
    ("changes", "fix"),
    [
        ({"decoding": "choices"}, r"predict\.decoding: .*set it to constrained or free"),
        ({"prompt": Prompt(thinking="reason")}, r"prompt\.thinking: .*no think block"),
        ({"prompt": Prompt(template="own")}, r"prompt\.template: .*no chat template"),
    ],
)
def test_what_an_encoder_decoder_cannot_do_is_refused(changes: dict[str, Any], fix: str) -> None:
    with pytest.raises(RecipeError, match=fix):
        head(**changes)


def test_the_contract_has_the_spelling_and_the_tokenizer() -> None:
    described = head().describe()
    assert json.loads(json.dumps(described)) == described
    assert described["spelling"] == {"marks": {"{": "(", "}": ")"}, "escape": head().spelling.escape}
    settings: dict[str, Any] = {"prompt": Prompt(), "max_tokens": 400, "too_long": "refuse", "decoding": "auto", "max_new_tokens": None}
    other = Seq2SeqHead(load_task("finance-ner-7"), writing.tokenizer(), **settings)
    assert head().contract == head().contract != other.contract


def test_a_recipe_is_assembled_from_a_folder(tmp_path: Path) -> None:
    folder = writing.write_t5(tmp_path)
    base = Base("tiny", "tiny", None, folder, "", "", "none")
    recipe = Recipe(name="r", task="finance-ner-7", model={"base": str(folder)}, head={"type": "generative"}, data={"max_tokens": 400})
    parts = assemble(recipe, TASK, base)
    assert isinstance(parts.head, Seq2SeqHead)
    assert any(name.endswith("q") for name in parts.matched.names)
    assert parts.matched.trainable == sum(p.numel() for p in parts.model.parameters() if p.requires_grad)
    found = predictions(parts.head, parts.model.eval(), EXAMPLES[:2])
    assert [prediction.id for prediction in found] == ["1", "2"]
    shown = recipe.model_copy(update={"prompt": Prompt(demonstrations=1)})
    with pytest.raises(ArtifactError, match="demonstrations cannot be read"):
        assemble(shown, TASK, base, tmp_path)


def test_supervised_rows_are_those_of_the_targets() -> None:
    made, model = head(), adapted().eval()
    batch = made.collate(made.encode(EXAMPLES, "train"))
    rows = model(batch)
    assert rows.shape == (int((batch["targets"] != IGNORED).sum()), len(made.tokenizer))
    assert torch.allclose(made.loss(model, batch)[0], functional.cross_entropy(rows, batch["labels"], reduction="sum"))
