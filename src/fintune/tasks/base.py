"""The task protocol, and reading tasks from TOML files: `load_task("finance-ner-7")` or `load_task("my-labels.toml")`.

A task joins a kind (label, spans, answer), a label set, a prompt, a target text, a parser and a score. A new label set is
a new TOML file. Unknown keys, kinds and names are refused with the nearest known one; nothing here imports numpy or torch.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from fintune.errors import RecipeError, did_you_mean
from fintune.records import Example, Kind, Message, Prediction, Purpose

if TYPE_CHECKING:
    from fintune.metrics.intervals import Bootstrap
    from fintune.recipe import Prompt

_FOLDER = Path(__file__).parent / "labels"
_REQUIRED = ("name", "kind", "description")
_TEXTS = (*_REQUIRED, "instruction")
_ROUNDING = 0.02  # how far written shares may be from adding up to one
_KEYS = (*_TEXTS, "multiple", "numbers", "labels", "shares")

# How a definition of each kind and its prompting become a task; imported on use, because scoring needs numpy.
KINDS: dict[str, str] = {
    "spans": "fintune.tasks.spans:from_definition",
    "label": "fintune.tasks.label:from_definition",
    "labels": "fintune.tasks.several:from_definition",
    "answer": "fintune.tasks.answer:from_definition",
}
_WRITTEN = ("spans", "label", "answer")  # kinds of a task file, which says `multiple = true` for `labels`


class Floor(Protocol):
    """A trivial baseline that needs nothing but the text."""

    def find(self, text: str) -> Any:
        """What the floor predicts for the text, in the form of the task's kind: spans for `spans`, a label for `label`."""
        ...


class KeptFloor(Floor, Protocol):
    """A floor learnt from training data, which a run keeps."""

    def record(self) -> dict[str, Any]:
        """The floor as a JSON object; equal floors give equal objects."""
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
        """The label set, in the order of the target; empty for answers."""
        ...

    @property
    def numbers(self) -> Mapping[str, str]:
        """The label of each class number that data may have in its place; empty where there are none."""
        ...

    @property
    def shares(self) -> Mapping[str, float]:
        """The fraction of each label that data usually have; empty where nothing is known of it."""
        ...

    @property
    def main_metric(self) -> str:
        """The metric of the report that training goes by where the recipe names none."""
        ...

    def messages(self, example: Example, *, purpose: Purpose, demonstrations: Sequence[Example] = ()) -> list[Message]:
        """The conversation that ends where the model begins to write, as `role` and `content` without blanks at its ends.

        Demonstrations, which need gold, become earlier turns of user and assistant in the order given.
        """
        ...

    def target(self, example: Example) -> str:
        """The text to learn to write for the gold annotation of the example; refuses what `require_gold` refuses."""
        ...

    def require_gold(self, example: Example) -> None:
        """Refuses, with a `DataError`, an example whose gold is missing or does not fit the task."""
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

    def learn_floors(self, examples: Sequence[Example]) -> Mapping[str, KeptFloor]:
        """Floors of training examples by their name in a report, beside those that need no data."""
        ...

    def read_floors(self, record: object, *, where: str) -> Mapping[str, Floor]:
        """The floors from an object of their records by name; an `ArtifactError` naming `where` for anything else."""
        ...

    def describe(self) -> dict[str, Any]:
        """Everything that determines prompt, target and score, as plain JSON: equal tasks give equal objects."""
        ...


@dataclass(frozen=True, slots=True)
class Definition:
    """A task file as read.

    `instruction` is empty where the prompt file's own serves. `labels` maps each label to its meaning, in the order of the
    file, and is empty for answers. `numbers` are the class numbers by which data may name the labels, in the same order, or
    empty. `shares` is the fraction of each label that data of this task usually have, empty where nothing is known of it; it
    decides no prediction. `where` is the file.
    """

    name: str
    kind: Kind
    description: str
    instruction: str
    labels: Mapping[str, str]
    numbers: tuple[str, ...]
    shares: Mapping[str, float]
    where: str


