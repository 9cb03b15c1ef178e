"""Markdown as blocks. Pure; markdown-it-py says where they are.

**Source:** CommonMark 0.31; GitHub Flavored Markdown, section 4.10 (tables).
"""

from __future__ import annotations

import re

from tailrace.extras import require
from tailrace.semantic.documents.chunking import Block, Kind
from tailrace.semantic.documents.plain_text import Outline

__all__ = ["markdown_blocks"]

_FRONT_MATTER = re.compile(r"---\n.*?\n(?:---|\.\.\.)\n", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_IMAGE = re.compile(r"!\[([^\]]*)\]\([^)]*\)")
_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")
_KINDS: dict[str, Kind] = {"fence": "code", "code_block": "code", "table_open": "table"}


def markdown_blocks(text: str) -> list[Block]:
    """The blocks of a text; links and images leave their words.

    Raises:
        MissingExtraError: markdown-it-py is not installed.
    """
    parser = require("markdown_it", "semantic").MarkdownIt("commonmark").enable("table")
    body = _FRONT_MATTER.sub("", text, count=1) if text.startswith("---\n") else text
    lines, outline, found = body.split("\n"), Outline(), list[Block]()
    tokens = parser.parse(body)
    for at, token in enumerate(tokens):
        if token.level or token.map is None:
            continue
        if token.type == "heading_open":
            outline.enter(int(token.tag[1:]), _plain(tokens[at + 1].content).replace("`", ""))
            continue
        kind = _KINDS.get(token.type, "text")
        if kind == "code":
            found.append(Block("code", token.content.rstrip("\n"), outline.headings))
        else:
            source = _plain("\n".join(lines[slice(*token.map)]))
            found.append(Block(kind, source if kind == "table" else _unwrapped(source), outline.headings))
    return found


def _plain(source: str) -> str:
    return _LINK.sub(r"\1", _IMAGE.sub(r"\1", _COMMENT.sub("", source)))


def _unwrapped(source: str) -> str:
    """Wrapped lines joined; items of lists stay lines."""
    return re.sub(r"\n(?!\s*(?:[-*+]|\d+[.)])\s)[>\s]*", " ", source.strip())
