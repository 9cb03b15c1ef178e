"""The documents of a folder. Touches: files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tailrace.semantic.documents.reading import Format, Source

__all__ = ["FORMATS", "sources_in"]

FORMATS: dict[str, Format] = {
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".md": "markdown",
    ".markdown": "markdown",
    ".txt": "text",
    ".text": "text",
    ".rst": "text",
}
"""What is read, by the end of its name."""


def sources_in(folder: Path) -> list[Source]:
    """The documents below a folder, by their names in it, in order.

    Hidden ones are left out, and links that lead elsewhere are not followed.

    Raises:
        NotADirectoryError: it is none.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder")
    return sorted(_found(folder.resolve()), key=lambda source: source.path)


def _found(folder: Path) -> Iterator[Source]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(parent, name)
            known = FORMATS.get(path.suffix.lower())
            if known is not None and not name.startswith(".") and path.resolve().is_relative_to(folder):
                yield Source(path.relative_to(folder).as_posix(), known, path.read_bytes)
