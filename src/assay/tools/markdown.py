"""HTML as Markdown: what a reader of the page would read, in its order; linear in the size but for what bounds it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import urljoin

_SKIPPED = frozenset(
    {"script", "style", "noscript", "template", "svg", "canvas", "iframe", "object", "select", "button"}
)
_BLOCKS = frozenset({
    "p", "div", "section", "article", "main", "header", "footer", "nav", "aside", "ul", "ol", "table", "form", "figure",
    "blockquote", "dl", "dt", "dd", "hr", "fieldset", "details", "summary", "figcaption", "address", "body", "html",
})  # fmt: skip
_MARKS = {"strong": "**", "b": "**", "em": "*", "i": "*", "code": "`", "kbd": "`"}
_VOID = frozenset(
    {"br", "hr", "img", "input", "meta", "link", "source", "wbr", "col", "area", "base", "embed", "track"}
)
_DEEPEST = 40


class _Converter(HTMLParser):
    def __init__(self, base: str) -> None:
        super().__init__(convert_charrefs=True)
        self.title = ""
        self._base = base
        self._out: list[str] = []
        self._main: list[tuple[int, int]] = []
        self._main_at = -1
        self._skipping: list[str] = []
        self._preformatted = 0
        self._lists: list[int] = []
        self._links: list[tuple[str, int]] = []
        self._in_title = False
        self._cells = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._skipping:
            if tag == self._skipping[-1]:
                self._skipping.append(tag)
            return
        if tag in _SKIPPED:
            self._skipping.append(tag)
            return
        if tag == "title":
            self._in_title = not self.title
        elif tag in ("h1", "h2", "h3", "h4", "h5", "h6"):
            self._block(f"{'#' * int(tag[1])} ")
        elif tag == "br":
            self._out.append("\n")
        elif tag == "hr":
            self._block("---\n\n")
        elif tag == "pre":
            self._block("```\n")
            self._preformatted += 1
        elif tag == "li":
            self._item()
        elif tag in ("ul", "ol"):
            self._block("" if self._lists else "\n")
            self._lists = [*self._lists, 1 if tag == "ol" else 0][:_DEEPEST]
        elif tag == "tr":
            self._line()
            self._cells = 0
        elif tag in ("td", "th"):
            self._out.append(" | " if self._cells else "")
            self._cells += 1
        elif tag == "a":
            self._links.append((dict(attrs).get("href") or "", len(self._out)))
        elif tag == "img" and (said := dict(attrs).get("alt")):
            self._out.append(f"![{' '.join(said.split())}]")
        elif tag in _MARKS and not self._preformatted:
            self._out.append(_MARKS[tag])
        elif tag in _BLOCKS:
            self._block()
        if tag == "main" and self._main_at < 0:
            self._main_at = len(self._out)

    def handle_endtag(self, tag: str) -> None:
        if self._skipping:
            if tag == self._skipping[-1]:
                self._skipping.pop()
            return
        if tag == "title":
            self._in_title = False
        elif tag == "pre" and self._preformatted:
            self._preformatted -= 1
            self._line()
            self._out.append("```\n\n")
        elif tag in ("ul", "ol"):
            self._lists = self._lists[:-1]
            self._block()
        elif tag == "a" and self._links:
            self._link(*self._links.pop())
        elif tag in _MARKS and not self._preformatted:
            self._out.append(_MARKS[tag])
        elif tag in _BLOCKS or (tag[:1] == "h" and tag[1:].isdigit()):
            self._block()
        if tag == "main" and self._main_at >= 0:
            self._main.append((self._main_at, len(self._out)))
            self._main_at = -1

    def handle_data(self, data: str) -> None:
        if self._skipping:
            return
        if self._in_title:
            self.title += data
        elif self._preformatted:
            self._out.append(data)
        else:
            flat = re.sub(r"\s+", " ", data)
            self._out.append(flat.lstrip() if not self._out or self._out[-1].endswith("\n") else flat)

    def _link(self, href: str, start: int) -> None:
        text = " ".join("".join(self._out[start:]).split())
        there = href.strip()
        try:
            there = urljoin(self._base, there)
        except ValueError:
            there = ""
        if text and there.startswith(("http://", "https://")) and "#" not in there[:1] and not self._preformatted:
            self._out[start:] = [f"[{text}]({there.replace(' ', '%20').replace(')', '%29')})"]

    def _item(self) -> None:
        self._line()
        depth = max(len(self._lists) - 1, 0)
        number = self._lists[-1] if self._lists else 0
        if number:
            self._lists[-1] += 1
        self._out.append("  " * depth + (f"{number}. " if number else "- "))

    def _line(self) -> None:
        if self._out and not self._out[-1].endswith("\n"):
            self._out.append("\n")

    def _block(self, mark: str = "") -> None:
        self._out.append("\n" if self._lists else "\n\n")
        if mark:
            self._out.append(mark)

    def text(self) -> str:
        """Of the main part alone where the page has one that is more than a shell."""
        whole = _tidy("".join(self._out))
        main = _tidy("\n\n".join("".join(self._out[start:end]) for start, end in self._main))
        return main if len(main) > min(500, len(whole) // 4) else whole


def to_markdown(html: str, base: str) -> tuple[str, str]:
    """The title of a page and its text; addresses in it are made whole by `base`."""
    converter = _Converter(base)
    converter.feed(html)
    converter.close()
    return " ".join(converter.title.split()), converter.text()


def _tidy(text: str) -> str:
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", text)).strip()
