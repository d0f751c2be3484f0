"""The documents say what is true: generated pages are in step, commands and links exist, examples can be read and run."""

import ast
import importlib.util
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from typer.main import get_command

from fintune import recipe as recipes
from fintune.cli import app
from fintune.data.corpus import bundle
from fintune.data.formats.base import ReadOptions, Rejected, Source
from fintune.data.formats.jsonl import example_of
from fintune.data.predictions import read as read_predictions
from fintune.models.catalog import Entry, catalog
from fintune.tasks import base as tasks

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
WRITTEN = [page for page in PAGES if page.parent != DOCS / "reference"]
COMMANDS: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return [text for found, text in _FENCE.findall(page.read_text(encoding="utf-8")) if found == language]


def prose(page: Path) -> str:
    """A page without its fenced blocks and comments."""
    return _COMMENT.sub("", _FENCE.sub("", page.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_in_step(generate: ModuleType) -> None:
    pages = generate.pages()
    for page, text in pages.items():
        assert (DOCS / "reference" / page).read_text(encoding="utf-8") == text, f"{page} is behind: run make docs"
    assert {path.name for path in (DOCS / "reference").iterdir()} == pages.keys()


def test_the_reference_names_every_command_option_and_key(generate: ModuleType) -> None:
    cli, recipe = generate.pages()["cli.md"], generate.pages()["recipe.md"]
    for command, definition in COMMANDS.items():
        assert f"## fintune {command}\n" in cli
        for parameter in definition.params:
            assert parameter.opts[0].startswith("-") is False or f" {parameter.opts[0]}" in cli
    for key in _leaves(recipes.load("ner-minilm").model_dump()):
        assert f"| `{key}` |" in recipe


def _leaves(settings: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in settings.items():
        yield from _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key]


# ---------------------------------------------------------------- commands


def commands(page: Path) -> Iterator[list[str]]:
    """The fintune commands in the shell blocks of a page, as words."""
    for block in blocks(page, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line.split("  #")[0], posix=True, punctuation_chars=True)
            lexer.whitespace_split, lexer.commenters = True, ""
            part: list[str] = []
            for word in [*lexer, ";"]:
                if set(word) <= set("|&;<>"):
                    if part[:1] == ["fintune"]:
                        yield part[1:]
                    part = []
                else:
                    part.append(word)


ALL = [(name(page), words) for page in WRITTEN for words in commands(page)]


def test_there_are_commands_to_look_at() -> None:
    assert len(ALL) > 30
    assert {words[0] for _, words in ALL} >= COMMANDS.keys() - {"models", "demo"}


@pytest.mark.parametrize(("page", "words"), ALL, ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else value)
def test_every_command_in_a_shell_block_can_be_given(page: str, words: list[str]) -> None:
    given = COMMANDS[words[0]].make_context(words[0], words[1:]).params
    overrides = [item for item in given.get("set_") or [] if "task=" not in item]
    if words[:2] != ["show", "mine.yaml"]:  # which shows what a wrong key gives
        recipes.load("ner-minilm", overrides)
    for value in map(str, given.values()):
        if value.startswith("bundled"):
            assert bundle.load(value.removeprefix("bundled").removeprefix(":"), "spans")
    recipe = given.get("recipe")
    assert recipe is None or str(recipe).endswith(".yaml") or recipe in recipes.available()
    assert given.get("slice_") is None or bundle.load(given["slice_"], "spans")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_in_the_text_exists(page: Path) -> None:
    for code in re.findall(r"`(fintune [^`]+)`", prose(page)):
        command, *words = code.split()[1:]
        if command.startswith("-"):
            command, words = "", [command, *words]
        known = {option for parameter in COMMANDS[command].params for option in parameter.opts} if command else {"--version", "--debug"}
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known | {"--help"}, code


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in WRITTEN:
        shell = "\n".join(blocks(page, "bash"))
        named = {*re.findall(r"`make (\w+)`", prose(page)), *re.findall(r"^make (\w+)", shell, re.MULTILINE)}
        assert named <= targets, name(page)


# ---------------------------------------------------------------- links and paths


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for link in _LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as the usual hosts make them."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, DOCS / "generate.py"], ids=name)
def test_no_page_names_a_path_of_some_machine(page: Path) -> None:
    assert not re.search(r"(?<![\w.])/(work|root|home|tmp|Users|mnt|opt|var)/|[A-Z]:\\", page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_page_holds_the_marks_of_an_unfinished_merge(page: Path) -> None:
    assert not re.findall(r"^(?:<{7} .*|={7}|>{7} .*)$", page.read_text(encoding="utf-8"), re.MULTILINE)


def test_every_written_page_can_be_reached_from_the_readme() -> None:
    linked = {(page.parent / link.partition("#")[0]).resolve() for page in PAGES for link in _LINK.findall(prose(page))}
    folders = {DOCS / "decisions"}
    unreachable = [name(page) for page in PAGES if page not in linked and page.parent not in folders and page.name != "README.md"]
    assert unreachable == []


def test_decisions_are_numbered_and_dated() -> None:
    pages = sorted((DOCS / "decisions").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        first, _, third = page.read_text(encoding="utf-8").splitlines()[:3]
        assert first.startswith(f"# {page.name[:4]} ")
        assert re.fullmatch(r"Date: \d{4}-\d\d-\d\d\. Status: (accepted|replaced by \d{4})\.", third)


# ---------------------------------------------------------------- what stands in other blocks


@pytest.mark.parametrize("page", WRITTEN, ids=name)
def test_blocks_of_data_and_code_can_be_read(page: Path) -> None:
    for block in blocks(page, "json"):
        for line in block.splitlines():
            json.loads(line)
    for block in blocks(page, "yaml"):
        settings = yaml.safe_load(block)
        recipes.from_settings({"name": "x", "task": "finance-ner-7", **settings}, name(page))
    for block in blocks(page, "toml"):
        tomllib.loads(block)
    for block in blocks(page, "python"):
        ast.parse(block)


def test_the_bundled_recipes_name_existing_tasks_and_models() -> None:
    for recipe in map(recipes.load, recipes.available()):
        assert recipe.task in tasks.available()
        assert recipe.model.base in catalog()


def test_example_lines_of_the_contract_follow_it() -> None:
    lines = [json.loads(line) for line in blocks(DOCS / "architecture.md", "json")[0].splitlines()]
    examples = [example_of(line, where="x:1", fallback_id="x", options=ReadOptions()) for line in lines]
    kinds = ["spans", "labels", "label", "question", "question"]
    assert [[name for name in sorted(set(kinds)) if getattr(e, name) is not None] for e in examples] == [[kind] for kind in kinds]
    assert examples[3].answer is not None
    assert examples[4].answer is None
    assert [s.text for s in examples[0].spans or ()] == ["Corvane", "Malmö", "€214 million"]


@pytest.mark.parametrize(("page", "block"), [("architecture.md", 1), ("how-to/score-another-system.md", 0), ("quickstart.md", 2)])
def test_prediction_lines_can_be_scored(page: str, block: int, tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text(blocks(DOCS / page, "json")[block], encoding="utf-8")
    assert all(prediction.spans is not None for prediction in read_predictions(path))


def test_the_label_set_of_the_how_to_is_a_task(tmp_path: Path) -> None:
    path = tmp_path / "loan-parties.toml"
    path.write_text(blocks(DOCS / "how-to" / "add-a-label-set.md", "toml")[0], encoding="utf-8")
    assert tasks.load_task(path).labels == ("Borrower", "Lender", "Money")


def test_the_catalog_entry_of_the_how_to_has_the_keys_of_an_entry() -> None:
    block = tomllib.loads(blocks(DOCS / "how-to" / "add-a-base-model.md", "toml")[0])["finbert"]
    assert Entry(name="finbert", **{**block, "targets": tuple(block["targets"])}).package is None


def test_the_format_of_the_how_to_reads_its_own_example() -> None:
    page = DOCS / "how-to" / "add-a-format.md"
    made: dict[str, Any] = {}
    exec(compile(blocks(page, "python")[0], name(page), "exec"), made)
    bad = "no mark\nAcme rose || Company 0\nAcme rose || Company 0 99\n"
    source = Source("x.marked", data=(blocks(page, "text")[0] + bad).encode())
    rows = list(made["read"](source, ReadOptions()))
    assert [[(s.label, s.text) for s in row.spans] for row in rows[:2]] == [[("Company", "Corvane"), ("Location", "Malmö")], []]
    assert all(isinstance(row, Rejected) for row in rows[2:])
    assert [row.error.where for row in rows[2:]] == ["x.marked:3", "x.marked:4", "x.marked:5"]


def test_the_lists_of_the_how_to_are_aligned_as_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    page = DOCS / "how-to" / "score-another-system.md"
    exec(compile(blocks(page, "python")[0], name(page), "exec"), {})
    line, unaligned = capsys.readouterr().out.splitlines()
    assert [span["label"] for span in json.loads(line)["spans"]] == ["Company", "Location", "Company"]
    assert ast.literal_eval(unaligned) == (("Location", "Norway"),)
