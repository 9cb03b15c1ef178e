"""Rows for an import to read, and rows that it left."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import asyncpg

__all__ = ["fetch", "written"]


def written(path: Path, rows: Sequence[Mapping[str, str]], header: Sequence[str] | None = None) -> Path:
    """A file with these rows; gzip if its name says so."""
    text = io.StringIO()
    writer = csv.DictWriter(text, header or list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    content = text.getvalue().encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


async def fetch(url: str, statement: str) -> list[asyncpg.Record]:
    """The rows of a statement."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(statement)
    finally:
        await connection.close()
