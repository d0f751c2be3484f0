"""The data card of a set of examples: what a reader of a score wants to know about what it was measured on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from fintune.records import Example


def card(examples: Sequence[Example], *, source: str, fingerprint: str = "") -> dict[str, Any]:
    """Counts and lengths of examples, as plain JSON; lengths are in characters."""
    lengths = sorted(len(e.text) for e in examples)
    texts = Counter(" ".join(e.text.split()).casefold() for e in examples)
    labels = Counter(span.label for e in examples for span in e.spans or ())
    if not labels:
        labels = Counter(label for e in examples for label in (e.labels or () if e.label is None else (e.label,)))
    return {
        "source": source,
        "fingerprint": fingerprint,
        "examples": len(examples),
        "documents": len({e.meta.document or f"example {e.id}" for e in examples}),
        "spans": sum(len(e.spans or ()) for e in examples),
        "without_annotation": sum(not e.spans and e.label is None and e.labels is None and e.answer is None for e in examples),
        "unaligned": sum(len(e.unaligned) for e in examples),
        "exact_duplicates": sum(count - 1 for count in texts.values()),
        "characters": {name: lengths[int(q * (len(lengths) - 1))] for name, q in _QUANTILES} if lengths else {},
        "labels": dict(labels.most_common()),
    }


_QUANTILES = (("minimum", 0.0), ("median", 0.5), ("95 %", 0.95), ("maximum", 1.0))
