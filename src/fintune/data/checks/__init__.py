"""The checks of `fintune check`, one small function a finding. A new check is a function and a line in both tables.

A code is a family and a number, and never changes its meaning: D1 identity, D2 duplicates, D3 spans and answers,
D4 labels, D5 length, D6 leaks, D7 characters; S1 is what `fintune.data.split` could not honour.
"""

from __future__ import annotations

from fintune.records import Severity

CHECKS = {
    "D101": "fintune.data.checks.identity:empty_ids",
    "D102": "fintune.data.checks.identity:duplicate_ids",
    "D103": "fintune.data.checks.identity:other_kinds",
    "D104": "fintune.data.checks.identity:unannotated",
    "D105": "fintune.data.checks.identity:empty_texts",
    "D201": "fintune.data.checks.duplicates:exact_inside",
    "D202": "fintune.data.checks.duplicates:exact_across",
    "D203": "fintune.data.checks.duplicates:near_inside",
    "D204": "fintune.data.checks.duplicates:near_across",
    "D205": "fintune.data.checks.duplicates:conflicting",
    "D206": "fintune.data.checks.duplicates:documents_across",
    "D301": "fintune.data.checks.spans:outside",
    "D302": "fintune.data.checks.spans:other_surface",
    "D303": "fintune.data.checks.spans:overlapping",
    "D304": "fintune.data.checks.spans:edges",
    "D305": "fintune.data.checks.spans:unaligned",
    "D306": "fintune.data.checks.spans:answers",
    "D401": "fintune.data.checks.labels:unknown",
    "D402": "fintune.data.checks.labels:rare",
    "D403": "fintune.data.checks.labels:unused",
    "D404": "fintune.data.checks.labels:majority",
    "D405": "fintune.data.checks.labels:exchanged",
    "D501": "fintune.data.checks.length:too_long",
    "D601": "fintune.data.checks.leaks:answer_place",
    "D602": "fintune.data.checks.leaks:label_word",
    "D603": "fintune.data.checks.leaks:one_word_rule",
    "D604": "fintune.data.checks.leaks:one_question",
    "D701": "fintune.data.checks.characters:odd",
}

# error: training or its score would be wrong; warning: look before training; info: know when reading scores.
SEVERITIES: dict[str, Severity] = {
    "D101": "error",
    "D102": "error",
    "D103": "error",
    "D104": "error",
    "D105": "error",
    "D201": "warning",
    "D202": "error",
    "D203": "warning",
    "D204": "warning",
    "D205": "warning",
    "D206": "warning",
    "D301": "error",
    "D302": "error",
    "D303": "warning",
    "D304": "warning",
    "D305": "warning",
    "D306": "error",
    "D401": "error",
    "D402": "warning",
    "D403": "warning",
    "D404": "info",
    "D405": "warning",
    "D501": "warning",
    "D601": "error",
    "D602": "error",
    "D603": "error",
    "D604": "error",
    "D701": "info",
    "S101": "warning",
    "S102": "warning",
    "S103": "warning",
    "S104": "info",
    "S105": "info",
    "S106": "warning",
    "S107": "warning",
}
