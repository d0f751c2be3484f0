"""The task protocol, and reading tasks from TOML files: `load_task("finance-ner-7")` or `load_task("my-labels.toml")`.

A task joins a kind (label, spans, answer), a label set, an instruction, a target text, a parser and a score. A new label set
is a new TOML file. Unknown keys, kinds and names are refused with the nearest known one; nothing here imports numpy or torch.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from fintune.errors import RecipeError, did_you_mean
from fintune.records import Example, Kind, Prediction

if TYPE_CHECKING:
    from fintune.metrics.intervals import Bootstrap

Message = dict[str, str]

_FOLDER = Path(__file__).parent / "labels"
_KEYS = ("name", "kind", "description", "instruction", "labels")

# How a definition of each kind becomes a task; imported on use, because scoring needs numpy.
KINDS: dict[str, str] = {
    "spans": "fintune.tasks.spans:from_definition",
}


class Floor(Protocol):
    """A trivial baseline that needs nothing but the text."""

    def find(self, text: str) -> Any:
        """What the floor predicts for the text, in the form of the task's kind: spans for `spans`."""
        ...


class Task(Protocol):
    """What a head asks of a task. It knows no tokenizer."""

    @property
    def name(self) -> str:
        """The name in the task file."""
        ...

    @property
    def kind(self) -> Kind:
        """What a prediction is."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """The label set, in the order of the target."""
        ...

    def messages(self, example: Example) -> list[Message]:
        """The conversation that ends where the model begins to write, as `role` and `content`."""
        ...

    def target(self, example: Example) -> str:
        """The text to learn to write for the gold annotation of the example."""
        ...

    def parse(self, raw: str, example: Example) -> Prediction:
        """Reads what a model wrote. Never raises; `parse(target(example), example)` gives back the gold annotation."""
        ...

    def score(
        self,
        pairs: Sequence[tuple[Example, Prediction]],
        *,
        documents: Sequence[str],
        floors: Mapping[str, Floor] = ...,
        plan: Bootstrap = ...,
    ) -> dict[str, Any]:
        """The `report.json` object; `documents` names each pair's document, by which intervals are clustered."""
        ...

    def describe(self) -> dict[str, Any]:
        """Everything that determines prompt, target and score, as plain JSON: equal tasks give equal objects."""
        ...


@dataclass(frozen=True, slots=True)
class Definition:
    """A task file as read. `labels` maps each label to its meaning, in the order of the file; `where` is the file."""

    name: str
    kind: str
    description: str
    instruction: str
    labels: Mapping[str, str]
    where: str


def available() -> tuple[str, ...]:
    """Names of the bundled tasks, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def load_task(name_or_path: str | Path) -> Task:
    """The task of a bundled name, or of a TOML file: whatever ends in `.toml`.

    Raises:
        RecipeError: for an unknown name, or a file that is missing, not TOML or not a task.
    """
    name = str(name_or_path)
    if name.endswith(".toml"):
        path = Path(name)
    elif name in available():
        path = _FOLDER / f"{name}.toml"
    else:
        raise RecipeError(f"unknown task {name!r}", fix=f"{did_you_mean(name, available())} A path to a task file ends in .toml")
    definition = _check(_read(path), where=str(path))
    module, _, function = KINDS[definition.kind].partition(":")
    return cast(Task, getattr(import_module(module), function)(definition))


def documents_of(examples: Sequence[Example]) -> list[str]:
    """The document of each example, for intervals: what the provenance says, else the example by itself."""
    return [f"document {e.meta.document}" if e.meta.document is not None else f"example {e.id}" for e in examples]


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise RecipeError(f"task file cannot be read: {error.strerror}", where=str(path), fix="check the path") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"task file is not UTF-8 at byte {error.start}", where=str(path), fix="save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"task file is not TOML: {error}", where=str(path), fix="mend the line named") from error


def _check(data: Mapping[str, Any], *, where: str) -> Definition:
    for key in data:
        if key not in _KEYS:
            raise RecipeError(f"unknown key {key!r} in task file", where=where, fix=did_you_mean(key, _KEYS))
    for key in _KEYS:
        if key not in data:
            raise RecipeError(f"task file without {key!r}", where=where, fix=f"a task needs {', '.join(_KEYS)}")
    for key in _KEYS[:-1]:
        if not isinstance(data[key], str) or not data[key].strip():
            raise RecipeError(f"{key!r} is not a text: {data[key]!r}", where=where, fix=f'write {key} = "..."')
    if data["kind"] not in KINDS:
        raise RecipeError(f"unknown kind {data['kind']!r}", where=where, fix=did_you_mean(data["kind"], KINDS))
    return Definition(**{key: data[key] for key in _KEYS[:-1]}, labels=_labels(data["labels"], where=where), where=where)


def _labels(labels: object, *, where: str) -> dict[str, str]:
    if not isinstance(labels, dict) or not labels:
        raise RecipeError("'labels' is not a table of labels", where=where, fix='write [labels] and below it Name = "meaning"')
    folded: dict[str, str] = {}
    for label, meaning in labels.items():
        if not isinstance(meaning, str):
            raise RecipeError(f"meaning of label {label!r} is not a text: {meaning!r}", where=where, fix=f'write {label} = "..."')
        if not label.strip() or label != label.strip():
            raise RecipeError(f"label {label!r} is empty or has blanks at its ends", where=where, fix="rename it")
        twin = folded.setdefault(label.casefold(), label)
        if twin != label:
            raise RecipeError(
                f"labels {twin!r} and {label!r} differ in case alone", where=where, why="a model confuses them", fix="rename one"
            )
    return labels
