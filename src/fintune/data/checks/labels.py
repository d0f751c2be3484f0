"""Whether the labels of the data are those of the task, and whether there are enough of each to learn and to score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations

from fintune.data.checks.base import Context, finding, listing, many, quoted
from fintune.errors import nearest
from fintune.records import Example, Finding

NAMED = 20  # labels that get a finding of their own


def labels_of(example: Example, kind: str) -> list[str]:
    """The labels of an example, once for each mention; empty for a kind without labels."""
    if kind == "label":
        return [] if example.label is None else [example.label]
    if kind == "labels":
        return list(example.labels or ())
    if kind == "spans":
        return [span.label for span in example.spans or ()] + [label for label, _ in example.unaligned]
    return []


def _mentions(examples: Iterable[Example], kind: str) -> Counter[str]:
    return Counter(label for example in examples for label in labels_of(example, kind))


def _sets(examples: Iterable[Example]) -> Counter[str]:
    """How often each set of labels occurs, by its names."""
    return Counter("; ".join(sorted(example.labels)) or "none" for example in examples if example.labels is not None)


def _with(context: Context, labels: set[str], examples: Sequence[Example]) -> list[Example]:
    return [example for example in examples if not labels.isdisjoint(labels_of(example, context.kind))]


def like(label: str, known: Sequence[str]) -> str:
    """The known label that is most likely meant: other case, a beginning (PER, LOC), a similar spelling; "" where none is."""
    folded = {name.casefold(): name for name in known}
    asked = label.casefold()
    begin = [name for fold, name in folded.items() if asked and (fold.startswith(asked) or asked.startswith(fold))]
    if asked in folded or len(begin) == 1:
        return folded.get(asked) or begin[0]
    return folded.get(nearest(asked, folded, alike=0.65), "")


def unknown(context: Context) -> Iterator[Finding]:
    """A label is not in the task's set."""
    if context.labels is None:
        return
    counts = _mentions(context.examples, context.kind)
    names = sorted(counts.keys() - set(context.labels), key=lambda name: (-counts[name], name))
    for name in names[:NAMED]:
        match = like(name, context.labels)
        fix = f"give --rename {name}={match}" if match else f"give --rename {name}=NEW with one of {', '.join(context.labels[:NAMED])}"
        message = f"label {quoted(name)} ({many(counts[name], 'time')}) is not in the task's set"
        yield finding("D401", message, _with(context, {name}, context.examples), fix=f"{fix}, or add it to the task")
    if rest := names[NAMED:]:
        message = f"{many(len(rest), 'more label')} not in the task's set: {listing(rest)}"
        concerned = _with(context, set(rest), context.examples)
        yield finding("D401", message, concerned, fix="check that data and task belong together")


def rare(context: Context) -> Iterator[Finding]:
    """A label has too few mentions in the training split to be learnt."""
    counts = _mentions(context.training, context.kind)
    known = counts.keys() if context.labels is None else counts.keys() & set(context.labels)
    names = sorted((name for name in known if counts[name] < context.limits.support), key=lambda name: (counts[name], name))
    if names:
        shown = listing([f"{name} {counts[name]}" for name in names])
        message = f"{many(len(names), 'label')} with fewer than {context.limits.support} mentions to learn from: {shown}"
        fix = "annotate more examples with them, or rename them to a wider label"
        yield finding("D402", message, _with(context, set(names), context.training), fix=fix)


def unused(context: Context) -> Iterator[Finding]:
    """A label of the task's set, or of another split, never occurs in the training split."""
    seen = _mentions(context.training, context.kind)
    wanted = _mentions(context.examples, context.kind) if context.labels is None else dict.fromkeys(context.labels)
    missing = [name for name in wanted if name not in seen]
    if missing and context.kind != "answer" and context.training:
        message = f"{many(len(missing), 'label')} without an example to learn from: {listing(missing)}"
        concerned = _with(context, set(missing), context.examples)
        yield finding("D403", message, concerned, fix="annotate examples with them, or take them out of the task")


def majority(context: Context) -> Iterator[Finding]:
    """The share of the most frequent label, or set of labels: the accuracy of a model that has learnt nothing."""
    shares, concerned = [], 0
    for name, examples in context.splits.items():
        counts = _sets(examples) if context.kind == "labels" else _mentions(examples, context.kind)
        if context.kind in ("label", "labels") and counts:
            label, count = min(counts.items(), key=lambda item: (-item[1], item[0]))
            shares.append(f"{count / counts.total():.1%} of {name} ({label})")
            concerned += count
    if shares:
        most = "label" if context.kind == "label" else "set of labels"
        message = f"always giving the most frequent {most} is right in {', '.join(shares)}"
        fix = "compare accuracies with this floor, and report macro-F1 beside them"
        yield finding("D404", message, [], count=concerned, fix=fix)


def exchanged(context: Context) -> Iterator[Finding]:
    """Two labels seem to have changed places: exchanged, they would have the shares that they usually have."""
    for name, examples in context.splits.items():
        counts = _mentions(examples, context.kind)
        if not context.shares or counts.total() < context.limits.enough or not counts.keys() <= context.shares.keys():
            continue
        found = {label: counts[label] / counts.total() for label in context.shares}
        pairs = {
            pair: _distance({**found, pair[0]: found[pair[1]], pair[1]: found[pair[0]]}, context.shares) for pair in combinations(found, 2)
        }
        pair = min(pairs, key=lambda two: pairs[two])
        if _distance(found, context.shares) >= context.limits.unlike and pairs[pair] <= context.limits.alike:
            shown = ", ".join(f"{label} {found[label]:.0%} (usually {context.shares[label]:.0%})" for label in pair)
            message = f"labels {pair[0]} and {pair[1]} of {name} seem to be exchanged: {shown}"
            fix = f"read some of them; then give --rename {pair[0]}={pair[1]} --rename {pair[1]}={pair[0]}, or leave it"
            yield finding("D405", message, _with(context, set(pair), examples), fix=fix)


def _distance(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Share of labels that would have to be others for the distributions to be equal (total variation)."""
    return sum(abs(one[label] - other[label]) for label in other) / 2
