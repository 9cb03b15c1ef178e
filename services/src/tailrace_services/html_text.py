"""The text that readers of HTML see. Pure: lxml does the parsing.

The parser follows nothing, runs nothing, and gives up what is nested too deeply. It compares each attribute of an
element with all others, which for two megabytes of them takes minutes: a page is read up to the first element that has
more than anybody writes. **Source:** HTML standard, sections 4.4 (grouping content), 13.2.5 (tokenization) and 15.3.3
(what is displayed as blocks).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from lxml import etree, html

__all__ = ["MOST_ATTRIBUTES", "parse", "text", "without_traps"]

MOST_ATTRIBUTES = 1_000
"""Attributes of one element."""
_SPACE = r"[ \t\n\r\f]"
# What follows a name may be a value, in quotes that are closed, in none, or nothing. Nothing is tried twice (``*+``).
_VALUE = rf"""{_SPACE}*+={_SPACE}*+(?:"[^"]*+"|'[^']*+'|[^ \t\n\r\f>"'][^ \t\n\r\f>]*+|)"""
_ATTRIBUTE = rf"""[ \t\n\r\f/]*+[^ \t\n\r\f/>][^ \t\n\r\f/>=]*+(?:{_VALUE})?+"""
_ATTRIBUTES = re.compile(_ATTRIBUTE)
_TAG = re.compile(rf"<[A-Za-z][^ \t\n\r\f/>]*+((?:{_ATTRIBUTE})*+)")

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


def without_traps(source: str, most: int = MOST_ATTRIBUTES) -> str:
    """``source`` up to the first element with more than ``most`` attributes. Linear.

    What stands in scripts and comments is taken for elements as well.
    """
    for tag in _TAG.finditer(source):
        # The shortest takes two characters with what keeps it from the next.
        if tag.end() - tag.start() > most and len(_ATTRIBUTES.findall(tag[1])) > most:
            return source[: tag.start()]
    return source


def parse(source: str) -> Any:
    """The root element; an empty one for what has none."""
    source = without_traps(source)
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
    >>> text(parse("<p>one <script>x</script>two <b>three</b></p>"))
    ' one two three '
    """
    for element in root.xpath(UNREAD):
        parent = element.getparent()
        if parent is not None:
            parent.replace(element, _inline(element.tail or ""))  # what follows it stays where it is
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
