"""What a description in Jira's notation says, as plain text. Pure: lxml reads the HTML in it.

Code stays as it is written, and so do marks that are as readable as what they stand for: lists, tables, ``*bold*``.

**Source:** Atlassian, "Text formatting notation" (headings, links, ``{{monospaced}}``, macros in braces).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tailrace_services.html_text import parse, text

__all__ = ["plain"]

# A blank or a quotation mark behind the colon: an object of JavaScript, in code that nobody marked as such.
_SETTINGS = r"(?::[^{}\s'\"][^{}\n]{0,200})?"
_BLOCK = re.compile(
    rf"\{{(?:(?P<html>html)|(?P<code>code|noformat){_SETTINGS})\}}(?P<content>.*?)(?:\{{(?:(?P=html)|(?P=code))\}}|\Z)",
    re.DOTALL | re.IGNORECASE,
)
"""What is not in the notation itself, to its own end or, left open, to the text's."""
_MACRO = re.compile(
    rf"\{{(?:color(?::[#\w]{{1,30}})?|(?:quote|panel|section|column|expand|anchor|toc){_SETTINGS})\}}", re.IGNORECASE
)
_HEADING = re.compile(r"^[ \t]*h[1-6]\.[ \t]*", re.MULTILINE)
_MONOSPACED = re.compile(r"\{\{([^{}\n]{1,300})\}\}")
_LINK = re.compile(r"\[(?:([^\[\]|\n]{1,300})\|)?((?:https?|ftp|mailto):[^\[\]|\s]{1,2000})(?:\|[^\[\]\n]{0,300})?\]")
_UNSTORABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_LINE_ENDS = re.compile(r"\r\n?")
_GAP = re.compile(r"\n{3,}")


def plain(source: str) -> str:
    r"""The text that is shown; no markup, no control characters, no gaps of more than one empty line.

    >>> plain("h2. Fails\n{color:red}See{color} {{app.js}} or [docs|https://example.com/a]:\n{code:js}a[0] = {};{code}")
    'Fails\nSee app.js or docs (https://example.com/a):\na[0] = {};'
    >>> plain("{html}<div><p>Fish &amp; <b>chips</b></p>\n<p>twice</p></div>{html}")
    'Fish & chips\n\ntwice'
    """
    shown = "".join(_pieces(_storable(source)))
    lines = _storable(shown).split("\n")  # HTML names characters that it does not hold
    return _GAP.sub("\n\n", "\n".join(line.rstrip() for line in lines)).strip()


def _storable(text: str) -> str:
    return _LINE_ENDS.sub("\n", _UNSTORABLE.sub("", text))


def _pieces(source: str) -> Iterator[str]:
    end = 0
    for block in _BLOCK.finditer(source):
        yield _prose(source[end : block.start()])
        yield text(parse(block["content"]), "\n") if block["html"] else block["content"]
        end = block.end()
    yield _prose(source[end:])


def _prose(source: str) -> str:
    shown = _MONOSPACED.sub(r"\1", _HEADING.sub("", _MACRO.sub("", source)))
    return _LINK.sub(lambda link: f"{link[1]} ({link[2]})" if link[1] else link[2], shown)
