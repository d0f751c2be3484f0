"""Reads a page strictly: every element closed in order, no duplicate attributes, and the texts of chosen elements."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "br"}
ATTRIBUTES_WITH_ADDRESSES = {
    "href", "src", "srcset", "action", "formaction", "data", "poster", "background", "xlink:href", "ping", "cite", "manifest",
}  # fmt: skip


class Page(HTMLParser):
    """A parsed page.

    `skeleton` is the sequence of tags with the names of their attributes, `attributes` all (tag, name, value), `texts` the
    character data of each element by `tag.class`, in document order, and `data` all of it.
    """

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.skeleton: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: dict[str, list[str]] = {}
        self.data = ""
        self._open: list[tuple[str, list[str]]] = []
        self.feed(source)
        self.close()
        assert not self._open, f"left open: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        self.skeleton.append(f"{tag} {' '.join(names)}")
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            classes = [tag, *(f"{tag}.{name}" for name in (dict(attrs).get("class") or "").split())]
            for name in classes:
                self.texts.setdefault(name, []).append("")
            self._open.append((tag, [f"{name}\0{len(self.texts[name]) - 1}" for name in classes]))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1][0] == tag, f"</{tag}> inside <{self._open[-1][0]}>"
        self._open.pop()
        self.skeleton.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        self.data += data
        for _, places in self._open:
            for place in places:
                name, index = place.split("\0")
                self.texts[name][int(index)] += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"comment {data!r}")

    def handle_decl(self, decl: str) -> None:
        assert decl == "doctype html"

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(f"declaration {data!r}")

    def handle_pi(self, data: str) -> None:
        raise AssertionError(f"processing instruction {data!r}")
