"""A finished run, opened: predictions, answers and scores from its folder alone."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from fintune import recipe as recipes
from fintune import run as folders
from fintune.data import predictions as seam
from fintune.data import review
from fintune.data.card import card
from fintune.data.formats.base import ReadOptions
from fintune.data.load import Loaded, load_for
from fintune.data.split import split as split_examples
from fintune.errors import ArtifactError, UsageError
from fintune.heads import calibrated
from fintune.recipe import Recipe
from fintune.records import Example, Prediction
from fintune.tasks.base import Task, documents_of, load_task

Data = str | Path | Sequence[Example]


class Run:
    """A finished run. The model is read on first use; scoring and the report need none."""

    def __init__(self, folder: str | Path) -> None:
        """Open a run folder.

        Raises:
            ArtifactError: where it is missing, unfinished, or a file differs from the manifest.
        """
        self.folder = Path(folder)
        self.manifest = folders.manifest(self.folder)
        self.recipe = recipes.load(self.folder / folders.RECIPE)
        self.task: Task = load_task(self.recipe.task, self.recipe.prompt)
        now, before = (_compared(task, self.recipe) for task in (self.task.describe(), self.manifest["task"]))
        if now != before:
            changed = ", ".join(k for k, v in now.items() if before.get(k) != v)
            raise ArtifactError(
                f"the task {self.recipe.task!r} is not what this run was trained on", where=str(self.folder), why=f"changed: {changed}",
                fix="use the task file of the time of training",
            )  # fmt: skip

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    @cached_property
    def model(self) -> Any:
        """Model, head and base of the run.

        Raises:
            ArtifactError: where the base's weights are not those the adapter was trained on.
        """
        from fintune.heads.build import load as load_model

        built = load_model(self.recipe, self.task, self.folder / folders.ADAPTER)
        if built.base_sha256 != self.manifest["base_sha256"]:
            raise ArtifactError(
                f"the base model {built.base.id!r} has other weights than in training", where=str(self.folder),
                fix=f"restore the base as it was: revision {self.manifest['base']['revision']!r}",
            )  # fmt: skip
        import torch

        return built if not torch.cuda.is_available() else _on_device(built, "cuda")

    def read_model(self) -> None:
        """Read the model now, not at the first prediction; errors as of `model`."""
        self.model  # noqa: B018

    def predict(self, data: Data | Sequence[str], *, tick: Any = None) -> list[Prediction]:
        """Predictions for texts, examples, or a file of either, in order."""
        return list(self.stream(_texts(data), tick=tick))

    def stream(self, examples: Sequence[Example], *, tick: Any = None) -> Iterator[Prediction]:
        """Predictions one by one; memory stays flat."""
        from fintune.predict.run import predict

        settings = self.recipe.predict
        return predict(
            self.model.model,
            self.model.head,
            examples,
            batch_tokens=settings.batch_tokens,
            precision=settings.precision,
            tick=tick or _silent,
        )

    def measured(
        self, examples: Sequence[Example], *, hourly_rate: float | None = None, tick: Any = None
    ) -> tuple[list[Prediction], dict[str, Any]]:
        """Predictions, and what making them cost (`models.cost`), once the model is read.

        Args:
            examples: or texts as such.
            hourly_rate: price of an hour of this machine; the recipe's where None.
            tick: told how many texts were finished since the last call.
        """
        from fintune.predict.run import measured

        rate = self.recipe.cost.hourly_rate if hourly_rate is None else hourly_rate
        recipe = self.recipe.model_copy(update={"cost": self.recipe.cost.model_copy(update={"hourly_rate": rate})})
        return measured(self.model.model, self.model.head, examples, recipe=recipe, tick=tick or _silent)

    def answer(self, *, question: str | Sequence[str], context: str | Sequence[str], top_k: int = 1) -> Any:
        """Answers out of texts, as `predict.answers.answer` gives them: `{"answer", "score", "start", "end"}` for one question."""
        from fintune.predict.answers import answer

        built, settings = self.model, self.recipe.predict
        return answer(built.model, built.head, question=question, context=context, top_k=top_k, settings=settings)

    def evaluate(
        self,
        data: Data,
        *,
        options: ReadOptions = ReadOptions(),
        output: str | Path | None = None,
        baselines: Sequence[int] = (),
        examples: Data | None = None,
        clean: bool = False,
        hourly_rate: float | None = None,
        tick: Any = None,
    ) -> dict[str, Any]:
        """Score the run on annotated data; writes predictions, `report.json` and `report.html`, and returns the report.

        Args:
            data: a file, hub id, `bundled:...`, or examples.
            options: how to read it.
            output: folder for the three files; the run's own where None.
            baselines: numbers of solved examples to show to the unmodified base model, such as `(0, 5)`, scored beside the run.
            examples: where these are taken from; the run's training data where None.
            clean: score once more without texts that are near duplicates of training texts, under `clean` in the report.
            hourly_rate: price of an hour of this machine, from which that of 1,000 texts follows; the recipe's where None.
            tick: told how many texts were finished since the last call.
        """
        loaded = load_for(self.task, data, options)
        return self.judge(
            loaded, source=name_of(data), output=output, baselines=baselines, examples=examples, clean=clean, options=options,
            hourly_rate=hourly_rate, tick=tick,
        )  # fmt: skip

    def judge(
        self,
        loaded: Loaded,
        *,
        source: str,
        output: str | Path | None = None,
        baselines: Sequence[int] = (),
        examples: Data | None = None,
        clean: bool = False,
        options: ReadOptions = ReadOptions(),
        hourly_rate: float | None = None,
        tick: Any = None,
    ) -> dict[str, Any]:
        """`evaluate` on data that are in memory already; `source` is what the report calls them."""
        untrained = self._untrained(baselines, examples, options)  # what is refused is refused before the work
        found, cost = self.measured(loaded.examples, hourly_rate=hourly_rate, tick=tick)
        place = self.folder / folders.FLOORS
        known = self.task.read_floors(folders.read_json(place), where=str(place))
        report = {**score(self.task, loaded, found, floors=known, source=source), "cost": cost}
        if untrained:
            report["baselines"] = {name: self._without_adapter(head, loaded, tick) for name, head in untrained.items()}
        if clean:
            report["clean"] = self._clean(loaded, found, floors=known, options=options)
        place = Path(output) if output is not None else self.folder
        folders.make(place)
        if self.threshold is not None:
            report["abstention"] = self._abstention(loaded.examples, found, self.threshold)
            folders.write_file(place / review.REVIEW, self.review(loaded.examples, found))
        folders.write_file(place / folders.PREDICTIONS, seam.dump(found))
        folders.write_json(place / folders.REPORT_JSON, report)
        folders.write_file(place / folders.REPORT_HTML, self.page(report, loaded.examples, found, source=source))
        return report

    @property
    def threshold(self) -> float | None:
        """The least confidence of a label that stands, fitted on validation examples; None where the recipe wants no precision."""
        return calibrated.read(self.folder / folders.ADAPTER).threshold

    def review(self, examples: Sequence[Example], found: Sequence[Prediction]) -> str:
        """The lines of the review queue: labels that are too uncertain to stand.

        Raises:
            UsageError: where the run has no threshold.
        """
        if self.threshold is None:
            fix = "train with --set predict.wanted_precision=0.98 and --validation"
            raise UsageError("this run has no threshold of confidence", where=str(self.folder), fix=fix)
        return review.queue(examples, found, labels=self.task.labels, least=self.threshold)

    def _abstention(self, examples: Sequence[Example], found: Sequence[Prediction], least: float) -> dict[str, Any]:
        import numpy as np

        from fintune.metrics.intervals import Bootstrap
        from fintune.metrics.selective import abstention

        right = np.array([review.right(e, p) for e, p in zip(examples, found, strict=True)])
        confidence = np.array([-1.0 if (sure := review.certainty(p)) is None else sure for p in found])
        return abstention(confidence, right, least=least, wanted=self.recipe.predict.wanted_precision, level=Bootstrap().level)

    def _clean(self, loaded: Loaded, found: Sequence[Prediction], *, floors: Mapping[str, Any], options: ReadOptions) -> dict[str, Any]:
        """Scores and floors on the examples that are no near duplicates of training texts.

        `{"examples", "left_out", "metrics", "floors"}`, without scores where there are none.
        """
        from fintune.data.near import like_any

        repeated = like_any([e.text for e in loaded.examples], [e.text for e in self._pool(None, options)])
        pairs = [pair for pair, near in zip(seam.pair(loaded.examples, found), repeated, strict=True) if not near]
        if not pairs:
            return {"examples": 0, "left_out": len(repeated), "metrics": {}, "floors": {}}
        scored = self.task.score(pairs, documents=documents_of([example for example, _ in pairs]), floors=floors)
        return {"examples": len(pairs), "left_out": len(repeated) - len(pairs), "metrics": scored["metrics"], "floors": scored["floors"]}

    def page(self, report: Mapping[str, Any], examples: Sequence[Example], found: Sequence[Prediction], *, source: str) -> str:
        """The report as one self-contained HTML page."""
        from fintune.report.html import ReportInputs, render

        preflight = self.folder / folders.PREFLIGHT
        return render(
            ReportInputs(
                report=report,
                recipe_yaml=self.recipe.to_yaml(),
                manifest=self.manifest,
                log=folders.Log(self.folder / folders.LOG).records(),
                examples=examples,
                predictions=found,
                data_card=report["data"],
                preflight=folders.read_json(preflight) if preflight.is_file() else {},  # runs of older versions have none
                commands=self.commands(source),
            )
        )

    def _pool(self, examples: Data | None, options: ReadOptions) -> Sequence[Example]:
        """The examples that a few-shot baseline may show.

        Raises:
            ArtifactError: where the training data are no longer what they were.
        """
        if examples is not None:
            return load_for(self.task, examples, options).examples
        trained = self.manifest["data"]["train"]
        if trained["source"].endswith("examples in memory"):
            raise UsageError("the training data were in memory only", where="--baselines", fix="give --examples")
        loaded = load_for(self.task, trained["source"], options)
        if loaded.fingerprint != trained["fingerprint"]:
            raise ArtifactError("the training data have changed since", where=trained["source"], fix="give --examples")
        held = self.manifest["data"].get("split")
        return split_examples(loaded.examples, method=held).train if held else loaded.examples

    def _untrained(self, baselines: Sequence[int], examples: Data | None, options: ReadOptions) -> dict[str, Any]:
        """Heads for the base model without the adapter, by name, each shown a number of solved examples."""
        if examples is not None and not any(baselines):
            raise UsageError("examples are given, but none are to be shown", where="--examples", fix="give --baselines too")
        if not baselines:
            return {}
        from fintune.heads.generative.head import untrained

        head = self.model.head
        return {_named(shots): untrained(head, self.recipe, shots=shots, pool=lambda: self._pool(examples, options)) for shots in baselines}

    def _without_adapter(self, head: Any, loaded: Loaded, tick: Any) -> dict[str, Any]:
        """Scores of the base model under a head of `_untrained`."""
        from fintune.predict.run import predict

        model, settings = self.model.model, self.recipe.predict
        with model.adapted.disable_adapter():
            found = list(predict(
                model, head, loaded.examples, batch_tokens=settings.batch_tokens, precision=settings.precision, tick=tick or _silent
            ))  # fmt: skip
        report = self.task.score(seam.pair(loaded.examples, found), documents=documents_of(loaded.examples), floors={})
        return {**report["metrics"], "malformed": {"value": report["malformed"]["share"]}}

    def kv_heads(self, data: Data, counts: Sequence[int], *, options: ReadOptions = ReadOptions()) -> list[Any]:
        """Cache, latency and score of the run's language model with other numbers of key and value heads (`predict.kv_heads`)."""
        from fintune.heads.build import load as load_model
        from fintune.predict.kv_heads import study

        loaded = load_for(self.task, data, options)
        built = load_model(self.recipe, self.task, self.folder / folders.ADAPTER)  # the study merges the adapter into this copy
        return study(built, self.task, self.recipe.predict, loaded.examples, counts)

    def commands(self, source: str) -> list[str]:
        """What to type to get these figures again."""
        data, again = self.manifest["data"], f"{self.folder}-again"
        validation = ["--validation", data["validation"]["source"]] if data.get("validation") else []
        split = ["--split", data["split"]] if data.get("split") else []
        train = ["fintune", "train", str(self.folder / folders.RECIPE), "--data", data["train"]["source"], *validation, *split]
        return [shlex.join([*train, "--output", again]), shlex.join(["fintune", "evaluate", again, "--data", source])]


