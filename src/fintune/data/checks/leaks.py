"""Whether the text gives the gold away: a model would score high and have learnt nothing.

Each rule names a place where a label or answer can be read off, counts in how many examples it can, and compares that
with what chance would give, so that frequent labels and frequent words alone raise no alarm.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from fintune.data.checks.base import Context, Limits, finding, many, quoted
from fintune.data.checks.labels import labels_of
from fintune.data.near import words
from fintune.records import Example, Finding, Span

_ROOM = 8  # characters between a label's name and its span: colon, blanks, brackets
_TAIL = 120  # characters in which the last word of a text is looked for


def _telling(share: float, chance: float, limits: Limits) -> bool:
    return chance < 1 and share >= limits.visible and (share - chance) / (1 - chance) >= limits.above_chance


def answer_place(context: Context) -> Iterator[Finding]:
    """Most answers stand at the same distance from one end of the text; computed answers stand nowhere."""
    answered = [
        (example, answer.start, len(answer.text))
        for example in context.examples
        if (answer := example.answer) is not None and answer.start is not None
    ]
    if len(answered) < context.limits.enough:
        return
    window = context.limits.window
    # Characters at which an answer of this length could begin; in a window, chance finds it with window / room.
    chance = sum(min(1.0, window / max(1, len(example.text) - length + 1)) for example, _, length in answered) / len(answered)
    from_start = [start for _, start, _ in answered]
    from_end = [len(example.text) - start - length for example, start, length in answered]
    places = [("beginning", from_start, *_densest(from_start, window)), ("end", from_end, *_densest(from_end, window))]
    edge, offsets, low, count = max(places, key=lambda place: place[3])
    if _telling(count / len(answered), chance, context.limits):
        where = f"{low} to {low + window - 1} characters from" if low else "at"
        concerned = [example for (example, _, _), at in zip(answered, offsets, strict=True) if low <= at < low + window]
        message = f"{count / len(answered):.1%} of {many(len(answered), 'answer')} stand {where} the {edge} of the text"
        yield finding("D601", message, concerned, fix="take the answer out of there, or do not trust any score on this data")


def _densest(offsets: list[int], window: int) -> tuple[int, int]:
    """The start of the window that holds the most offsets, and how many."""
    ordered = sorted(offsets)
    best, count, low = ordered[0], 0, 0
    for high, offset in enumerate(ordered):
        while offset - ordered[low] >= window:
            low += 1
        if high - low + 1 > count:
            best, count = ordered[low], high - low + 1
    return best, count


def label_word(context: Context) -> Iterator[Finding]:
    """The name of the gold label stands in the text, mostly at the same place or beside its span."""
    if context.kind == "answer":
        return
    annotated = [(example, own) for example in context.examples if (own := set(labels_of(example, context.kind)))]
    fix = "take the label names out of the texts, or do not trust any score on this data"
    for label, examples, share in _beside(annotated, context.limits):
        yield finding(
            "D602", f"the word {quoted(label)} stands beside spans of that label in {share:.1%} of its examples", examples, fix=fix
        )
    place, found = _named(annotated, context.limits)
    if found:
        message = (
            f"the name of the label stands {place} in {len(found) / len(annotated):.1%} of {many(len(annotated), 'annotated example')}"
        )
        yield finding("D602", message, found, fix=fix)


def _beside(annotated: list[tuple[Example, set[str]]], limits: Limits) -> Iterator[tuple[str, list[Example], float]]:
    """Labels whose name stands directly before or after one of their spans in most examples that have such spans."""
    total = Counter(label for _, own in annotated for label in own)
    names = {label: name for label in total if (name := words(label.replace("_", " "))) and total[label] >= limits.enough}
    found: defaultdict[str, list[Example]] = defaultdict(list)
    for example, _ in annotated:
        lowered = example.text.lower() if example.spans else ""
        named = {label for label, name in names.items() if name[0] in lowered}
        marked = {span.label for span in example.spans or () if span.label in named and _is_beside(example.text, span, names[span.label])}
        for label in marked:
            found[label].append(example)
    for label in sorted(found):
        if len(found[label]) >= limits.visible * total[label]:
            yield label, found[label], len(found[label]) / total[label]


def _is_beside(text: str, span: Span, name: list[str]) -> bool:
    reach = sum(map(len, name)) + _ROOM
    before, after = words(text[max(0, span.start - reach) : max(0, span.start)]), words(text[max(0, span.end) : max(0, span.end) + reach])
    return before[-len(name) :] == name or after[: len(name)] == name


def _named(annotated: list[tuple[Example, set[str]]], limits: Limits) -> tuple[str, list[Example]]:
    """The place at which the names of own labels stand most often, and these examples; none if chance explains it."""
    if len(annotated) < limits.enough:
        return "", []
    gold = Counter(label for _, own in annotated for label in own)
    names = _by_first_word(gold)
    seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
    hits: defaultdict[str, list[Example]] = defaultdict(list)
    for example, own in annotated:
        places = _label_places(words(example.text), names, limits.reach)
        for place, labels in places.items():
            seen[place].update(labels)
            if not labels.isdisjoint(own):
                hits[place].append(example)
    total = len(annotated)
    for place in sorted(hits, key=lambda place: (-len(hits[place]), place == ANYWHERE, place)):
        chance = sum(count / total * gold[label] / total for label, count in seen[place].items())
        if _telling(len(hits[place]) / total, min(1.0, chance), limits):
            return place, hits[place]
    return "", []


ANYWHERE = "somewhere in the text"


def _by_first_word(labels: Iterable[str]) -> dict[str, list[tuple[list[str], str]]]:
    names: dict[str, list[tuple[list[str], str]]] = {}
    for label in sorted(labels):
        if name := words(label.replace("_", " ")):
            names.setdefault(name[0], []).append((name, label))
    return names


def _label_places(text: list[str], names: dict[str, list[tuple[list[str], str]]], reach: int) -> dict[str, set[str]]:
    """The places of a text at which labels are named, and which ones."""
    places: dict[str, set[str]] = {}
    if names.keys().isdisjoint(text):
        return places
    for at, word in enumerate(text):
        for name, label in names.get(word, ()):
            if text[at : at + len(name)] == name:
                behind = len(text) - at - len(name)
                places.setdefault(ANYWHERE, set()).add(label)
                if at < reach:
                    places.setdefault(f"after {many(at, 'word')}" if at else "at the beginning", set()).add(label)
                if behind < reach:
                    places.setdefault(f"{many(behind, 'word')} before the end" if behind else "at the end", set()).add(label)
    return places


def one_word_rule(context: Context) -> Iterator[Finding]:
    """The first or the last word alone gives the label, or is the answer."""
    if context.kind == "label":
        annotated = [(example, example.label) for example in context.examples if example.label is not None]
    elif context.kind == "labels":
        annotated = [(example, "; ".join(sorted(example.labels))) for example in context.examples if example.labels is not None]
    elif context.kind == "answer":
        annotated = [(example, " ".join(words(example.answer.text))) for example in context.examples if example.answer is not None]
    else:
        return
    if len(annotated) < context.limits.enough:
        return
    floor = Counter(gold for _, gold in annotated).most_common(1)[0][1] / len(annotated)
    for which, at in (("first", 0), ("last", -1)):
        seen = [(_edge_word(example.text, at), gold, example) for example, gold in annotated]
        right = _copied(seen) if context.kind == "answer" else _predicted(seen)
        accuracy = len(right) / len(annotated)
        if _telling(accuracy, floor, context.limits):
            rule = f"the answer is the {which} word" if context.kind == "answer" else f"the {which} word decides"
            message = (
                f"the rule '{rule}' is right in {accuracy:.1%} of {many(len(annotated), 'example')}, "
                f"where always giving the most frequent one is right in {floor:.1%}"
            )
            if context.kind == "answer":
                message += f", and no model can be more than {100 * (1 - accuracy):.1f} points better"
            yield finding("D603", message, right, fix=f"look at the {which} words and take out what gives the gold away")


def one_question(context: Context) -> Iterator[Finding]:
    """Among other questions, one that is asked again and again is answered by the first or the last word."""
    if context.kind != "answer":
        return
    asked: defaultdict[str, list[Example]] = defaultdict(list)
    for example in context.examples:
        if example.answer is not None and example.question is not None:
            asked[" ".join(words(example.question))].append(example)
    if len(asked) < 2:
        return  # D603 has looked at all of them
    for examples in asked.values():
        if len(examples) < context.limits.enough:
            continue
        given = [(example, " ".join(words(example.answer.text))) for example in examples if example.answer is not None]
        floor = Counter(gold for _, gold in given).most_common(1)[0][1] / len(given)
        for which, at in (("first", 0), ("last", -1)):
            right = _copied([(_edge_word(example.text, at), gold, example) for example, gold in given])
            if _telling(len(right) / len(given), floor, context.limits):
                message = (
                    f"the {which} word answers {quoted(examples[0].question or '')} in {len(right) / len(given):.1%} of "
                    f"{many(len(given), 'example')}, where always giving the most frequent answer is right in {floor:.1%}"
                )
                yield finding("D604", message, right, fix=f"look at the {which} words and take out what gives the answer away")


def _edge_word(text: str, at: int) -> str:
    found = words(text[:_TAIL] if at == 0 else text[-_TAIL:])
    return found[at] if found else ""


def _copied(seen: list[tuple[str, str, Example]]) -> list[Example]:
    return [example for word, gold, example in seen if word == gold]


def _predicted(seen: list[tuple[str, str, Example]]) -> list[Example]:
    """Examples whose label is the most frequent among the *other* examples with that word; a tie counts as wrong."""
    by_word: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for word, gold, _ in seen:
        by_word[word][gold] += 1
    decides = {}
    for word, counts in by_word.items():
        (label, most), *others = counts.most_common(2)
        if most - 1 > (others[0][1] if others else 0):
            decides[word] = label
    return [example for word, gold, example in seen if decides.get(word) == gold]
