"""A task file out of labelled data: the labels found, each with its count and its share, for a person to read, name and confirm.

Nothing is trained on a label set that nobody has looked at: the file is confirmed by being used. Labels that differ in case or blanks
alone, and what looks like no set of labels at all, are refused. `fintune infer-labels data.jsonl --output my-task.toml` writes one.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence

from fintune.errors import DataError
from fintune.records import Example

MOST = 200
"""Labels beyond which a column is taken for something else."""
_NUMBER = re.compile(r"\d+")
_SHOWN = 60  # characters of an example in a comment


def task_file(examples: Sequence[Example], *, name: str, source: str) -> str:
    """The TOML of a task of the kind `label` over the labels of these examples, in the order of their names.

    Class numbers become `class 0`, `class 1`, ... with `numbers` beside them, to be given names.

    Raises:
        DataError: without labels, with a single one, with more than `MOST`, or with two that a person would take for one.
    """
    counts = Counter(example.label for example in examples if example.label is not None)
    _require_set(counts, source=source)
    numbered = all(_NUMBER.fullmatch(label) for label in counts)
    labels = sorted(counts, key=lambda label: (int(label), label) if numbered else (0, label))
    shown = {label: f"class {label}" if numbered else label for label in labels}
    first = {example.label: example.text for example in reversed(examples)}
    lines = [
        f"# Inferred from {len(examples):,} examples of {_comment(source)}. Read the labels below, say what each means between its quotes,",
        "# put the description right, and use the file: --task FILE, or task: FILE in a recipe.",
        f"name = {_quoted(name)}", 'kind = "label"', 'description = "one of the labels below"',
    ]  # fmt: skip
    if numbered:
        lines += ["# The data name labels by number: give each its name below, in this order.",
                  f"numbers = [{', '.join(_quoted(label) for label in labels)}]"]  # fmt: skip
    lines += ["", "[labels]"]
    for label in labels:
        lines += [f"# {counts[label]:,} examples, such as: {_comment(first[label])}", f'{_quoted(shown[label])} = ""']
    lines += ["", "# The fraction of each label, by which 'fintune check' tells whether later data have two of them exchanged.", "[shares]"]
    lines += [f"{_quoted(shown[label])} = {counts[label] / counts.total():.4f}" for label in labels]
    return "\n".join(lines) + "\n"


def _require_set(counts: Counter[str], *, source: str) -> None:
    if len(counts) < 2:
        what = f"{len(counts)} labels in the data"
        raise DataError(what, where=source, why="there is nothing to tell apart", fix="give --label-column, or more data")
    if len(counts) > MOST:
        raise DataError(
            f"{len(counts):,} labels in the data", where=source, why="that is rather text than a label", fix="give --label-column"
        )
    seen: dict[str, str] = {}
    for label in sorted(counts):
        twin = seen.setdefault(" ".join(label.casefold().split()), label)
        if twin != label or label != label.strip():
            other = label.strip() if twin == label else twin
            raise DataError(f"labels {other!r} and {label!r}", where=source, why="they differ in case or blanks alone",
                            fix=f"make them one: --rename {label!r}={other!r}")  # fmt: skip


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    """Text on one line without control characters, which TOML forbids in comments."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 3]}..."
