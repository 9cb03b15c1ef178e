"""The text that readers of HTML see. Pure: lxml does the parsing.

The parser follows nothing, runs nothing, and gives up what is nested too deeply. **Source:** HTML standard, section
4.4 (grouping content) and 15.3.3 (what is displayed as blocks).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lxml import etree, html

__all__ = ["parse", "text"]

UNREAD = (
    "//script | //style | //noscript | //template | //svg | //iframe | //object | //head | //nav | //footer | //form"
)
"""What is no text for readers."""

BLOCKS = frozenset(
    {
        "address",
        "article",
        "blockquote",
        "br",
        "dd",
        "div",
        "dt",
        "figcaption",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
    }
    | {"li", "main", "ol", "p", "pre", "section", "table", "td", "th", "tr", "ul"}
)
"""Elements that end a line, and so a word."""


def parse(source: str) -> Any:
    """The root element; an empty one for what has none."""
    parser = html.HTMLParser(encoding="utf-8", no_network=True, huge_tree=False, remove_comments=True, remove_pis=True)
    try:
        return html.document_fromstring(source.encode("utf-8", "replace"), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError):
        return etree.Element("html")


def text(root: Any, between: str = " ") -> str:
    """What there is to read below ``root``, which loses all else; white space as it is.

    Args:
        between: put where a block begins and ends.

    >>> text(parse("<p>Fish &amp; <b>chips</b></p><script>x</script><p>twice</p>"), "|")
    '|Fish & chips||twice|'
    """
    for element in root.xpath(UNREAD):
        tail, before = element.tail or "", element.getparent()
        if before is not None:
            before.remove(element)
            if tail:
                before.append(_inline(tail))
    return "".join(_pieces(root, between))


def _inline(words: str) -> Any:
    element = etree.Element("span")
    element.text = words
    return element


def _pieces(root: Any, between: str) -> Iterable[str]:
    for event, element in etree.iterwalk(root, events=("start", "end")):
        if element.tag in BLOCKS and (event == "start" or element.tag != "br"):
            yield between
        if event == "start":
            yield element.text or ""
        elif element is not root:
            yield element.tail or ""
