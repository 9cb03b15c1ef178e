"""Chunks that follow the structure of a document. Pure.

A chunk is of one section and has the headings above it as context. What belongs together stays together: code and
tables are whole, as long as they are not very long, and text is cut between sentences. Where a section goes on in
another chunk, that one begins with the last sentence of the one before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import groupby
from typing import Literal

__all__ = ["Block", "Chunk", "Kind", "chunks_of"]

Kind = Literal["text", "code", "table"]

LONGEST = 1_000
"""Characters of a chunk: some 250 tokens, which is what the model reads."""
LONGEST_WHOLE = 2_000
"""Characters of code or a table that is not cut."""
OVERLAP = 200
"""Characters of a sentence that is said again, at most."""
BETWEEN_HEADINGS = " › "

_SENTENCE = re.compile(r"(?<=[.!?:;])\s+")


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, a list, a table or a piece of code, and the headings above it, the outermost first."""

    kind: Kind
    text: str
    headings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document; ``heading`` is the headings above it in one line."""

    heading: str
    body: str

    @property
    def digest(self) -> bytes:
        """Equal for equal chunks."""
        return blake2b(f"{self.heading}\0{self.body}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def chunks_of(blocks: Iterable[Block]) -> list[Chunk]:
    """The chunks of a document, in order, no two the same.

    >>> [c.body for c in chunks_of([Block("text", "One.", ("A",)), Block("text", "Two.", ("A",))])]
    ['One.\\n\\nTwo.']
    """
    made = [
        chunk
        for headings, section in groupby(blocks, lambda block: block.headings)
        for chunk in _cut(headings, section)
    ]
    return list(dict.fromkeys(made))


def _cut(headings: tuple[str, ...], section: Iterable[Block]) -> Iterator[Chunk]:
    heading = BETWEEN_HEADINGS.join(headings)
    filling = _Filling()
    for block in section:
        for piece in _pieces(block):
            yield from (Chunk(heading, body) for body in filling.put(piece, block.kind))
    if filling.parts:
        yield Chunk(heading, filling.body)


@dataclass(slots=True)
class _Filling:
    """A chunk that is being filled."""

    parts: list[str] = field(default_factory=list)
    size: int = 0
    said: str = ""
    """The last sentence, if it was text."""

    @property
    def body(self) -> str:
        return "\n\n".join(self.parts)

    def put(self, piece: str, kind: Kind) -> Iterator[str]:
        """Add a piece; first the chunk that it has no place in, if so."""
        if self.parts and self.size + len(piece) > LONGEST:
            yield self.body
            again = self.said if self.said and len(self.said) + len(piece) <= LONGEST else ""
            self.parts, self.size = ([again], len(again)) if again else ([], 0)
        self.parts.append(piece)
        self.size += len(piece) + 2
        last = _SENTENCE.split(piece)[-1] if kind == "text" else ""
        self.said = last if len(last) <= OVERLAP else ""


def _pieces(block: Block) -> Iterator[str]:
    """The block, or as few pieces of it as are short enough."""
    text = block.text.strip("\n") if block.kind == "code" else block.text.strip()
    if not text.strip():
        return
    if block.kind == "text":
        yield from _joined(_SENTENCE.split(text), " ", LONGEST - OVERLAP, "")
    elif len(text) <= LONGEST_WHOLE:
        yield text
    else:
        first, *rows = text.split("\n")
        # Each piece of a table says what its columns are.
        head = first if block.kind == "table" and len(first) <= OVERLAP else ""
        yield from _joined(rows if head else [first, *rows], "\n", LONGEST_WHOLE, head)


def _joined(parts: Iterable[str], between: str, longest: int, head: str) -> Iterator[str]:
    """As many of the parts together as are short enough; a part that is too long by itself is cut."""
    room = longest - len(head)
    short = [part[at : at + room] for part in parts for at in range(0, max(1, len(part)), room)]
    held: list[str] = [head] if head else []
    size = len(head)
    for part in short:
        if size and len(held) > bool(head) and size + len(between) + len(part) > longest:
            yield between.join(held)
            held, size = ([head], len(head)) if head else ([], 0)
        held.append(part)
        size += len(part) + len(between)
    if len(held) > bool(head):
        yield between.join(held)
