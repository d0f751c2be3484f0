"""The report of a run as one HTML page that asks nothing of any other file or host, and runs no script.

`render(ReportInputs(...))` gives the page. Text reaches it escaped; its policy allows its own stylesheet, by hash, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from fintune.records import Example, Prediction
from fintune.report import browser, costs, coverage, curves, facts, figures, preflight, reliability, svg, tables, wording
from fintune.report.headline import headline
from fintune.report.outputs import outputs
from fintune.report.visible import visible

if TYPE_CHECKING:
    from jinja2 import Template

# Colours of labels in the stylesheet; a label set with more repeats them, and its names tell them apart.
COLOURS = 8
# Entries of the error browser that stand open; the others unfold.
OPEN = 6


@dataclass(frozen=True)
class ReportInputs:
    """The parts of a run folder. Every part may be empty, and every key of a mapping may be missing; what is not there is not shown.

    Attributes:
        report: `report.json`, as `fintune.metrics.report`, `label_report` and `answer_report` describe it.
        recipe_yaml: the resolved recipe.
        manifest: `manifest.json`.
        log: the records of `log.jsonl`.
        examples: with gold, for the error browser.
        predictions: of the examples.
        data_card: of the examples, see `fintune.data.card`.
        preflight: `preflight.json`, the certificate of the run.
        commands: what to type to get the same figures again.
    """

    report: Mapping[str, Any]
    recipe_yaml: str = ""
    manifest: Mapping[str, Any] = field(default_factory=dict)
    log: Sequence[Mapping[str, Any]] = ()
    examples: Sequence[Example] = ()
    predictions: Sequence[Prediction] = ()
    data_card: Mapping[str, Any] = field(default_factory=dict)
    preflight: Mapping[str, Any] = field(default_factory=dict)
    commands: Sequence[str] = ()


def render(inputs: ReportInputs) -> str:
    """The page, complete.

    Raises:
        DataError: for a span that lies outside its text.
    """
    from markupsafe import Markup

    style = asset("page.css")
    return template("page.html").render(style=Markup(style), policy=policy(style), **_context(inputs))


@cache
def template(name: str) -> Template:
    """A page's template, compiled; what it shows is escaped, and made visible."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    def shown(value: object) -> object:
        return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(
        loader=FunctionLoader(asset), autoescape=True, undefined=StrictUndefined, finalize=shown, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(name)


def policy(style: str) -> str:
    """The content security policy of a page with this one stylesheet."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def asset(name: str) -> str:
    """A file beside this one, as text."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _context(inputs: ReportInputs) -> dict[str, Any]:
    """What the template names."""
    report, manifest = inputs.report, inputs.manifest
    found = browser.browse(inputs.examples, inputs.predictions, labels=list(figures.part(report, "per_label")))
    seen = {label for entry in found.entries for label in entry.labels}
    colours = {label: index % COLOURS for index, label in enumerate(figures.labels_of(report, seen))}
    kept = manifest.get("kept_epoch")
    compared, systems = tables.comparison(report)
    return {
        "inputs": inputs,
        "title": str(report.get("task") or "Report"),
        "identity": identity(inputs),
        "head": headline(report, inputs.data_card),
        "kind": figures.kind_of(report),
        "words": wording.kind_words(figures.kind_of(report)),
        "scores": tables.score_rows(report),
        "compared": compared,
        "systems": systems,
        "groups": tables.group_rows(report),
        "probabilities": tables.probability_rows(report),
        "reliability": reliability.diagram(report),
        "reliability_words": reliability.words(report),
        "coverage": coverage.diagram(report),
        "panels": curves.panels(inputs.log, kept_epoch=kept if isinstance(kept, int) else None),
        "matrix": tables.matrix(report),
        "confused": tables.confused(report),
        "errors": tables.error_rows(report),
        "outputs": outputs(inputs.predictions),
        "browser": found,
        "card": facts.data_card(inputs.data_card, figures.kind_of(report)),
        "card_labels": facts.label_counts(inputs.data_card),
        "certificate": preflight.facts(inputs.preflight),
        "masks": preflight.masks(inputs.preflight),
        "warnings": preflight.notes(inputs.preflight),
        "costs": costs.costs(manifest, report),
        "environment": facts.environment(manifest),
        "is_digest": facts.is_digest,
        "files": facts.files(manifest),
        "colour": lambda label: f"c{colours.get(label, COLOURS - 1)}",
        "verdicts": wording.VERDICTS,
        "decimal": figures.decimal,
        "counted": figures.counted,
        "svg": svg,
        "OPEN": OPEN,
    }


def identity(inputs: ReportInputs) -> tuple[str, ...]:
    """Recipe, base model and date of the run, as far as they are known."""
    recipe = re.search(r"^name:[ \t]*(\S.*)$", inputs.recipe_yaml, flags=re.MULTILINE)
    base = figures.part(inputs.manifest, "base")
    parts = (
        recipe.group(1).strip().strip("'\"") if recipe else None,
        base.get("id") or base.get("name"),
        str(inputs.manifest.get("finished") or "")[:10],
    )
    return tuple(str(known) for known in parts if known)
