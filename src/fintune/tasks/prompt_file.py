"""Reads prompt files: Markdown with a front matter (`name`, `version`, `kind`) and one section for each part of a prompt.

What stands before the first section is for people. Strict: an unknown section or place, a section twice, one that is
missing or empty, and a place that nothing fills are refused with `file:line`. `tests/tasks/test_prompts.py` exercises it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from fintune.errors import RecipeError, did_you_mean
from fintune.tasks.layout import Layout

BUNDLED = Path(__file__).parent / "prompts"

_FRONT = ("name", "version", "kind")
_FIELDS = {"spans": ("text",), "label": ("text",), "labels": ("text",), "answer": ("text", "question")}
_ABOUT_LABELS = {"spans": ("labels", "format"), "label": ("labels", "format"), "labels": ("labels", "format"), "answer": ()}
_FORMATS = {"spans": ("Format literal", "Format json", "Format compact"), "label": ("Format",), "labels": ("Format",), "answer": ()}
_ALWAYS = ("Turn", "Instruction", "Wordings", "Held-out wordings")
_WITH_LABELS = ("Label names", "Label meanings")
_OPTIONAL = ("System", "Later turns")


@dataclass(frozen=True, slots=True)
class PromptFile:
    """A prompt file as read.

    Attributes:
        text: the whole file, of which `sha256` is the hash.
        system: the system message; without lines where there is none.
        turn: the user's first turn, and `later` those that follow demonstrations.
        instruction: what a task without an instruction of its own asks.
        wordings: instructions to draw from in training, `held_out` those of evaluation.
        names: the line of label names, and `meanings` the lines of names with meanings.
        formats: what the answer looks like, by name of the target format; the name "" serves all.
    """

    name: str
    version: int
    kind: str
    text: str
    sha256: str
    system: Layout
    turn: Layout
    later: Layout
    instruction: str
    wordings: tuple[Layout, ...]
    held_out: tuple[Layout, ...]
    names: Layout
    meanings: Layout
    formats: tuple[tuple[str, str], ...]


class _Section(NamedTuple):
    body: str
    line: int  # of the heading


def available() -> tuple[str, ...]:
    """Names of the bundled prompt files, sorted."""
    return tuple(sorted(path.stem for path in BUNDLED.glob("*.md")))


def locate(name: str) -> Path:
    """The file of a bundled name, or of a path that ends in `.md`.

    Raises:
        RecipeError: for a name that is not bundled.
    """
    if name.endswith(".md"):
        return Path(name)
    if name not in available():
        fix = f"{did_you_mean(name, available())} A path to a prompt file ends in .md"
        raise RecipeError(f"unknown prompt file {name!r}", where="prompt.file", fix=fix)
    return BUNDLED / f"{name}.md"


def read(path: Path) -> PromptFile:
    """The prompt of a file.

    Raises:
        RecipeError: where it cannot be read or does not follow the format; with `file:line`.
    """
    where = str(path)
    try:
        text = path.read_bytes().decode("utf-8").replace("\r\n", "\n")
    except OSError as error:
        raise RecipeError(f"prompt file cannot be read: {error.strerror}", where=where, fix="check the path") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"prompt file is not UTF-8 at byte {error.start}", where=where, fix="save it as UTF-8") from error
    lines = text.split("\n")
    front, begin = _front(lines, where)
    kind = front["kind"]
    sections = _sections(lines, begin, kind, where)
    layouts = {name: _layout(name, section, kind, where) for name, section in sections.items() if name in _PLACES}
    _require_places(sections, layouts, kind, where)
    return PromptFile(
        name=front["name"],
        version=int(front["version"]),
        kind=kind,
        text=text,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        system=layouts.get("System", Layout(())),
        turn=layouts["Turn"],
        later=layouts.get("Later turns", layouts["Turn"]),
        instruction=sections["Instruction"].body,
        wordings=_wordings("Wordings", sections, where),
        held_out=_wordings("Held-out wordings", sections, where),
        names=layouts.get("Label names", Layout(())),
        meanings=layouts.get("Label meanings", Layout(())),
        formats=tuple((name.removeprefix("Format").strip(), sections[name].body) for name in _FORMATS[kind]),
    )


# The places that each section may have; `None` stands for the fields of the kind.
_PLACES: Mapping[str, tuple[str | None, ...]] = {
    "System": ("instruction", "labels", "format"),
    "Turn": ("instruction", "labels", "format", None),
    "Later turns": ("instruction", "labels", "format", None),
    "Label names": ("names",),
    "Label meanings": ("meanings",),
}
_OF_WORDINGS = ("description",)


def _front(lines: list[str], where: str) -> tuple[dict[str, str], int]:
    """The front matter, and the index of the line after it."""
    if lines[0] != "---" or "---" not in lines[1:]:
        raise RecipeError(
            "prompt file without front matter", where=f"{where}:1", fix=f"begin with a block of {_known(_FRONT)} between lines of ---"
        )
    end = lines.index("---", 1)
    front: dict[str, str] = {}
    for number, line in enumerate(lines[1:end], 2):
        key, colon, value = (part.strip() for part in line.partition(":"))
        if key not in _FRONT:
            raise RecipeError(f"unknown key {key!r} in the front matter", where=f"{where}:{number}", fix=did_you_mean(key, _FRONT))
        if not colon or not value or key in front:
            raise RecipeError(f"{key!r} needs one value", where=f"{where}:{number}", fix=f"write one line such as {key}: ...")
        front[key] = value
        if key == "version" and not re.fullmatch("[0-9]{1,9}", value):
            raise RecipeError(f"version {value!r} is not a whole number", where=f"{where}:{number}", fix="write version: 1")
        if key == "kind" and value not in _FIELDS:
            raise RecipeError(f"unknown kind {value!r}", where=f"{where}:{number}", fix=did_you_mean(value, _FIELDS))
    for key in _FRONT:
        if key not in front:
            raise RecipeError(f"front matter without {key!r}", where=f"{where}:1", fix=f"it needs {_known(_FRONT)}")
    return front, end + 1


def _sections(lines: list[str], begin: int, kind: str, where: str) -> dict[str, _Section]:
    needed = (*_ALWAYS, *(_WITH_LABELS if _ABOUT_LABELS[kind] else ()), *_FORMATS[kind])
    known = (*needed, *_OPTIONAL)
    headings = [at for at in range(begin, len(lines)) if lines[at].startswith("# ")]
    sections: dict[str, _Section] = {}
    for at, end in zip(headings, [*headings[1:], len(lines)], strict=True):
        name, place = lines[at][2:].strip(), f"{where}:{at + 1}"
        if name not in known:
            raise RecipeError(f"unknown section {name!r}", where=place, fix=did_you_mean(name, known))
        if name in sections:
            raise RecipeError(f"section {name!r} stands twice", where=place, fix="keep one of them")
        body = "\n".join(lines[at + 1 : end]).strip("\n")
        if not body.strip():
            raise RecipeError(f"section {name!r} is empty", where=place, fix="write something below it, or leave it out if it is optional")
        sections[name] = _Section(body, at + 1)
    for name in needed:
        if name not in sections:
            raise RecipeError(
                f"prompt file without section {name!r}",
                where=f"{where}:{len(lines)}",
                fix=f"a prompt of kind {kind} needs {_known(needed)}",
            )
    return sections


def _layout(name: str, section: _Section, kind: str, where: str) -> Layout:
    allowed = [place for place in _PLACES[name] if place and (place not in ("labels", "format") or _ABOUT_LABELS[kind])]
    allowed += _FIELDS[kind] if None in _PLACES[name] else ()
    layout = Layout.of(section.body)
    _only(layout, allowed, section, name, where)
    return layout


def _only(layout: Layout, allowed: Iterable[str], section: _Section, name: str, where: str) -> None:
    for place in sorted(layout.places.difference(allowed)):
        lines = section.body.split("\n")
        line = section.line + 1 + next((at for at, text in enumerate(lines) if f"{{{place}}}" in text), 0)
        fix = did_you_mean(place, allowed) if allowed else "write it without braces"
        raise RecipeError(f"unknown place {{{place}}} in section {name!r}", where=f"{where}:{line}", fix=fix)


def _require_places(sections: Mapping[str, _Section], layouts: Mapping[str, Layout], kind: str, where: str) -> None:
    anywhere = layouts["Turn"].places.union(layouts["System"].places if "System" in layouts else ())
    for name, layout in layouts.items():
        if name.startswith("Label "):
            wanted, found = set(_PLACES[name]), layout.places
        elif name == "System":
            continue
        else:
            wanted = {*_FIELDS[kind], *(("instruction", *_ABOUT_LABELS[kind]) if name == "Turn" else ())}
            found = layout.places | (anywhere - set(_FIELDS[kind]))
        for place in sorted(wanted - found, key=str):
            fix = f"write {{{place}}} where it belongs"
            raise RecipeError(f"section {name!r} has no place {{{place}}}", where=f"{where}:{sections[name].line}", fix=fix)


def _wordings(name: str, sections: Mapping[str, _Section], where: str) -> tuple[Layout, ...]:
    section = sections[name]
    wordings = []
    for number, line in enumerate(section.body.split("\n"), section.line + 1):
        if line.strip():
            if not line.startswith("- ") or not line[2:].strip():
                raise RecipeError(f"not a wording: {line!r}", where=f"{where}:{number}", fix="begin each wording with '- ', on one line")
            wordings.append(Layout.of(line[2:].strip()))
            _only(wordings[-1], _OF_WORDINGS, _Section(line, number - 1), name, where)
    return tuple(wordings)


def _known(names: Iterable[str]) -> str:
    return ", ".join(names)
