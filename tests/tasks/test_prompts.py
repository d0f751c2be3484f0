"""Prompts say what the settings ask for, text never becomes layout, and every fault of a prompt file has its line."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintune.errors import RecipeError
from fintune.recipe import Prompt
from fintune.tasks.layout import Layout
from fintune.tasks.prompt_file import BUNDLED, available, read
from fintune.tasks.prompts import Prompting, prompting

KINDS = ("answer", "label", "spans")
LABELS = [("Company", "A firm"), ("Date", "A point in {time}"), ("Other", "")]
texts = st.text(max_size=12) | st.lists(st.sampled_from(["{text}", "{labels}", "{", "}", "{{text}}", "a", "\n", " ", "\\1", "{0}"])).map(
    "".join
)


def asked(kind: str = "spans", **settings: object) -> Prompting:
    return prompting(kind, instruction="Find names:", description="Names in texts", settings=Prompt.model_validate(settings))


def said(made: Prompting, fields: dict[str, str], **more: object) -> str:
    messages = made.messages(fields, **{"labels": LABELS, "key": "e1", "purpose": "train", **more})
    assert [message["role"] for message in messages] == ["user"]
    return messages[0]["content"]


def test_the_default_is_the_papers_prompt():
    made = prompting("spans", instruction="", description="d", settings=Prompt())
    for purpose in ("train", "predict"):
        messages = made.messages({"text": "Acme rose"}, labels=LABELS, key="any", purpose=purpose)
        assert messages == [{"role": "user", "content": "Do Named Entity Recognition for the following text:\nAcme rose"}]


@given(text=texts, question=texts, kind=st.sampled_from(KINDS), labels=st.sampled_from(["none", "names", "meanings"]), marker=texts)
def test_text_is_copied_and_never_read_as_layout(text, question, kind, labels, marker):
    """Wherever the values hold places, the message is the layout's literals with these very values between."""
    fields = {"text": text, "question": question} if kind == "answer" else {"text": text}
    made = asked(kind, labels="none" if kind == "answer" else labels, marker=marker)
    frame = said(asked(kind, labels="none" if kind == "answer" else labels), dict.fromkeys(fields, "\0"))
    parts = frame.split("\0")
    values = list(fields.values())
    expected = "".join(part + value for part, value in zip(parts, [*values, ""], strict=True))
    if all(values):  # lines of nothing are left out
        assert said(made, fields) == (expected.strip() + marker).strip()
    assert said(made, fields) == said(made, fields).strip()


def test_labels_and_format_are_said_as_asked():
    bare, names, meanings = (said(asked(labels=labels), {"text": "Acme"}) for labels in ("none", "names", "meanings"))
    assert bare == "Find names:\nAcme"
    assert "Types: Company, Date, Other\n" in names
    assert "Types:\n- Company: A firm\n- Date: A point in {time}\n- Other\n" in meanings
    formats = {said(asked(labels="names", target=target), {"text": "Acme"}).splitlines()[-2] for target in ("literal", "json", "compact")}
    assert len(formats) == 3
    assert names.splitlines()[-2] in formats


def test_wordings_are_drawn_by_key_and_those_held_out_are_not_trained_on():
    """Many keys reach every wording, the same key always the same one, and training and evaluation share none."""
    for kind in KINDS:
        made = asked(kind, wording="drawn")
        fields = {"text": "T", "question": "Q"} if kind == "answer" else {"text": "T"}
        seen = {
            purpose: {said(made, fields, key=f"e{number}", purpose=purpose) for number in range(400)} for purpose in ("train", "predict")
        }
        assert len(seen["train"]) == len(made.file.wordings) >= 8
        assert len(seen["predict"]) == len(made.file.held_out) >= 2
        assert seen["train"].isdisjoint(seen["predict"])
        assert said(made, fields, key="e7") == said(asked(kind, wording="drawn"), fields, key="e7")
        assert (kind == "label") == ("Names in texts" in said(made, fields))


def test_demonstrations_become_earlier_turns_in_the_same_wording():
    made = asked(labels="meanings", wording="drawn", marker=" /no_think")
    messages = made.messages(
        {"text": "last "}, labels=LABELS, key="e5", purpose="train", demonstrations=[({"text": "one"}, " {} "), ({"text": "two"}, "None")]
    )
    assert [message["role"] for message in messages] == ["user", "assistant", "user", "assistant", "user"]
    assert [message["content"] for message in messages[1::2]] == ["{}", "None"]
    wording = messages[0]["content"].splitlines()[0]
    assert all(message["content"].startswith(wording) for message in messages[::2])
    assert [message["content"].count("A firm") for message in messages[::2]] == [1, 0, 0]  # labels are said once
    assert [message["content"].endswith("/no_think") for message in messages[::2]] == [False, False, True]
    assert messages[-1]["content"].endswith("last /no_think")


def test_a_layout_leaves_out_lines_of_nothing():
    layout = Layout.of("{a}\n\n- {b} {c}\nplain {X} {}")
    assert layout.fill({"a": "", "b": "", "c": ""}) == "\nplain {X} {}"
    assert layout.fill({"a": "1", "b": "", "c": "2"}) == "1\n\n-  2\nplain {X} {}"
    assert layout.places == {"a", "b", "c"}


@pytest.mark.parametrize("name", KINDS)
def test_bundled_files_are_named_after_their_kind(name):
    file = read(BUNDLED / f"{name}.md")
    assert (file.name, file.kind, name in available()) == (name, name, True)
    assert len({*file.wordings, *file.held_out}) == len(file.wordings) + len(file.held_out)


