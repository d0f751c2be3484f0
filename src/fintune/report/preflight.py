"""The pre-flight certificate for people: its record (`preflight.json`) as rows of words, and its masks as stretches of text.

What is not there, or is not what it should be, is left out. `fintune train --dry-run` prints it, and every page has it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fintune.report.figures import counted, duration, number, part, scaled, size, whole

Rows = tuple[tuple[str, str], ...]
_MEMORY = ("weights", "activations", "logits", "optimizer", "gradients", "adapter")
_DIGESTS = {"template_sha256": "Template (SHA-256)", "tokenizer_sha256": "Tokenizer (SHA-256)", "fingerprint": "Both, as used (SHA-256)"}


@dataclass(frozen=True, slots=True)
class Stretch:
    """Text that is learnt or not; `skipped` characters before it are left out."""

    text: str
    learnt: bool
    skipped: int


@dataclass(frozen=True, slots=True)
class Shown:
    """An example as it is learnt."""

    id: str
    tokens: int
    learnt: int
    stretches: tuple[Stretch, ...]


def facts(record: Mapping[str, Any]) -> Rows:
    """The figures of a certificate, each with its name; nothing for an empty record."""
    return tuple(row for rows in (_examples, _conversations, _training, _needs) for row in rows(record))


def notes(record: Mapping[str, Any]) -> tuple[str, ...]:
    """What a person should know before training."""
    listed = record.get("notes")
    return tuple(map(str, listed)) if isinstance(listed, list) else ()


def masks(record: Mapping[str, Any]) -> tuple[Shown, ...]:
    """The examples that the certificate shows, shortest first."""
    listed = record.get("masks")
    return tuple(_shown(mask) for mask in listed if isinstance(mask, Mapping)) if isinstance(listed, list) else ()


def _shown(mask: Mapping[str, Any]) -> Shown:
    pieces = mask.get("segments")
    stretches = [
        Stretch(str(piece.get("text", "")), piece.get("supervised") is True, whole(piece.get("skipped")) or 0)
        for piece in (pieces if isinstance(pieces, list) else ())
        if isinstance(piece, Mapping)
    ]
    return Shown(str(mask.get("id", "")), whole(mask.get("tokens")) or 0, whole(mask.get("supervised")) or 0, tuple(stretches))


def _examples(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    examples, longest = part(record, "examples"), part(record, "longest")
    count, dropped = whole(examples.get("count")), examples.get("left_out")
    if count is not None:
        yield "Examples", f"{count:,}" + (f", {len(dropped):,} too long and left out" if isinstance(dropped, list) and dropped else "")
    if isinstance(dropped, list) and dropped:
        yield "Left out", _listed([str(name) for name in dropped])
    if spread := _spread(part(record, "supervised")):
        yield f"{str(part(record, 'supervised').get('unit', 'Units')).capitalize()} learnt of each", spread
    if spread := _spread(part(record, "tokens")):
        yield "Tokens of each", spread
    if (tokens := whole(longest.get("tokens"))) is not None:
        limit = whole(longest.get("limit"))
        yield "Longest", f"{longest.get('id')}, {tokens:,} tokens" + (f" of at most {limit:,}" if limit else "")
    labels = {str(label): found for label, found in part(record, "labels").items() if whole(found) is not None}
    if labels:
        yield "Labels seen", _listed([f"{label} {found:,}" for label, found in labels.items() if found]) or "none"
    if unseen := [label for label, found in labels.items() if not found]:
        yield "Labels never seen", _listed(unseen)
    unreachable = record.get("unreachable")
    if isinstance(unreachable, list) and unreachable:
        yield "Gold that the target cannot say exactly", _listed([str(name) for name in unreachable])


def _conversations(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What begins, ends and pads a conversation, and what made it."""
    chat = part(record, "chat")
    if not chat:
        return
    begin, end, count = whole(chat.get("beginnings")), chat.get("end_token"), whole(chat.get("end_supervised"))
    if chat.get("template") is not None:
        yield "Chat template", f"{chat['template']}, thinking {chat.get('thinking', 'none')}"
    if begin is not None:
        yield "Begins with", counted(begin, "beginning-of-text token") if begin else "no beginning-of-text token"
    if end is not None:
        yield "Ends with", f"{end}" + (f", learnt in {count:,}" if count is not None else "")
    if chat.get("padding_token") is not None:
        yield "Padded with", str(chat["padding_token"])
    yield from ((words, str(chat[key])) for key, words in _DIGESTS.items() if chat.get(key))


def _training(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    modules, parameters, prefix, steps = (part(record, name) for name in ("modules", "parameters", "prefix", "steps"))
    if (count := whole(modules.get("count"))) is not None:
        names = modules.get("names")
        leaves = Counter(str(name).rsplit(".", 1)[-1] for name in names) if isinstance(names, list) else {}
        yield "Adapter on", counted(count, "linear layer") + (f": {_listed(list(leaves))}" if leaves else "")
    trained, total = whole(parameters.get("trainable")), whole(parameters.get("total"))
    if trained is not None and total:
        yield "Parameters trained", f"{trained:,} of {total:,} ({100 * trained / total:.2f} %)"
    if (epochs := whole(steps.get("epochs"))) is not None:
        batch = f" of {counted(whole(steps.get('batch')) or 0, 'example')}"
        yield "Steps", f"{whole(steps.get('total')) or 0:,}{batch}, {counted(epochs, 'epoch')}"
    if (tokens := whole(steps.get("tokens_per_epoch"))) is not None:
        computed = whole(steps.get("computed_per_epoch"))
        yield "Tokens of an epoch", f"{tokens:,}" + (f", {computed:,} computed" if computed is not None and computed != tokens else "")
    common, saved = whole(prefix.get("tokens")), number(prefix.get("saved"))
    if common and saved is not None:
        yield "Shared prefix", f"{counted(common, 'token')} in all examples; {100 * saved:.0f} % of an epoch's tokens need not be computed"
    noise = part(record, "noise")
    if (ratio := number(noise.get("ratio"))) is not None:
        yield "Noise", f"{noise.get('kind')}, alpha {noise.get('alpha')}: {100 * ratio:.3g} % of the embeddings, by root mean square"


def _needs(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    memory, time = part(record, "memory"), part(record, "time")
    total, room, device = number(memory.get("total")), number(memory.get("room")), memory.get("device")
    if total is not None:
        parts = [f"{name} {size(amount)}" for name in _MEMORY if (amount := number(memory.get(name)))]
        of = f" of {size(room)}" if room is not None else ""
        again = "; activations are computed again" if memory.get("recomputed") is True else ""
        yield "Memory, estimated", f"{size(total)}{of} on {device}: {', '.join(parts)}{again}"
    seconds, work, rate = (number(time.get(name)) for name in ("seconds", "operations", "rate"))
    if seconds is not None and work is not None and rate is not None:
        yield "Time, estimated", f"{duration(seconds)} for {scaled(work, 'FLOP')}, at a measured matrix product of {scaled(rate, 'FLOP/s')}"


def _spread(found: Mapping[str, Any]) -> str:
    least, middle, most, total = (whole(found.get(name)) for name in ("min", "median", "max", "total"))
    if least is None or middle is None or most is None:
        return ""
    return f"{least:,} to {most:,}, median {middle:,}" + (f"; {total:,} in all" if total is not None else "")


def _listed(names: list[str], most: int = 24) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")