def available() -> tuple[str, ...]:
    """Names of the bundled tasks, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def load_task(name_or_path: str | Path, prompt: Prompt | None = None) -> Task:
    """The task of a bundled name, or of a TOML file: whatever ends in `.toml`.

    Args:
        name_or_path: bundled name or path.
        prompt: the recipe's section; a recipe's defaults where None.

    Raises:
        RecipeError: for an unknown name, a file that is missing, not TOML or not a task, or a prompt that does not fit.
    """
    name = str(name_or_path)
    if name.endswith(".toml"):
        path = Path(name)
    elif name in available():
        path = _FOLDER / f"{name}.toml"
    else:
        raise RecipeError(f"unknown task {name!r}", fix=f"{did_you_mean(name, available())} A path to a task file ends in .toml")
    definition = _check(_read(path), where=str(path))
    from fintune.recipe import Prompt  # here, as names of tasks are listed without pydantic
    from fintune.tasks.prompts import prompting

    said = prompting(
        definition.kind, instruction=definition.instruction, description=definition.description, settings=prompt or Prompt()
    )  # fmt: skip
    module, _, function = KINDS[definition.kind].partition(":")
    return cast(Task, getattr(import_module(module), function)(definition, said))


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
    for key in _REQUIRED:
        if key not in data:
            raise RecipeError(f"task file without {key!r}", where=where, fix=f"a task needs {', '.join(_REQUIRED)}")
    for key in _TEXTS:
        if key in data and (not isinstance(data[key], str) or not data[key].strip()):
            raise RecipeError(f"{key!r} is not a text: {data[key]!r}", where=where, fix=f'write {key} = "..."')
    kind = data["kind"]
    if kind not in _WRITTEN:
        mend = 'write kind = "label" and multiple = true' if kind == "labels" else did_you_mean(kind, _WRITTEN)
        raise RecipeError(f"unknown kind {kind!r}", where=where, fix=mend)
    if kind == "answer" and "labels" in data:
        raise RecipeError("a task of kind 'answer' with labels", where=where, fix="take [labels] out, or choose kind spans or label")
    if kind != "answer" and "labels" not in data:
        raise RecipeError("task file without 'labels'", where=where, fix=f"a task of kind {kind!r} needs a table [labels]")
    labels = _labels(data["labels"], where=where) if "labels" in data else {}
    return Definition(
        name=data["name"],
        kind="labels" if _multiple(data, where=where) else kind,
        description=data["description"],
        instruction=data.get("instruction", ""),
        labels=labels,
        numbers=_numbers(data["numbers"], labels, kind, where=where) if "numbers" in data else (),
        shares=_shares(data["shares"], labels, kind, where=where) if "shares" in data else {},
        where=where,
    )


def _multiple(data: Mapping[str, Any], *, where: str) -> bool:
    """Whether a text may have any number of the labels."""
    if "multiple" not in data:
        return False
    if not isinstance(data["multiple"], bool):
        raise RecipeError(f"'multiple' is {data['multiple']!r}", where=where, fix="write multiple = true, or leave it out")
    if data["kind"] != "label":
        raise RecipeError(f"a task of kind {data['kind']!r} with 'multiple'", where=where, fix="take 'multiple' out")
    if data["multiple"] and "shares" in data:
        why = "fractions of labels that go together do not add up to 1"
        raise RecipeError("'shares' with multiple = true", where=where, why=why, fix="take [shares] out")
    return data["multiple"]


def _numbers(numbers: object, labels: Mapping[str, str], kind: str, *, where: str) -> tuple[str, ...]:
    if kind != "label":
        raise RecipeError(f"a task of kind {kind!r} with class numbers", where=where, fix="take 'numbers' out")
    if not isinstance(numbers, list) or not all(isinstance(number, str) and number.strip() for number in numbers):
        raise RecipeError("'numbers' is not a list of texts", where=where, fix='write numbers = ["0", "1", ...], one for each label')
    if len(set(numbers)) != len(labels) or len(numbers) != len(labels):
        what = f"{len(set(numbers))} different class numbers for {len(labels)} labels"
        raise RecipeError(what, where=where, fix="give each label one number, in the order of [labels]")
    return tuple(numbers)


def _shares(shares: object, labels: Mapping[str, str], kind: str, *, where: str) -> dict[str, float]:
    if kind != "label":
        raise RecipeError(f"a task of kind {kind!r} with shares of labels", where=where, fix="take 'shares' out")
    numbers = list(shares.values()) if isinstance(shares, dict) else []
    good = all(isinstance(number, int | float) and not isinstance(number, bool) and 0 <= number <= 1 for number in numbers)
    if not isinstance(shares, dict) or shares.keys() != labels.keys() or not good or abs(sum(numbers) - 1) > _ROUNDING:
        why = "it needs a fraction for each label, together 1"
        raise RecipeError(
            "'shares' is no distribution over the labels", where=where, why=why, fix="write [shares] and below it Name = 0.59"
        )
    return {label: float(shares[label]) for label in labels}


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
