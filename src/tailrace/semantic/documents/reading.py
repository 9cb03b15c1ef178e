"""A document as it is read: its title and its chunks. Touches nothing but the bytes that a source gives.

What cannot be read is refused with a reason that names what is wrong, never half read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from tailrace.errors import TailraceError
from tailrace.semantic.documents.chunking import Block, Chunk, chunks_of
from tailrace.semantic.documents.markdown_text import markdown_blocks
from tailrace.semantic.documents.plain_text import plain_blocks
from tailrace.semantic.documents.web_page import page_blocks

__all__ = ["Format", "ReadDocument", "Source", "UnreadableError", "digest_of", "read"]

Format = Literal["html", "markdown", "text"]

VERSION = 2
"""Of how documents are read: another number has all of them read anew."""
LONGEST_HEADING = 300


class UnreadableError(TailraceError):
    """A document that cannot be read, and why."""

    code = "unreadable_document"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a document comes from.

    Args:
        path: its name within its corpus.
        format: how its bytes are read.
        content: gives them; may raise ``OSError``.
    """

    path: str
    format: Format
    content: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """A document that was read."""

    title: str
    chunks: tuple[Chunk, ...]


def digest_of(source: Source, content: bytes) -> bytes:
    """Equal as long as a source would be read as the same document."""
    return blake2b(content, digest_size=16, key=f"{VERSION} {source.format}".encode()).digest()


def read(source: Source, content: bytes) -> ReadDocument:
    """The document that the bytes of a source are.

    Raises:
        UnreadableError: it is no text, or has none.
        MissingExtraError: what reads this format is not installed.

    Cost: some 10 ms for 100 KB.
    """
    blocks = [_storable(block) for block in _blocks(source.format, content)]
    chunks = chunks_of(blocks)
    if not chunks:
        raise UnreadableError("there is no text in it")
    outermost = next((block.headings[0] for block in blocks if block.headings), "")
    return ReadDocument(outermost or source.path, tuple(chunks))


def _blocks(format_: Format, content: bytes) -> list[Block]:
    if b"\0" in content and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UnreadableError("it has NUL bytes, so it is no text")
    if format_ == "html":
        return page_blocks(content)
    try:
        text = content.decode("utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(f"it is not UTF-8: byte {error.start:,}") from error
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return markdown_blocks(text) if format_ == "markdown" else plain_blocks(text)


def _storable(block: Block) -> Block:
    """Without what PostgreSQL has no text for, and with headings in one line."""
    text = block.text.replace("\0", " ").encode("utf-8", "replace").decode()
    headings = (" ".join(heading.replace("\0", " ").split())[:LONGEST_HEADING] for heading in block.headings)
    return Block(block.kind, text, tuple(each.encode("utf-8", "replace").decode() for each in headings if each))
