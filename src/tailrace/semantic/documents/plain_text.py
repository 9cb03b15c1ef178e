"""Plain text as blocks. Pure.

Blank lines part paragraphs, a line of signs below a line makes a heading of it, and what is indented and does not read
like sentences is code. Lines that were wrapped are joined, and marks of emphasis around words left out.
"""

from __future__ import annotations

import re

from tailrace.semantic.documents.chunking import Block

__all__ = ["Outline", "plain_blocks"]

_RULE = re.compile(r"([=\-*~^#\"+])\1{2,}\s*")
_SENTENCES = re.compile(r"\s*\*{0,2}[A-Z\"“](?:[^=;{}]|; )*[.:]", re.DOTALL)
"""What reads like sentences: indented text that does not is code."""
PROMPT = ">>> "
"""Begins an example as Python's documentation has them, indented or not."""
_EMPHASIS = re.compile(r"(?<![\w*])(\*{1,2})(?=[^\s*])([^*\n]+)(?<=\S)\1(?![\w*])")


class Outline:
    """The headings above a place, as a document is read from its beginning."""

    def __init__(self) -> None:
        self._open: list[tuple[int, str]] = []

    def enter(self, level: int, heading: str) -> None:
        """A section of this level begins, 1 the outermost; those of it and below have ended."""
        self._open = [each for each in self._open if each[0] < level]
        self._open.append((level, heading))

    @property
    def headings(self) -> tuple[str, ...]:
        """The outermost first."""
        return tuple(heading for _, heading in self._open if heading)


def plain_blocks(text: str) -> list[Block]:
    """The blocks of a text.

    >>> [(block.kind, block.text) for block in plain_blocks("Title\\n=====\\n\\nIt is\\nso.\\n\\n   x = f(1)\\n")]
    [('text', 'It is so.'), ('code', '   x = f(1)')]
    """
    outline, signs, found = Outline(), list[str](), list[Block]()
    for paragraph in _paragraphs(text):
        lines = paragraph
        while len(lines) > 1 and _RULE.fullmatch(lines[1]) and not lines[0].startswith(" "):
            sign = lines[1][0]
            if sign not in signs:
                signs.append(sign)
            outline.enter(signs.index(sign) + 1, lines[0].strip())
            lines = lines[2:]
        if lines and not all(_RULE.fullmatch(line) for line in lines):
            found.append(_block(lines, outline.headings))
    return _together(found)


def _paragraphs(text: str) -> list[list[str]]:
    pieces = re.split(r"\n[ \t]*\n+", text.expandtabs(8).strip("\n"))
    return [lines for piece in pieces if (lines := [line.rstrip() for line in piece.split("\n") if line.strip()])]


def _block(lines: list[str], headings: tuple[str, ...]) -> Block:
    plain = "\n".join(lines)
    indented = all(line.startswith("  ") for line in lines) and not _SENTENCES.fullmatch(plain)
    if indented or lines[0].lstrip().startswith(PROMPT):
        return Block("code", plain, headings)
    joined: list[str] = []
    for line in lines:
        if joined and not re.match(r"\s*(?:[-*•+]|\d+[.)])\s", line):
            joined[-1] = f"{joined[-1]} {line.strip()}"
        else:
            joined.append(line.strip())
    return Block("text", _EMPHASIS.sub(r"\2", "\n".join(joined)), headings)


def _together(blocks: list[Block]) -> list[Block]:
    """Code that a blank line parts is one piece."""
    joined: list[Block] = []
    for block in blocks:
        before = joined[-1] if joined else None
        if before and block.kind == before.kind == "code" and block.headings == before.headings:
            joined[-1] = Block("code", f"{before.text}\n\n{block.text}", block.headings)
        else:
            joined.append(block)
    return joined
