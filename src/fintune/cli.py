"""The command line: every verb parses, calls one function and prints. Results go to standard output, the rest to standard error.

fintune check data.csv --task finance-ner-7
fintune train ner-minilm --data train.csv --validation val.csv --output runs/first
fintune evaluate runs/first --data test.csv
fintune predict runs/first --text "Apple paid $ 3 billion for Beats ."
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from fintune import __version__
from fintune.cli_compare import compare
from fintune.cli_data import corpus, infer_labels, split
from fintune.cli_history import history
from fintune.cli_recipes import copy, models, show
from fintune.cli_studies import ablate
from fintune.console import Ticker, Watch, mode, print_json, terminal
from fintune.data.formats.base import ReadOptions
from fintune.errors import DataError, UsageError
from fintune.failures import Debug, leave
from fintune.options import Json, Output, Quiet, Set, reads_data, tell_rejected

app = typer.Typer(
    name="fintune", help="Adapt open language models to financial text, and prove what came out.", no_args_is_help=True,
    pretty_exceptions_enable=False, add_completion=True, context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip

app.command()(ablate)

Rate = Annotated[
    float | None,
    typer.Option(
        "--hourly-rate", min=0, help="Price of an hour of this machine, for that of 1,000 texts; the recipe's otherwise.",
        show_default=False,
    ),
]  # fmt: skip


def _version(value: bool) -> None:
    if value:
        print(f"fintune {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of unexpected errors.")] = False,
) -> None:
    """Options of every command."""
    Debug.on = debug
    if not debug:
        warnings.filterwarnings("ignore", category=FutureWarning)  # what libraries say about their own next versions


@app.command()
@reads_data
def check(
    data: Annotated[str, typer.Argument(help="File, folder, hub id, bundled[:slice], or - for standard input.")],
    options: ReadOptions,
    task: Annotated[str, typer.Option(help="Task name or TOML file.")] = "finance-ner-7",
    validation: Annotated[str | None, typer.Option(help="Validation data: duplicates across splits are found.", show_default=False)] = None,
    test: Annotated[str | None, typer.Option(help="Test data.", show_default=False)] = None,
    select: Annotated[list[str], typer.Option(help="Codes to look for, e.g. D1.", show_default=False)] = [],  # noqa: B006
    ignore: Annotated[list[str], typer.Option(help="Codes to leave out.", show_default=False)] = [],  # noqa: B006
    json_: Json = False,
) -> None:
    """Look for what would spoil training or make a score meaningless; leaves with 3 where there is an error."""
    from fintune.data.check import check as run_check
    from fintune.data.check import summary
    from fintune.data.load import load_for
    from fintune.tasks.base import load_task

    definition = load_task(task)
    given = {"train": data, "validation": validation, "test": test}
    loaded = {name: load_for(definition, source, options) for name, source in given.items() if source is not None}
    findings = run_check(
        {name: part.examples for name, part in loaded.items()}, kind=definition.kind, labels=definition.labels,
        shares=definition.shares, select=tuple(select), ignore=tuple(ignore),
    )  # fmt: skip
    rejected = [error for part in loaded.values() for error in part.rejected]
    worst = "error" if rejected or any(f.severity == "error" for f in findings) else "ok"
    if json_:
        print_json({
            "task": definition.name, "examples": {name: len(part.examples) for name, part in loaded.items()},
            "findings": [f.record() for f in findings], "rejected": [e.record() for e in rejected], "status": worst,
        })  # fmt: skip
    else:
        from fintune.report.terminal import findings_table

        tell_rejected(rejected)
        counts = ", ".join(f"{len(part.examples):,} {name}" for name, part in loaded.items())
        if findings:
            terminal().print(findings_table(findings))
        skipped = f", {len(rejected)} skipped" if rejected else ""
        print(f"{counts}: {summary(findings)}{skipped}")
    if worst == "error":
        raise typer.Exit(DataError.exit_status)


@app.command()
@reads_data
def train(
    recipe: Annotated[str, typer.Argument(help="Bundled recipe or YAML file.")],
    options: ReadOptions,
    data: Annotated[str, typer.Option(help="Training data.")],
    validation: Annotated[str | None, typer.Option(help="Validation data, to choose and stop by.", show_default=False)] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="Split --data by: paper, stratified, group, time or hash.", show_default=False)
    ] = None,
    output: Output = None,
    set_: Set = [],  # noqa: B006
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be learnt, and stop: trains and writes nothing.")] = False,
    log_to: Annotated[
        list[str],
        typer.Option("--log-to", help="tensorboard, mlflow or trackio, on this machine; may be given several times.", show_default=False),
    ] = [],  # noqa: B006
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a run, or go on with an unfinished one of the same recipe and data."""
    from fintune.api import preflight
    from fintune.api import train as run_train

    if dry_run:
        with Watch(mode(quiet=quiet, json=json_)) as watch:
            certificate = preflight(recipe, data=data, validation=validation, split=split, overrides=set_, options=options, listen=watch)
        if json_:
            print_json({"preflight": certificate.record()})
        else:
            from fintune.report.terminal import certificate as shown

            terminal().print(shown(certificate.record()))
        return

    with Watch(mode(quiet=quiet, json=json_)) as watch:
        finished = run_train(
            recipe, data=data, validation=validation, split=split, output=output, overrides=set_, options=options, log_to=log_to,
            listen=watch,
        )  # fmt: skip
    from fintune.train.together import leads

    if not leads():
        return
    if validation is not None and finished.manifest["validation"]:
        report = finished.evaluate(validation, options=options)
        _print_report(report, finished.folder, json_=json_)
    elif json_:
        print_json({"run": str(finished.folder), "steps": finished.manifest["steps"], "validation": finished.manifest["validation"]})
    else:
        print(finished.folder)


