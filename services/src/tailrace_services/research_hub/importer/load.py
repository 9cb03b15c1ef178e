"""Put posts into the database, and the same rows into the baseline's. Touches: both, a transaction each.

All files of one command are one transaction. Rows are staged in a temporary table while files are read, and only when
all have been read to their ends do they become authors and posts, by one INSERT each, so that triggers fire twice. A
post whose address is there already is left as it is, so a repeated import changes nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import asyncpg

from tailrace_services.data.csv_file import CsvFile, Rejection
from tailrace_services.data.importing import RowsRejectedError, continue_numbers, import_transactions, mirroring
from tailrace_services.data.loading import Connection, Progress
from tailrace_services.research_hub.importer.post import PLATFORM, Post
from tailrace_services.research_hub.importer.reader import MAX_BYTES, post_file

__all__ = ["ImportReport", "import_posts"]

_TOLERANCE = timedelta(days=1)
"""By how much a post may be newer than the database's clock."""
_STAGED = ("position", "author", "display_name", "url", "title", "body", "published_at", "metrics")
_CREATE_STAGED = """
CREATE TEMPORARY TABLE staged_posts (
    position bigint, author text, display_name text, url text, title text, body text, published_at timestamptz,
    metrics jsonb
) ON COMMIT DROP
"""
_ADD_AUTHORS = """
INSERT INTO authors (platform, username, display_name)
SELECT DISTINCT ON (author) $1, author, display_name FROM staged_posts ORDER BY author, position
ON CONFLICT (platform, username) DO NOTHING RETURNING id, platform, username, display_name, followers
"""
_ADD_POSTS = """
INSERT INTO contents (author_id, platform, url, title, body, scraped_at, published_at, metrics)
SELECT a.id, $1, s.url, s.title, s.body, now(), s.published_at, s.metrics
FROM (SELECT DISTINCT ON (url) * FROM staged_posts ORDER BY url, position) AS s
JOIN authors AS a ON a.platform = $1 AND a.username = s.author
ORDER BY s.position
ON CONFLICT (url) DO NOTHING
RETURNING id, author_id, platform, url, title, body, scraped_at, published_at, metrics
"""
_ADD_FILE = """
INSERT INTO post_imports (digest, file_name, imported, rejected) VALUES ($1, $2, $3, $4) ON CONFLICT (digest) DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did. ``rows`` = ``imported`` + ``known`` + ``rejected``; ``authors`` counts new ones."""

    files: int
    rows: int
    imported: int
    known: int
    rejected: int
    authors: int
    baseline: bool
    rejections: tuple[Rejection, ...]


async def import_posts(
    url: str,
    paths: Sequence[Path],
    *,
    baseline_url: str | None = None,
    strict: bool = False,
    max_bytes: int = MAX_BYTES,
    progress: Progress = lambda phase, done, total: None,
) -> ImportReport:
    """Import the posts of all files, but for rows that are none; or nothing.

    Args:
        url: the database; migrated.
        baseline_url: a second database that gets the same rows with the same ids.
        strict: refuse everything if any row is rejected.
        max_bytes: most bytes each file may unpack to.
        progress: called with a phase, how much is done and how much there is.

    Raises:
        PostFileError: a file is no export of posts.
        RowsRejectedError: ``strict``, and there are bad rows.
        DatabaseUnavailableError: no connection, or it was lost.
        DatabaseError: a database refused, or the two do not have the same posts; neither has changed.
    """
    async with import_transactions("research_hub", url, baseline_url) as databases:
        main = databases[0]
        latest = await main.fetchval("SELECT now()") + _TOLERANCE
        readers = [post_file(path, latest, max_bytes) for path in paths]
        await _stage(main, readers, progress)
        _check_rows(readers, strict)
        authors, posts = await _insert(databases, readers)
        return _report(readers, authors, posts, baseline=len(databases) > 1)


async def _stage(connection: Connection, readers: Sequence[CsvFile[Post]], progress: Progress) -> None:
    await connection.execute(_CREATE_STAGED)
    position = 0
    for number, reader in enumerate(readers):
        batches = reader.batches()
        while (batch := await asyncio.to_thread(next, batches, None)) is not None:
            rows = [_record(position + offset, post) for offset, post in enumerate(batch)]
            await connection.copy_records_to_table("staged_posts", records=rows, columns=_STAGED)
            position += len(batch)
            progress(f"reading {reader.path.name}", reader.file.position, reader.file.size)
        progress("files", number + 1, len(readers))


def _record(position: int, post: Post) -> tuple[object, ...]:
    what = (post.author, post.display_name, post.url, post.title, post.body, post.published_at)
    return (position, *what, json.dumps(post.metrics))


def _check_rows(readers: Sequence[CsvFile[Post]], strict: bool) -> None:
    rejected = sum(reader.rejected for reader in readers)
    if strict and rejected:
        rows = rejected + sum(reader.good for reader in readers)
        listed = tuple(each for reader in readers for each in reader.rejections)
        message = f"{rejected} of {rows} rows are not posts; nothing was imported"
        raise RowsRejectedError(message, "post_rows_rejected", listed)


async def _insert(databases: Sequence[Connection], readers: Sequence[CsvFile[Post]]) -> tuple[int, int]:
    """Turn the staged rows into authors and posts; return how many of each are new."""
    main, *twins = databases
    authors = await main.fetch(_ADD_AUTHORS, PLATFORM)
    posts = await main.fetch(_ADD_POSTS, PLATFORM)
    for twin in twins:
        await _mirror(twin, authors, posts)
    for each in databases:
        for reader in readers:
            await each.execute(_ADD_FILE, reader.file.digest, reader.path.name, reader.good, reader.rejected)
        if posts:
            await each.execute("ANALYZE authors, contents")
    return len(authors), len(posts)


async def _mirror(twin: Connection, authors: list[asyncpg.Record], posts: list[asyncpg.Record]) -> None:
    """Write the same rows with the same ids.

    Raises:
        DatabaseError: it has other rows under these ids, or at these addresses.
    """
    with mirroring():
        for table, rows in (("authors", authors), ("contents", posts)):
            if rows:
                records = [tuple(row) for row in rows]
                await twin.copy_records_to_table(table, records=records, columns=list(rows[0].keys()))
                await continue_numbers(twin, [table])


def _report(readers: Sequence[CsvFile[Post]], authors: int, posts: int, *, baseline: bool) -> ImportReport:
    read = sum(reader.good for reader in readers)
    rejected = sum(reader.rejected for reader in readers)
    return ImportReport(
        files=len(readers),
        rows=read + rejected,
        imported=posts,
        known=read - posts,
        rejected=rejected,
        authors=authors,
        baseline=baseline,
        rejections=tuple(each for reader in readers for each in reader.rejections),
    )
