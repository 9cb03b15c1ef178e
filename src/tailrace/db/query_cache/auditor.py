"""Compares a sample of what came from the query cache with what the database gives. Touches: the pool, the cache.

It is there for the mistake that nobody has thought of. A result that differs because somebody has just written is no
mistake: the statement runs again under one snapshot with a look into the outbox, and afterwards the stored result must
still be the valid one. What the snapshot shows and stamps do not tell yet is then in the outbox, since rows leave it
only when they have been stamped. What a statement means may change as well, which is in no outbox: a view is what it is
when the statement runs, so the catalogue is looked at after that.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import QueuePool

from tailrace.cache import Cache
from tailrace.db.errors import FOREIGN
from tailrace.db.query_cache.asked import Asked
from tailrace.db.query_cache.catalogue import CatalogueReader
from tailrace.db.query_cache.refusal import NotCachedError
from tailrace.db.query_cache.rows import decode, encode
from tailrace.db.query_cache.standing import ASK, Standing
from tailrace.db.session import READABLE
from tailrace.errors import StoreUnavailableError
from tailrace.events import Observer, QueryAudited

if TYPE_CHECKING:
    from tailrace.db.freshness import DatabaseFreshness

__all__ = ["Auditor"]

ON_ITS_WAY = text("SELECT EXISTS (SELECT FROM tailrace.outbox WHERE split_part(tag, ':', 1) = ANY (:tags))")

UNFINISHED: tuple[type[Exception], ...] = (*FOREIGN, StoreUnavailableError, NotCachedError)
"""What keeps an audit from its end."""

log = logging.getLogger("tailrace.queries")


class Auditor:
    """Audits hits, one at a time, on a connection that nobody needs just now.

    Args:
        engine: connections.
        cache: where results are.
        catalogue: what the database holds.
        freshness: catches up with what others have stamped.
        observer: receives outcomes.
        share: of hits, 0 to 1.
        random: gives numbers from 0 to 1.
        distrust: told of a statement with a result that the database does not give.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        cache: Cache,
        catalogue: CatalogueReader,
        freshness: DatabaseFreshness,
        observer: Observer | None,
        *,
        share: float,
        random: Callable[[], float],
        distrust: Callable[[Asked], None],
    ) -> None:
        self._engine = engine
        self._cache = cache
        self._catalogue = catalogue
        self._freshness = freshness
        self._observer = observer
        self._share = share
        self._random = random
        self._distrust = distrust
        self._task: asyncio.Task[None] | None = None

    def consider(self, asked: Asked, value: bytes) -> None:
        """Audit this hit, or leave it: it was not drawn, another is under way, or every connection is in use."""
        if asked.changed or self._random() >= self._share or (self._task is not None and not self._task.done()):
            return
        pool = self._engine.sync_engine.pool
        if isinstance(pool, QueuePool) and pool.checkedout() < pool.size():
            self._task = asyncio.create_task(self._audit(asked, value), name="tailrace audit")

    async def aclose(self) -> None:
        """End the audit that is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _audit(self, asked: Asked, value: bytes) -> None:
        try:
            outcome = await self._compare(asked, value)
            if outcome == "different":
                await self._cache.forget(asked.key)
        except UNFINISHED as error:
            log.info("an audit failed: %s", type(error).__name__)
            outcome = "failed"
        if outcome == "different":
            self._distrust(asked)
            statement = " ".join(asked.statement.split())
            log.error("the query cache gave rows that the database does not: tags %s [%s]", asked.tags, statement)
        if self._observer is not None:
            self._observer(QueryAudited(asked.policy.name, outcome))

    async def _compare(self, asked: Asked, value: bytes) -> str:
        async with self._engine.connect() as connection:
            snapshot = await connection.execution_options(isolation_level="REPEATABLE READ")
            found = await self._run_again(snapshot, asked)
        if found is None:
            return "overtaken"
        if _rows(found) == _rows(value):
            return "equal"
        if await self._catalogue.digest() != asked.catalogue:
            return "overtaken"
        if not await self._freshness.fence() or await self._cache.held(asked.key, asked.tags) != value:
            return "overtaken"
        return "different" if asked.determined else "unordered"

    async def _run_again(self, connection: AsyncConnection, asked: Asked) -> bytes | None:
        """What the database gives now; None if it may not be compared: a commit is on its way, or others ask here."""
        standing = Standing.of((await connection.exec_driver_sql(ASK)).one())
        if standing.digest != asked.standing.digest or not (standing.primary and standing.bare):
            return None
        if not (await connection.execute(READABLE)).scalar():
            return None
        found = await connection.exec_driver_sql(*asked.sent)
        columns: Any = [(column[0], column[1]) for column in found.cursor.description]
        rows = found.all()
        # Where each process keeps its own stamps rows stay, and catching up reads them all.
        if self._cache.store.shared and await connection.scalar(ON_ITS_WAY, {"tags": list(asked.tags)}):
            return None
        return encode(columns, [tuple(row) for row in rows])


def _rows(data: bytes) -> Counter[str]:
    """Rows without their order, which only ORDER BY fixes, and then only as far as it goes."""
    return Counter(repr(row) for row in decode(data)[1])