@app.command()
@reads_data
def evaluate(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    options: ReadOptions,
    data: Annotated[str, typer.Option(help="Annotated data.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for predictions.jsonl, report.json and report.html; the run's own otherwise."),
    ] = None,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Score the unmodified base model too, without and with five solved examples.")
    ] = False,
    examples: Annotated[
        str | None, typer.Option(help="Where the solved examples come from; the training data otherwise.", show_default=False)
    ] = None,
    clean: Annotated[bool, typer.Option("--clean", help="Score once more without near duplicates of training texts.")] = False,
    hourly_rate: Rate = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score a run on annotated data, with intervals and floors; writes predictions, report.json and report.html."""
    from fintune.api import load
    from fintune.data.load import load_for

    opened = load(run)
    loaded = load_for(opened.task, data, options)
    tell_rejected(loaded.rejected)
    opened.read_model()  # before the clock of the ticker starts
    shots = (0, 5) if baselines else ()
    with Ticker("predict", len(loaded.examples) * (1 + len(shots)), mode(quiet=quiet, json=json_)) as tick:
        report = opened.judge(
            loaded, source=data, output=output, baselines=shots, examples=examples, clean=clean, options=options,
            hourly_rate=hourly_rate, tick=tick,
        )  # fmt: skip
    _print_report(report, output or run, json_=json_)


@app.command()
@reads_data
def predict(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    options: ReadOptions,
    data: Annotated[
        str | None, typer.Argument(help="File of texts, one a line or any data format; - for standard input.", show_default=False)
    ] = None,
    text: Annotated[list[str], typer.Option("--text", help="A text; may be given several times.", show_default=False)] = [],  # noqa: B006
    output: Output = None,
    review: Annotated[
        Path | None, typer.Option("--review", help="Where to write labels that are too uncertain to stand.", show_default=False)
    ] = None,
    hourly_rate: Rate = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Extract from new text: highlighted on a terminal, one JSON line a text with --output or, for a file, in a pipe."""
    from fintune import run as folders
    from fintune.api import load
    from fintune.data import predictions as seam
    from fintune.data.load import load_texts
    from fintune.records import Example

    if (data is None) == (not text):
        raise UsageError("give --text, or a file of texts", fix="fintune predict RUN --text '...'  or  fintune predict RUN texts.txt")
    if options.on_bad == "skip":
        raise UsageError("--skip-bad is not for predicting", why="predictions for a part of the texts hide the rest", fix="mend the rows")
    examples = load_texts(data, options) if data is not None else [Example(str(i), t) for i, t in enumerate(text, start=1)]
    opened = load(run)
    opened.read_model()  # before the clock of the ticker starts
    with Ticker("predict", len(examples), mode(quiet=quiet, json=json_)) as tick:
        found, cost = opened.measured(examples, hourly_rate=hourly_rate, tick=tick)
    if review is not None:
        folders.write_file(review, opened.review(examples, found))
    if output is not None:
        folders.write_file(output, seam.dump(found))
    elif json_:
        print_json({"run": str(run), "predictions": [seam.record(p) for p in found], "cost": cost})
    elif sys.stdout.isatty() or text:
        from fintune.report.terminal import prediction_line

        for prediction in found:
            terminal().print(prediction_line(prediction, labels=opened.task.labels), soft_wrap=True)
    else:
        sys.stdout.write(seam.dump(found))


