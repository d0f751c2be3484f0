"""Templates are foreign programs: they get no text, no secret, no file, and no more time, memory and output than they need."""

from __future__ import annotations

import subprocess

import pytest

from fintune.errors import RecipeError, SafetyError
from fintune.heads.generative.template import CHARACTERS, Refusal, Shape, Template

ONE = Shape((("user", False),), True)
SAY = "{% for m in messages %}{{ m.content }}{% endfor %}"


def skeleton(source: str, shape: Shape = ONE) -> object:
    return Template("mine", source).skeletons([shape])[0]


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}{{ 'aaaaaaaaaaaaaaaaaaaaaaaa' }}{% endfor %}",
        "{{ 'a' * 10 ** 9 }}",
        "{% set x = 9 ** (9 ** 9) %}",
        "{% set ns = namespace(x='aaaaaaaaaaaaaaaa') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{{ '%1000000000d' % 1 }}",
        "{{ range(10 ** 9) }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{% for k in cycler.__init__.__globals__ %}{{ k }}{% endfor %}",
        "{% set ns = namespace(__class__='x') %}",
        "{% set ns = namespace() %}{% set ns._Namespace__attrs = 1 %}",
        "{{ messages.append(1) }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    ],
    ids=[
        "loops", "output", "string", "power", "doubling", "format", "range", "classes", "globals", "namespace", "name", "change",
        "recursion", "depth",
    ],
)  # fmt: skip
def test_templates_that_take_too_much_or_leave_the_sandbox_are_refused(source: str) -> None:
    with pytest.raises(SafetyError, match=r"prompt\.template: chat template 'mine' is refused"):
        skeleton(source + SAY)


def test_the_process_of_a_template_has_no_secret_in_its_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, str] = {}

    def run(line: list[str], *, env: dict[str, str], **_: object) -> subprocess.CompletedProcess[str]:
        seen.update(env)
        return subprocess.CompletedProcess(line, 0, '{"texts": [{"text": "x"}]}', "")

    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr(subprocess, "run", run)
    skeleton("only here")
    assert "PATH" in seen
    assert "hf_secret" not in seen.values()


def test_output_of_a_mebibyte_is_the_most() -> None:
    longest = "x" * CHARACTERS
    mark = 3  # characters of the mark of one turn
    assert skeleton(longest[mark:] + SAY) == (longest[mark:], 0)
    with pytest.raises(SafetyError, match="writes more than"):
        skeleton(longest[mark - 1 :] + SAY)


@pytest.mark.parametrize("source", ["{{ x", "{% for %}", "{% unknown %}", "{% if 1 %}"])
def test_broken_templates_are_named_with_the_line(source: str) -> None:
    with pytest.raises(RecipeError, match=r"prompt\.template: chat template 'mine' is not valid Jinja \(line 2"):
        skeleton("\n" + source)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("nothing", "it writes the user turn 0 times"),
        (SAY + SAY, "it writes the user turn 2 times"),
        ("{{ messages[0].content[1:] }}", "it writes the user turn 0 times"),
        ("{{ messages[3].content }}", "list object has no element 3"),
        ("{{ 1 / 0 }}" + SAY, "division by zero"),
    ],
)
def test_conversations_that_a_template_does_not_take_are_refused_with_its_reason(source: str, why: str) -> None:
    assert skeleton(source) == Refusal(why)


def test_a_skeleton_has_the_words_of_the_template_and_the_turns_by_number() -> None:
    source = (
        "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content | trim }}\n{% endfor %}{% if add_generation_prompt %}!{% endif %}"
    )
    shapes = [Shape((("system", False), ("user", True), ("user", False)), generation) for generation in (True, False)]
    outcomes = Template("mine", source, (("bos_token", "<s>"),)).skeletons(shapes)
    assert outcomes == [("<s>[system]", 0, "\n[user]\n[user]", 2, "\n!"), ("<s>[system]", 0, "\n[user]\n[user]", 2, "\n")]


def test_a_template_cannot_pass_off_its_own_words_as_a_turn() -> None:
    assert skeleton("\ue0000\ue001" + SAY) == Refusal("it writes the user turn 2 times")
    assert skeleton("\ue0001\ue001" + SAY) == Refusal("it writes a turn that there is not")


def test_what_chat_templates_count_on_is_there() -> None:
    source = (
        "{% generation %}{{ 'a' }}{% endgeneration %}{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}"
        "{{ {'k': ['<é>']} | tojson }}{{ 'none' if tools is none else '' }}{{ strftime_now('%d %b %Y') }}"
    )
    assert skeleton(source + SAY) == ('a01{"k": ["<é>"]}none26 Jul 2024', 0)
