"""Make what a corpus holds agree with its sources. Touches: the sources, the database, the embedder.

A document whose bytes are as they were is not touched. One that changed is replaced in a transaction of its own, in
which chunks that it still has stay, with their vectors; one that is gone takes its chunks with it; one that can no
longer be read stays as it was, and is told by name and reason. So whatever is interrupted is simply run again, and
several may run at the same time.

Texts come first and vectors after them: until it has one, a chunk is found by its words alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from tailrace.db import Database
from tailrace.semantic.documents.reading import ReadDocument, Source, UnreadableError, digest_of, read
from tailrace.semantic.documents.tables import DOCUMENT_SEARCH
from tailrace.semantic.embedder import Embedder
from tailrace.semantic.embedding import EmbeddingProgress, embed_texts

__all__ = ["LoadProgress", "LoadReport", "Refusal", "load_documents"]

LARGEST = 20 * 1024 * 1024
"""Bytes of a document."""

LoadProgress = Callable[[str, int, int], None]
"""Told the phase, ``read`` or ``embed``, how much of it is done and how much there is."""

_KNOWN = text("SELECT path, digest FROM docs.documents WHERE corpus = :corpus")
_THERE = text("SELECT to_regclass('docs.documents') IS NOT NULL")
_DOCUMENT = text("""
INSERT INTO docs.documents AS d (corpus, path, title, digest) VALUES (:corpus, :path, :title, :digest)
ON CONFLICT (corpus, path) DO UPDATE SET title = excluded.title, digest = excluded.digest, loaded_at = now()
RETURNING id
""")
_DROP_CHANGED = text("DELETE FROM docs.chunks WHERE document_id = :id AND digest <> ALL (CAST(:digests AS bytea[]))")
_MOVE = text("""
UPDATE docs.chunks c SET position = n.position
FROM unnest(CAST(:digests AS bytea[])) WITH ORDINALITY AS n (digest, position)
WHERE c.document_id = :id AND c.digest = n.digest AND c.position <> n.position
""")
_ADD = text("""
INSERT INTO docs.chunks (document_id, corpus, path, position, heading, body, digest)
SELECT :id, :corpus, :path, n.position, n.heading, n.body, n.digest
FROM unnest(CAST(:headings AS text[]), CAST(:bodies AS text[]), CAST(:digests AS bytea[]))
    WITH ORDINALITY AS n (heading, body, digest, position)
WHERE NOT EXISTS (SELECT FROM docs.chunks c WHERE c.document_id = :id AND c.digest = n.digest)
""")
_LOCK = text("SELECT id FROM docs.documents WHERE corpus = :corpus AND path = :path FOR UPDATE")
_DROP_CHUNKS = text("DELETE FROM docs.chunks WHERE document_id = :id")
_DROP = text("DELETE FROM docs.documents WHERE id = :id")
_COUNT = text("SELECT count(*) FROM docs.chunks WHERE corpus = :corpus")
_ANALYZE = text("ANALYZE docs.chunks")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A document that could not be read."""

    path: str
    reason: str


@dataclass(slots=True)
class LoadReport:
    """What a run came to: numbers of documents, chunks and vectors; of a dry run, what it would have come to."""

    corpus: str
    dry_run: bool
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    chunks: int = 0
    embedded: int = 0
    refused: list[Refusal] = field(default_factory=list)

    @property
    def writes(self) -> int:
        """Documents that were, or would be, written."""
        return self.added + self.changed + self.removed