def test_descriptions_tell_prompts_apart_and_hold_no_paths(tmp_path: Path):
    """Two settings that say different things differ; where the file lies does not matter, what is in it does."""
    settings = [
        dict(zip(("labels", "target", "wording"), values, strict=True))
        for values in product(("none", "names"), ("json", "compact"), ("fixed", "drawn"))
    ]
    described = [asked(**one).describe() for one in settings]
    assert json.loads(json.dumps(described)) == described
    assert all(one not in described[:at] for at, one in enumerate(described))
    moved, changed = tmp_path / "moved.md", tmp_path / "changed.md"
    bundled = (BUNDLED / "spans.md").read_text(encoding="utf-8")
    moved.write_text(bundled, encoding="utf-8")
    changed.write_text(bundled.replace("Find the named", "Find each named"), encoding="utf-8")
    assert asked(file=str(moved)).describe() == asked().describe() != asked(file=str(changed)).describe()
    assert (described[0]["name"], described[0]["version"], len(described[0]["sha256"])) == ("spans", 1, 64)


OWN = """---
name: mine
version: 2
kind: spans
---
For people.

# System
You tag {instruction}

# Turn
Text: {text}
{labels}
{format}

# Instruction
Tag.

# Wordings
- One

- Two {description}

# Held-out wordings
- Three

# Label names
{names}

# Label meanings
{meanings}

# Format literal
a

# Format json
b

# Format compact
c
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.md"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    return path


def test_a_file_of_ones_own(tmp_path: Path):
    made = prompting("spans", instruction="", description="d", settings=Prompt(file=str(written(tmp_path, OWN)), labels="names"))
    assert made.messages({"text": "{x}"}, labels=LABELS, key="a", purpose="train", demonstrations=[({"text": "y"}, "z")]) == [
        {"role": "system", "content": "You tag Tag."},
        {"role": "user", "content": "Text: y\nCompany, Date, Other\na"},
        {"role": "assistant", "content": "z"},
        {"role": "user", "content": "Text: {x}\nCompany, Date, Other\na"},
    ]
    assert made.describe()["text"] == OWN
    windows = tmp_path / "windows.md"
    windows.write_bytes(OWN.replace("\n", "\r\n").encode())
    assert read(windows) == made.file


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (OWN[4:], 1, "without front matter"),
        (OWN.replace("kind: spans\n", ""), 1, "front matter without 'kind'"),
        (OWN.replace("version: 2", "version: two"), 3, "version 'two' is not a whole number"),
        (OWN.replace("version: 2", "versions: 2"), 3, "unknown key 'versions'.*did you mean 'version'"),
        (OWN.replace("name: mine", "name:"), 2, "'name' needs one value"),
        (OWN.replace("kind: spans", "name: again"), 4, "'name' needs one value"),
        (OWN.replace("kind: spans", "kind: span"), 4, "unknown kind 'span'; did you mean 'spans'"),
        (OWN.replace("# Wordings", "# Wording"), 19, "unknown section 'Wording'; did you mean 'Wordings'"),
        (OWN.replace("# Format json", "# Format compact"), 39, "section 'Format compact' stands twice"),
        (OWN.replace("\n# Held-out wordings\n- Three\n", ""), 38, "without section 'Held-out wordings'"),
        (OWN.replace("- Three\n", ""), 24, "section 'Held-out wordings' is empty"),
        (OWN.replace("- Three", "Three"), 25, "not a wording: 'Three'"),
        (OWN.replace("- One", "-"), 20, "not a wording: '-'"),
        (OWN.replace("{description}", "{text}"), 22, "unknown place {text} in section 'Wordings'; known: description"),
        (OWN.replace("Text: {text}", "Text: {txt}"), 12, "unknown place {txt} in section 'Turn'; did you mean 'text'"),
        (OWN.replace("Text: {text}", "Text:"), 11, "'Turn' has no place {text}"),
        (OWN.replace("{instruction}", ""), 11, "'Turn' has no place {instruction}"),
        (OWN.replace("{labels}\n", ""), 11, "'Turn' has no place {labels}"),
        (OWN.replace("{labels}\n", "{question}\n"), 13, "unknown place {question}"),
        (OWN.replace("You tag", "You tag {text}"), 9, "unknown place {text} in section 'System'"),
        (OWN.replace("# Instruction", "# Later turns\nNo text\n\n# Instruction"), 16, "'Later turns' has no place {text}"),
        (OWN.replace("{names}", "names"), 27, "'Label names' has no place {names}"),
        (OWN.replace("Tag.\n", "Tag \udcff\n"), None, "not UTF-8 at byte"),
    ],
)
def test_faults_of_a_file_have_their_line(tmp_path: Path, text: str, line: int | None, message: str):
    path = written(tmp_path, text)
    with pytest.raises(RecipeError, match=message.replace("{", r"\{")) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}:{line}: " if line else f"{path}: ")


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("spans", {"file": "span"}, "unknown prompt file 'span'; did you mean 'spans'"),
        ("spans", {"file": "../spans"}, "unknown prompt file"),
        ("spans", {"file": "gone.md"}, "gone.md: prompt file cannot be read: No such file"),
        ("spans", {"file": "label"}, "prompt file for kind 'label', task of kind 'spans'"),
        ("answer", {"labels": "names"}, "prompt.labels: tasks of kind 'answer' have no labels to show"),
    ],
)
def test_settings_that_do_not_fit_are_refused(kind, settings, message):
    with pytest.raises(RecipeError, match=message.replace(".", r"\.")):
        asked(kind, **settings)
