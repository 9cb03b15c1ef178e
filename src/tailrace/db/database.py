"""The database as handlers use it: sessions, transactions that are tried again, errors of one kind.

Touches: the engine, the clock. A single statement that reads goes to the driver and comes back in one greenlet:
SQLAlchemy's asynchronous connection takes one for each of its steps, which costs more than all that it does in them.

A transaction is repeated as a whole and only when that is safe: it failed for a passing
reason and certainly did not commit. When the connection is lost during COMMIT nobody can tell, so it is not repeated
unless its caller says that doing it twice does no harm.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy import Executable, Result, Row, Select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.util import greenlet_spawn

from tailrace.cache import Cache
from tailrace.cache.consistency import current_reads, reading_context
from tailrace.clock import Clock, SystemClock
from tailrace.db.compiled_statements import CompiledStatements
from tailrace.db.engine import make_engine, make_relay_engine, statement_observer
from tailrace.db.errors import in_doubt, translated
from tailrace.db.freshness import DatabaseFreshness
from tailrace.db.group_commit import GroupCommit, GroupedWrite
from tailrace.db.holding import Holdings
from tailrace.db.pool import POOL, PoolState, pool_state, waiting_time
from tailrace.db.query_cache import QueryCache, QueryPolicy
from tailrace.db.query_cache.auditor import Auditor
from tailrace.db.query_cache.catalogue import CatalogueReader
from tailrace.db.query_cache.session_state import note_sent
from tailrace.db.repetition import Repetition
from tailrace.db.replicas import Replicas
from tailrace.db.session import QUERIES, Commits, doubted, session_factory
from tailrace.db.single import SingleWrites, Unfit
from tailrace.errors import DatabaseError, DatabaseUnavailableError
from tailrace.events import Observer
from tailrace.settings import DatabaseSettings, FreshnessSettings

__all__ = ["Database"]

T = TypeVar("T")


class Database:
    """One PostgreSQL database.

    Args:
        url: ``postgresql://user:password@host:port/name``.
        settings: pool, timeouts, retries.
        clock: time.
        observer: receives pool, statement and retry events.
    """

    def __init__(
        self,
        url: str,
        *,
        settings: DatabaseSettings | None = None,
        clock: Clock | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.url = url
        self.settings = settings or DatabaseSettings()
        self.commits: Commits | None = None
        """Told of each commit; set by whatever keeps answers fresh."""
        self.queries: QueryCache | None = None
        """Answers statements that ask for it; None until ``cache_queries``."""
        limit = self.settings.hold_limit
        self.holdings = None if observer is None or limit is None else Holdings(POOL, observer, limit=limit)
        """Who holds connections; to be told of calls to other services. None where nobody watches."""
        self.engine: AsyncEngine = make_engine(url, self.settings, observer, self.holdings)
        self._clock = clock or SystemClock()
        self._reading = self.engine.execution_options(postgresql_readonly=True)
        self._alone = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        """For statements that are no part of a transaction: nothing is begun, and nothing ended."""
        self.replicas: Replicas | None = None
        """Where sessions that only read may go; None without ``replica_urls``."""
        if self.settings.replica_urls:
            self.replicas = Replicas(url, self._reading, self.settings, self._clock, observer)
        self._observer = observer
        self._sessions = session_factory(self.engine, lambda: self.commits)
        self._grouped = GroupCommit(self.write, lambda: waiting_time(self.settings.pool_timeout))
        told = None if observer is None else statement_observer(observer, POOL)
        self._compiled = CompiledStatements(self.engine, self.settings, told)
        self._single = SingleWrites(self.engine, self._compiled, lambda: self.commits)

    def cache_queries(self, cache: Cache) -> QueryCache:
        """Let statements that ask for it (``cached_query``) be answered from ``cache``; once, before the first one.

        Args:
            cache: with what keeps it as fresh as this database.
        """
        freshness = cache.freshness if isinstance(cache.freshness, DatabaseFreshness) else None
        bound = (FreshnessSettings() if freshness is None else freshness.settings).bound
        own = make_relay_engine(self.url, self.settings, "tailrace-catalogue", keep=True)
        catalogue = CatalogueReader(own, self._clock, bound=bound)
        with self._compiled.adopting():
            queries = QueryCache(self.engine, cache, catalogue, self._observer, pooled=self.settings.pgbouncer)
        self._compiled.sending = note_sent
        self.queries = queries
        if freshness is not None and self.settings.query_audit:
            queries.auditor = Auditor(
                self.engine,
                cache,
                catalogue,
                freshness,
                self._observer,
                share=self.settings.query_audit,
                random=random.random,
                distrust=queries.distrust,
            )
        return queries

    @asynccontextmanager
    async def session(
        self, *, cached: QueryPolicy | None = None, read_only: bool = False
    ) -> AsyncIterator[AsyncSession]:
        """A session, closed at the end; nothing is committed unless its ``commit`` or ``begin`` does.

        Args:
            cached: takes the results of all that it selects from the query cache, where that is certain to be right.
            read_only: it writes nothing, and so may be on a replica that shows all it has to; on the primary it cannot
                write either. The query cache is not used on replicas. A replica that does not answer the first
                statement is given up for the primary.

        Raises:
            DatabaseError: one of its kinds, in place of SQLAlchemy's and the driver's.
        """
        with translated(), reading_context():
            replica = await self.replicas.choose(current_reads.get()) if read_only and self.replicas else None
            if replica is not None and self.replicas is not None:
                async with self.replicas.session(replica) as session:
                    yield session
                return
            bound = {"bind": self._reading} if read_only else {}
            made = self._sessions(**bound)
            with doubted(made):
                async with made as session:
                    if cached is not None:
                        session.info[QUERIES] = cached
                    yield session

    async def run(self, work: Callable[[AsyncSession], Awaitable[T]], *, idempotent: bool = False) -> T:
        """Run ``work`` in one transaction and commit it; all of it again after a passing failure.

        Args:
            work: reads and writes through the session it is given. It may run several times, so it must have no effect
                outside the database.
            idempotent: running it again after it was committed does no harm, so a connection lost during COMMIT is no
                reason to give up. What is returned is what the last run found, to which an earlier one that was
                committed looks like somebody else's.

        Raises:
            DatabaseError: what failed; after ``settings.retry_time`` seconds of repetitions where repeating was safe.
                ``OutcomeUnknownError``: it may have been committed.
        """
        committing = False

        async def attempt() -> T:
            nonlocal committing
            committing = False
            async with self.session() as session:
                result = await work(session)
                committing = True
                await session.commit()
                return result

        return await self._repeated(attempt, uncertain=lambda: committing and not idempotent)

    async def write(
        self,
        statement: Select[*tuple[Any, ...]],
        parameters: Any = None,
        *,
        committed: Callable[[], None] | None = None,
    ) -> Sequence[Sequence[Any]]:
        """The rows of one writing statement, committed; again after a passing failure, as far as that is safe.

        Args:
            statement: a SELECT from what its CTEs write, with a row if they have written anything. They write to tables
                that are watched; after another write its client is not answered from the cache for a while.
            parameters: its parameters.
            committed: called as soon as it is, if that is known before the rest is done: its stamps are replaced next.

        Raises:
            DatabaseError: what failed. ``OutcomeUnknownError``: it may have been committed.

        Cost: 2 round trips. 4, as by ``run``, behind PgBouncer.
        """
        if self.settings.pgbouncer:  # the time limit of a statement is set within a transaction
            return await self._written_in_session(statement, parameters)
        sent = False

        def note() -> None:
            nonlocal sent
            sent = True

        async def attempt() -> Sequence[Sequence[Any]]:
            nonlocal sent
            sent = False
            with reading_context():
                return await self._single.write(statement, parameters, note, committed)

        try:
            return await self._repeated(attempt, uncertain=lambda: sent)
        except Unfit:
            return await self._written_in_session(statement, parameters)

    async def write_grouped(self, grouped: GroupedWrite, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """One caller's rows of a statement that writes for all who come while another one is under way, committed.

        Args:
            grouped: the statement.
            values: this caller's, by the names of its ``given``; what JSON can say.

        Raises:
            DatabaseError: what failed, this caller's write or that of all. ``OutcomeUnknownError``: they may have been
                committed. ``PoolTimeoutError``, as where no connection is free: its turn did not come.

        Cost: 2 round trips, as for ``write``, shared by those who came together.
        """
        return await self._grouped.write(grouped, values)

    async def _written_in_session(
        self, statement: Select[*tuple[Any, ...]], parameters: Any
    ) -> Sequence[Sequence[Any]]:
        async def work(session: AsyncSession) -> Sequence[Sequence[Any]]:
            return (await session.execute(statement, parameters)).all()

        return await self.run(work)

    async def fetch(self, statement: Executable, parameters: Any = None) -> Sequence[Row[Any]]:
        """The rows of one reading statement, as by ``read``.

        Raises:
            DatabaseError: one of its kinds.

        Cost: 1 round trip, on a connection that knows the statement.
        """
        kept = self._compiled.find(statement, parameters)

        def work() -> Sequence[Row[Any]]:
            if kept is not None:
                return self._compiled.run(kept, parameters).all()
            with self._alone.sync_engine.connect() as connection:
                return connection.execute(statement, parameters).all()

        return await self._repeated(lambda: greenlet_spawn(work))

    async def execute(self, statement: Executable, parameters: Any = None) -> Result[Any]:
        """What ``fetch`` gives, as a result: for functions that read by whatever executes statements.

        Raises:
            DatabaseError: one of its kinds.
        """
        kept = self._compiled.find(statement, parameters)

        def work() -> Result[Any]:
            if kept is not None:
                return self._compiled.run(kept, parameters)
            with self._alone.sync_engine.connect() as connection:
                return connection.execute(statement, parameters).freeze()()

        return await self._repeated(lambda: greenlet_spawn(work))

    async def read(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """What ``work`` reads, without a transaction to begin and end; all of it again after a passing failure.

        Args:
            work: reads through the connection it is given; each of its statements sees what was committed before it.

        Raises:
            DatabaseError: one of its kinds.

        Cost: the round trips of ``work``, and no others.
        """

        async def connected() -> T:
            async with self._alone.connect() as connection:
                return await work(connection)

        return await self._repeated(connected)

    async def _repeated(
        self, attempt: Callable[[], Awaitable[T]], *, uncertain: Callable[[], bool] = lambda: False
    ) -> T:
        """What ``attempt`` gives; again after a passing failure, unless a lost connection leaves it ``uncertain``
        whether it was committed."""
        repetition: Repetition | None = None
        while True:
            try:
                with translated():
                    return await attempt()
            except DatabaseError as error:
                if isinstance(error, DatabaseUnavailableError) and uncertain():
                    raise in_doubt(error) from error.__cause__
                repetition = repetition or Repetition(POOL, self.settings.retry_time, self._clock, self._observer)
                await repetition.pause_or_give_up(error)

    @property
    def direct(self) -> str:
        """The server's own address, for work that needs a session of its own: past PgBouncer where the settings say."""
        address = self.settings.direct_url
        return self.url if address is None else address.get_secret_value()

    async def ping(self) -> None:
        """Return if the database answers.

        Raises:
            DatabaseError: it does not.
        """
        await self.fetch(text("SELECT 1"))

    def pool_state(self) -> PoolState:
        """How many connections are in use, and how many wait for one."""
        return pool_state(self.engine)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._grouped.aclose()
        if self.queries is not None:
            await self.queries.aclose()
        if self.holdings is not None:
            self.holdings.close()
        if self.replicas is not None:
            await self.replicas.aclose()
        await self.engine.dispose()
