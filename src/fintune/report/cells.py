"""What tables of a terminal are made of: text that rich takes for nothing but text, in one look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fintune.report.visible import visible

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text


def table(title: str) -> Table:
    """An empty table."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    heading = plain(title, "bold") if title else None
    return Table(title=heading, title_justify="left", caption_justify="left", box=SIMPLE_HEAD, pad_edge=False)


def plain(text: str, style: str = "") -> Text:
    """Text that rich does not look for markup in, and that does nothing to a terminal."""
    from rich.text import Text

    return Text(visible(text), style)