def score(task: Task, loaded: Loaded, found: Sequence[Prediction], *, floors: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The report of predictions on annotated data, with the data card; needs no model."""
    pairs = seam.pair(loaded.examples, found)
    report = task.score(pairs, documents=documents_of(loaded.examples), floors=floors)
    described = card(loaded.examples, source=source, fingerprint=loaded.fingerprint)
    return {**report, "data": {**described, "rejected": len(loaded.rejected)}}


def _compared(task: Mapping[str, Any], recipe: Recipe) -> dict[str, Any]:
    """What of a task decides predictions: the prompt does for a generative head alone."""
    return {key: value for key, value in task.items() if key != "prompt" or recipe.head.type == "generative"}


def _named(shots: int) -> str:
    return "zero-shot" if shots == 0 else f"few-shot ({shots})"


def _texts(data: Any) -> Sequence[Example]:
    from fintune.data.load import load_texts

    if isinstance(data, (str, Path)):
        return load_texts(data)
    return [item if isinstance(item, Example) else Example(str(i), item) for i, item in enumerate(data, start=1)]


def name_of(data: Data) -> str:
    """What reports and manifests call data."""
    return str(data) if isinstance(data, (str, Path)) else f"{len(data)} examples in memory"


def _on_device(built: Any, device: str) -> Any:
    built.model.to(device)
    return built


def _silent(_: Any) -> None:
    """Nobody listens."""
