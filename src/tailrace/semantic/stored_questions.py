"""Questions by their vectors in PostgreSQL, for all processes that share a database. Touches: the database.

Their answers are in the cache, so its store has to be one that these processes share, too. What is kept here is lost
with the server's process (the table is unlogged): after a crash of the server every question is new.

**Source:** pgvector's documentation (HNSW, iterative scans).
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from tailrace.clock import Clock, SystemClock
from tailrace.db import Database
from tailrace.errors import DatabaseError, SchemaError
from tailrace.semantic.embedder import Vector
from tailrace.semantic.guards import question
from tailrace.semantic.hybrid import SCANNED
from tailrace.semantic.retriever import as_text
from tailrace.semantic.similar_questions import Kept

__all__ = ["StoredQuestions", "prepare_extension", "prepare_questions"]

DIMENSIONS = 384
EXTENSION = "vector"
USED_AGAIN = 60.0
"""Seconds for which it is not noted again that a question was asked for: its place in the queue need not be exact."""
REMEMBERED = 10_000
"""Questions of which this process remembers when it last noted that."""

# A row that is asked for again changes in place, without a new entry in the index, where its page has room.
_CREATION = (
    "CREATE SCHEMA IF NOT EXISTS semantic",
    f"""
CREATE UNLOGGED TABLE IF NOT EXISTS semantic.questions (
    name text NOT NULL, scope text NOT NULL, key text NOT NULL, question text NOT NULL, depends_on text[] NOT NULL,
    wrong_at float8 NOT NULL DEFAULT -1, used_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    embedding vector({DIMENSIONS}) NOT NULL, PRIMARY KEY (name, scope, key)
) WITH (fillfactor = 70)
""",
    "CREATE INDEX IF NOT EXISTS questions_hnsw ON semantic.questions USING hnsw (embedding vector_cosine_ops)",
)
_AVAILABLE = text("SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = :name)")
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('tailrace semantic questions', 0))")
_ADD = text("""
INSERT INTO semantic.questions AS q (name, scope, key, question, depends_on, wrong_at, embedding)
VALUES (:name, :scope, :key, :question, CAST(:depends_on AS text[]), :wrong_at,
    CAST(CAST(:vector AS text) AS vector))
ON CONFLICT (name, scope, key) DO UPDATE SET question = excluded.question, depends_on = excluded.depends_on,
    wrong_at = excluded.wrong_at, embedding = excluded.embedding, used_at = excluded.used_at
""")
_EVICT = text("""
DELETE FROM semantic.questions q USING (
    SELECT scope, key FROM semantic.questions WHERE name = :name ORDER BY used_at DESC, scope, key OFFSET :limit
) old WHERE q.name = :name AND q.scope = old.scope AND q.key = old.key
""")
_USED = text("""
UPDATE semantic.questions SET used_at = clock_timestamp() WHERE name = :name AND scope = :scope AND key = :key
""")
_REMOVE = text("DELETE FROM semantic.questions WHERE name = :name AND scope = :scope AND key = :key")
_DISTRUST = text("""
UPDATE semantic.questions SET wrong_at = greatest(wrong_at, CAST(:wrong_at AS float8))
WHERE name = :name AND scope = :scope AND key = :key
""")
_CLEAR = text("DELETE FROM semantic.questions WHERE name = :name")
_NEAREST = text(
    """
