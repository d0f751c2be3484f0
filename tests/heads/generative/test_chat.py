"""Conversations equal what transformers makes of the same template, id by id, wherever the text is harmless."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

import chatting
from fintune.errors import ArtifactError, DataError, RecipeError
from fintune.heads.generative.chat import Chat
from fintune.heads.generative.conversation import Rendered

TARGET = "{'Company': ['Acme'], 'Date': None}"
QUESTION = {"role": "user", "content": "Name entities.\n\nAcme's sales rose 5 % —  ½ in 株式 😀 e\u0301 to 3 000 €."}
SYSTEM = {"role": "system", "content": "You extract: names, dates."}
SHOWN = [{"role": "user", "content": "Corvane sold a plant."}, {"role": "assistant", "content": "{'Company': ['Corvane']}"}]
CONVERSATIONS = {
    "one": [QUESTION], "system": [SYSTEM, QUESTION], "shown": [*SHOWN, QUESTION], "all": [SYSTEM, *SHOWN, *SHOWN, QUESTION],
    "empty": [*SHOWN, {"role": "user", "content": ""}],
}  # fmt: skip


def chat(tokenizer: Any, *, template: str = "own", thinking: str = "none", known: str = "") -> Chat:
    return Chat(tokenizer, template=template, thinking=thinking, known=known)


def reference(tokenizer: Any, messages: list[dict[str, str]], **switches: bool) -> tuple[int, ...]:
    """What transformers makes of the conversation."""
    return tuple(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False, **switches))


def written(made: Chat, whole: Rendered, messages: list[dict[str, str]]) -> tuple[int, ...]:
    """The ids after those of the prompt."""
    prompt = made.prompt(messages)
    assert whole.ids[: len(prompt.ids)] == prompt.ids
    assert whole.text.startswith(prompt.text)
    return whole.ids[len(prompt.ids) :]


@pytest.mark.parametrize("name", chatting.REAL)
def test_prompts_are_those_of_transformers_with_real_templates_and_vocabularies(name: str) -> None:
    tokenizer = chatting.real(name)
    made = chat(tokenizer)
    for messages in CONVERSATIONS.values():
        assert made.prompt(messages).ids == reference(tokenizer, messages)


@pytest.mark.parametrize("name", chatting.SMALL)
@pytest.mark.parametrize("template", [chatting.MARKED, chatting.INSTRUCT, chatting.SWALLOWING], ids=["marked", "instruct", "swallowing"])
def test_prompts_are_those_of_transformers_for_every_construction_of_a_tokenizer(name: str, template: str) -> None:
    tokenizer = chatting.small(name, template)
    made = chat(tokenizer)
    for key, messages in CONVERSATIONS.items():
        if template != chatting.INSTRUCT or key not in ("system", "all"):
            assert made.prompt(messages).ids == reference(tokenizer, messages), key


@pytest.mark.parametrize("name", chatting.REAL)
def test_conversations_read_as_the_template_writes_them(name: str) -> None:
    """Where it writes the assistant's words as they are, which R1's does not after its own `<think>`."""
    tokenizer = chatting.real(name)
    made = chat(tokenizer, thinking="empty" if name == "qwen3" else "none")
    for messages in CONVERSATIONS.values():
        whole = made.conversation(messages, TARGET)
        answered = [*messages, {"role": "assistant", "content": TARGET}]
        natural = tokenizer.apply_chat_template(answered, tokenize=False).rstrip("\n")
        assert whole.text == (natural.replace("<｜Assistant｜>{'Company': ['Acme']", "<｜Assistant｜><think>\n{'Company': ['Acme']"))


@pytest.mark.parametrize("name", [*chatting.REAL, *chatting.SMALL])
def test_the_target_and_its_end_are_supervised_and_nothing_else(name: str) -> None:
    made = chat(chatting.any_of(name))
    for messages in CONVERSATIONS.values():
        prompt, whole = made.prompt(messages), made.conversation(messages, TARGET)
        assert not any(prompt.supervised)
        assert len(whole.ids) == len(whole.offsets) == len(whole.supervised)
        border = len(prompt.text)
        assert whole.text[border:].strip() == TARGET + made._literal(made.end)
        # By the characters each token stands for, not by position: a token is learnt exactly if it stands in the answer.
        assert [start >= border for start, _ in whole.offsets] == list(whole.supervised)
        assert whole.ids[-1] == made.end
        assert written(made, whole, messages)[:-1] == made.plain(TARGET)
        assert made.end not in whole.ids[len(prompt.ids) : -1]


@pytest.mark.parametrize("name", [*chatting.REAL, *chatting.SMALL])
def test_what_is_learnt_is_decoded_to_the_target(name: str) -> None:
    made = chat(chatting.any_of(name))
    for messages in CONVERSATIONS.values():
        assert made.decode(written(made, made.conversation(messages, TARGET), messages)) == TARGET


@pytest.mark.parametrize("name", [*chatting.REAL, *chatting.SMALL])
def test_offsets_hold_the_text(name: str) -> None:
    """Every character stands in some token, blanks and composed accents aside; tokens stand in order, control tokens on their literals."""
    tokenizer = chatting.any_of(name)
    made = chat(tokenizer)
    whole = made.conversation(CONVERSATIONS["all"], TARGET)
    covered = {i for start, end in whole.offsets for i in range(start, end)}
    assert {i for i, c in enumerate(whole.text) if not c.isspace() and not unicodedata.combining(c)} <= covered
    assert list(whole.offsets) == sorted(whole.offsets)
    controls = tokenizer.added_tokens_decoder
    for token, (start, end) in zip(whole.ids, whole.offsets, strict=True):
        if token in controls and token != tokenizer.unk_token_id:
            assert whole.text[start:end].strip() == controls[token].content


@pytest.mark.parametrize("name", ["llama3", "qwen3", "bytes-prefixed"])
def test_byte_level_offsets_agree_with_the_tokenizer(name: str) -> None:
    tokenizer = chatting.any_of(name)
    prompt = chat(tokenizer).prompt([QUESTION])
    coded = tokenizer(prompt.text, add_special_tokens=False, return_offsets_mapping=True)
    assert coded["offset_mapping"] == list(prompt.offsets)


@pytest.mark.parametrize("name", [*chatting.REAL, *chatting.SMALL])
def test_padding_is_neither_learnt_nor_an_end(name: str) -> None:
    made = chat(chatting.any_of(name))
    assert made.padding not in made.stop
    assert made.padding not in made.conversation([QUESTION], TARGET).ids
    assert made.stop == {made.end, made.tokenizer.eos_token_id}


def test_the_end_is_the_templates_and_further_ones_stop() -> None:
    tokenizer = chatting.small("unigram", chatting.MARKED)
    ids = tokenizer.get_vocab()
    made = Chat(tokenizer, template="own", thinking="none", known="", extra_stop=[ids["a"]])
    assert made.end == ids["<|im_end|>"]
    assert made.stop == {ids["<|im_end|>"], ids["</s>"], ids["a"]}
    assert chat(tokenizer, template="plain").end == ids["</s>"]
    assert chat(chatting.small("unigram", chatting.INSTRUCT)).end == ids["</s>"]


def test_padding_is_taken_from_the_reserve_where_the_tokenizers_own_ends_the_text() -> None:
    tokenizer = chatting.small("unigram", chatting.MARKED)
    tokenizer.pad_token = "<|im_end|>"
    assert chat(tokenizer).padding == tokenizer.get_vocab()["<pad>"]
    lonely = chatting.lonely()
    with pytest.raises(ArtifactError, match="no token to pad with but the end token"):
        chat(lonely, template="plain")


def test_qwen_pads_with_its_end_of_text_unless_that_stops() -> None:
    tokenizer = chatting.real("qwen3")
    assert chat(tokenizer).padding == tokenizer.convert_tokens_to_ids("<|endoftext|>")
    stopped = Chat(tokenizer, template="own", thinking="none", known="", extra_stop=[tokenizer.pad_token_id])
    assert stopped.padding == tokenizer.convert_tokens_to_ids("<|vision_pad|>")


@pytest.mark.parametrize("name", chatting.SMALL)
def test_the_plain_template_is_an_instruction_and_a_response(name: str) -> None:
    tokenizer = chatting.small(name, chatting.MARKED)
    made = chat(tokenizer, template="plain")
    assert made.conversation([QUESTION], TARGET).text == (f"<s>### Instruction:\n{QUESTION['content']}\n\n### Response:\n{TARGET}</s>")
    shown = made.prompt([SYSTEM, *SHOWN, QUESTION])
    assert shown.text == (
        f"<s>{SYSTEM['content']}\n\n### Instruction:\n{SHOWN[0]['content']}\n\n### Response:\n{SHOWN[1]['content']}"
        f"\n\n### Instruction:\n{QUESTION['content']}\n\n### Response:\n"
    )
    assert shown.ids == tuple(tokenizer(shown.text, add_special_tokens=False)["input_ids"])
    assert shown.ids.count(tokenizer.bos_token_id) == made.describe()["bos"] == 1


def test_the_plain_template_has_no_beginning_where_the_tokenizer_has_none() -> None:
    made = chat(chatting.real("qwen3"), template="plain")
    assert made.prompt([QUESTION]).text.startswith("### Instruction:\n")
    assert made.describe()["bos"] == 0


def test_a_system_turn_that_a_template_refuses_joins_the_first_question() -> None:
    tokenizer = chatting.small("unigram", chatting.INSTRUCT)
    made = chat(tokenizer)
    joined = {"role": "user", "content": f"{SYSTEM['content']}\n\n{SHOWN[0]['content']}"}
    assert made.prompt([SYSTEM, *SHOWN, QUESTION]).ids == reference(tokenizer, [joined, SHOWN[1], QUESTION])


def test_a_system_turn_that_a_template_drops_joins_the_first_question() -> None:
    silent = "{% for m in messages if m.role != 'system' %}{{ '<|im_start|>' + m.content + '<|im_end|>' }}{% endfor %}"
    made = chat(chatting.small("unigram", silent))
    assert made.prompt([SYSTEM, QUESTION]).text == f"<|im_start|>{SYSTEM['content']}\n\n{QUESTION['content']}<|im_end|>"


def test_a_template_that_needs_a_system_turn_gets_an_empty_one() -> None:
    needy = "{% if messages[0].role != 'system' %}{{ raise_exception('needs one') }}{% endif %}" + chatting.MARKED
    made = chat(chatting.small("unigram", needy))
    assert made.prompt([QUESTION]).text.startswith("<s><|im_start|>system\n<|im_end|>\n<|im_start|>user\nName")


def test_templates_are_chosen_by_name_path_and_presence(tmp_path: Path) -> None:
    with_own, without = chatting.small("unigram", chatting.MARKED), chatting.small("unigram", None)
    assert chat(with_own, template="auto").describe()["template"] == "own"
    assert chat(without, template="auto").describe()["template"] == "plain"
    with pytest.raises(RecipeError, match=r"prompt\.template: the tokenizer has no chat template"):
        chat(without, template="own")
    path = tmp_path / "mine.jinja"
    path.write_text("{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}assistant:", encoding="utf-8")
    mine = chat(with_own, template=str(path))
    assert mine.prompt([QUESTION]).text == f"user: {QUESTION['content']}\nassistant:"
    assert mine.describe()["template"] == "mine.jinja"
    with pytest.raises(RecipeError, match=r"no chat template .*nowhere\.jinja"):
        chat(with_own, template=str(tmp_path / "nowhere.jinja"))


def test_no_date_moves_a_prompt() -> None:
    dated = "{{ strftime_now('%d %b %Y') }} {% for m in messages %}{{ m.content }}{% endfor %}"
    assert chat(chatting.small("unigram", dated)).prompt([QUESTION]).text.startswith("26 Jul 2024 ")


def test_the_fingerprint_is_of_template_tokenizer_and_switch_and_survives_saving(tmp_path: Path) -> None:
    tokenizer = chatting.small("unigram", chatting.MARKED)
    made = chat(tokenizer)
    assert json.loads(json.dumps(made.describe())) == made.describe()
    tokenizer("long text", truncation=True, max_length=2, padding="max_length")
    assert chat(tokenizer).fingerprint() == made.fingerprint()
    tokenizer.save_pretrained(tmp_path)
    assert chat(AutoTokenizer.from_pretrained(tmp_path, trust_remote_code=False)).fingerprint() == made.fingerprint()
    others = [
        chat(tokenizer, thinking="reason"),
        chat(tokenizer, template="plain"),
        chat(chatting.small("metaspace-first", chatting.MARKED)),
    ]
    tokenizer = chatting.small("unigram", chatting.MARKED)
    tokenizer.add_tokens(["<extra>"])
    others.append(chat(tokenizer))
    assert len({made.fingerprint(), *(other.fingerprint() for other in others)}) == 5


def test_a_slow_tokenizer_is_refused() -> None:
    class Slow:
        is_fast, name_or_path = False, "somewhere"

    with pytest.raises(ArtifactError, match="no fast tokenizer"):
        chat(Slow())


def test_reasoning_is_asked_for_where_it_is_to_be_learnt() -> None:
    with pytest.raises(DataError, match="no reasoning to learn"):
        chat(chatting.small("unigram", chatting.MARKED), thinking="reason").conversation([QUESTION], TARGET)
