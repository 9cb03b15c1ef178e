"""Where documents and their chunks are kept, in a schema of their own. Touches: the database, to make it.

Chunks carry their corpus, so that a search is within one and a write ends the answers of one.
"""

from __future__ import annotations

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    BigInteger,
    ClauseElement,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.schema import CreateIndex, CreateTable

from tailrace.cache import tag
from tailrace.db import Database
from tailrace.schema import Declaration, Extension, Watch, apply, table_tag
from tailrace.semantic.hybrid import HybridSearch

__all__ = [
    "DIMENSIONS",
    "DOCUMENT_SEARCH",
    "corpus_tag",
    "creation",
    "document_chunks",
    "document_objects",
    "documents",
    "prepare_documents",
]

DIMENSIONS = 384
_METADATA = MetaData(schema="docs")

documents = Table(
    "documents",
    _METADATA,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("corpus", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("loaded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    UniqueConstraint("corpus", "path", name="documents_corpus_path_key"),
)
"""What was loaded; ``digest`` is of what it was read from."""

document_chunks = Table(
    "chunks",
    _METADATA,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("document_id", BigInteger, ForeignKey(documents.c.id, ondelete="RESTRICT"), nullable=False),
    Column("corpus", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("heading", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("embedding", HALFVEC(DIMENSIONS)),
    Index("chunks_document_id", "document_id"),
)
"""What is found: pieces of documents, in the order of ``position``; ``corpus`` and ``path`` are the document's."""

DOCUMENT_SEARCH = HybridSearch(document_chunks, texts=("heading", "body"), vector="embedding", tenant="corpus")
"""Search within a corpus."""


def document_objects() -> list[Declaration]:
    """What the database keeps for searching documents, for ``apply``; their tables must be there."""
    return [Extension("vector"), Watch(document_chunks, key="corpus"), *DOCUMENT_SEARCH.objects()]


def corpus_tag(corpus: str) -> str:
    """What an answer out of a corpus depends on: a document that is new may answer better than its sources."""
    return tag(table_tag(document_chunks), "corpus", corpus)


def creation() -> list[str]:
    """The statements that make the tables, as far as they are not there."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    made: list[ClauseElement] = [CreateTable(table, if_not_exists=True) for table in (documents, document_chunks)]
    made += [CreateIndex(index, if_not_exists=True) for index in document_chunks.indexes]
    return [
        "CREATE EXTENSION IF NOT EXISTS vector",
        f"CREATE SCHEMA IF NOT EXISTS {_METADATA.schema}",
        *(str(each.compile(dialect=dialect)).strip() for each in made),
    ]


async def prepare_documents(database: Database) -> None:
    """Make the tables and what is kept for searching them; quick when they are there.

    Raises:
        DatabaseError, SchemaError: the database refuses.
    """

    async def make(session: AsyncSession) -> None:
        await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('tailrace documents', 0))"))
        for statement in creation():
            await session.execute(text(statement))

    await database.run(make, idempotent=True)
    await apply(database.url, document_objects())
