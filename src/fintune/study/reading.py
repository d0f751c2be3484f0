"""A study file as plain settings, with the line of every key, so that a complaint names `file:line`.

It refuses what is not UTF-8, not YAML, no mapping, or gives a key twice. `pytest tests/study/test_spec.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from fintune.errors import RecipeError


def read(path: Path) -> tuple[dict[str, Any], dict[tuple[str, ...], str]]:
    """The settings of a study file, and for each path of keys the `file:line` where it stands.

    Raises:
        RecipeError: where the file cannot be read, or holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"not UTF-8 at byte {error.start}", where=str(path), fix="save the study as UTF-8") from None
    except OSError as error:
        raise RecipeError("cannot be read", where=str(path), why=error.strerror or str(error), fix="check its permissions") from None
    try:
        node, settings = yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or str(error)
        raise RecipeError("not readable as YAML", where=where, why=str(problem), fix="mend the indentation or quoting there") from None
    if not isinstance(settings, dict) or not isinstance(node, yaml.MappingNode):
        raise RecipeError("a study is a mapping of keys to values", where=str(path), fix="see docs/how-to/run-a-study.md")
    return settings, dict(_places(node, (), str(path)))


def value(text: str, *, where: str) -> Any:
    """A value as YAML writes it; nothing is the empty text.

    Raises:
        RecipeError: where it is not readable.
    """
    try:
        return yaml.safe_load(text) if text else ""
    except yaml.YAMLError:
        raise RecipeError(f"the value {text!r} is not readable", where=where, fix="quote it") from None


def written(given: Any) -> str:
    """A value in one line, as `value` reads it."""
    return yaml.safe_dump(given, default_flow_style=True, width=math.inf).removesuffix("\n").removesuffix("\n...")


def place(lines: Mapping[tuple[str, ...], str], keys: tuple[str, ...], otherwise: str) -> str:
    """Where a path of keys stands, or the nearest of those above it."""
    return next((lines[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in lines), otherwise)


def _places(mapping: yaml.MappingNode, above: tuple[str, ...], file: str) -> Iterator[tuple[tuple[str, ...], str]]:
    seen: set[str] = set()
    for key, value in mapping.value:
        name, where = str(key.value), f"{file}:{key.start_mark.line + 1}"
        if name in seen:
            raise RecipeError(f"key {name!r} is given twice", where=where, fix="keep one of them")
        seen.add(name)
        yield (*above, name), where
        if isinstance(value, yaml.MappingNode):
            yield from _places(value, (*above, name), file)
