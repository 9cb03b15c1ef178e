"""Asking a table whose search was declared, and giving its texts their vectors. Touches: the database, the embedder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from tailrace.db import Database
from tailrace.semantic.courtesy import without_courtesy
from tailrace.semantic.embedder import Embedder, Vector
from tailrace.semantic.evidence import Evidence
from tailrace.semantic.hybrid import HybridSearch
from tailrace.semantic.wording import folded

__all__ = ["EmbeddingProgress", "Found", "Retriever", "as_text", "embed_at_once", "embed_texts"]

LONGEST_QUESTION = 2_000
"""Characters of a question that are read."""
FIRST_COLUMN = 7
"""Where in a row begins what was asked for of the text."""
BATCH = 16
"""Texts that are embedded in one transaction: a tenth of a second in which nobody else can change them."""


@dataclass(frozen=True, slots=True)
class Found:
    """A text that was found.

    Attributes:
        key: its primary key.
        score: of the fusion; larger is better, and means nothing beyond the order.
        by_words, by_meaning: its places in the two lists, from 1; None where it is not among their first.
        columns: what was asked for of its row.
        evidence: what the search knows of its question, the same for all that it found.
    """

    key: Any
    score: float
    by_words: int | None
    by_meaning: int | None
    columns: Mapping[str, Any]
    evidence: Evidence


class Retriever:
    """Searches one table.

    Args:
        columns: what is returned of the rows that are found.
    """

    def __init__(
        self, database: Database, search: HybridSearch, embedder: Embedder, *, columns: Sequence[str] = ()
    ) -> None:
        self._database = database
        self._embedder = embedder
        self._columns = tuple(columns)
        self._statement = text(search.statement(self._columns))
        self._with_tenant = search.tenant is not None

    async def search(self, question: str, *, limit: int = 10, tenant: Any = None) -> list[Found]:
        """The texts that answer best, the best first. A new text is found by its words at once, by its meaning later.

        Args:
            question: what is looked for; courtesy around it is not.
            tenant: whose texts; needed exactly where the search declares tenants.

        Raises:
            ValueError: a tenant is missing, or none was declared.
            DatabaseError: one of its kinds.
            OverloadedError: too many questions wait to be embedded.

        Cost: an embedding and a round trip.
        """
        if (tenant is not None) != self._with_tenant:
            raise ValueError("a tenant must be named where the search declares tenants, and only there")
        # What PostgreSQL has no text for, NUL and lone surrogates, no text there has either.
        question = question[:LONGEST_QUESTION].replace("\x00", " ").encode("utf-8", "replace").decode()
        question = without_courtesy(question)
        vector = await self._embedder.embed(folded(question))
        asked = {"question": question, "vector": as_text(vector), "limit": limit}
        if self._with_tenant:
            asked["tenant"] = tenant
        rows: Sequence[Any] = await self._database.fetch(self._statement, asked)
        evidence = Evidence(*rows[0][4:FIRST_COLUMN]) if rows else Evidence(None, 0, False)
        return [
            Found(row[0], row[1], row[2], row[3], dict(zip(self._columns, row[FIRST_COLUMN:], strict=True)), evidence)
            for row in rows
        ]


@dataclass(frozen=True, slots=True)
class EmbeddingProgress:
    """How far embedding is: texts that have got their vector so far, and those that still wait."""

    done: int
    waiting: int


async def embed_texts(
    database: Database,
    search: HybridSearch,
    embedder: Embedder,
    *,
    progress: Callable[[EmbeddingProgress], None] | None = None,
    rest: float = 0.0,
) -> int:
    """Give a vector to every text that has none, and return how many that was.

    Args:
        rest: seconds of pause for each second of work, between batches: 3 leaves three quarters of a core to others.

    Each batch is a transaction of its own that holds its texts' rows: what is killed or cancelled has lost a batch, and
    is simply run again; several that run at the same time share the work.

    Raises:
        DatabaseError: one of its kinds.

    Cost: some 7 ms of a thread for a text of 64 tokens.
    """
    choose, store = text(search.unembedded()), text(search.embedded())

    async def step(session: AsyncSession) -> int:
        rows = (await session.execute(choose, {"limit": BATCH})).all()
        if rows:
            vectors = await embedder.embed_many([row.text for row in rows])
            asked = {"keys": [str(row.key) for row in rows], "vectors": [as_text(vector) for vector in vectors]}
            await session.execute(store, asked)
        return len(rows)

    done = 0
    waiting = (await database.fetch(text(search.waiting())))[0][0] if progress else 0
    now = asyncio.get_running_loop().time
    began = now()
    while embedded := await database.run(step, idempotent=True):
        done += embedded
        if progress is not None:
            progress(EmbeddingProgress(done, max(0, waiting - done)))
        await asyncio.sleep(rest * (now() - began))
        began = now()
    return done


async def embed_at_once(
    database: Database, search: HybridSearch, embedder: Embedder, *, most: int, rest: float = 0.0
) -> int:
    """Give a vector to ``most`` texts that have none, and return how many have got one.

    Args:
        rest: seconds of pause for each second of work.

    All vectors are computed while nothing is held, and written by one statement: what is kept of answers and ends with
    each write to the texts ends once. A text that was written to meanwhile is left as it is, for another time.

    Raises:
        DatabaseError: one of its kinds; nothing was written.

    Cost: as of ``embed_texts``; some 4 KB of memory for a text until it is written.
    """
    rows = await database.fetch(text(search.unembedded(versioned=True)), {"limit": most})
    if not rows:
        return 0
    vectors = [as_text(vector) for vector in await embedder.embed_many([row.text for row in rows], rest=rest)]
    asked = {
        "keys": [str(row.key) for row in rows],
        "vectors": vectors,
        "versions": [row.version for row in rows],
    }

    async def store(session: AsyncSession) -> int:
        written: Any = await session.execute(text(search.embedded(versioned=True)), asked)
        return int(written.rowcount)

    return await database.run(store, idempotent=True)


def as_text(vector: Vector) -> str:
    """The form in which pgvector reads it."""
    return "[" + ",".join([f"{number:.6g}" for number in vector.tolist()]) + "]"
