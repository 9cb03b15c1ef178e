"""Giving texts their vectors: in small batches, or very many beside requests. Touches: the database, the embedder.

Making a vector takes a core some 9 ms, and an HNSW index takes each in by itself, 1 to 4 ms of the database's. So where
many wait, some are written while the next ones are made; and seldom, as every write to the texts ends what is kept of
answers about them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from tailrace.db import Database
from tailrace.semantic.embedder import Embedder
from tailrace.semantic.hybrid import HybridSearch
from tailrace.semantic.retriever import as_text

__all__ = ["EmbeddingProgress", "embed_texts", "embed_waiting"]

BATCH = 16
"""Texts that are embedded in one transaction: a tenth of a second in which nobody else can change them."""
PIECE = 250
"""Texts that are read, embedded and put into a statement together: some three seconds of work."""
PIECES = 4
"""Of a transaction: it takes a second or two, for which others cannot write to its texts."""


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

    Each batch ends what is kept of answers about the texts; ``embed_waiting`` ends it rarely.

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


async def embed_waiting(
    database: Database,
    search: HybridSearch,
    embedder: Embedder,
    *,
    most: int | None = None,
    rest: float = 0.0,
    progress: Callable[[EmbeddingProgress], None] | None = None,
) -> int:
    """Give a vector to every text that has none, beside requests, and return how many have got one.

    Args:
        most: texts that are embedded, at most; None: until none waits.
        rest: seconds of pause for each second of making vectors.
        progress: told of each write.

    Those with the largest keys come first: numbers that are counted up are the newest texts'. Nothing is held while
    vectors are made. They are written together, the first after some seconds and then a thousand at a time,
    while the next ones are made. A text that was written to meanwhile is left as it is and read again. Whoever is
    cancelled loses what is not being written, some seconds' work; two at the same time do no harm and no good.

    Raises:
        DatabaseError: one of its kinds; what was written stays.

    Cost: some 9 ms of a thread for a text of 80 tokens; 4 KB of memory for each of a thousand texts.
    """
    waiting = (await database.fetch(text(search.waiting())))[0][0] if progress else 0

    def told(written: int) -> None:
        if progress is not None:
            progress(EmbeddingProgress(written, max(0, waiting - written)))

    writing, left, seen = _Writing(database, search, told), most, -1
    try:
        while writing.written > seen and left != 0:  # what came, or was changed, while the others were embedded
            seen = writing.written
            left = await _embed_once(database, search, embedder, writing, left, rest)
        return writing.written
    finally:
        await writing.settled()


async def _embed_once(
    database: Database, search: HybridSearch, embedder: Embedder, writing: _Writing, left: int | None, rest: float
) -> int | None:
    """Go over the texts that wait, once; how many are ``left`` to do."""
    first, further = (text(search.unembedded_versions(after=after)) for after in (False, True))
    asked: dict[str, Any] = {}
    while left != 0:
        asked["limit"] = PIECE if left is None else min(PIECE, left)
        rows: Sequence[Row[Any]] = await database.fetch(further if "after" in asked else first, asked)
        if not rows:
            break
        asked["after"] = str(rows[-1].key)
        left = None if left is None else left - len(rows)
        vectors = await embedder.embed_many([row.text for row in rows], rest=rest)
        await writing.put(
            {
                "keys": [str(row.key) for row in rows],
                "vectors": [as_text(vector) for vector in vectors],
                "versions": [row.version for row in rows],
            }
        )
    await writing.finish()
    return left


class _Writing:
    """Vectors on their way into the database: one transaction is under way while what follows is gathered."""

    def __init__(self, database: Database, search: HybridSearch, told: Callable[[int], None]) -> None:
        self._database = database
        self._statement = text(search.embedded(versioned=True))
        self._told = told
        self._pieces: list[dict[str, Any]] = []
        self._under_way: asyncio.Task[int] | None = None
        self._begun = False
        self.written = 0

    async def put(self, piece: dict[str, Any]) -> None:
        """The first is written at once, further ones some together. Waits for the transaction before."""
        self._pieces.append(piece)
        if not self._begun or len(self._pieces) == PIECES:
            await self._begin()

    async def finish(self) -> None:
        """All that was put is written."""
        if self._pieces:
            await self._begin()
        await self._end()

    async def settled(self) -> None:
        """Whatever became of it, nothing is under way any more."""
        if self._under_way is not None:
            await asyncio.gather(self._under_way, return_exceptions=True)

    async def _begin(self) -> None:
        await self._end()
        self._begun = True
        pieces, self._pieces = self._pieces, []
        store = self._database.run(partial(self._store, pieces), idempotent=True)
        self._under_way = asyncio.create_task(store, name="tailrace vectors")

    async def _end(self) -> None:
        if self._under_way is None:
            return
        await asyncio.wait({self._under_way})  # which, unlike awaiting it, does not cancel it
        task, self._under_way = self._under_way, None
        self.written += task.result()
        self._told(self.written)

    async def _store(self, pieces: Sequence[dict[str, Any]], session: AsyncSession) -> int:
        written = 0
        for piece in pieces:
            result: Any = await session.execute(self._statement, piece)
            written += int(result.rowcount)
        return written