SELECT key, question, depends_on, wrong_at, 1 - (embedding <=> CAST(CAST(:vector AS text) AS vector)) AS cosine
FROM semantic.questions WHERE :scanned AND name = :name AND scope = :scope
ORDER BY embedding <=> CAST(CAST(:vector AS text) AS vector) LIMIT :count
""".replace(":scanned", SCANNED)
)

_log = logging.getLogger("tailrace")


async def prepare_extension(session: AsyncSession, name: str = EXTENSION) -> None:
    """Make pgvector known to the database.

    Raises:
        SchemaError: its files are not on the server.
    """
    if not (await session.execute(_AVAILABLE, {"name": name})).scalar_one():
        raise SchemaError(
            f"the database server has no extension {name}: install pgvector 0.8 or later there "
            "(Debian: postgresql-VERSION-pgvector); the servers that Tailrace starts itself have it"
        )
    await session.execute(text(f"CREATE EXTENSION IF NOT EXISTS {name}"))


async def prepare_questions(database: Database) -> None:
    """Make the table; quick when it is there.

    Raises:
        SchemaError: the server has no pgvector. DatabaseError: it refuses.
    """

    async def make(session: AsyncSession) -> None:
        await session.execute(_LOCK)
        await prepare_extension(session)
        for statement in _CREATION:
            await session.execute(text(statement))

    await database.run(make, idempotent=True)


class StoredQuestions:
    """A ``QuestionIndex`` for ``SemanticCache``; the table is made by ``prepare_questions``.

    A database that fails finds nothing, and is told of once in the log until it works again; a table that is not there
    is an error.

    Args:
        name: whose questions; those of another name are not seen.
        limit: questions remembered, of all scopes; the ones longest not asked for go first, a hundredth at a time.
        used_again: seconds for which it is not noted again that a question was asked for.

    Cost: a round trip for each question that is not answered by its own text, a transaction for each that is new.
    """

    def __init__(
        self,
        database: Database,
        name: str,
        *,
        limit: int = 100_000,
        used_again: float = USED_AGAIN,
        clock: Clock | None = None,
    ) -> None:
        self._database = database
        self._name = name
        self._limit = limit
        self._used_again = used_again
        self._clock = clock or SystemClock()
        self._added = 0
        self._noted: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._failing = False

    async def add(self, scope: str, kept: Kept, vector: Vector) -> None:
        """Remember a question."""
        asked = self._own(scope, kept.key) | {
            "question": kept.question.folded,
            "depends_on": list(kept.depends_on),
            "wrong_at": kept.wrong_at,
            "vector": as_text(vector),
        }
        self._added += 1
        full = self._added % max(1, self._limit // 100) == 0
        await self._write([(_ADD, asked), *([(_EVICT, {"name": self._name, "limit": self._limit})] if full else [])])

    async def used(self, scope: str, key: str) -> None:
        """Its answer was asked for just now."""
        now = self._clock.monotonic()
        if now - self._noted.get((scope, key), -self._used_again) < self._used_again:
            return
        self._noted[scope, key] = now
        self._noted.move_to_end((scope, key))
        if len(self._noted) > REMEMBERED:
            self._noted.popitem(last=False)
        await self._write([(_USED, self._own(scope, key))])

    async def remove(self, scope: str, key: str) -> None:
        """Forget a question."""
        await self._write([(_REMOVE, self._own(scope, key))])

    async def distrust(self, scope: str, key: str, similarity: float) -> None:
        """Note that its answer was wrong for a question that similar."""
        await self._write([(_DISTRUST, self._own(scope, key) | {"wrong_at": similarity})])

    async def nearest(self, scope: str, vector: Vector, *, at_least: float, count: int) -> list[tuple[float, Kept]]:
        """Cosines and questions of this scope, the closest first. Cost: 1 ms for 100,000, and a round trip."""
        asked = {"name": self._name, "scope": scope, "vector": as_text(vector), "count": count}

        async def search() -> Sequence[Row[Any]]:
            return await self._database.fetch(_NEAREST, asked)

        found = [
            (float(row.cosine), Kept(row.key, question(row.question), tuple(row.depends_on), row.wrong_at))
            for row in await self._attempt(search) or ()
            if row.cosine >= at_least
        ]
        return sorted(found, key=lambda each: -each[0])

    async def clear(self) -> None:
        """Forget everything of this name."""
        await self._write([(_CLEAR, {"name": self._name})])

    async def _write(self, statements: Sequence[tuple[TextClause, Mapping[str, Any]]]) -> None:
        async def write(session: AsyncSession) -> None:
            for statement, parameters in statements:
                await session.execute(statement, parameters)

        await self._attempt(lambda: self._database.run(write, idempotent=True))

    async def _attempt(self, work: Callable[[], Awaitable[Any]]) -> Any:
        try:
            done = await work()
        except DatabaseError as error:
            if not self._failing:
                self._failing = True
                _log.warning("kept questions cannot be looked at: %s", error)
            return None
        self._failing = False
        return done

    def _own(self, scope: str, key: str) -> dict[str, Any]:
        return {"name": self._name, "scope": scope, "key": key}
