"""`fintune split`, `infer-labels` and `corpus`: data in, data out. Registered by `fintune.cli`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from fintune.console import note, print_json
from fintune.data.formats.base import ReadOptions
from fintune.errors import UsageError
from fintune.options import Force, Json, Output, reads_data, refuse_existing, tell_rejected


@reads_data
def split(
    data: Annotated[str, typer.Argument(help="Data to split.")],
    options: ReadOptions,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for train.jsonl, validation.jsonl and test.jsonl.")],
    method: Annotated[str, typer.Option(help="paper, stratified, group, time or hash.")] = "stratified",
    fractions: Annotated[
        str | None, typer.Option(help="Of train, validation and test, such as 0.7,0.1,0.2; the papers' otherwise.", show_default=False)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of every random choice; the papers' otherwise.", show_default=False)] = None,
    task: Annotated[str, typer.Option(help="Task name or TOML file.")] = "finance-ner-7",
    force: Force = False,
    json_: Json = False,
) -> None:
    """Split data; near duplicates never fall across parts (reported, not moved, with the papers' order)."""
    from fintune import run as folders
    from fintune.data.formats.jsonl import dump
    from fintune.data.load import load_for
    from fintune.data.split import FRACTIONS, SEED
    from fintune.data.split import split as split_examples
    from fintune.tasks.base import load_task

    loaded = load_for(load_task(task), data, options)
    tell_rejected(loaded.rejected)
    parts = split_examples(
        loaded.examples,
        method=method,
        fractions=FRACTIONS if fractions is None else _fractions(fractions),
        seed=SEED if seed is None else seed,
    )
    files = {name: output / f"{name}.jsonl" for name in parts.parts()}
    for target in files.values():
        refuse_existing(target, force=force)
    folders.make(output)
    for name, examples in parts.parts().items():
        folders.write_file(files[name], "".join(dump(e) + "\n" for e in examples))
    counts = {name: len(examples) for name, examples in parts.parts().items()}
    if json_:
        print_json({"method": method, "examples": counts, "findings": [f.record() for f in parts.findings], "output": str(output)})
        return
    for finding in parts.findings:
        note(f"{finding.code} {finding.message}")
    print(", ".join(f"{name} {n:,}" for name, n in counts.items()) + f" in {output}")


@reads_data
def infer_labels(
    data: Annotated[str, typer.Argument(help="Labelled data.")],
    options: ReadOptions,
    output: Annotated[Path, typer.Option("--output", "-o", help="Task file to write, such as my-task.toml.")],
    force: Force = False,
) -> None:
    """Write a task file with the labels of the data and their counts, to be read, completed and used; lists make a task with several."""
    from fintune import run as folders
    from fintune.data.infer import task_file
    from fintune.data.load import load_labelled

    loaded = load_labelled(data, options)
    tell_rejected(loaded.rejected)
    refuse_existing(output, force=force)
    folders.write_file(output, task_file(loaded.examples, name=output.stem, source=data))
    print(output)


def corpus(
    slice_: Annotated[
        str | None, typer.Option("--slice", help="Write this slice (train, validation, test, social, es, ...).", show_default=False)
    ] = None,
    kind: Annotated[str, typer.Option(help="spans, label (slice#topic or slice#sentiment) or answer.")] = "spans",
    everything: Annotated[
        bool, typer.Option("--everything", help="Write all annotation of the slice, relations and values included.")
    ] = False,
    output: Output = None,
) -> None:
    """Print the card of the bundled corpus, or write a slice of it as JSONL."""
    from fintune import run as folders
    from fintune.data.corpus import bundle
    from fintune.data.formats.jsonl import dump

    if everything and slice_ is None:
        raise UsageError("--everything without --slice", fix="give a slice, such as --slice all")
    if slice_ is None:
        from fintune.data.corpus.card import card

        text = card()
    elif everything:
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in bundle.records(slice_))
    elif kind not in ("spans", "label", "answer"):
        raise UsageError(f"unknown kind {kind!r}", where="--kind", fix="known: spans, label, answer")
    else:
        text = "".join(dump(example) + "\n" for example in bundle.load(slice_, kind))  # type: ignore[arg-type]
    if output is not None:
        folders.write_file(output, text)
        print(output)
    else:
        sys.stdout.write(text)


def _fractions(text: str) -> tuple[float, float, float]:
    try:
        train, validation, test = map(float, text.split(","))
    except ValueError:
        raise UsageError(f"fractions {text!r}", where="--fractions", why="not three numbers", fix="give for example 0.8,0.1,0.1") from None
    return train, validation, test
