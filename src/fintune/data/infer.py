"""A task file out of labelled data: the labels found, each with its count and its share, for a person to read, name and confirm.

Data whose texts have lists of labels give a task with `multiple = true`. Nothing is trained on a label set that nobody has looked at:
the file is confirmed by being used. Labels that differ in case or blanks alone, and what looks like no set of labels at all, are refused.
`fintune infer-labels data.jsonl --output my-task.toml` writes one.
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

    Of examples with `labels` it has `multiple = true` and no shares, which would not add up to 1. Class numbers become `class 0`,
    `class 1`, ... with `numbers` beside them, to be given names.

    Raises:
        DataError: without labels, with a single one, with more than `MOST`, or with two that a person would take for one.
    """
    several = any(example.labels is not None for example in examples)
    counts = Counter(label for example in examples for label in _own(example))
    _require_set(counts, source=source)
    numbered = all(_NUMBER.fullmatch(label) for label in counts)
    labels = sorted(counts, key=lambda label: (int(label), label) if numbered else (0, label))
    shown = {label: f"class {label}" if numbered else label for label in labels}
    first = {label: example.text for example in reversed(examples) for label in _own(example)}
    described = "which of the labels below apply" if several else "one of the labels below"
    lines = [
        f"# Inferred from {len(examples):,} examples of {_comment(source)}. Read the labels below, say what each means between its quotes,",
        "# put the description right, and use the file: --task FILE, or task: FILE in a recipe.",
        f"name = {_quoted(name)}", 'kind = "label"', f'description = "{described}"',
    ]  # fmt: skip
    if several:
        empty = sum(example.labels == () for example in examples)
        lines += [f"# A text may have any number of the labels; {empty:,} examples have none.", "multiple = true"]
    if numbered:
        lines += ["# The data name labels by number: give each its name below, in this order.",
                  f"numbers = [{', '.join(_quoted(label) for label in labels)}]"]  # fmt: skip
    lines += ["", "[labels]"]
    for label in labels:
        lines += [f"# {counts[label]:,} examples, such as: {_comment(first[label])}", f'{_quoted(shown[label])} = ""']
    if not several:
        why = "by which 'fintune check' tells whether later data have two of them exchanged."
        lines += ["", f"# The fraction of each label, {why}", "[shares]"]
        lines += [f"{_quoted(shown[label])} = {counts[label] / counts.total():.4f}" for label in labels]
    return "\n".join(lines) + "\n"


def _own(example: Example) -> tuple[str, ...]:
    """The label or labels of an example."""
    return (example.label,) if example.label is not None else example.labels or ()


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