@app.command()
@reads_data
def score(
    predictions: Annotated[Path, typer.Argument(help="predictions.jsonl of fintune or any other system.")],
    options: ReadOptions,
    data: Annotated[str, typer.Option(help="Annotated data.")],
    task: Annotated[str, typer.Option(help="Task name or TOML file.")] = "finance-ner-7",
    training: Annotated[
        str | None, typer.Option("--training", "--gazetteer", help="Training data to learn the floors from.", show_default=False)
    ] = None,
    json_: Json = False,
) -> None:
    """Score predictions without any model; PyTorch need not be installed."""
    from fintune import api
    from fintune.data import predictions as seam
    from fintune.data.load import load_for
    from fintune.tasks.base import load_task

    definition = load_task(task)
    loaded = load_for(definition, data, options)
    tell_rejected(loaded.rejected)
    learnt = definition.learn_floors(load_for(definition, training, options).examples) if training else {}
    report = api.score(definition, loaded, seam.read(predictions), floors=learnt, source=data)
    _print_report(report, None, json_=json_)


@app.command(name="kv-heads")
@reads_data
def kv_heads(
    run: Annotated[Path, typer.Argument(help="Run folder of a language model.")],
    options: ReadOptions,
    data: Annotated[str, typer.Option(help="Annotated data.")],
    heads: Annotated[list[int], typer.Option("--heads", help="Numbers of key and value heads to try, e.g. --heads 8 --heads 1.")],
    json_: Json = False,
) -> None:
    """Cache, latency and score of a run with fewer or more key and value heads, by pooling or copying them."""
    from dataclasses import asdict

    from fintune.api import load

    opened = load(run)
    rows = opened.kv_heads(data, heads, options=options)
    if json_:
        print_json({"run": str(run), "metric": opened.task.main_metric, "rows": [asdict(row) for row in rows]})
        return
    from fintune.models.kv_heads import table

    print(table(rows, score=opened.task.main_metric))


app.command()(split)
app.command(name="infer-labels")(infer_labels)
for _command in (show, copy, models, corpus):
    app.command()(_command)


@app.command()
def demo(
    task: Annotated[str, typer.Option("--task", help="entities, sentiment, topic or qa.")] = "entities",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Run folder, runs/demo or runs/demo-TASK; an earlier demo there is replaced.", show_default=False
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Train on the bundled corpus, score, try three new sentences and write a report; needs no network."""
    from fintune.demo import run

    run(task, output, quiet=quiet)


app.command()(compare)
app.command()(history)


def _print_report(report: dict[str, Any], folder: Path | None, *, json_: bool) -> None:
    if json_:
        print_json(report)
        return
    from fintune.report.terminal import score_table

    terminal().print(score_table(report))
    if folder is not None:
        print(folder / "report.html")


def main() -> NoReturn:
    """Run the command line; every failure ends in one line and its exit status."""
    leave(lambda: app(prog_name="fintune", standalone_mode=False))


if __name__ == "__main__":
    main()
