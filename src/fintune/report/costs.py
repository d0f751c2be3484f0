"""What training and evaluation cost, as rows of name and value for the page and one line for a terminal.

Reports and manifests of older versions have no costs, and nothing is shown of them. What the machine did not report is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fintune.report.facts import Group, Rows
from fintune.report.figures import counted, duration, number, part, scaled, size, whole

_SOURCES = {"rapl": "all processors of the machine, whoever used them", "nvml": "the GPU boards in use"}


def costs(manifest: Mapping[str, Any], report: Mapping[str, Any]) -> tuple[Group, ...]:
    """Of training and of the evaluation, as far as they are known."""
    groups = (Group("Training", _rows(part(manifest, "cost"))), Group("Evaluation", _rows(part(report, "cost"))))
    return tuple(group for group in groups if group.rows)


def line(report: Mapping[str, Any]) -> str:
    """`1,000 texts in 12.5 s for 0.0035 USD`, or ""."""
    cost = part(report, "cost")
    seconds, price = (number(part(cost, "per_1000").get(key)) for key in ("seconds", "price"))
    if seconds is None:
        return ""
    paid = "" if price is None else f" for {money(price, str(cost.get('currency') or ''))}"
    return f"1,000 texts in {duration(seconds)}{paid}"


def money(amount: float, currency: str) -> str:
    """An amount with its currency; small ones keep three digits."""
    return f"{amount:,.2f} {currency}".strip() if amount >= 1 or amount == 0 else f"{amount:.3g} {currency}".strip()


def _rows(cost: Mapping[str, Any]) -> Rows:
    return tuple(_listed(cost)) if cost else ()


def _listed(cost: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, words in (("wall_seconds", "time"), ("cpu_seconds", "processor time"), ("gpu_seconds", "GPU time")):
        if (seconds := number(cost.get(key))) is not None:
            yield words, duration(seconds)
    for key, words in (("peak_memory_bytes", "most memory"), ("peak_gpu_memory_bytes", "most GPU memory")):
        if (amount := number(cost.get(key))) is not None:
            yield words, size(amount)
    tokens, learnt = whole(cost.get("tokens")), whole(cost.get("supervised_tokens"))
    if tokens is not None:
        yield "tokens", f"{tokens:,}" + (f", {learnt:,} units learnt" if learnt else "")
    if (work := number(cost.get("flop"))) is not None:
        yield "operations, estimated", scaled(work, "FLOP")
    yield "energy", _energy(cost)
    yield "price", _price(cost)
    if text := line({"cost": cost}):
        yield "rate", text


def _energy(cost: Mapping[str, Any]) -> str:
    joules, source = number(cost.get("energy_joules")), _SOURCES.get(str(cost.get("energy_source")), "")
    return "this machine does not report it" if joules is None else f"{scaled(joules, 'J')}" + (f" ({source})" if source else "")


def _price(cost: Mapping[str, Any]) -> str:
    price, rate, currency = number(cost.get("price")), number(cost.get("hourly_rate")), str(cost.get("currency") or "")
    if price is None or rate is None:
        return "no hourly rate was stated"
    examples = whole(cost.get("examples"))
    of = f" for {counted(examples, 'text')}" if examples else ""
    return f"{money(price, currency)}{of}, at {money(rate, currency)} an hour"
