"""Web pages as blocks. Pure; lxml does the parsing, follows nothing and runs nothing.

Navigation, scripts and forms are no text for readers. A term of a list of definitions stands before its definition.

**Source:** HTML standard, sections 4.3 (sections), 4.4 (grouping content) and 15.3 (how elements are displayed).
"""

from __future__ import annotations

import re
from typing import Any

from tailrace.extras import require
from tailrace.semantic.documents.chunking import Block, Kind
from tailrace.semantic.documents.plain_text import Outline

__all__ = ["page_blocks"]

_UNREAD = frozenset(
    {"script", "style", "noscript", "template", "svg", "iframe", "object", "head", "nav", "footer", "form", "button"}
)
_NAVIGATION = re.compile(r"\b(?:nav(?:header|footer|bar|igation)?|toc|sidebar|sphinxsidebar|breadcrumbs?|headerlink)\b")
_HEADING = re.compile(r"h[1-6]")
_BLOCKS = frozenset(
    {"address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "div", "dl", "dt"}
    | {"fieldset", "figcaption", "figure", "header", "hgroup", "hr", "html", "li", "main", "ol", "p", "section"}
    | {"summary", "tbody", "td", "th", "thead", "tr", "ul"}
)


def page_blocks(content: bytes) -> list[Block]:
    """The blocks of a page, in the order in which they stand.

    Raises:
        MissingExtraError: lxml is not installed.
    """
    root = _parse(content)
    if root is None:
        return []
    reader = _Reader()
    titled = root.find(".//title")
    if root.find(".//h1") is None and titled is not None:
        reader.outline.enter(0, _words("".join(titled.itertext())))
    mains = root.xpath("//main | //*[@role='main'] | //body")
    reader.walk(mains[0] if len(mains) else root)
    reader.flush()
    headings = reader.outline.headings
    if headings and not reader.found:  # a page that only names the ones below it
        return [Block("text", headings[-1], headings[:-1])]
    return reader.found


def _parse(content: bytes) -> Any:
    html, etree = require("lxml.html", "semantic"), require("lxml.etree", "semantic")
    try:
        content.decode("utf-8")
        encoding = "utf-8"
    except UnicodeDecodeError:
        encoding = None  # as the page itself declares it
    parser = html.HTMLParser(encoding=encoding, no_network=True, huge_tree=False, remove_comments=True, remove_pis=True)
    try:
        return html.document_fromstring(content, parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError):
        return None


class _Reader:
    """Walks a page; words collect until a block begins or ends."""

    def __init__(self) -> None:
        self.outline = Outline()
        self.found: list[Block] = []
        self._inline: list[str] = []
        self._term = ""

    def walk(self, element: Any) -> None:
        """Read what is in an element."""
        self._inline.append(element.text or "")
        for child in element:
            self._child(child)
            self._inline.append(child.tail or "")

    def flush(self) -> None:
        """A block ends here."""
        words, self._inline = _words("".join(self._inline)), []
        if words:
            self._emit("text", words)

    def _child(self, child: Any) -> None:
        tag = child.tag
        if not isinstance(tag, str) or tag in _UNREAD or _is_navigation(child):
            return
        if _HEADING.fullmatch(tag):
            self.flush()
            self._term = ""
            self.outline.enter(int(tag[1]), _words(_text(child)))
        elif tag == "pre":
            self.flush()
            self._emit("code", _text(child).strip("\n"))
        elif tag == "table" and child.find(".//pre") is None and child.find(".//table") is None:
            self.flush()
            self._emit("table", _table(child))
        elif tag == "dt":
            self.flush()
            self._term = "; ".join(filter(None, (self._term, _words(_text(child)))))
        elif tag in _BLOCKS or tag == "table":
            self.flush()
            self.walk(child)
            self.flush()
        elif tag == "br":
            self._inline.append(" ")
        else:
            self.walk(child)

    def _emit(self, kind: Kind, text: str) -> None:
        if not text.strip():
            return
        if self._term:
            between = ": " if kind == "text" else ":\n"
            text, self._term = f"{self._term}{between}{text}", ""
        self.found.append(Block(kind, text, self.outline.headings))


def _is_navigation(element: Any) -> bool:
    role = element.get("role")
    return role in ("navigation", "search", "banner") or _NAVIGATION.search(element.get("class") or "") is not None


def _text(element: Any) -> str:
    return "".join(
        text for text in element.xpath(".//text()[not(ancestor::script or ancestor::style)]") if isinstance(text, str)
    )


def _words(text: str) -> str:
    return " ".join(text.split())


def _table(table: Any) -> str:
    """A line for each row; the caption is left to whoever reads the page."""
    rows = [[_words(_text(cell)) for cell in row.xpath("./td | ./th")] for row in table.iter("tr")]
    return "\n".join(" | ".join(row) for row in rows if any(row))