async def load_documents(
    database: Database,
    corpus: str,
    sources: Sequence[Source],
    embedder: Embedder | None = None,
    *,
    dry_run: bool = False,
    progress: LoadProgress = lambda phase, done, total: None,
    rest: float = 0.0,
) -> LoadReport:
    """Make a corpus hold just these documents.

    Args:
        database: prepared by ``prepare_documents``, but for a dry run.
        embedder: gives vectors to chunks that have none, of whatever corpus; None leaves that for later.
        dry_run: read and compare, and change nothing.
        rest: as of ``embed_texts``, where vectors are made beside requests.

    Raises:
        DatabaseError: one of its kinds; documents before are loaded, and running it again goes on.
        MissingExtraError: what reads a format is not installed.

    Cost: one transaction of five statements for each document that changed; 20 ms of a thread for each vector.
    """
    report = LoadReport(corpus, dry_run)
    known = await _known(database, corpus)
    for number, source in enumerate(sources):
        progress("read", number, len(sources))
        await _load_one(database, source, known, report)
    progress("read", len(sources), len(sources))
    for path in sorted(known.keys() - {source.path for source in sources}):
        report.removed += 1
        if not dry_run:
            await _remove(database, corpus, path)
    if not dry_run:
        if report.writes:
            await _analyze(database)
        if embedder is not None:
            report.embedded = await _embed(database, embedder, progress, rest)
        report.chunks = int((await database.fetch(_COUNT, {"corpus": corpus}))[0][0])
    return report


async def _known(database: Database, corpus: str) -> dict[str, bytes]:
    """Digests of the documents that are there, by their paths."""
    if not (await database.fetch(_THERE))[0][0]:
        return {}
    return {row.path: bytes(row.digest) for row in await database.fetch(_KNOWN, {"corpus": corpus})}


async def _load_one(database: Database, source: Source, known: Mapping[str, bytes], report: LoadReport) -> None:
    try:
        digest, document = await asyncio.to_thread(_read, source, known.get(source.path))
    except (UnreadableError, OSError) as error:
        reason = str(error) if isinstance(error, UnreadableError) else error.strerror or type(error).__name__
        report.refused.append(Refusal(source.path, reason))
        return
    if document is None:
        report.unchanged += 1
        return
    report.changed += source.path in known
    report.added += source.path not in known
    if report.dry_run:
        report.chunks += len(document.chunks)
    else:
        await _store(database, report.corpus, source.path, digest, document)


def _read(source: Source, known: bytes | None) -> tuple[bytes, ReadDocument | None]:
    """The digest and the document; None for one that is known."""
    content = source.content()
    if len(content) > LARGEST:
        raise UnreadableError(f"it has {len(content):,} bytes, more than {LARGEST:,}")
    digest = digest_of(source, content)
    return digest, None if digest == known else read(source, content)


async def _store(database: Database, corpus: str, path: str, digest: bytes, document: ReadDocument) -> None:
    whole: dict[str, Any] = {"corpus": corpus, "path": path, "title": document.title, "digest": digest}
    pieces: dict[str, Any] = {
        "headings": [chunk.heading for chunk in document.chunks],
        "bodies": [chunk.body for chunk in document.chunks],
        "digests": [chunk.digest for chunk in document.chunks],
    }

    async def replace(session: AsyncSession) -> None:
        # Whoever loads the same document at the same time waits here.
        found = {"id": (await session.execute(_DOCUMENT, whole)).scalar_one()}
        own = found | {"digests": pieces["digests"]}
        await session.execute(_DROP_CHANGED, own)
        await session.execute(_MOVE, own)
        await session.execute(_ADD, found | pieces | {"corpus": corpus, "path": path})

    await database.run(replace, idempotent=True)


async def _remove(database: Database, corpus: str, path: str) -> None:
    async def remove(session: AsyncSession) -> None:
        found = (await session.execute(_LOCK, {"corpus": corpus, "path": path})).scalar_one_or_none()
        if found is not None:
            await session.execute(_DROP_CHUNKS, {"id": found})
            await session.execute(_DROP, {"id": found})

    await database.run(remove, idempotent=True)


async def _analyze(database: Database) -> None:
    """Ranking by words reckons with how many texts there are."""

    async def analyze(session: AsyncSession) -> None:
        await session.execute(_ANALYZE)

    await database.run(analyze, idempotent=True)


async def _embed(database: Database, embedder: Embedder, progress: LoadProgress, rest: float) -> int:
    def told(step: EmbeddingProgress) -> None:
        progress("embed", step.done, step.done + step.waiting)

    return await embed_texts(database, DOCUMENT_SEARCH, embedder, progress=told, rest=rest)
